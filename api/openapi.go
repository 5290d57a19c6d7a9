package api

import _ "embed"

//go:embed openapi.yaml
var openapiYAML string

//go:embed openapi.json
var openapiJSON string

// OpenAPI returns the OpenAPI 3.0.3 description of the public API as YAML. The
// result is the caller's own.
func OpenAPI() []byte { return []byte(openapiYAML) }

// OpenAPIJSON returns the same description as JSON, the document that is
// served at [PathAPIDocs]. The result is the caller's own.
func OpenAPIJSON() []byte { return []byte(openapiJSON) }

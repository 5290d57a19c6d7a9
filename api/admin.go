package api

import _ "embed"

//go:embed admin.yaml
var adminYAML string

// AdminOpenAPI returns the OpenAPI 3.1 description of the admin API as YAML. The
// result is the caller's own.
func AdminOpenAPI() []byte { return []byte(adminYAML) }

// Package deps pins modules while the tree grows; removed before release.
package deps

import (
	_ "github.com/alecthomas/kong"
	_ "github.com/anishathalye/porcupine"
	_ "github.com/cenkalti/backoff/v5"
	_ "github.com/coreos/go-oidc/v3/oidc"
	_ "github.com/getkin/kin-openapi/openapi3"
	_ "github.com/getkin/kin-openapi/openapi3filter"
	_ "github.com/getkin/kin-openapi/routers/gorillamux"
	_ "github.com/go-jose/go-jose/v4/jwt"
	_ "github.com/go-json-experiment/json"
	_ "github.com/goccy/go-yaml"
	_ "github.com/google/uuid"
	_ "github.com/prometheus/client_golang/prometheus/promhttp"
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "github.com/swaggest/swgui/v5emb"
	_ "github.com/tailscale/hujson"
	_ "github.com/tink-crypto/tink-go/v2/aead"
	_ "github.com/tink-crypto/tink-go/v2/prf"
	_ "github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	_ "golang.org/x/net/netutil"
	_ "golang.org/x/time/rate"
	_ "pgregory.net/rapid"
	_ "zombiezen.com/go/sqlite/sqlitex"
	_ "zombiezen.com/go/sqlite/sqlitemigration"
)

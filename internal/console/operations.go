package console

import (
	"net/http"
	"slices"

	"codeword/api"
)

// Operation is something that the admin API can be asked for.
type Operation struct {
	Method string
	// Path is a pattern of [http.ServeMux], the way the description writes it, too.
	Path string
}

// String returns the operation as a pattern of [http.ServeMux].
func (o Operation) String() string { return o.Method + " " + o.Path }

// apiPrefix is where the admin API lies.
const apiPrefix = "/admin/v1/"

// Operations lists what this console serves of the admin API; GET stands for HEAD, too.
func (c *Console) Operations() []Operation { return slices.Clone(c.operations) }

// descriptionYAML is GET /admin/v1/openapi.yaml.
func (c *Console) descriptionYAML(w http.ResponseWriter, r *http.Request) {
	c.answerTagged(w, r, "application/yaml", api.AdminOpenAPI()) // RFC 9512
}

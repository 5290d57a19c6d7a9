package console

import (
	"net/http"
	"slices"
	"strings"

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

// Operations lists what this console serves of the admin API; GET stands for HEAD, too.
func (c *Console) Operations() []Operation { return slices.Clone(c.operations) }

// verbs are the handlers of a path by method; nil for none.
type verbs map[string]http.HandlerFunc

// operationsAt registers a path of the admin API, for the operator alone.
func (c *Console) operationsAt(mux *http.ServeMux, path string, of verbs) {
	admitted := verbs{}
	for method, h := range of {
		if h != nil {
			admitted[method] = c.guarded(h).ServeHTTP
			c.operations = append(c.operations, Operation{method, path})
		}
	}
	mux.Handle(path, c.choose(admitted))
}

// jsonAt registers what serves GET and POST of a path of the admin API; nil for no such
// method.
func (c *Console) jsonAt(mux *http.ServeMux, path string, get, post http.HandlerFunc) {
	c.operationsAt(mux, path, verbs{http.MethodGet: get, http.MethodPost: post})
}

// choose picks the handler of a method; GET includes HEAD.
func (c *Console) choose(of verbs) http.Handler {
	var allow []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		if of[method] != nil {
			allow = append(allow, method)
		}
		if of[method] != nil && method == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := of[r.Method]
		if r.Method == http.MethodHead {
			h = of[http.MethodGet]
		}
		if h == nil {
			c.methodNotAllowed(w, strings.Join(allow, ", "))
			return
		}
		h(w, r)
	})
}

// descriptionYAML is GET /admin/v1/openapi.yaml.
func (c *Console) descriptionYAML(w http.ResponseWriter, r *http.Request) {
	c.answerTagged(w, r, "application/yaml", api.AdminOpenAPI()) // RFC 9512
}

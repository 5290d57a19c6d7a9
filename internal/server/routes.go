package server

import (
	"net/http"
	"slices"
	"strings"

	"codeword/api"
)

// handle serves one method of one path. An error it returns becomes the
// answer; without one it has answered.
type handle func(x *exchange) error

// endpoint is a row of the route table.
type endpoint struct {
	method string
	// path is matched literally, but for a part in braces, which stands for one
	// segment; one that ends in a slash stands for everything below.
	path  string
	serve handle
}

// endpoints is the route table. A GET serves HEAD as well.
func (s *Server) endpoints() []endpoint {
	docs := s.docs()
	return append(s.demo(), []endpoint{
		{http.MethodPost, api.PathSend, s.send()},
		{http.MethodPost, api.PathAuthenticate, s.authenticate()},
		{http.MethodGet, api.PathSession, s.getSession()},
		{http.MethodPost, api.PathSessionRevoke, s.revokeSession()},
		{http.MethodGet, api.PathAPIDocs, s.apiDocs()},
		{http.MethodGet, api.PathJWKS, s.jwks()},
		{http.MethodGet, api.PathOpenIDConfiguration, s.openIDConfiguration()},
		{http.MethodGet, api.PathHealth, s.healthz()},
		{http.MethodGet, api.PathReady, s.readyz()},
		{http.MethodPost, api.PathCarrierEvents, s.carrierEvents()},
		{http.MethodGet, api.PathDocs, docs},
		{http.MethodGet, api.PathDocs + "/", docs},
	}...)
}

// route is everything that is served at one path.
type route struct {
	pattern string
	methods map[string]handle
	// allow is the value of the Allow header (RFC 9110 section 10.2.1).
	allow string
	// vital routes are served under overload too, and logged at debug level.
	vital   bool
	metrics routeMetrics
}

// ServeHTTP implements [http.Handler], by which a route is registered.
func (rt *route) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	x, ok := w.(*exchange)
	if !ok {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	if err := rt.serve(x); err != nil {
		x.fail(err)
	}
}

func (rt *route) serve(x *exchange) error {
	h, ok := rt.methods[x.r.Method]
	if !ok {
		return &problem{status: http.StatusMethodNotAllowed, code: api.CodeMethodNotAllowed, allow: rt.allow}
	}
	return h(x)
}

// register enters the table into the mux. Patterns are registered without a
// method, since the mux's own 405 is not JSON.
func (s *Server) register(table []endpoint) {
	byPath := map[string]*route{}
	for _, e := range table {
		rt := byPath[e.path]
		if rt == nil {
			rt = &route{
				pattern: e.path,
				methods: map[string]handle{},
				vital:   e.path == api.PathHealth || e.path == api.PathReady,
				metrics: s.metrics.route(e.path),
			}
			byPath[e.path] = rt
			s.mux.Handle(e.path, rt)
		}
		rt.methods[e.method] = e.serve
		if e.method == http.MethodGet {
			rt.methods[http.MethodHead] = e.serve
		}
	}
	for _, rt := range byPath {
		names := make([]string, 0, len(rt.methods))
		for m := range rt.methods {
			names = append(names, m)
		}
		slices.Sort(names)
		rt.allow = strings.Join(names, ", ")
	}
	s.nowhere = &route{pattern: "none", metrics: s.metrics.route("none")}
}

// match returns the route of a request, or the one that stands for none. What
// else the mux would do, such as redirecting an unclean path, would answer
// without JSON and have callers repeat their credentials elsewhere; all of
// that is none.
func (s *Server) match(r *http.Request) *route {
	h, _ := s.mux.Handler(r)
	if rt, ok := h.(*route); ok {
		return rt
	}
	return s.nowhere
}

// notFound is the answer where no endpoint is.
func notFound() error { return &problem{status: http.StatusNotFound, code: api.CodeNotFoundEndpoint} }

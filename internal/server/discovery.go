package server

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"codeword/api"
	"codeword/internal/server/docs"
)

// jwks is GET /.well-known/jwks.json.
func (s *Server) jwks() handle {
	return func(x *exchange) error {
		body, age := s.cfg.Sessions.JWKS()
		x.publish(body, entityTag(body), age)
		return nil
	}
}

// openIDConfiguration is GET /.well-known/openid-configuration.
func (s *Server) openIDConfiguration() handle {
	return func(x *exchange) error {
		body := s.cfg.Sessions.OpenIDConfiguration()
		_, age := s.cfg.Sessions.JWKS()
		x.publish(body, entityTag(body), age)
		return nil
	}
}

// apiDocsAge is how long the description may be cached. It changes with a
// release only, but then it should be seen soon.
const apiDocsAge = 5 * time.Minute

// apiDocs is GET /v1/api-docs.
func (s *Server) apiDocs() handle {
	body := api.OpenAPIJSON()
	tag := entityTag(body)
	return func(x *exchange) error {
		x.publish(body, tag, apiDocsAge)
		return nil
	}
}

// docs serves the documentation page, which takes care of caching itself. The
// route table has seen to the method.
func (s *Server) docs() handle {
	page := docs.New(docs.Config{NotFound: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if x, ok := w.(*exchange); ok {
			x.fail(notFound())
		}
	})})
	return func(x *exchange) error {
		page.ServeHTTP(x, x.r)
		return nil
	}
}

// publish answers with a document that anybody may read and keep for a while.
func (x *exchange) publish(body []byte, tag string, age time.Duration) {
	h := x.w.Header()
	h["Etag"] = []string{tag}
	h["Cache-Control"] = []string{"public, max-age=" + strconv.Itoa(int(age/time.Second))}
	if tagMatches(x.r.Header["If-None-Match"], tag) {
		x.answer(http.StatusNotModified, nil)
		return
	}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.answer(http.StatusOK, body)
}

// entityTag names a version of a document by its content.
func entityTag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:12]) + `"`
}

// tagMatches is the weak comparison of If-None-Match (RFC 9110 section 13.1.2).
func tagMatches(values []string, tag string) bool {
	for _, value := range values {
		for candidate := range strings.SplitSeq(value, ",") {
			candidate = strings.TrimSpace(candidate)
			if candidate == "*" || strings.TrimPrefix(candidate, "W/") == tag {
				return true
			}
		}
	}
	return false
}

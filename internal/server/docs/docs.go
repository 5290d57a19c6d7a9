// Package docs serves the documentation page of the public API: Swagger UI
// over the description at /v1/api-docs, from assets that are part of the
// binary. Nothing is fetched from anywhere else, and the policy the page is
// served with makes sure of that.
package docs

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/swaggest/swgui/v5/static"
)

//go:embed index.html page.css page.js
var own embed.FS

// policy is the Content-Security-Policy of the page (CSP level 3): its own
// scripts and styles, images of the style sheet as data, requests to its own
// server. No inline script, no eval, no frame around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// asset is a file in the forms in which it may be asked for.
type asset struct {
	contentType string
	etag        string
	plain       []byte // nil when only the compressed form is kept
	gzipped     []byte // nil when compression gains nothing
}

// Config says what to do with requests that are not for the page.
type Config struct {
	// NotFound answers for names that are no file of the page. Default: the
	// plain answer of net/http.
	NotFound http.Handler
	// MethodNotAllowed answers methods other than GET and HEAD; Allow is set
	// already. Default: the plain answer of net/http.
	MethodNotAllowed http.Handler
}

type handler struct {
	cfg    Config
	assets map[string]asset // by the name after "/docs/"; the page is ""
}

// Handler returns New with the defaults.
func Handler() http.Handler { return New(Config{}) }

// New returns the handler of "/docs" and of everything below "/docs/"; a path
// before that must have been stripped. "/docs/" leads to "/docs". It panics
// when an embedded file is missing, which only a broken build can cause.
func New(cfg Config) http.Handler {
	if cfg.NotFound == nil {
		cfg.NotFound = http.NotFoundHandler()
	}
	if cfg.MethodNotAllowed == nil {
		cfg.MethodNotAllowed = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		})
	}
	const html, js, css, png = "text/html; charset=utf-8", "text/javascript; charset=utf-8", "text/css; charset=utf-8", "image/png"
	return &handler{cfg: cfg, assets: map[string]asset{
		"":                     plain(own, "index.html", html),
		"page.css":             plain(own, "page.css", css),
		"page.js":              plain(own, "page.js", js),
		"favicon-32x32.png":    plain(static.FS, "favicon-32x32.png", png),
		"swagger-ui.css":       gzipped(static.FS, "swagger-ui.css.gz", css),
		"swagger-ui-bundle.js": gzipped(static.FS, "swagger-ui-bundle.js.gz", js),
	}}
}

func plain(files fs.FS, name, contentType string) asset {
	b := read(files, name)
	return asset{contentType: contentType, etag: tag(b), plain: b}
}

func gzipped(files fs.FS, name, contentType string) asset {
	b := read(files, name)
	return asset{contentType: contentType, etag: tag(b), gzipped: b}
}

func read(files fs.FS, name string) []byte {
	b, err := fs.ReadFile(files, name)
	if err != nil {
		panic(fmt.Errorf("docs: embedded file: %w", err))
	}
	return b
}

func tag(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:12])
}

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, below := strings.CutPrefix(r.URL.Path, "/docs/")
	a, ok := h.assets[name]
	if !below {
		a, ok = h.assets[""], r.URL.Path == "/docs"
	}
	if !ok {
		h.cfg.NotFound.ServeHTTP(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		h.cfg.MethodNotAllowed.ServeHTTP(w, r)
		return
	}
	if below && name == "" {
		// Relative, so that it holds behind a proxy that adds a path; the
		// page's own links would not from here.
		w.Header().Set("Location", "../docs")
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	}
	a.serve(w, r)
}

func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Security-Policy", policy)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "no-referrer")
	// Names stay the same from release to release, so a copy may be kept but
	// must be asked about (RFC 9111 section 5.2.2.4); the answer is a 304.
	head.Set("Cache-Control", "no-cache")
	head.Set("Content-Type", a.contentType)
	if a.gzipped == nil {
		head.Set("ETag", `"`+a.etag+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.plain))
		return
	}
	head.Set("Vary", "Accept-Encoding")
	if acceptsGzip(r.Header.Values("Accept-Encoding")) {
		head.Set("Content-Encoding", "gzip")
		head.Set("ETag", `"`+a.etag+`-gzip"`) // an encoding is another representation
		head.Set("Content-Length", strconv.Itoa(len(a.gzipped)))
		r.Header.Del("Range") // ServeContent would leave out the length of a part of an encoding
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.gzipped))
		return
	}
	a.inflate(w, r)
}

// inflate serves the rare caller that does not take gzip.
func (a asset) inflate(w http.ResponseWriter, r *http.Request) {
	z, err := gzip.NewReader(bytes.NewReader(a.gzipped))
	if err != nil {
		panic(fmt.Errorf("docs: embedded file: %w", err))
	}
	b, err := io.ReadAll(z)
	if err != nil {
		panic(fmt.Errorf("docs: embedded file: %w", err))
	}
	w.Header().Set("ETag", `"`+a.etag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

// acceptsGzip reports whether Accept-Encoding (RFC 9110 section 12.5.3) names
// gzip with a weight above zero. A mere "*" is not taken at its word.
func acceptsGzip(values []string) bool {
	for _, value := range values {
		for item := range strings.SplitSeq(value, ",") {
			coding, params, _ := strings.Cut(item, ";")
			if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				continue
			}
			weight, weighted := strings.CutPrefix(strings.ToLower(strings.TrimSpace(params)), "q=")
			q, err := strconv.ParseFloat(weight, 64)
			return !weighted || (err == nil && q > 0)
		}
	}
	return false
}

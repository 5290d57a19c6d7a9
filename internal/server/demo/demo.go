// Package demo is the page of `codeword dev` on which a person signs in with a
// code, made to be copied: one file each for page, style and script, without
// dependencies. It serves what the browser loads; the calls that the page makes
// are package server's.
package demo

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/netip"
	"strings"
)

//go:embed demo.html demo.css demo.js
var files embed.FS

// policy is the Content-Security-Policy of the page: its own script and style,
// and requests to its own server. The script sets text alone, never HTML, which
// Trusted Types hold it to.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// View is what the page shows of the server.
type View struct {
	// Inbox is the URL of the page on which the messages are.
	Inbox string
	// Address is the visitor's, as the calls will tell it.
	Address netip.Addr
}

// Pages serves the page at /demo, and its style and script below.
type Pages struct {
	page   *template.Template
	assets map[string][]byte // by path
}

// New reads the embedded files. It panics when one is broken, which only a
// broken build can cause.
func New() *Pages {
	p := &Pages{page: template.Must(template.ParseFS(files, "demo.html")), assets: map[string][]byte{}}
	for _, name := range []string{"demo.css", "demo.js"} {
		b, err := files.ReadFile(name)
		if err != nil {
			panic(fmt.Errorf("demo: embedded file: %w", err))
		}
		p.assets["/demo/"+name] = b
	}
	return p
}

// Serve answers a GET, and reports false where no file of the page is.
func (p *Pages) Serve(w http.ResponseWriter, path string, v View) bool {
	body, contentType := p.assets[path], "text/javascript; charset=utf-8"
	switch {
	case path == "/demo":
		var b bytes.Buffer
		if err := p.page.Execute(&b, v); err != nil {
			panic(fmt.Errorf("demo: page: %w", err))
		}
		body, contentType = b.Bytes(), "text/html; charset=utf-8"
	case path == "/demo/":
		// The page's own links hold from /demo only. Relative, as behind a proxy
		// that adds a path.
		w.Header().Set("Location", "../demo")
		w.WriteHeader(http.StatusPermanentRedirect)
		return true
	case body == nil:
		return false
	case strings.HasSuffix(path, ".css"):
		contentType = "text/css; charset=utf-8"
	}
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", contentType)
	_, _ = w.Write(body) // a failed write means that the browser is gone
	return true
}

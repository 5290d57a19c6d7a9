package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"time"
)

//go:embed assets
var files embed.FS

// policy is the Content-Security-Policy of the pages: their own style and
// script, requests and forms to their own server, and nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// pages are the templates and files, read once.
type pages struct {
	templates *template.Template
	assets    map[string]asset
}

type asset struct {
	contentType, etag string
	body              []byte
}

// loadPages reads the templates. clientName tells the name of a client by its id.
func loadPages(clientName func(id string) string) (*pages, error) {
	t, err := template.New("").Funcs(functions).Funcs(template.FuncMap{"clientName": clientName}).ParseFS(files, "assets/*.html")
	if err != nil {
		return nil, fmt.Errorf("console: templates: %w", err)
	}
	p := &pages{templates: t, assets: map[string]asset{}}
	for name, contentType := range map[string]string{
		"console.css": "text/css; charset=utf-8",
		"inbox.js":    "text/javascript; charset=utf-8",
		liveScript:    "text/javascript; charset=utf-8",
	} {
		body, err := files.ReadFile(path.Join("assets", name))
		if err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
		sum := sha256.Sum256(body)
		p.assets[name] = asset{contentType, `"` + hex.EncodeToString(sum[:12]) + `"`, body}
	}
	return p, nil
}

// asset is GET /assets/{name}. There is nothing in these files to protect.
func (c *Console) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := c.pages.assets[r.PathValue("name")]
	if !ok {
		c.notFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("ETag", a.etag)
	h.Set("Cache-Control", "no-cache") // names stay the same, so a copy must be asked about
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
}

// render answers with a page. It is made as a whole first, so that a template
// that fails does not leave half a page.
func (c *Console) render(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := c.pages.templates.ExecuteTemplate(&b, name, data); err != nil {
		panic(fmt.Errorf("console: page %s: %w", name, err))
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a failed write means that the browser is gone
}

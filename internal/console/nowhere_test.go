package console_test

import (
	"net/http"
	"testing"
)

// TestNowhere: browsers get a page where there is none, the same whether or not somebody
// is logged in, and programs JSON.
func TestNowhere(t *testing.T) {
	w := newWhole(t)
	const browsers = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for _, c := range []struct {
		method, path, accept string
		status               int
		page                 bool
	}{
		{"GET", "/nothing", browsers, 404, true},
		{"POST", "/nothing", browsers, 404, true},
		{"HEAD", "/nothing", browsers, 404, true},
		{"GET", "/assets/none.css", browsers, 404, true},
		{"GET", "/clients/x/y/z", browsers, 404, true},
		{"GET", "/guard/release", browsers, 405, true}, // the address of a form that failed
		{"GET", "/logout", browsers, 405, true},
		{"GET", "/%3Cscript%3E", browsers, 404, true},
		{"GET", "/nothing", "Accept: */*", 404, false},
		{"GET", "/nothing", "Accept: application/json", 404, false},
		{"GET", "/nothing", "Accept: ", 404, false},
		{"GET", "/guard/release", "Accept: */*", 405, false},
		{"GET", "/admin/v1/nothing", browsers, 404, false},
		{"GET", "/admin/v1/guard/release", browsers, 405, false},
	} {
		for name, who := range map[string]*http.Client{"nobody": w.fixture.browser(), "somebody": w.browser} {
			got := w.do(who, c.method, c.path, nil, c.accept)
			if isPage := got.header.Get("Content-Type") == "text/html; charset=utf-8"; got.status != c.status || isPage != c.page {
				t.Errorf("%s %s, %s, %s: %d %s", c.method, c.path, c.accept, name, got.status, got.body)
			}
			if c.status == 405 && got.header.Get("Allow") == "" {
				t.Errorf("%s %s: no Allow", c.method, c.path)
			}
			if c.page && c.method != "HEAD" {
				w.checkPage(c.path, got, true)
			}
		}
	}
}

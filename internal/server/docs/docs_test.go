package docs_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"codeword/internal/server/docs"
)

func get(t *testing.T, h http.Handler, method, path string, header ...string) *http.Response {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec.Result()
}

func body(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestStatus(t *testing.T) {
	h := docs.Handler()
	for _, tc := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/docs", 200},
		{"HEAD", "/docs", 200},
		{"GET", "/docs/", 308},
		{"GET", "/docs/page.js", 200},
		{"HEAD", "/docs/swagger-ui-bundle.js", 200},
		{"GET", "/docs/index.html", 404},
		{"GET", "/docs/swagger-ui-bundle.js.gz", 404},
		{"GET", "/docs/oauth2-redirect.html", 404},
		{"GET", "/docs/../docs.go", 404},
		{"GET", "/docs//page.js", 404},
		{"GET", "/docsx", 404},
		{"GET", "/", 404},
		{"POST", "/docs", 405},
		{"DELETE", "/docs/page.js", 405},
		{"OPTIONS", "/docs/", 405},
	} {
		r := get(t, h, tc.method, tc.path)
		if r.StatusCode != tc.status {
			t.Errorf("%s %s: %d, want %d", tc.method, tc.path, r.StatusCode, tc.status)
		}
		if (r.Header.Get("Allow") == "GET, HEAD") != (tc.status == 405) {
			t.Errorf("%s %s: Allow is %q", tc.method, tc.path, r.Header.Get("Allow"))
		}
		if b := body(t, r.Body); tc.method == "HEAD" && b != "" {
			t.Errorf("HEAD %s has a body of %d bytes", tc.path, len(b))
		}
	}
}

func TestOwnRefusals(t *testing.T) {
	answer := func(status int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	}
	h := docs.New(docs.Config{NotFound: answer(601), MethodNotAllowed: answer(602)})
	if r := get(t, h, "GET", "/docs/x"); r.StatusCode != 601 {
		t.Errorf("NotFound was not asked: %d", r.StatusCode)
	}
	if r := get(t, h, "PUT", "/docs"); r.StatusCode != 602 || r.Header.Get("Allow") == "" {
		t.Errorf("MethodNotAllowed was not asked: %d", r.StatusCode)
	}
}

func TestEncodings(t *testing.T) {
	h := docs.Handler()
	for _, path := range []string{"/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css"} {
		tags := map[string]bool{}
		var want string
		for _, tc := range []struct {
			accept string
			zipped bool
		}{
			{"", false},
			{"gzip, deflate, br", true},
			{"GZIP", true},
			{"br, gzip;q=0.5", true},
			{"gzip;q=0", false},
			{"gzip; q=0.000", false},
			{"gzip;q=x", false},
			{"gzipped", false},
			{"identity", false},
		} {
			r := get(t, h, "GET", path, "Accept-Encoding", tc.accept)
			if got := r.Header.Get("Content-Encoding") == "gzip"; got != tc.zipped {
				t.Errorf("%s with %q: gzip is %v", path, tc.accept, got)
				continue
			}
			if r.Header.Get("Vary") != "Accept-Encoding" || r.Header.Get("Content-Length") == "" {
				t.Errorf("%s with %q: headers %v", path, tc.accept, r.Header)
			}
			var src io.Reader = r.Body
			if tc.zipped {
				z, err := gzip.NewReader(r.Body)
				if err != nil {
					t.Fatal(err)
				}
				src = z
			}
			got := body(t, src)
			if want == "" {
				want = got
			}
			if got != want || len(got) < 10_000 {
				t.Errorf("%s with %q: another text of %d bytes", path, tc.accept, len(got))
			}
			tags[r.Header.Get("ETag")] = true
		}
		if len(tags) != 2 {
			t.Errorf("%s: tags %v, want one an encoding", path, tags)
		}
	}
}

func TestCaching(t *testing.T) {
	h := docs.Handler()
	for _, accept := range []string{"gzip", "identity"} {
		for _, path := range []string{"/docs", "/docs/page.js", "/docs/page.css", "/docs/swagger-ui-bundle.js", "/docs/favicon-32x32.png"} {
			first := get(t, h, "GET", path, "Accept-Encoding", accept)
			tag := first.Header.Get("ETag")
			if !regexp.MustCompile(`^"[0-9a-f]{24}(-gzip)?"$`).MatchString(tag) || first.Header.Get("Cache-Control") != "no-cache" {
				t.Errorf("%s: ETag %q, Cache-Control %q", path, tag, first.Header.Get("Cache-Control"))
			}
			again := get(t, h, "GET", path, "Accept-Encoding", accept, "If-None-Match", "W/"+tag+`, "x"`)
			if again.StatusCode != 304 || body(t, again.Body) != "" {
				t.Errorf("%s: %d for what the caller has", path, again.StatusCode)
			}
			if stale := get(t, h, "GET", path, "Accept-Encoding", accept, "If-None-Match", `"old"`); stale.StatusCode != 200 {
				t.Errorf("%s: %d for an old copy", path, stale.StatusCode)
			}
		}
	}
}

// TestPolicy: the page keeps to the policy it is served with. No script or
// style stands in it, and each link is one of its own files.
func TestPolicy(t *testing.T) {
	h := docs.Handler()
	r := get(t, h, "GET", "/docs")
	csp := r.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") {
		t.Errorf("policy %q", csp)
	}
	if r.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Error("no nosniff")
	}
	page := body(t, r.Body)
	if regexp.MustCompile(`(?i)<script>|<style|\son\w+=|style=|//`).MatchString(page) {
		t.Error("the page has something inline, or a link elsewhere")
	}
	links := regexp.MustCompile(`(?:src|href)="(docs/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(links) != 5 {
		t.Errorf("%d links, want 5", len(links))
	}
	for _, m := range links {
		if r := get(t, h, "GET", "/"+m[1]); r.StatusCode != 200 {
			t.Errorf("%s: %d", m[1], r.StatusCode)
		}
	}
}

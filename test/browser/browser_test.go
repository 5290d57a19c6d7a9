package browser_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"codeword/internal/waittest"
	"codeword/test/browser"
	"codeword/test/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

// TestTheKitSeesWhatIsWrong proves that a page can fail.
func TestTheKitSeesWhatIsWrong(t *testing.T) {
	b := browser.Start(t)
	for _, tc := range []struct{ name, page, want string }{
		{"a violation of the policy", `<script>1</script>`, "Content Security Policy"},
		{"an exception", `<script src="throw.js"></script>`, "exception"},
		{"console.error", `<script src="error.js"></script>`, "console.error"},
		{"a request that fails", `<script src="gone.js"></script>`, "404"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tab := b.Open(t, browser.Screens()[0])
			tab.Visit(pageServer(t, tc.page))
			found := ""
			waittest.Until(t, tc.want, func() bool {
				found += strings.Join(tab.Problems(), "\n")
				return strings.Contains(found, tc.want)
			})
		})
	}
}

func TestTheKitRunsAxe(t *testing.T) {
	tab := browser.Start(t).Open(t, browser.Screens()[0])
	tab.Visit(pageServer(t, `<main><h1>Page</h1><input id="nameless"></main>`))
	if found := tab.Axe(); len(found) != 1 || !strings.Contains(found[0], "critical: label") {
		t.Errorf("found %q", found)
	}
}

// TestTheKitSeesWhatIsTooWide: the small, the large and what lies between.
func TestTheKitSeesWhatIsTooWide(t *testing.T) {
	b, screens := browser.Start(t), browser.Screens()
	for _, tc := range []struct {
		screen browser.Screen
		page   string
		want   string
	}{
		{screens[0], `<canvas width="300"></canvas>`, ""},
		{screens[0], `<canvas width="400"></canvas>`, "small-light"},
		{screens[2], `<canvas width="400"></canvas>`, ""},
		{screens[2], `<canvas width="900"></canvas>`, "between"},
		{screens[2], `<canvas width="1400"></canvas>`, "large-light, between"},
	} {
		tab := b.Open(t, tc.screen)
		tab.Visit(pageServer(t, tc.page))
		var on []string
		for _, found := range tab.TooWide() {
			screen, _, _ := strings.Cut(found, ":")
			on = append(on, screen)
		}
		if got := strings.Join(on, ", "); got != tc.want {
			t.Errorf("%s on %s: too wide on %q, want %q", tc.page, tc.screen.Name, got, tc.want)
		}
	}
}

func pageServer(t *testing.T, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src data:")
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write([]byte(`<!doctype html><html lang="en"><title>Page</title><link rel="icon" href="data:,">` + body))
		case "/throw.js":
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = w.Write([]byte(`throw new Error("no")`))
		case "/error.js":
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = w.Write([]byte(`console.error("no")`))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

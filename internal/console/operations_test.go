package console_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"codeword/api"
	"codeword/api/apitest"
)

var description = sync.OnceValues(apitest.NewAdmin)

// hold holds an exchange against the description of the admin API.
func (f *fixture) hold(req *http.Request, resp *http.Response, body []byte) {
	f.t.Helper()
	v, err := description()
	if err != nil {
		f.t.Fatal(err)
	}
	if resp.StatusCode == http.StatusForbidden && strings.Contains(string(body), `"CROSS_ORIGIN_REQUEST"`) {
		return // before anybody has looked at path and method
	}
	if req.Method == http.MethodHead && strings.HasSuffix(req.URL.Path, "/export") {
		return // the one GET without HEAD
	}
	if err := v.Validate(req, resp, body); err != nil {
		f.t.Errorf("%v\n%s", err, body)
	}
}

func TestEveryOperationIsInTheDescriptionAndBack(t *testing.T) {
	w := newWhole(t)
	v, err := description()
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, r := range v.Routes() {
		want = append(want, r.String())
	}
	for _, o := range w.console.Operations() {
		got = append(got, o.String())
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("served:\n%s\ndescribed:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, o := range w.console.Operations() {
		if !strings.HasPrefix(o.Path, "/admin/v1/") {
			t.Errorf("%s is not of the admin API", o)
		}
		path := strings.NewReplacer("{id}", "x", "{phoneId}", "x", "{name}", "x").Replace(o.Path)
		if got := w.request(w.fixture.browser(), o.Method, path, ""); got.status != 401 || got.code != api.CodeMissingAuthorization {
			t.Errorf("%s without a token: %d", o, got.status)
		}
		if got := w.send("PUT", path, ""); got.status != 405 || !strings.Contains(got.header.Get("Allow"), o.Method) {
			t.Errorf("%s by PUT: %d, Allow %q", o, got.status, got.header.Get("Allow"))
		}
		if o.Method == "GET" {
			continue
		}
		for _, foreign := range []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://evil.example"} {
			if got := w.request(w.browser, o.Method, path, "{}", foreign); got.status != 403 || got.code != "CROSS_ORIGIN_REQUEST" {
				t.Errorf("%s, %s: %d %s", o, foreign, got.status, got.body)
			}
		}
	}
}

// TestAnswersAreAsDescribed asks for everything, full and empty; the fixture holds the
// answers against the description.
func TestAnswersAreAsDescribed(t *testing.T) {
	for _, full := range []bool{true, false} {
		w := newWhole(t)
		id := w.client("shop", `{"safeNumbers": ["+12065550100"], "templates": {"en": "{code} is your {brand} code."}, "botProof": {"provider": "turnstile", "secretName": "x"}}`)
		if full {
			w.fill(id, 3, "main")
		}
		w.messages.detail.MessageView = aMessage()
		paths := []string{"/admin/v1/clients/" + id, "/admin/v1/clients/client-broken", "/admin/v1/messages/" + messageID.String(), "/admin/v1/phones/p/export?client=c"}
		for _, o := range w.console.Operations() {
			if o.Method == http.MethodGet && !strings.Contains(o.Path, "{") && o.Path != livePath {
				paths = append(paths, o.Path)
			}
		}
		for _, path := range paths {
			got := w.send("GET", path, "")
			if got.status != 200 && (full || got.status != 404) {
				t.Errorf("%s: %d %s", path, got.status, got.body)
			}
			if strings.Contains(path, "/export") {
				continue // has no HEAD
			}
			if head := w.send("HEAD", path, ""); head.status != got.status || head.body != "" {
				t.Errorf("HEAD %s: %d %q", path, head.status, head.body)
			}
		}
		if got := w.send("POST", "/admin/v1/phones/find", `{"phone": "+16502180000"}`); got.status != 200 {
			t.Errorf("find: %d %s", got.status, got.body)
		}
		if got := w.send("DELETE", "/admin/v1/phones/p?client=c", ""); got.status != 200 {
			t.Errorf("erase: %d %s", got.status, got.body)
		}
	}
}

func TestTheDescriptionIsServed(t *testing.T) {
	w := newWhole(t)
	got := w.get("/admin/v1/openapi.yaml")
	if got.status != 200 || got.body != string(api.AdminOpenAPI()) || got.header.Get("Content-Type") != "application/yaml" {
		t.Errorf("%d %v", got.status, got.header)
	}
	if again := w.send("GET", "/admin/v1/openapi.yaml", ""); again.header.Get("ETag") != got.header.Get("ETag") {
		t.Error("its tag changes")
	}
}

package console_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"codeword/internal/fault"
	"codeword/internal/tenant"
)

// formOf reads the fields of the form on a page whose action is that.
func formOf(t *testing.T, page, action string) url.Values {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Data != "form" || attr(n, "action") != action {
			continue
		}
		out := url.Values{}
		for f := range n.Descendants() {
			addField(out, f)
		}
		return out
	}
	t.Fatalf("there is no form for %s", action)
	return nil
}

func addField(out url.Values, f *html.Node) {
	name := attr(f, "name")
	checked := slices.ContainsFunc(f.Attr, func(a html.Attribute) bool { return a.Key == "checked" })
	switch f.Data {
	case "input":
		if kind := attr(f, "type"); kind == "checkbox" || kind == "radio" {
			if !checked {
				return
			}
		}
		out.Add(name, attr(f, "value"))
	case "textarea":
		text := ""
		if f.FirstChild != nil {
			text = f.FirstChild.Data
		}
		out.Add(name, text)
	case "option":
		if slices.ContainsFunc(f.Attr, func(a html.Attribute) bool { return a.Key == "selected" }) {
			value := attr(f, "value")
			if value == "" && f.FirstChild != nil {
				value = f.FirstChild.Data
			}
			out.Add(attr(f.Parent, "name"), value)
		}
	}
}

func (w *whole) settings(id string) tenant.Settings {
	w.t.Helper()
	row, err := w.clients.Find(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := tenant.ParseSettings(row.Settings)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func TestSettingsForm(t *testing.T) {
	w := newWhole(t)
	id := w.client("shop", `{"safeNumbers": ["+12065550100"], "templates": {"en": "{code} is your {brand} code.", "es": "{code} {brand}"}}`)
	path := "/clients/" + id
	form := formOf(t, w.get(path).body, path)
	events := len(w.memory.events)
	if got := w.post(path, form); got.status != 303 || got.header.Get("Location") != path+"?done=same" || len(w.memory.events) != events {
		t.Fatalf("a form that changes nothing: %d %v, %v", got.status, got.header, w.memory.kinds())
	}
	for name, value := range map[string]string{
		"name": "Shop 2", "brand": "Acme", "codeLength": "8", "phoneDay.max": "5", "codeLifetime": "300s", "spendPerDay": "12.5",
		"fraudGuard": "shadow", "safeNumbers": "+12065550101\r\n+1206555\r\n", "routes": "main, backup", "requireAuthorization": "true",
		"templates": `{"en": "Your {brand} code is {code}."}`, "botProof": `{"provider": "turnstile", "secretName": "shop"}`,
	} {
		form.Set(name, value)
	}
	form["allowedRegions"] = []string{"", "US", "PR"}
	if got := w.post(path, form); got.status != 303 || got.header.Get("Location") != path+"?done=saved" {
		t.Fatalf("%d %s", got.status, got.body)
	}
	s := w.settings(id)
	if s.Brand != "Acme" || s.CodeLength != 8 || s.PhoneDay.Max != 5 || time.Duration(s.CodeLifetime) != 5*time.Minute || s.SpendPerDay != 12.5 ||
		s.FraudGuard != "shadow" || len(s.SafeNumbers) != 2 || len(s.Routes) != 2 || !s.RequireAuthorization || len(s.Templates) != 1 ||
		s.BotProof == nil || len(s.AllowedRegions) != 2 {
		t.Errorf("%+v", s)
	}
	last := w.memory.events[len(w.memory.events)-1]
	if last.Kind != "client.update" || last.Actor != "token" || strings.Contains(string(last.Data), "phoneFailures") || strings.Contains(string(last.Data), "12065550101") {
		t.Errorf("%s by %s: %s", last.Kind, last.Actor, last.Data)
	}
	w.checkPage(path, w.get(path+"?done=saved"), true)
	// An empty field means the default.
	form = formOf(t, w.get(path).body, path)
	for _, name := range []string{"brand", "botProof", "templates", "codeLength", "phoneDay.max", "safeNumbers"} {
		form.Set(name, " ")
	}
	if got := w.post(path, form); got.status != 303 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if s := w.settings(id); s.Brand != "Codeword" || s.BotProof != nil || s.Templates != nil || s.CodeLength != 6 || s.PhoneDay.Max != 10 || s.SafeNumbers != nil {
		t.Errorf("%+v", s)
	}
}

func TestSettingsFormRefuses(t *testing.T) {
	w := newWhole(t)
	id := w.client("shop", "")
	path := "/clients/" + id
	for name, value := range map[string]string{
		"name": " ", "codeLength": "99", "codeLifetime": "soon", "maxAttempts": "NaN", "templates": "{", "safeNumbers": "<script>",
		"safeAddresses": "x", "spendPerHour": "-1", "fraudGuard": "maybe", "phoneBurst.burst": "0", "trustedIssuers": `[{"issuer": "x"}]`,
		"botProof": `{"provider": "` + "\u202e" + `"}`, "brand": strings.Repeat("x", 99), "routes": "A B", "locale": "?!",
	} {
		form := formOf(t, w.get(path).body, path)
		events := len(w.memory.events)
		form.Set(name, value)
		got := w.post(path, form)
		if name == "name" {
			if got.status != 400 {
				t.Errorf("no name: %d", got.status)
			}
			continue
		}
		if got.status != 400 || !strings.Contains(got.body, `id="f-`+name+`-wrong"`) || !strings.Contains(got.body, `href="#f-`+name+`"`) {
			t.Errorf("%s: %d, the field does not tell", name, got.status)
		}
		if name != "fraudGuard" && formOf(t, got.body, path).Get(name) != value { // there is no such choice
			t.Errorf("%s: what was sent is lost", name)
		}
		if len(w.memory.events) != events {
			t.Errorf("%s: something is recorded", name)
		}
		w.checkPage(path, got, false)
	}
}

func TestStaleForms(t *testing.T) {
	w := newWhole(t)
	id := w.client("shop", "")
	path := "/clients/" + id
	page := w.get(path).body
	settings, start, disable := formOf(t, page, path), formOf(t, page, path+"/start-rotation"), formOf(t, page, path+"/disable")
	if _, err := w.clients.Update(t.Context(), "cli:ann", id, "", []byte(`{"brand": "Theirs", "codeLength": 7}`)); err != nil {
		t.Fatal(err)
	}
	events := len(w.memory.events)
	settings.Set("brand", "Mine")
	for at, form := range map[string]url.Values{path: settings, path + "/start-rotation": start, path + "/disable": disable, path + "/enable": {}} {
		got := w.post(at, form)
		if got.status != 409 || !strings.Contains(got.body, "changed after you opened") || !strings.Contains(got.body, "cli:ann") {
			t.Errorf("%s: %d %s", at, got.status, got.body)
		}
		w.checkPage(at, got, true)
		if at == path && (!strings.Contains(got.body, "Mine") || !strings.Contains(got.body, "Theirs")) {
			t.Error("the page does not tell what is different")
		}
	}
	if s := w.settings(id); s.Brand != "Theirs" || len(w.memory.events) != events {
		t.Errorf("%s, %v", s.Brand, w.memory.kinds()[events:])
	}
	stale := w.patch("/admin/v1/clients/"+id, `{"revision": 1, "settings": {"brand": "Mine"}}`)
	if stale.status != 409 || stale.code != "CONFLICT" {
		t.Errorf("JSON: %d %s", stale.status, stale.body)
	}
}

// send sends JSON as a machine.
func (w *whole) send(method, path, body string) answer {
	w.t.Helper()
	return w.doBody(method, path, body, bearer)
}

func (w *whole) patch(path, body string) answer { w.t.Helper(); return w.send("PATCH", path, body) }

func TestLifeOfAClient(t *testing.T) {
	w := newWhole(t)
	form := formOf(t, w.get("/clients/new").body, "/clients")
	form.Set("name", `<b>"shop"`)
	form.Set("env", "live")
	made := w.post("/clients", form)
	if made.status != 201 || len(w.memory.clients) != 1 {
		t.Fatalf("%d %s", made.status, made.body)
	}
	w.checkPage("/clients", made, true)
	id := w.memory.clients[0].ID
	secretIn := func(page string) string {
		_, after, _ := strings.Cut(page, `<code class="once">`)
		secret, _, _ := strings.Cut(after, "<")
		return secret
	}
	accepts := func(secret string) bool {
		if err := w.clients.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := w.clients.Authenticate(id, secret)
		return err == nil
	}
	first := secretIn(made.body)
	if !accepts(first) || made.header.Get("Cache-Control") != "no-store" {
		t.Error("the secret that is shown does not work, or is kept")
	}
	if again := w.post("/clients", form); again.status != 409 || len(w.memory.clients) != 1 {
		t.Errorf("the same form again: %d", again.status)
	}
	path := "/clients/" + id
	act := func(action string) answer {
		return w.post(path+"/"+action, formOf(t, w.get(path).body, path+"/"+action))
	}
	second := secretIn(act("start-rotation").body)
	if !accepts(first) || !accepts(second) {
		t.Error("a secret of the rotation does not work")
	}
	w.checkPage(path, w.get(path), true)
	if got := act("cancel-rotation"); got.status != 303 || accepts(second) || !accepts(first) {
		t.Errorf("canceled: %d", got.status)
	}
	third := secretIn(act("start-rotation").body)
	if got := act("finish-rotation"); got.status != 303 || !accepts(third) || accepts(first) {
		t.Errorf("finished: %d", got.status)
	}
	if got := act("disable"); got.status != 303 || accepts(third) {
		t.Errorf("disabled: %d", got.status)
	}
	w.checkPage(path, w.get(path+"?done=disabled"), true)
	if got := act("enable"); got.status != 303 || !accepts(third) {
		t.Errorf("enabled: %d", got.status)
	}
	want := []string{
		"token client.create", "token client.secret.start", "token client.secret.cancel", "token client.secret.start",
		"token client.secret.finish", "token client.disable", "token client.enable",
	}
	if got := w.memory.kinds(); !slices.Contains(got, want[0]) || strings.Join(slices.DeleteFunc(got, func(k string) bool { return strings.HasSuffix(k, "create") })[0:], " ") != strings.Join(want[1:], " ") {
		t.Errorf("recorded: %v", w.memory.kinds())
	}
	for _, secret := range []string{first, second, third} {
		for _, e := range w.memory.events {
			if strings.Contains(string(e.Data), secret) {
				t.Error("a secret is recorded")
			}
		}
		if strings.Contains(w.log.String(), secret) {
			t.Error("a secret is logged")
		}
	}
}

// TestClientsThatCannotBeRead: an operator has to be able to mend them.
func TestClientsThatCannotBeRead(t *testing.T) {
	w := newWhole(t)
	id := w.client("shop", "")
	w.memory.clients[0].Settings = []byte(`{"codeLength": 99}`)
	path := "/clients/" + id
	got := w.get(path)
	w.checkPage(path, got, true)
	form := url.Values{"revision": {"1"}, "patch": {`{"codeLength": 100}`}}
	if got := w.post(path, form); got.status != 400 || !strings.Contains(got.body, "100") {
		t.Errorf("%d %s", got.status, got.body)
	}
	form.Set("patch", `{"codeLength": null}`)
	if got := w.post(path, form); got.status != 303 || w.settings(id).CodeLength != 6 {
		t.Errorf("%d %s", got.status, got.body)
	}
	for _, wrong := range []string{"[]", "x", `{"codeLenght": 6}`, `{"brand": 1}`} {
		form := formOf(t, w.get(path).body, path)
		got := w.post(path, url.Values{"revision": form["revision"], "patch": {wrong}})
		if got.status != 400 || !strings.Contains(got.body, "patch-wrong") {
			t.Errorf("%s: %d", wrong, got.status)
		}
		w.checkPage(path, got, false)
	}
}

func TestClientsJSON(t *testing.T) {
	w := newWhole(t)
	made := w.send("POST", "/admin/v1/clients", `{"name": "shop", "live": true, "settings": {"brand": "Acme"}}`)
	var doc struct {
		ID, Secret string
		Revision   int64
		Settings   struct{ Brand string }
	}
	if err := json.Unmarshal([]byte(made.body), &doc); err != nil || made.status != 201 || doc.Secret == "" || doc.Settings.Brand != "Acme" {
		t.Fatalf("%d %s", made.status, made.body)
	}
	path := "/admin/v1/clients/" + doc.ID
	if got := w.patch(path, `{"revision": 1, "name": "Shop", "settings": {"codeLength": 7}}`); got.status != 200 || !strings.Contains(got.body, `"codeLength":7`) || !strings.Contains(got.body, `"revision":2`) || strings.Contains(got.body, doc.Secret) {
		t.Errorf("%d %s", got.status, got.body)
	}
	for _, c := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"GET", path, "", 200, ""},
		{"GET", "/admin/v1/clients", "", 200, ""},
		{"GET", "/admin/v1/clients/none", "", 404, "NOT_FOUND_CLIENT"},
		{"PATCH", "/admin/v1/clients/none", "{}", 404, "NOT_FOUND_CLIENT"},
		{"PATCH", path, `{"settings": {"codeLength": 99}}`, 400, "INVALID_PARAMETER"},
		{"PATCH", path, `{"setting": {}}`, 400, "INVALID_PARAMETER"},
		{"PATCH", path, `{} {}`, 400, "INVALID_PARAMETER"},
		{"POST", path + "/disable", `{}}`, 400, "INVALID_PARAMETER"},
		{"POST", path + "/disable", `{}]{}`, 400, "INVALID_PARAMETER"},
		{"POST", path + "/disable", `null`, 400, "INVALID_PARAMETER"},
		{"POST", path + "/disable", `{"revision": 1, "revision": 0}`, 400, "INVALID_PARAMETER"},
		{"POST", path + "/disable", `{"Revision": 1}`, 400, "INVALID_PARAMETER"},
		{"POST", path + "/disable", "{\"revision\": 1\xff}", 400, "INVALID_PARAMETER"},
		{"PATCH", path, `{"name": "` + strings.Repeat("x", 2<<20) + `"}`, 413, "INVALID_PARAMETER"},
		{"POST", "/admin/v1/clients", `{"name": ""}`, 400, "INVALID_PARAMETER"},
		{"POST", path + "/disable", `{"revision": 1}`, 409, "CONFLICT"},
		{"POST", path + "/finish-rotation", ``, 409, "CONFLICT"},
		{"POST", path + "/disable", ``, 200, ""},
		{"POST", path + "/enable", `{"revision": 3}`, 200, ""},
		{"POST", path + "/start-rotation", ``, 200, ""},
		{"POST", path + "/start-rotation", ``, 409, "CONFLICT"},
		{"POST", path + "/explode", ``, 404, "NOT_FOUND_ENDPOINT"},
		{"PUT", path, ``, 405, "METHOD_NOT_ALLOWED"},
		{"DELETE", path + "/disable", ``, 405, "METHOD_NOT_ALLOWED"},
	} {
		if got := w.send(c.method, c.path, c.body); got.status != c.status || string(got.code) != c.code {
			t.Errorf("%s %s %.40s: %d %s", c.method, c.path, c.body, got.status, got.body)
		}
	}
	w.fail(fault.New(fault.Unavailable, "secret"))
	if got := w.patch(path, `{"name": "x"}`); got.status != 503 || strings.Contains(got.body, "secret") {
		t.Errorf("store down: %d %s", got.status, got.body)
	}
}

package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"codeword/internal/audit"
	"codeword/internal/fault"
	"codeword/internal/keyring"
	"codeword/internal/store"
	"codeword/internal/store/sqlite"
	"codeword/internal/store/sqlite/sqlitetest"
	"codeword/internal/webhook"
)

// hookStore is a ledger that can be down.
type hookStore struct {
	*sqlite.Store

	all *webhook.Registry
	ids []store.EndpointID
	err error
	// faster is done before the next change is written, once.
	faster func()
}

func newHookStore(t *testing.T) *hookStore {
	t.Helper()
	return &hookStore{Store: sqlitetest.New(t)}
}

func (s *hookStore) registry(trail audit.Store, ring *keyring.Ring, now func() time.Time) *webhook.Registry {
	s.all = webhook.NewRegistry(webhook.RegistryConfig{Documents: s, Queue: s, Keys: ring, Now: now, Audit: &audit.Trail{Store: trail, Now: now}})
	return s.all
}

func (s *hookStore) Document(ctx context.Context, name string, known int64) (store.Document, error) {
	if s.err != nil {
		return store.Document{}, s.err
	}
	return s.Store.Document(ctx, name, known)
}

func (s *hookStore) PutDocument(ctx context.Context, d store.Document) error {
	if faster := s.faster; faster != nil {
		s.faster = nil
		faster()
	}
	return s.Store.PutDocument(ctx, d)
}

func (s *hookStore) Webhooks(ctx context.Context, q store.WebhookQuery) ([]store.WebhookDelivery, error) {
	if s.err != nil {
		return nil, s.err
	}
	return s.Store.Webhooks(ctx, q)
}

// fill makes n endpoints, and deliveries in all states to the first.
func (s *hookStore) fill(t *testing.T, trail *memory, client string, n int, text string) {
	t.Helper()
	events := len(trail.events)
	for i := range n {
		of := ""
		if i < 10 {
			of = client
		} else if i%10 != 0 {
			of = fmt.Sprint("client-", i/10, text)
		}
		e, _, err := s.all.Create(t.Context(), "test", of, "https://hooks.example/in?key=hush&x="+url.QueryEscape(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		s.ids = append(s.ids, e.ID)
	}
	trail.events = trail.events[:events]
	if n == 0 {
		return
	}
	for i := range 3 * n {
		id := store.NewEventID()
		err := s.QueueWebhooks(t.Context(), []store.Webhook{{ID: id, Client: client, Kind: text, At: at(1), Until: at(50), Body: []byte("{}"), Endpoints: s.ids[:1]}})
		if err != nil {
			t.Fatal(err)
		}
		claimed, err := s.ClaimWebhooks(t.Context(), store.WebhookClaim{Now: at(2), Lease: time.Hour, Rooms: []store.EndpointRoom{{Endpoint: s.ids[0], Limit: 1}}})
		if err != nil || len(claimed) != 1 {
			t.Fatal(claimed, err)
		}
		states := []store.DeliveryState{store.DeliveryPending, store.DeliveryDone, store.DeliveryFailed}
		err = s.RecordWebhooks(t.Context(), at(3), []store.WebhookOutcome{{
			Event: id, Endpoint: s.ids[0], Claims: 1, State: states[i%3], DueAt: at(40), Attempts: 2, Status: 500, Error: text,
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (s *hookStore) pages() (out []string) {
	if len(s.ids) > 0 {
		out = []string{"/webhooks/" + s.ids[0].String(), "/webhooks/" + s.ids[0].String() + "?state=failed", "/webhooks/" + s.ids[len(s.ids)-1].String()}
	}
	return out
}

func (s *hookStore) revision(t *testing.T, id store.EndpointID) string {
	t.Helper()
	e, err := s.all.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.FormatInt(e.Revision, 10)
}

// TestStaleWebhookForms: what somebody else has changed since is not overwritten, and the
// page tells what was sent.
func TestStaleWebhookForms(t *testing.T) {
	w := newWhole(t)
	e, _, err := w.hooks.all.Create(t.Context(), "test", "", "https://hooks.example/first", nil)
	if err != nil {
		t.Fatal(err)
	}
	path := "/webhooks/" + e.ID.String()
	page := w.get(path).body
	forms := map[string]url.Values{path: formOf(t, page, path), path + "/enable": {}, path + "/finish-rotation": {"revision": {"1"}}, path + "/cancel-rotation": {"revision": {hostile}}}
	for _, action := range []string{"start-rotation", "disable", "delete"} {
		forms[path+"/"+action] = formOf(t, page, path+"/"+action)
	}
	forms[path].Set("url", "https://mine.example/")
	// The service disables it, and somebody else mends it.
	if _, err := w.hooks.all.Disable(t.Context(), audit.Service, e.ID, webhook.ReasonFailing); err != nil {
		t.Fatal(err)
	}
	if _, err := w.hooks.all.Update(t.Context(), "cli:ann", e.ID, "https://theirs.example/", []string{"message.sent"}); err != nil {
		t.Fatal(err)
	}
	events := len(w.memory.events)
	var again url.Values
	for at, form := range forms {
		got := w.post(at, form)
		if got.status != 409 || !strings.Contains(got.body, "changed after you opened") || !strings.Contains(got.body, `value="https://theirs.example/"`) {
			t.Errorf("%s: %d %s", at, got.status, got.body)
		}
		w.checkPage(at, got, true)
		if strings.Contains(got.body, "https://mine.example/") != (at == path) {
			t.Errorf("%s: what was sent", at)
		}
		again = formOf(t, got.body, path)
	}
	now, err := w.hooks.all.Find(t.Context(), e.ID)
	if err != nil || now.URL != "https://theirs.example/" || now.Enabled() || len(now.Secrets) != 1 || len(w.memory.events) != events {
		t.Errorf("%+v, %v", now, w.memory.kinds()[events:])
	}
	// The page that tells so can be sent.
	again.Set("url", "https://mine.example/")
	if got := w.post(path, again); got.status != 303 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestWebhookOvertaken: the revision that was looked at is the one that is changed, also
// when somebody else is faster in between.
func TestWebhookOvertaken(t *testing.T) {
	for _, to := range []string{"PATCH ", "POST /disable", "POST /enable", "POST /start-rotation", "POST /finish-rotation", "POST /cancel-rotation", "POST /delete"} {
		for match, want := range map[string]int{`If-Match: "2"`: 412, "": 409} {
			w := newWhole(t)
			e, _, err := w.hooks.all.Create(t.Context(), "test", "", "https://hooks.example/", nil)
			if err != nil {
				t.Fatal(err)
			}
			if to == "POST /finish-rotation" || to == "POST /cancel-rotation" {
				_, err = w.hooks.all.StartRotation(t.Context(), "test", e.ID)
			} else {
				_, err = w.hooks.all.Update(t.Context(), "test", e.ID, "", []string{"message.sent"})
			}
			if err != nil {
				t.Fatal(err)
			}
			w.hooks.faster = func() {
				if _, err := w.hooks.all.Update(t.Context(), "cli:ann", e.ID, "https://theirs.example/", nil); err != nil {
					t.Error(err)
				}
			}
			headers, body := []string{bearer}, `{"revision": 2}`
			if match != "" {
				headers, body = append(headers, match), `{}`
			}
			method, action, _ := strings.Cut(to, " ")
			got := w.doBody(method, "/admin/v1/webhooks/"+e.ID.String()+action, body, headers...)
			if now := w.hooks.revision(t, e.ID); got.status != want || now != "3" {
				t.Errorf("%s %s: %d %s, revision %s", to, match, got.status, got.body, now)
			}
		}
	}
}

// TestWebhookDisabledMeanwhile: who saw an endpoint before the service disabled it, an
// endpoint that an earlier version stored, changes nothing by that.
func TestWebhookDisabledMeanwhile(t *testing.T) {
	w := newWhole(t)
	id := store.NewEndpointID()
	stored := `[{"ID":"` + id.String() + `","URL":"https://old.example/","Secrets":[{"Sealed":"AA==","CreatedAt":"2026-01-02T03:04:05Z"}]}]`
	if err := w.hooks.PutDocument(t.Context(), store.Document{Name: "webhook-endpoints", Revision: 1, UpdatedAt: at(1), Body: []byte(stored)}); err != nil {
		t.Fatal(err)
	}
	path := "/admin/v1/webhooks/" + id.String()
	seen := w.send("GET", path, "")
	old := seen.header.Get("ETag")
	if seen.status != 200 || !strings.Contains(seen.body, `"revision":1,`) || !strings.HasPrefix(old, `"1.`) {
		t.Fatalf("%d %s, tag %s", seen.status, seen.body, old)
	}
	if _, err := w.hooks.all.Disable(t.Context(), audit.Service, id, webhook.ReasonFailing); err != nil {
		t.Fatal(err)
	}
	if got := w.doBody("GET", path, "", bearer, "If-None-Match: "+old); got.status != 200 || !strings.Contains(got.body, `"disabled"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	now := w.send("GET", path, "").header.Get("ETag")
	for _, step := range []struct {
		to, match, body string
		want            int
	}{
		{"PATCH ", old, `{"url": "https://new.example/"}`, 412},
		{"PATCH ", "", `{"revision": 1, "url": "https://new.example/"}`, 409},
		{"POST /enable", old, `{}`, 412},
		{"POST /enable", "", `{"revision": 1}`, 409},
		{"POST /delete", old, `{}`, 412},
		{"POST /enable", now, `{}`, 200},
		{"POST /delete", now, `{}`, 412},
		{"POST /delete", now + `, "3"`, `{}`, 200},
		{"POST /delete", "*", `{}`, 404},
		{"PATCH ", "", `{"revision": 4}`, 404},
	} {
		headers := []string{bearer}
		if step.match != "" {
			headers = append(headers, "If-Match: "+step.match)
		}
		method, action, _ := strings.Cut(step.to, " ")
		if got := w.doBody(method, path+action, step.body, headers...); got.status != step.want {
			t.Errorf("%s, %s %s: %d %s", step.to, step.match, step.body, got.status, got.body)
		}
	}
	if got := w.memory.kinds(); !slices.Equal(got, []string{"service webhook.disabled", "token webhook.enable", "token webhook.delete"}) {
		t.Errorf("%v", got)
	}
}

func TestWebhookForms(t *testing.T) {
	w := newWhole(t)
	id := w.client("shop", "")
	form := formOf(t, w.get("/webhooks/new").body, "/webhooks")
	for _, bad := range []url.Values{
		form,
		{"client": {id}, "all": {"yes"}, "url": {"https://hooks.example/"}},
		{"client": {"nobody"}, "url": {"https://hooks.example/"}},
		{"client": {id}, "url": {hostile}},
		{"client": {id}, "url": {"http://hooks.example/"}},
		{"client": {id}, "url": {"https://hooks.example/"}, "kind": {hostile}},
		{"client": {hostile}, "url": {"https://u:hush@hooks.example/"}},
	} {
		got := w.post("/webhooks", bad)
		if got.status != 400 || strings.Contains(got.body, "whsec_") {
			t.Errorf("%v: %d", bad, got.status)
		}
		w.checkPage("/webhooks", got, true)
	}
	form.Set("client", id)
	form.Set("url", "https://hooks.example/in?key=hush")
	form["kind"] = []string{"message.sent", "client.changed"}
	got := w.post("/webhooks", form)
	if got.status != 201 || strings.Count(got.body, "whsec_") != 1 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	w.checkPage("/webhooks", got, true)
	all, err := w.hooks.all.List(t.Context(), id)
	if err != nil || len(all) != 1 || len(all[0].Kinds) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	path := "/webhooks/" + all[0].ID.String()
	page := w.get(path)
	if strings.Contains(page.body, "whsec_") || !strings.Contains(page.body, "hooks.example") {
		t.Error("the page shows a secret, or no host")
	}
	// It is changed.
	form = formOf(t, page.body, path)
	if form.Get("url") != "https://hooks.example/in?key=hush" || len(form["kind"]) != 2 {
		t.Errorf("%v", form)
	}
	form.Set("url", "https://new.example/")
	form.Del("kind")
	if got := w.post(path, form); got.status != 303 || got.header.Get("Location") != path+"?done=hook-saved" {
		t.Errorf("%d %s", got.status, got.body)
	}
	form.Set("url", "ftp://hostile.example/")
	if got := w.post(path, form); got.status != 400 || !strings.Contains(got.body, "ftp://hostile.example/") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if e, err := w.hooks.all.Find(t.Context(), all[0].ID); err != nil || e.URL != "https://new.example/" || len(e.Kinds) != 0 {
		t.Errorf("%+v %v", e, err)
	}
	// Two secrets, one of them shown once.
	got = w.post(path+"/start-rotation", formOf(t, w.get(path).body, path+"/start-rotation"))
	if got.status != 200 || strings.Count(got.body, "whsec_") != 1 || strings.Contains(w.get(path).body, "whsec_") {
		t.Errorf("%d", got.status)
	}
	w.checkPage(path, got, true)
	for _, step := range []struct {
		action string
		form   url.Values
		want   int
		done   string
	}{
		{"start-rotation", nil, 409, ""},
		{"cancel-rotation", nil, 303, "canceled"},
		{"finish-rotation", nil, 409, ""},
		{"start-rotation", nil, 200, ""},
		{"finish-rotation", nil, 303, "finished"},
		{"test", nil, 303, "hook-tested"},
		{"replay", url.Values{"since": {"2026-01-02T03:04"}}, 303, "hook-replayed"},
		{"replay", url.Values{"all": {"yes"}, "since": {""}}, 303, "hook-replayed"},
		{"replay", url.Values{"since": {hostile}}, 400, ""},
		{"replay", url.Values{"event": {hostile}}, 400, ""},
		{"disable", nil, 303, "hook-disabled"},
		{"test", nil, 409, ""},
		{"enable", nil, 303, "hook-enabled"},
		{"nothing", nil, 404, ""},
	} {
		form := url.Values{"revision": {w.hooks.revision(t, all[0].ID)}}
		if step.want < 400 && step.form == nil {
			form = formOf(t, w.get(path).body, path+"/"+step.action) // its button is there, and does it
		}
		maps.Copy(form, step.form)
		got := w.post(path+"/"+step.action, form)
		if got.status != step.want || step.done != "" && got.header.Get("Location") != path+"?done="+step.done {
			t.Errorf("%s %v: %d %v", step.action, step.form, got.status, got.header.Get("Location"))
		}
		if got.status != 303 {
			w.checkPage(path+"/"+step.action, got, true)
		}
	}
	w.checkPage(path, w.get(path+"?done=hook-tested"), true)
	body := w.get(path).body
	if !strings.Contains(body, "webhook.test") {
		t.Error("the test is not among the deliveries")
	}
	// One event is posted again by the button beside it.
	if got := w.post(path+"/replay", formOf(t, body, path+"/replay")); got.status != 303 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := w.post(path+"/delete", formOf(t, body, path+"/delete")); got.status != 303 || got.header.Get("Location") != "/webhooks?done=hook-deleted" {
		t.Errorf("%d", got.status)
	}
	for _, gone := range []string{path, "/webhooks/x", "/webhooks/" + url.PathEscape(hostile)} {
		if got := w.get(gone); got.status != 404 {
			t.Errorf("%s: %d", gone, got.status)
		}
	}
	kinds := strings.Join(w.memory.kinds(), "\n")
	for _, want := range []string{"create", "update", "secret.start", "secret.cancel", "secret.finish", "test", "replay", "disable", "enable", "delete"} {
		if !strings.Contains(kinds, " webhook."+want) {
			t.Errorf("webhook.%s is not recorded", want)
		}
	}
	for _, e := range w.memory.events {
		if strings.Contains(string(e.Data), "hush") || strings.Contains(string(e.Data), "whsec_") {
			t.Errorf("recorded: %s", e.Data)
		}
	}
	if log := w.log.String(); strings.Contains(log, "hush") || strings.Contains(log, "whsec_") {
		t.Error("a secret is in the log")
	}
}

func TestWebhooksJSON(t *testing.T) {
	w := newWhole(t)
	id := w.client("shop", "")
	const root = "/admin/v1/webhooks"
	for body, want := range map[string]int{
		``: 400, `[]`: 400, `{"clientId": "` + id + `", "all": true, "url": "https://hooks.example/"}`: 400, `{"clientId": "nobody", "url": "https://hooks.example/"}`: 400,
		`{"all": true, "url": "https://10.0.0.1:99999999/"}`: 400, `{"all": true, "url": "https://hooks.example/", "kinds": ["x"]}`: 400, `{"all": true, "secret": "x"}`: 400,
	} {
		if got := w.send("POST", root, body); got.status != want || got.code != "INVALID_PARAMETER" {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	var made struct{ ID, Secret, URL string }
	got := w.send("POST", root, `{"clientId": "`+id+`", "url": "https://hooks.example/in?key=hush", "kinds": ["message.sent"]}`)
	if err := json.Unmarshal([]byte(got.body), &made); err != nil || got.status != 201 || !strings.HasPrefix(made.Secret, "whsec_") || made.URL == "" {
		t.Fatalf("%d %s", got.status, got.body)
	}
	path := root + "/" + made.ID
	for _, step := range []struct {
		method, path, body string
		want               int
		has                string
	}{
		{"GET", path, "", 200, `"host":"hooks.example"`},
		{"PATCH", path, `{"kinds": []}`, 200, `"state":"enabled"`},
		{"PATCH", path, `{"url": "x"}`, 400, "INVALID_PARAMETER"},
		{"POST", path + "/test", "", 200, `"eventId":"`},
		{"POST", path + "/replay", `{"all": true}`, 200, `"replayed":1`},
		{"POST", path + "/replay", `{"since": "2026-01-02T03:04:05Z"}`, 200, `"replayed":0`},
		{"POST", path + "/replay", `{"eventId": "x"}`, 400, "INVALID_PARAMETER"},
		{"POST", path + "/start-rotation", "", 200, "whsec_"},
		{"POST", path + "/start-rotation", "", 409, "CONFLICT"},
		{"POST", path + "/finish-rotation", "", 200, made.ID},
		{"POST", path + "/disable", "", 200, made.ID},
		{"POST", path + "/test", "", 409, "CONFLICT"},
		{"POST", path + "/enable", "", 200, made.ID},
		{"POST", path + "/else", "", 404, "NOT_FOUND_ENDPOINT"},
		{"GET", path + "/deliveries", "", 200, `"kind":"webhook.test"`},
		{"GET", path + "/deliveries?state=failed", "", 200, `"deliveries":[]`},
		{"GET", path + "/deliveries?state=x", "", 400, "INVALID_PARAMETER"},
		{"GET", path + "/deliveries?cursor=x", "", 400, "INVALID_PARAMETER"},
		{"POST", path + "/deliveries", "", 405, ""},
		{"POST", path + "/delete", "", 200, made.ID},
		{"GET", path, "", 404, "NOT_FOUND_WEBHOOK"},
		{"GET", path + "/deliveries", "", 404, "NOT_FOUND_WEBHOOK"},
		{"POST", path + "/enable", "", 404, "NOT_FOUND_WEBHOOK"},
		{"PATCH", root + "/x", "{}", 404, "NOT_FOUND_WEBHOOK"},
	} {
		if got := w.send(step.method, step.path, step.body); got.status != step.want || !strings.Contains(got.body, step.has) {
			t.Errorf("%s %s %s: %d %s", step.method, step.path, step.body, got.status, got.body)
		}
	}
	w.fail(fault.New(fault.Unavailable, "secret"))
	for _, p := range []string{root, path, path + "/deliveries"} {
		if got := w.send("GET", p, ""); got.status != 503 || strings.Contains(got.body, "secret") {
			t.Errorf("%s: %d %s", p, got.status, got.body)
		}
	}
}

// TestWebhookPaging: pages of endpoints and of deliveries tell all, each once.
func TestWebhookPaging(t *testing.T) {
	w := newWhole(t)
	w.hooks.fill(t, w.memory, w.client("shop", ""), 25, "x")
	pages := func(path, list string) (ids []string) {
		for cursor := ""; ; {
			var page map[string]json.RawMessage
			got := w.send("GET", path+"?limit=7&cursor="+cursor, "")
			var items []struct{ ID, EventID string }
			if err := json.Unmarshal([]byte(got.body), &page); err != nil || json.Unmarshal(page[list], &items) != nil || len(items) > 7 {
				t.Fatalf("%s: %s", path, got.body)
			}
			for _, i := range items {
				ids = append(ids, i.ID+i.EventID)
			}
			if cursor = strings.Trim(string(page["nextCursor"]), `"`); cursor == "" {
				return ids
			}
		}
	}
	for path, want := range map[string]int{"/admin/v1/webhooks webhooks": 25, "/admin/v1/webhooks/" + w.hooks.ids[0].String() + "/deliveries deliveries": 75} {
		path, list, _ := strings.Cut(path, " ")
		seen := make(map[string]bool)
		all := pages(path, list)
		for _, id := range all {
			seen[id] = true
		}
		if len(all) != want || len(seen) != want {
			t.Errorf("%s: %d, %d of them different, want %d", path, len(all), len(seen), want)
		}
	}
	if body := w.get("/webhooks?limit=7").body; !strings.Contains(body, "Younger endpoints") {
		t.Error("the page does not lead on")
	}
	if body := w.get("/webhooks/" + w.hooks.ids[0].String()).body; !strings.Contains(body, "Older deliveries") {
		t.Error("the page does not lead on")
	}
}

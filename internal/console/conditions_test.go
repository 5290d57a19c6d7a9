package console_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"codeword/internal/store"
)

func TestIfNoneMatch(t *testing.T) {
	w := newWhole(t)
	id := w.client("shop", "")
	w.fill(id, 2, "main")
	client := "/admin/v1/clients/" + id
	for _, path := range []string{
		client, "/admin/v1/clients", "/admin/v1/messages", "/admin/v1/events", "/admin/v1/inbox", "/admin/v1/routes", "/admin/v1/guard/holds",
		"/admin/v1/spending", "/admin/v1/keys", "/admin/v1/messages/" + messageID.String(), "/admin/v1/openapi.yaml",
	} {
		first := w.send("GET", path, "")
		tag := first.header.Get("ETag")
		if first.status != 200 || tag == "" || strings.HasPrefix(tag, "W/") == (path == client) {
			t.Errorf("%s: %d, tag %q", path, first.status, tag)
		}
		for _, same := range []string{tag, "*", `"x", ` + tag, "W/" + strings.TrimPrefix(tag, "W/"), ` ` + tag + ` ,`} {
			if got := w.doBody("GET", path, "", bearer, "If-None-Match: "+same); got.status != 304 || got.body != "" || got.header.Get("ETag") != tag {
				t.Errorf("%s, %s: %d %s", path, same, got.status, got.body)
			}
		}
		for _, other := range []string{`"x"`, `"x`, "x", "", `"a" "b"`, "W/", tag + "x", strings.Repeat(`"a",`, 100) + tag} {
			if got := w.doBody("GET", path, "", bearer, "If-None-Match: "+other); got.status != 200 {
				t.Errorf("%s, %.40s: %d", path, other, got.status)
			}
		}
	}
	// The use of a secret shows in the answer, and so in the tag, but is no change.
	tag := w.send("GET", client, "").header.Get("ETag")
	w.memory.clients[0].Secrets[0].LastUsedAt = at(9)
	used := w.doBody("GET", client, "", bearer, "If-None-Match: "+tag)
	if used.status != 200 || used.header.Get("ETag") == tag {
		t.Errorf("a secret was used: %d %s", used.status, used.header.Get("ETag"))
	}
	if got := w.doBody("PATCH", client, `{"name": "other"}`, bearer, "If-Match: "+tag); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// conditional is something that has revisions: its first, how it is changed, and which
// actions it has beside those that both have.
type conditional struct {
	path, change string
	actions      []string
	revision     func() int64
}

// conditionals are a client and an endpoint.
func (w *whole) conditionals() map[string]conditional {
	w.t.Helper()
	id := w.client("shop", "")
	e, _, err := w.hooks.all.Create(w.t.Context(), "test", id, "https://hooks.example/in", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return map[string]conditional{
		"client": {"/admin/v1/clients/" + id, `{"name": "two"}`, nil, func() int64 { return w.memory.clients[0].Revision }},
		"endpoint": {"/admin/v1/webhooks/" + e.ID.String(), `{"url": "https://two.example/"}`, []string{"POST /delete", "POST /test", "POST /replay"}, func() int64 {
			found, err := w.hooks.all.Find(w.t.Context(), e.ID)
			if err != nil {
				w.t.Error(err)
			}
			return found.Revision
		}},
	}
}

func TestIfMatch(t *testing.T) {
	w := newWhole(t)
	for name, of := range w.conditionals() {
		t.Run(name, func(t *testing.T) { w.testIfMatch(t, of) })
	}
	for _, none := range []string{"/admin/v1/clients/none", "/admin/v1/webhooks/none"} {
		if got := w.doBody("PATCH", none, `{}`, bearer, "If-Match: *"); got.status != 404 {
			t.Errorf("%s: %d", none, got.status)
		}
	}
}

func (w *whole) testIfMatch(t *testing.T, of conditional) {
	old := w.send("GET", of.path, "").header.Get("ETag")
	changed := w.doBody("PATCH", of.path, of.change, bearer, "If-Match: "+old)
	tag := changed.header.Get("ETag")
	if changed.status != 200 || tag == old || tag != w.send("GET", of.path, "").header.Get("ETag") {
		t.Fatalf("%d %s, tag %q", changed.status, changed.body, tag)
	}
	if got := w.doBody("GET", of.path, "", bearer, "If-None-Match: "+tag); got.status != 304 {
		t.Errorf("of what the caller has: %d", got.status)
	}
	events := len(w.memory.events)
	for _, c := range []struct {
		match, body string
		status      int
		code        string
	}{
		{old, `{}`, 412, "PRECONDITION_FAILED"},
		{`"3"`, `{}`, 412, "PRECONDITION_FAILED"},
		{"W/" + tag, `{}`, 412, "PRECONDITION_FAILED"}, // by the strong comparison
		{`"x", "-2", "+2", "02", "2x", ""`, `{}`, 412, "PRECONDITION_FAILED"},
		{tag, `{"revision": 1}`, 412, "PRECONDITION_FAILED"},
		{`"9223372036854775808"`, `{}`, 412, "PRECONDITION_FAILED"},
		{`2`, `{}`, 400, "INVALID_PARAMETER"},
		{`"2`, `{}`, 400, "INVALID_PARAMETER"},
		{`*, "2"`, `{}`, 400, "INVALID_PARAMETER"},
		{strings.Repeat(`"2",`, 33), `{}`, 400, "INVALID_PARAMETER"},
		{"\"2\x01\"", `{}`, 400, "INVALID_PARAMETER"},
		{"", `{"revision": 1}`, 409, "CONFLICT"},
		{"", `{"revision": -1}`, 409, "CONFLICT"},
	} {
		headers := []string{bearer}
		if c.match != "" {
			headers = append(headers, "If-Match: "+strings.ReplaceAll(c.match, "\x01", " "))
		}
		both := []string{"PATCH ", "POST /disable", "POST /enable", "POST /start-rotation", "POST /finish-rotation", "POST /cancel-rotation"}
		for _, to := range append(both, of.actions...) {
			method, action, _ := strings.Cut(to, " ")
			if got := w.doBody(method, of.path+action, c.body, headers...); got.status != c.status || string(got.code) != c.code {
				t.Errorf("%s, %.40s %s: %d %s", to, c.match, c.body, got.status, got.body)
			}
		}
	}
	if len(w.memory.events) != events || of.revision() != 2 {
		t.Errorf("revision %d, %v", of.revision(), w.memory.kinds())
	}
	for i, match := range []string{"*", `"3"`, `"1", "4"`, ""} {
		if got := w.doBody("PATCH", of.path, of.change, bearer, "If-Match: "+match); (got.status == 200) != (match != "") {
			t.Errorf("%d %s: %d %s", i, match, got.status, got.body)
		}
	}
	tag = w.send("GET", of.path, "").header.Get("ETag")
	// What there is nothing to end of is no other revision.
	if got := w.doBody("POST", of.path+"/finish-rotation", "", bearer, "If-Match: "+tag); got.status != 409 || got.code != "CONFLICT" {
		t.Errorf("no rotation: %d %s", got.status, got.body)
	}
	if got := w.doBody("POST", of.path+"/disable", "", bearer, "If-Match: "+tag); got.status != 200 || of.revision() != 6 {
		t.Errorf("revision %d after %d %s", of.revision(), got.status, got.body)
	}
}

// TestIfMatchRace: of many who saw the same, one changes it.
func TestIfMatchRace(t *testing.T) {
	w := newWhole(t)
	for name, of := range w.conditionals() {
		for i, to := range []string{"PATCH ", "POST /disable"} {
			method, action, _ := strings.Cut(to, " ")
			body := map[string]string{"PATCH": of.change}[method]
			tag := w.send("GET", of.path, "").header.Get("ETag")
			var wg sync.WaitGroup
			var mu sync.Mutex
			statuses := map[int]int{}
			for range 16 {
				wg.Go(func() {
					got := w.doBody(method, of.path+action, body, bearer, "If-Match: "+tag)
					mu.Lock()
					defer mu.Unlock()
					statuses[got.status]++
				})
			}
			wg.Wait()
			if statuses[200] != 1 || statuses[412] != 15 || of.revision() != int64(i+2) {
				t.Errorf("%s of a %s: %v, revision %d", to, name, statuses, of.revision())
			}
		}
	}
}

// walk walks the pages of a list to the end; between is called after each.
func (w *whole) walk(path, list string, limit int, between func(page int)) (ids []string) {
	w.t.Helper()
	cursor := ""
	for page := 0; ; page++ {
		got := w.send("GET", fmt.Sprintf("%s?limit=%d&cursor=%s", path, limit, cursor), "")
		found := members(w.t, got.body, list)
		if got.status != 200 || len(found) > limit || page > 99 {
			w.t.Fatalf("%s: page %d: %d %s", path, page, got.status, got.body)
		}
		ids = append(ids, found...)
		if cursor = nextCursor(w.t, got.body); cursor == "" {
			return ids
		}
		between(page)
	}
}

func TestPagingIsStable(t *testing.T) {
	w := newWhole(t)
	for i := range 7 {
		w.memory.clients = append(w.memory.clients, store.Client{ID: fmt.Sprint("client-", i), CreatedAt: at(i / 3), Revision: 1, Settings: []byte(`{"spendPerDay": 1}`)})
		w.guard.holds = append(w.guard.holds, hold(fmt.Sprint("c/block/", i), "c", "block", "x", "enforce"))
		w.guard.holds[i].At = at(i / 3)
	}
	got := w.walk("/admin/v1/clients", "clients", 2, func(page int) {
		if page == 1 { // one of the first page goes, one comes
			w.memory.clients = append(w.memory.clients[1:], store.Client{ID: "client-new", CreatedAt: at(50), Revision: 1})
		}
	})
	if want := "client-0 client-1 client-2 client-3 client-4 client-5 client-6 client-new"; strings.Join(got, " ") != want {
		t.Errorf("clients: %v", got)
	}
	got = w.walk("/admin/v1/guard/holds", "holds", 3, func(int) {
		w.guard.holds = append(w.guard.holds, hold(fmt.Sprint("c/new/", len(w.guard.holds)), "c", "block", "x", "enforce"))
		w.guard.holds[len(w.guard.holds)-1].At = at(50)
	})
	if want := "c/block/6 c/block/5 c/block/4 c/block/3 c/block/2 c/block/1 c/block/0"; strings.Join(got, " ") != want {
		t.Errorf("holds: %v", got)
	}
	if got := w.walk("/admin/v1/spending", "clients", 1, func(int) {}); len(got) != 6 {
		t.Errorf("spending: %v", got)
	}
}

func TestHostileCursors(t *testing.T) {
	w := newWhole(t)
	w.fill(w.client("shop", ""), 4, "main")
	valid := nextCursor(t, w.send("GET", "/admin/v1/clients?limit=1", "").body)
	if valid == "" {
		t.Fatal("no cursor")
	}
	for _, path := range []string{"messages", "events", "inbox", "clients", "guard/holds", "spending"} {
		path = "/admin/v1/" + path
		cursors := []string{"x", "%00", "!!!!", strings.Repeat("A", 1<<13), "AAAA", "%22%3E%3Cscript%3E", "..%2f..", "eyJhIjoxfQ", valid + "=", valid[:len(valid)-1] + "%20"}
		if path != "/admin/v1/clients" {
			cursors = append(cursors, valid)
		}
		for _, cursor := range cursors {
			if got := w.send("GET", path+"?cursor="+cursor, ""); got.status != 400 || got.code != "INVALID_PARAMETER" || strings.Contains(got.body, "script") {
				t.Errorf("%s, %.40s: %d %s", path, cursor, got.status, got.body)
			}
		}
		for _, limit := range []string{"0", "-1", "501", "1e9", "x", "99999999999999999999"} {
			if got := w.send("GET", path+"?limit="+limit, ""); got.status != 400 {
				t.Errorf("%s, limit %s: %d", path, limit, got.status)
			}
		}
	}
	// One that was made up begins elsewhere, in the same list.
	if got := w.send("GET", "/admin/v1/clients?cursor="+"Y"+valid[1:], ""); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestCursorsOfOtherLists: a cursor goes on in its own list alone.
func TestCursorsOfOtherLists(t *testing.T) {
	w := newWhole(t)
	w.fill(w.client("shop", ""), 2, "main")
	lists := []string{"messages", "events", "inbox", "clients", "guard/holds", "spending", "webhooks", "webhooks/" + w.hooks.ids[0].String() + "/deliveries"}
	for _, from := range lists {
		cursor := nextCursor(t, w.send("GET", "/admin/v1/"+from+"?limit=1", "").body)
		if cursor == "" {
			t.Fatalf("%s: no cursor", from)
		}
		for _, to := range lists {
			got := w.send("GET", "/admin/v1/"+to+"?cursor="+cursor, "")
			if to == from && got.status != 200 || to != from && (got.status != 400 || got.code != "INVALID_PARAMETER") {
				t.Errorf("a cursor of %s at %s: %d %s", from, to, got.status, got.body)
			}
		}
	}
	for page, of := range map[string]string{"/messages": "inbox", "/inbox": "messages", "/webhooks": "clients", "/webhooks/" + w.hooks.ids[0].String(): "webhooks"} {
		if got := w.get(page + "?cursor=" + nextCursor(t, w.send("GET", "/admin/v1/"+of+"?limit=1", "").body)); got.status != 400 {
			t.Errorf("a cursor of %s on the page %s: %d", of, page, got.status)
		}
	}
}

// members are what names the members of a list: an id, a key or a client's id.
func members(t *testing.T, body, list string) (out []string) {
	t.Helper()
	var doc map[string]json.RawMessage
	var items []struct{ ID, Key, ClientID string }
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(doc[list], &items); err != nil {
		t.Fatal(err)
	}
	for _, item := range items {
		out = append(out, cmp.Or(item.Key, item.ID, item.ClientID))
	}
	return out
}

func nextCursor(t *testing.T, body string) string {
	t.Helper()
	var doc struct{ NextCursor string }
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatal(err)
	}
	return doc.NextCursor
}

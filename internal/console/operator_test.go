package console_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"codeword/internal/fault"
)

func TestReveal(t *testing.T) {
	w := newWhole(t)
	id := w.client("shop", "")
	w.fill(id, 1, "main")
	path := "/messages/" + messageID.String()
	if strings.Contains(w.get(path).body, "6502180000") {
		t.Error("the page tells the number")
	}
	got := w.post(path+"/reveal", formOf(t, w.get(path).body, path+"/reveal"))
	if got.status != 200 || !strings.Contains(got.body, "6502180000") {
		t.Errorf("%d %s", got.status, got.body)
	}
	w.checkPage(path, got, true)
	if got := w.send("POST", "/admin/v1"+path+"/reveal", ""); got.status != 200 || got.body != `{"to":"+16502180000"}` {
		t.Errorf("JSON: %d %s", got.status, got.body)
	}
	if want := "token " + messageID.String(); len(w.messages.revealed) != 2 || w.messages.revealed[0] != want || w.messages.revealed[1] != want {
		t.Errorf("%v", w.messages.revealed)
	}
	for _, err := range []error{fault.New(fault.NotFound, "secret"), fault.New(fault.Unavailable, "secret"), errors.New("secret")} {
		w.messages.err = err
		for _, p := range []string{path + "/reveal", "/messages/x/reveal"} {
			if got := w.post(p, url.Values{}); got.status < 400 || strings.Contains(got.body, "6502180000") || strings.Contains(got.body, ">secret") {
				t.Errorf("%v: %d %s", err, got.status, got.body)
			}
		}
		if got := w.send("POST", "/admin/v1"+path+"/reveal", ""); got.status < 400 || strings.Contains(got.body, "secret") {
			t.Errorf("%v: %d %s", err, got.status, got.body)
		}
	}
	if strings.Contains(w.log.String(), "6502180000") {
		t.Error("the number is in the log")
	}
}

func TestGuardAndKeys(t *testing.T) {
	w := newWhole(t)
	id := w.client("shop", "")
	w.fill(id, 1, "main")
	w.guard.holds[0].Key = id + "/block/1"
	page := w.get("/guard").body
	if !strings.Contains(page, "nothing is held back") || !strings.Contains(page, "hardly any of the codes") {
		t.Errorf("%s", page)
	}
	if got := w.post("/guard/release", url.Values{"key": {id + "/block/1"}}); got.status != 303 || got.header.Get("Location") != "/guard?done=released" {
		t.Errorf("%d %s", got.status, got.body)
	}
	got := w.post("/guard/release", url.Values{"key": {hostile}})
	if got.status != 404 {
		t.Errorf("%d", got.status)
	}
	w.checkPage("/guard", got, true)
	if got := w.send("POST", "/admin/v1/guard/release", `{"key": "`+id+`/block/1"}`); got.status != 204 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := w.send("POST", "/admin/v1/guard/release", `{"key": "x"}`); got.status != 404 || got.code != "NOT_FOUND_HOLD" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if len(w.guard.released) != 2 || w.guard.released[0] != "token "+id+"/block/1" {
		t.Errorf("%v", w.guard.released)
	}
	if got := w.post("/keys/rotate", url.Values{}); got.status != 303 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := w.send("POST", "/admin/v1/keys/rotate", ""); got.status != 200 || !strings.Contains(got.body, `"kid":"next"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if len(w.keys.rotated) != 2 || w.keys.rotated[0] != "token false" {
		t.Errorf("%v", w.keys.rotated)
	}
	for _, path := range []string{"/admin/v1/guard/holds", "/admin/v1/keys", "/admin/v1/queue", "/admin/v1/spending"} {
		if got := w.send("GET", path, ""); got.status != 200 || !json.Valid([]byte(got.body)) {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	w.fail(fault.New(fault.Unavailable, "secret"))
	for _, path := range []string{"/admin/v1/guard/holds", "/admin/v1/keys", "/admin/v1/queue", "/admin/v1/spending"} {
		if got := w.send("GET", path, ""); got.status != 503 || strings.Contains(got.body, "secret") {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	if got := w.post("/keys/rotate", url.Values{}); got.status != 503 {
		t.Errorf("%d", got.status)
	}
}

// TestChangesAreTheOperators: without the token, or from another site, nothing changes.
func TestChangesAreTheOperators(t *testing.T) {
	w := newWhole(t)
	id := w.client("shop", "")
	w.fill(id, 1, "main")
	events := len(w.memory.events)
	message := "/messages/" + messageID.String() + "/reveal"
	paths := []string{message, "/guard/release", "/keys/rotate", "/clients", "/clients/" + id}
	for _, action := range []string{"disable", "enable", "start-rotation", "finish-rotation", "cancel-rotation"} {
		paths = append(paths, "/clients/"+id+"/"+action)
	}
	form := url.Values{"revision": {"1"}, "name": {"x"}, "key": {w.guard.holds[0].Key}}
	for _, path := range paths {
		if got := w.do(w.fixture.browser(), "POST", path, form); got.status != 303 || got.header.Get("Location") != "/login" {
			t.Errorf("%s without a login: %d", path, got.status)
		}
		api := "/admin/v1" + path
		if got := w.do(w.fixture.browser(), "POST", api, nil); got.status != 401 && got.status != 405 {
			t.Errorf("%s without a token: %d", api, got.status)
		}
		for _, foreign := range []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://evil.example"} {
			for _, p := range []string{path, api} {
				if got := w.do(w.browser, "POST", p, form, foreign); got.status != 403 {
					t.Errorf("%s with %s: %d", p, foreign, got.status)
				}
			}
		}
		if got := w.get(path); path != "/clients" && path != "/clients/"+id && got.status != 405 {
			t.Errorf("GET %s: %d", path, got.status)
		}
	}
	if got := w.do(w.fixture.browser(), "PATCH", "/admin/v1/clients/"+id, nil); got.status != 401 {
		t.Errorf("PATCH: %d", got.status)
	}
	if len(w.memory.events) != events || len(w.guard.released) != 0 || len(w.keys.rotated) != 0 || len(w.messages.revealed) != 0 {
		t.Errorf("something was changed: %v", w.memory.kinds()[events:])
	}
	for _, path := range pages(id) {
		if got := w.do(w.fixture.browser(), "GET", path, nil); got.status != 303 || !strings.HasPrefix(got.header.Get("Location"), "/login") {
			t.Errorf("%s without a login: %d", path, got.status)
		}
	}
}

func TestMessagesFilters(t *testing.T) {
	w := newWhole(t)
	id := w.client("shop", "")
	w.fill(id, 1, "main")
	for _, path := range []string{"/messages", "/audit", "/webhooks", "/webhooks/new"} {
		if !strings.Contains(w.get(path).body, `<option value="`+id+`">shop</option>`) {
			t.Errorf("%s does not propose the client", path)
		}
	}
	w.messages.asked = nil
	got := w.get("/messages?to=%2B16502180000&status=sent&client=c&route=main&since=2026-01-02T03:04&until=2026-01-02T03:05&limit=")
	if got.status != 200 || len(w.messages.asked) != 1 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	q := w.messages.asked[0]
	if q.To != "+16502180000" || q.Client != "c" || q.Route != "main" || q.Since.Minute() != 4 || q.Until.Minute() != 5 || q.Status.String() != "sent" {
		t.Errorf("%+v", q)
	}
	if !strings.Contains(got.body, "cursor="+cursor) || !strings.Contains(got.body, "client=c") {
		t.Error("the next page is not linked")
	}
	for _, query := range []string{"?status=x", "?since=x", "?nothing=1", "?to=1&to=2"} {
		got := w.get("/messages" + query)
		if got.status != 400 {
			t.Errorf("%s: %d", query, got.status)
		}
		w.checkPage("/messages"+query, got, false)
	}
	// A query that cannot be read selects nothing, rather than all.
	w.messages.asked = nil
	for _, path := range []string{"/messages?status=%zz", "/messages?to=%2B1650218000%", "/messages?status=failed;to=x", "/webhooks?client=%zz", "/audit?kind=%zz", "/?client=%zz"} {
		got := w.get(path)
		if got.status != 400 || !strings.Contains(got.body, "The query cannot be read") || len(w.messages.asked) != 0 {
			t.Errorf("%s: %d, asked for %v", path, got.status, w.messages.asked)
		}
		w.checkPage(path, got, false)
	}
	w.messages.err = fault.New(fault.InvalidPhone, "x")
	if got := w.get("/messages?to=x"); got.status != 400 || !strings.Contains(got.body, "neither a phone number") {
		t.Errorf("%d", got.status)
	}
	w.messages.err = fault.New(fault.NotFound, "x")
	if got := w.get("/messages/" + messageID.String()); got.status != 404 {
		t.Errorf("%d", got.status)
	}
}

func TestLifeOfAMessageIsInOrder(t *testing.T) {
	w := newWhole(t)
	w.fill(w.client("shop", ""), 1, "main")
	w.messages.detail.VerifyTime = w.messages.detail.Receipts[0].ReceiveTime
	body := w.get("/messages/" + messageID.String()).body
	last := -1
	for _, want := range []string{"Accepted", "Handed to main", "failed too often just now", "the message went this way", "Receipt from main", "The carrier says that it arrived", "Verified"} {
		i := strings.Index(body, want)
		if i <= last {
			t.Errorf("%q is missing or out of order", want)
		}
		last = i
	}
	if strings.Count(body, "$0.0079") != 2 || !strings.Contains(body, "s later") {
		t.Error("the price or how much later is missing")
	}
	w.messages.detail.Dispatches[0].Status = "queued"
	w.messages.detail.Receipts[0].Status = "failed"
	body = w.get("/messages/" + messageID.String()).body
	for _, want := range []string{"The carrier did not take it, but another may", "The carrier says that it did not arrive"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(body, "$0.0079") || strings.Contains(body, "waits to be sent") {
		t.Error("what the carrier did not take has a price, or waits")
	}
}

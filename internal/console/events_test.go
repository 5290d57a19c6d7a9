package console_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"codeword/api"
	"codeword/internal/console"
	"codeword/internal/fault"
	"codeword/internal/store"
)

// fakeEvents lists what it holds, newest first, as an engine does.
type fakeEvents struct {
	all   []store.Event
	err   error
	asked []store.EventQuery
}

func (f *fakeEvents) Events(_ context.Context, q store.EventQuery) ([]store.Event, error) {
	f.asked = append(f.asked, q)
	var out []store.Event
	for _, e := range f.all {
		if len(out) < q.Limit && (q.Before == (store.EventID{}) || string(e.ID[:]) < string(q.Before[:])) {
			out = append(out, e)
		}
	}
	return out, f.err
}

func withEvents(t *testing.T) (*fixture, *fakeEvents) {
	t.Helper()
	f, events := newFixture(t), &fakeEvents{}
	cfg := f.cfg
	cfg.Events = events
	c, err := console.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewServer(c.Handler())
	t.Cleanup(ts.Close)
	f.url = ts.URL
	return f, events
}

func eventID(n byte) store.EventID { return store.EventID{15: n} }

// nextEvents is the cursor of what is older than event 3.
const nextEvents = "ZQAAAAAAAAAAMDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAz"

func TestEventsJSON(t *testing.T) {
	f, events := withEvents(t)
	events.all = []store.Event{
		{ID: eventID(3), At: at(7), Client: "c", Kind: "client.update", Actor: "cli:ann", Data: []byte(`{"changes":{"spendPerDay":{"from":50,"to":100}}}`)},
		{ID: eventID(2), At: at(6), Kind: "ledger.forget", Actor: "cli:\x1b[2J\xff", Data: nil},
		{ID: eventID(1), At: at(5), Client: "c", Kind: "guard.hold", Actor: "service", Data: []byte("{\"a\": \"\xff\"}")},
	}
	const first = `{"id":"00000000-0000-0000-0000-000000000003","time":"2026-01-02T03:04:07.678Z","kind":"client.update","clientId":"c",` +
		`"actor":"cli:ann","data":{"changes":{"spendPerDay":{"from":50,"to":100}}}}`
	const second = `{"id":"00000000-0000-0000-0000-000000000002","time":"2026-01-02T03:04:06.678Z","kind":"ledger.forget",` +
		`"actor":"cli:\u001b[2J\ufffd","data":{}}`
	const third = `{"id":"00000000-0000-0000-0000-000000000001","time":"2026-01-02T03:04:05.678Z","kind":"guard.hold","clientId":"c",` +
		`"actor":"service","data":"{\"a\": \"\ufffd\"}"}`
	for _, c := range []struct {
		name, query, body string
		want              store.EventQuery
	}{
		{"all", "", `{"events":[` + first + "," + second + "," + third + `]}`, store.EventQuery{Limit: 51}},
		{"empty filters", "?client=&kind=&before=&limit=", `{"events":[` + first + "," + second + "," + third + `]}`, store.EventQuery{Limit: 51}},
		{"first page", "?limit=1", `{"events":[` + first + `],"nextBefore":"00000000-0000-0000-0000-000000000003","nextCursor":"` + nextEvents + `"}`, store.EventQuery{Limit: 2}},
		{
			"next page", "?limit=2&before=00000000-0000-0000-0000-000000000003",
			`{"events":[` + second + "," + third + `]}`,
			store.EventQuery{Limit: 3, Before: eventID(3)},
		},
		{"next page by cursor", "?limit=2&cursor=" + nextEvents, `{"events":[` + second + "," + third + `]}`, store.EventQuery{Limit: 3, Before: eventID(3)}},
		{
			"none", "?client=c&kind=guard.&limit=500&before=00000000-0000-0000-0000-000000000001", `{"events":[]}`,
			store.EventQuery{Client: "c", Kind: "guard.", Limit: 501, Before: eventID(1)},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.t, events.asked = t, nil
			got := f.do(f.browser(), "GET", "/admin/v1/events"+c.query, nil, bearer)
			if got.status != 200 || got.body != c.body || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%d %s, want %s", got.status, got.body, c.body)
			}
			if len(events.asked) != 1 || events.asked[0] != c.want {
				t.Errorf("asked %+v, want %+v", events.asked, c.want)
			}
		})
	}
}

func TestEventsRefusals(t *testing.T) {
	f, events := withEvents(t)
	for _, c := range []struct {
		name, query string
		err         error
		status      int
		code        api.Code
		message     string
	}{
		{"limit zero", "?limit=0", nil, 400, "INVALID_PARAMETER", "limit is not a number from 1 to 500"},
		{"limit too large", "?limit=501", nil, 400, "INVALID_PARAMETER", "limit is not"},
		{"kind with a star", "?kind=guard*", nil, 400, "INVALID_PARAMETER", "kind is not a kind such as"},
		{"kind of a dot", "?kind=.", nil, 400, "INVALID_PARAMETER", "kind is not"},
		{"huge kind", "?kind=" + strings.Repeat("k", 65), nil, 400, "INVALID_PARAMETER", "kind is not"},
		{"huge client", "?client=" + strings.Repeat("c", 129), nil, 400, "INVALID_PARAMETER", "client is not"},
		{"before", "?before=1", nil, 400, "INVALID_PARAMETER", "before is not the id of an event"},
		{"before in capitals", "?before=0000000A-0000-0000-0000-000000000003", nil, 400, "INVALID_PARAMETER", "before is not"},
		{"twice", "?kind=a&kind=b", nil, 400, "INVALID_PARAMETER", "kind is given more than once"},
		{"misspelled", "?kinds=x", nil, 400, "INVALID_PARAMETER", "other than client, kind"},
		{"cursor", "?cursor=x", nil, 400, "INVALID_PARAMETER", "cursor is not the nextCursor"},
		{"cursor of messages", "?cursor=AAAAAAAAAAAAAAAAAAAAAQ", nil, 400, "INVALID_PARAMETER", "cursor is not the nextCursor"},
		{"cursor and before", "?before=" + eventID(3).String() + "&cursor=" + nextEvents, nil, 400, "INVALID_PARAMETER", "cursor is not to be given beside before"},
		{"not escaped", "?client=%zz", nil, 400, "INVALID_PARAMETER", "not escaped"},
		{"store down", "", fault.New(fault.Unavailable, "secret"), 503, api.CodeUnavailable, ""},
		{"broken", "", errors.New("secret"), 500, api.CodeInternal, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.t, events.err, events.asked = t, c.err, nil
			got := f.do(f.browser(), "GET", "/admin/v1/events"+c.query, nil, bearer)
			if got.status != c.status || got.code != c.code || !strings.Contains(got.body, c.message) || strings.Contains(got.body, "secret") {
				t.Errorf("%d %s, want %d %s %s", got.status, got.body, c.status, c.code, c.message)
			}
			if c.err == nil && len(events.asked) != 0 {
				t.Error("the store was asked")
			}
			if (got.status == 503) != (got.header.Get("Retry-After") != "") {
				t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
			}
		})
	}
}

// TestEventsAreTheOperators: the token or a login opens them, GET alone reads them.
func TestEventsAreTheOperators(t *testing.T) {
	f, events := withEvents(t)
	const path = "/admin/v1/events"
	for _, headers := range [][]string{nil, {"Authorization: Bearer wrong-" + token}, {"Cookie: session=x"}} {
		if got := f.do(f.browser(), "GET", path, nil, headers...); got.status != 401 {
			t.Errorf("%q: %d", headers, got.status)
		}
	}
	if len(events.asked) != 0 {
		t.Error("the store was asked")
	}
	if got := f.do(f.browser(), "POST", path, url.Values{}, bearer); got.status != 405 || got.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d", got.status)
	}
	browser := f.browser()
	if got := f.do(browser, "POST", "/login", url.Values{"token": {token}}); got.status != 303 {
		t.Fatalf("login: %d", got.status)
	}
	if got := f.do(browser, "GET", path, nil); got.status != 200 || got.body != `{"events":[]}` {
		t.Errorf("after a login: %d %s", got.status, got.body)
	}
	without := newFixture(t)
	if got := without.do(without.browser(), "GET", path, nil, bearer); got.status != 404 || got.code != api.CodeNotFoundEndpoint {
		t.Errorf("a console without events: %d", got.status)
	}
}

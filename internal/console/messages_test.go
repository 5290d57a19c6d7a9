package console_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"codeword/api"
	"codeword/internal/console"
	"codeword/internal/fault"
	"codeword/internal/store"
)

type fakeMessages struct {
	page   console.MessagePage
	detail console.MessageDetail
	err    error
	asked  []console.MessageQuery
	found  []store.MessageID
	// revealed is who looked at which number.
	revealed []string
}

func (f *fakeMessages) List(_ context.Context, q console.MessageQuery) (console.MessagePage, error) {
	f.asked = append(f.asked, q)
	return f.page, f.err
}

func (f *fakeMessages) Find(_ context.Context, id store.MessageID) (console.MessageDetail, error) {
	f.found = append(f.found, id)
	return f.detail, f.err
}

func (f *fakeMessages) Reveal(_ context.Context, actor string, id store.MessageID) (string, error) {
	if f.err == nil {
		f.revealed = append(f.revealed, actor+" "+id.String())
	}
	return "+16502180000", f.err
}

// withMessages is a fixture whose console knows messages and routes.
func withMessages(t *testing.T) (*fixture, *fakeMessages, *[]console.RouteView) {
	t.Helper()
	f := newFixture(t)
	messages, routes := &fakeMessages{}, new([]console.RouteView)
	cfg := f.cfg
	cfg.Messages, cfg.Routes = messages, func() []console.RouteView { return *routes }
	c, err := console.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewServer(c.Handler())
	t.Cleanup(ts.Close)
	f.url = ts.URL
	return f, messages, routes
}

var (
	messageID = store.MessageID{0x01, 0x94, 0x23, 0x45, 0x67, 0x89, 0x7a, 0xbc, 0x8d, 0xef, 0, 1, 2, 3, 4, 5}
	cursor    = cursorOf(messageID)
)

// cursorOf is the cursor of a message in the log.
func cursorOf(id store.MessageID) string {
	return base64.RawURLEncoding.EncodeToString([]byte("m\x00\x00\x00\x00\x00\x00\x00\x00" + id.String()))
}

func at(second int) time.Time { return time.Date(2026, 1, 2, 3, 4, second, 678_900_000, time.UTC) }

func aMessage() console.MessageView {
	return console.MessageView{
		ID: messageID.String(), ClientID: "client-live-1", PhoneMask: "1234", Status: "sent", Route: "main", Claims: 1,
		CreateTime: api.NewTime(at(5)), UpdateTime: api.NewTime(at(6)), ExpireTime: api.NewTime(at(7)),
	}
}

const messageJSON = `{"id":"01942345-6789-7abc-8def-000102030405","clientId":"client-live-1","phoneMask":"1234","status":"sent",` +
	`"route":"main","claims":1,"createTime":"2026-01-02T03:04:05.678Z","updateTime":"2026-01-02T03:04:06.678Z",` +
	`"expireTime":"2026-01-02T03:04:07.678Z"`

func TestMessagesJSON(t *testing.T) {
	f, messages, _ := withMessages(t)
	for _, c := range []struct {
		name, query string
		page        console.MessagePage
		want        console.MessageQuery
		body        string
	}{
		{"all", "", console.MessagePage{}, console.MessageQuery{Limit: 50}, `{"messages":[]}`},
		{"empty filters", "?to=&status=&route=&since=&until=&limit=&cursor=", console.MessagePage{}, console.MessageQuery{Limit: 50}, `{"messages":[]}`},
		{"one", "?limit=1", console.MessagePage{Messages: []console.MessageView{aMessage()}}, console.MessageQuery{Limit: 1}, `{"messages":[` + messageJSON + `}]}`},
		{
			"nothing on this page", "",
			console.MessagePage{Next: messageID},
			console.MessageQuery{Limit: 50},
			`{"messages":[],"nextCursor":"` + cursor + `"}`,
		},
		{
			"all filters", "?to=%2B16502180000&status=unknown&route=main&since=2026-01-02T03:04:05Z&until=2026-01-02T04:04:06.5%2B01:00&limit=500&cursor=" + cursor,
			console.MessagePage{},
			console.MessageQuery{
				To: "+16502180000", Status: store.MessageUnknown, Route: "main", Limit: 500, Before: messageID,
				Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Until: time.Date(2026, 1, 2, 3, 4, 6, 500_000_000, time.UTC),
			},
			`{"messages":[]}`,
		},
		{"plus not escaped", "?to=+16502180000", console.MessagePage{}, console.MessageQuery{To: "+16502180000", Limit: 50}, `{"messages":[]}`},
		{
			"plus of a zone not escaped", "?since=2026-01-02T04:04:05+01:00",
			console.MessagePage{},
			console.MessageQuery{Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Limit: 50},
			`{"messages":[]}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.t, messages.page, messages.asked = t, c.page, nil
			got := f.do(f.browser(), "GET", "/admin/v1/messages"+c.query, nil, bearer)
			if got.status != 200 || got.body != c.body || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%d %s, want %s", got.status, got.body, c.body)
			}
			if len(messages.asked) != 1 {
				t.Fatalf("asked %d times", len(messages.asked))
			}
			asked := messages.asked[0]
			if !asked.Since.Equal(c.want.Since) || !asked.Until.Equal(c.want.Until) {
				t.Errorf("asked from %v to %v", asked.Since, asked.Until)
			}
			asked.Since, asked.Until = c.want.Since, c.want.Until
			if asked != c.want {
				t.Errorf("asked %+v, want %+v", asked, c.want)
			}
		})
	}
	if strings.Contains(f.log.String(), "6502180000") {
		t.Error("a phone number is in the log")
	}
}

func TestMessagesRefusals(t *testing.T) {
	f, messages, _ := withMessages(t)
	for _, c := range []struct {
		name, query string
		err         error
		status      int
		code        api.Code
		message     string
	}{
		{"status", "?status=lost", nil, 400, "INVALID_PARAMETER", "status is not one of queued"},
		{"status in capitals", "?status=SENT", nil, 400, "INVALID_PARAMETER", "status is not"},
		{"status invalid", "?status=invalid", nil, 400, "INVALID_PARAMETER", "status is not"},
		{"huge route", "?route=" + strings.Repeat("r", 65), nil, 400, "INVALID_PARAMETER", "route is not"},
		{"since", "?since=yesterday", nil, 400, "INVALID_PARAMETER", "since is not a time"},
		{"since as a number", "?since=1767323045", nil, 400, "INVALID_PARAMETER", "since is not a time"},
		{"until in the year 10000", "?until=10000-01-01T00:00:00Z", nil, 400, "INVALID_PARAMETER", "until is not a time"},
		{"until the zero time", "?until=0001-01-01T00:00:00Z", nil, 400, "INVALID_PARAMETER", "until is not a time"},
		{"nothing in between", "?since=2026-01-02T03:04:05Z&until=2026-01-02T03:04:05Z", nil, 400, "INVALID_PARAMETER", "until is not after since"},
		{"limit zero", "?limit=0", nil, 400, "INVALID_PARAMETER", "limit is not a number from 1 to 500"},
		{"limit too large", "?limit=501", nil, 400, "INVALID_PARAMETER", "limit is not"},
		{"limit huge", "?limit=99999999999999999999", nil, 400, "INVALID_PARAMETER", "limit is not"},
		{"cursor of a message id", "?cursor=" + messageID.String(), nil, 400, "INVALID_PARAMETER", "cursor is not the nextCursor"},
		{"cursor cut", "?cursor=" + cursor[:len(cursor)-1], nil, 400, "INVALID_PARAMETER", "cursor is not"},
		{"cursor with stray bits", "?cursor=" + cursor[:len(cursor)-2] + "R", nil, 400, "INVALID_PARAMETER", "cursor is not"},
		{"cursor with a line break", "?cursor=" + cursor[:4] + "%0A" + cursor[4:], nil, 400, "INVALID_PARAMETER", "cursor is not"},
		{"cursor of nothing", "?cursor=" + cursorOf(store.MessageID{}), nil, 400, "INVALID_PARAMETER", "cursor is not"},
		{"cursor of a time", "?cursor=" + strings.Replace(cursor, "AA", "AB", 1), nil, 400, "INVALID_PARAMETER", "cursor is not"},
		{"cursor huge", "?cursor=" + strings.Repeat("A", 8<<10), nil, 400, "INVALID_PARAMETER", "cursor is not"},
		{"twice", "?status=sent&status=failed", nil, 400, "INVALID_PARAMETER", "status is given more than once"},
		{"misspelled", "?stat=sent", nil, 400, "INVALID_PARAMETER", "other than to, status"},
		{"not escaped", "?to=%zz", nil, 400, "INVALID_PARAMETER", "not escaped"},
		{"semicolon", "?to=1;status=2", nil, 400, "INVALID_PARAMETER", "not escaped"},
		{"no number", "?to=x", fault.New(fault.InvalidPhone, "secret"), 400, api.CodeInvalidPhone, ""},
		{"foreign number", "?to=%2B4915112345678", fault.New(fault.InvalidPhoneCountry, "secret"), 400, api.CodeInvalidPhone, ""},
		{"store down", "", fault.New(fault.Unavailable, "secret"), 503, api.CodeUnavailable, ""},
		{"broken", "", errors.New("secret"), 500, api.CodeInternal, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.t, messages.err, messages.asked = t, c.err, nil
			got := f.do(f.browser(), "GET", "/admin/v1/messages"+c.query, nil, bearer)
			if got.status != c.status || got.code != c.code || !strings.Contains(got.body, c.message) || strings.Contains(got.body, "secret") {
				t.Errorf("%d %s, want %d %s %s", got.status, got.body, c.status, c.code, c.message)
			}
			if c.err == nil && len(messages.asked) != 0 {
				t.Error("the log was asked")
			}
			if (got.status == 503) != (got.header.Get("Retry-After") != "") {
				t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
			}
		})
	}
}

func TestMessageJSON(t *testing.T) {
	f, messages, _ := withMessages(t)
	path := "/admin/v1/messages/" + messageID.String()
	messages.detail = console.MessageDetail{MessageView: aMessage()}
	if got := f.do(f.browser(), "GET", path, nil, bearer); got.status != 200 || got.body != messageJSON+`,"dispatches":[],"receipts":[]}` {
		t.Errorf("%d %s", got.status, got.body)
	}
	m := &messages.detail
	m.PhoneID, m.Error, m.Locale, m.VerifyTime = "phone-number-live-1", "timeout", "en", api.NewTime(at(8))
	m.Dispatches = []console.DispatchView{
		{Time: api.NewTime(at(5)), Route: "main", Status: "queued", Error: "throttled", Segments: 1},
		{
			Time: api.NewTime(at(6)), Route: "backup", Status: "sent", CarrierRef: "<ref>", Segments: 2, PriceMicros: 7900,
			Decision: []console.VerdictView{{Route: "main", Verdict: "tried"}, {Route: "backup", Verdict: "chosen"}},
		},
	}
	m.Receipts = []console.ReceiptView{
		{Route: "backup", CarrierRef: "<ref>", Status: "accepted", ReceiveTime: api.NewTime(at(7))},
		{Route: "backup", CarrierRef: "<ref>", Status: "failed", Error: "filtered", CarrierTime: api.NewTime(at(6)), ReceiveTime: api.NewTime(at(8))},
	}
	got := f.do(f.browser(), "GET", path, nil, bearer)
	var doc, want any
	if err := json.Unmarshal([]byte(got.body), &doc); err != nil {
		t.Fatal(err)
	}
	const full = messageJSON + `,"phoneId":"phone-number-live-1","error":"timeout","locale":"en","verifyTime":"2026-01-02T03:04:08.678Z",
"dispatches":[
 {"time":"2026-01-02T03:04:05.678Z","route":"main","decision":[],"status":"queued","error":"throttled","segments":1,"priceMicros":0},
 {"time":"2026-01-02T03:04:06.678Z","route":"backup","decision":[{"route":"main","verdict":"tried"},{"route":"backup","verdict":"chosen"}],
  "status":"sent","carrierRef":"<ref>","segments":2,"priceMicros":7900}],
"receipts":[
 {"route":"backup","carrierRef":"<ref>","status":"accepted","receiveTime":"2026-01-02T03:04:07.678Z"},
 {"route":"backup","carrierRef":"<ref>","status":"failed","error":"filtered","carrierTime":"2026-01-02T03:04:06.678Z","receiveTime":"2026-01-02T03:04:08.678Z"}]}`
	if err := json.Unmarshal([]byte(full), &want); err != nil {
		t.Fatal(err)
	}
	if !jsonEqual(t, doc, want) {
		t.Errorf("got %s\nwant %s", got.body, full)
	}
	if len(messages.found) != 2 || messages.found[1] != messageID {
		t.Errorf("asked for %v", messages.found)
	}
}

// jsonEqual compares what was read from JSON.
func jsonEqual(t *testing.T, a, b any) bool {
	t.Helper()
	x, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(x) == string(y)
}

func TestMessageRefusals(t *testing.T) {
	f, messages, _ := withMessages(t)
	id := messageID.String()
	for _, c := range []struct {
		name, id string
		err      error
		status   int
		code     api.Code
	}{
		{"unknown", id, fault.New(fault.NotFound, "secret"), 404, "NOT_FOUND_MESSAGE"},
		{"store down", id, fault.New(fault.Unavailable, "secret"), 503, api.CodeUnavailable},
		{"broken", id, errors.New("secret"), 500, api.CodeInternal},
		{"no id", "x", nil, 404, "NOT_FOUND_MESSAGE"},
		{"capitals", strings.ToUpper(id), nil, 404, "NOT_FOUND_MESSAGE"},
		{"braces", "{" + id + "}", nil, 404, "NOT_FOUND_MESSAGE"},
		{"SQL", "' OR 1=1 --", nil, 404, "NOT_FOUND_MESSAGE"},
		{"huge", strings.Repeat("0", 8<<10), nil, 404, "NOT_FOUND_MESSAGE"},
		{"empty", "", nil, 404, api.CodeNotFoundEndpoint},
		{"further down", id + "/text", nil, 404, api.CodeNotFoundEndpoint},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.t, messages.err, messages.found = t, c.err, nil
			path := "/admin/v1/messages/" + strings.ReplaceAll(url.PathEscape(c.id), "%2F", "/")
			got := f.do(f.browser(), "GET", path, nil, bearer)
			if got.status != c.status || got.code != c.code || strings.Contains(got.body, "secret") {
				t.Errorf("%d %s, want %d %s", got.status, got.body, c.status, c.code)
			}
			if c.err == nil && len(messages.found) != 0 {
				t.Error("the log was asked")
			}
		})
	}
}

func TestRoutesJSON(t *testing.T) {
	f, _, routes := withMessages(t)
	if got := f.do(f.browser(), "GET", "/admin/v1/routes", nil, bearer); got.status != 200 || got.body != `{"routes":[]}` {
		t.Errorf("%d %s", got.status, got.body)
	}
	*routes = []console.RouteView{
		{Name: "main", Carrier: "smpp", Priority: 1, Weight: 2, Rate: 100, PriceMicros: 7900, Breaker: "closed", Health: 0.75, Samples: 40.5, InFlight: 3, Sent: 5},
		{
			Name: "backup", Carrier: "twilio", Priority: 2, Weight: 1, Breaker: "open", OpenUntil: api.NewTime(at(5)),
			PausedUntil: api.NewTime(at(6)), Stalled: true, Unhealthy: true, Failures: map[string]uint64{"timeout": 2},
		},
	}
	const want = `{"routes":[{"name":"main","carrier":"smpp","priority":1,"weight":2,"rate":100,"priceMicros":7900,"breaker":"closed","stalled":false,` +
		`"unhealthy":false,"health":0.75,"samples":40.5,"inFlight":3,"sent":5},` +
		`{"name":"backup","carrier":"twilio","priority":2,"weight":1,"rate":0,"priceMicros":0,"breaker":"open","openUntil":"2026-01-02T03:04:05.678Z",` +
		`"pausedUntil":"2026-01-02T03:04:06.678Z","stalled":true,"unhealthy":true,"health":0,"samples":0,"inFlight":0,"sent":0,` +
		`"failures":{"timeout":2}}]}`
	if got := f.do(f.browser(), "GET", "/admin/v1/routes", nil, bearer); got.status != 200 || got.body != want {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestMessagesAreTheOperators: nothing is told without the token, by another
// method, or by a console that knows no messages.
func TestMessagesAreTheOperators(t *testing.T) {
	f, messages, _ := withMessages(t)
	paths := []string{"/admin/v1/messages", "/admin/v1/messages/" + messageID.String(), "/admin/v1/routes"}
	for _, path := range paths {
		if got := f.do(f.browser(), "GET", path, nil); got.status != 401 {
			t.Errorf("%s without a token: %d", path, got.status)
		}
		if got := f.do(f.browser(), "DELETE", path, nil, bearer); got.status != 405 || got.header.Get("Allow") == "" {
			t.Errorf("DELETE %s: %d", path, got.status)
		}
		if got := f.do(f.browser(), "HEAD", path, nil, bearer); got.status != 200 || got.body != "" {
			t.Errorf("HEAD %s: %d", path, got.status)
		}
	}
	if len(messages.asked) != 1 || len(messages.found) != 1 {
		t.Errorf("the log was asked %d and %d times", len(messages.asked), len(messages.found))
	}
	without := newFixture(t)
	for _, path := range paths {
		if got := without.do(without.browser(), "GET", path, nil, bearer); got.status != 404 || got.code != api.CodeNotFoundEndpoint {
			t.Errorf("%s of a console without messages: %d", path, got.status)
		}
	}
}

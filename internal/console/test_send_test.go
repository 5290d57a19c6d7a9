package console_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"codeword/api"
	"codeword/internal/console"
	"codeword/internal/fault"
)

// fakeTests knows the route main.
type fakeTests struct {
	out  console.TestOutcome
	err  error
	made []string
}

func (f *fakeTests) TestSend(_ context.Context, actor, route, to string) (console.TestOutcome, error) {
	if route != "main" {
		return console.TestOutcome{}, console.ErrNoRoute
	}
	f.made = append(f.made, actor+" "+to)
	return f.out, f.err
}

func TestTestSend(t *testing.T) {
	w := newWhole(t)
	w.routes = []console.RouteView{{Name: "main", Breaker: "open", Sent: 1, Weight: 1, PriceMicros: 7900}, {Name: hostile, Breaker: "closed", Sent: 3, Weight: 1}}
	page := w.get("/routes")
	for _, want := range []string{"$0.0079", "took 25 % of all", `action="/routes/main/test-send"`} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, out := range []console.TestOutcome{
		{Route: "main", PhoneMask: "0000", Status: "sent", CarrierRef: hostile, Time: api.NewTime(at(1)), DurationMillis: 120},
		{Route: "main", PhoneMask: "0000", Status: "failed", Class: "retryable", Reason: "throttled", Time: api.NewTime(at(1))},
		{Route: "main", PhoneMask: "0000", Status: "unknown", Class: "unknown", Reason: "timeout", Time: api.NewTime(at(1)), DurationMillis: 10_000},
		{Route: "main", PhoneMask: "0000", Status: "delivered", Time: api.NewTime(at(1))},
	} {
		w.tests.out = out
		got := w.post("/routes/main/test-send", url.Values{"to": {"+12065550100"}})
		if got.status != 200 || !strings.Contains(got.body, "state "+out.Status) || strings.Contains(got.body, "2065550100") {
			t.Errorf("%s: %d %s", out.Status, got.status, got.body)
		}
		w.checkPage("/routes/main/test-send", got, false)
		if got := w.send("POST", "/admin/v1/routes/main/test-send", `{"to": "+12065550100"}`); got.status != 200 || !strings.Contains(got.body, `"status":"`+out.Status+`"`) {
			t.Errorf("%s: %d %s", out.Status, got.status, got.body)
		}
	}
	if len(w.tests.made) != 8 || w.tests.made[0] != "token +12065550100" {
		t.Errorf("%v", w.tests.made)
	}
	if strings.Contains(w.log.String(), "2065550100") {
		t.Error("the number is in the log")
	}
}

func TestTestSendRefusals(t *testing.T) {
	w := newWhole(t)
	w.routes = []console.RouteView{{Name: "main", Breaker: "closed"}}
	for _, c := range []struct {
		route  string
		err    error
		status int
		code   api.Code
	}{
		{"none", nil, 404, "NOT_FOUND_ROUTE"},
		{url.PathEscape(hostile), nil, 404, "NOT_FOUND_ROUTE"},
		{"main", fault.New(fault.InvalidPhone, "secret"), 400, "INVALID_PHONE"},
		{"main", fault.New(fault.InvalidPhoneCountry, "secret"), 400, "INVALID_PHONE_COUNTRY_CODE"},
		{"main", fault.New(fault.InvalidPhoneType, "secret"), 400, "INVALID_PHONE_TYPE"},
		{"main", fault.New(fault.OptedOut, "secret"), 400, "PHONE_OPTED_OUT"},
		{"main", &fault.Error{Kind: fault.LimitClient, RetryAfter: 90 * time.Second}, 429, "EXCEEDS_LIMIT_TEST_SEND"},
		{"main", fault.New(fault.Unavailable, "secret"), 503, "UNAVAILABLE"},
		{"main", errors.New("secret"), 500, "INTERNAL"},
	} {
		w.tests.err = c.err
		got := w.send("POST", "/admin/v1/routes/"+c.route+"/test-send", `{"to": "+16502180000"}`)
		if got.status != c.status || got.code != c.code || strings.Contains(got.body, "secret") {
			t.Errorf("%s, %v: %d %s", c.route, c.err, got.status, got.body)
		}
		if c.status == 429 && got.header.Get("Retry-After") != "90" {
			t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
		}
		page := w.post("/routes/"+c.route+"/test-send", url.Values{"to": {"+16502180000"}})
		if page.status != c.status || strings.Contains(page.body, "secret") || !strings.Contains(page.body, `role="alert"`) {
			t.Errorf("%s, %v: page %d", c.route, c.err, page.status)
		}
		w.checkPage("/routes", page, false)
	}
	made := len(w.tests.made)
	for _, body := range []string{`{"number": "+16502180000"}`, `[]`, `{"to": 5}`, `{"to": "` + strings.Repeat("1", 2<<20) + `"}`} {
		if got := w.send("POST", "/admin/v1/routes/main/test-send", body); got.status != 400 && got.status != 413 {
			t.Errorf("%.30s: %d", body, got.status)
		}
	}
	if got := w.send("GET", "/admin/v1/routes/main/test-send?to=%2B16502180000", ""); got.status != 405 {
		t.Errorf("GET: %d", got.status)
	}
	if len(w.tests.made) != made {
		t.Error("something was sent")
	}
}

package console_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"codeword/api"
	"codeword/internal/console"
	"codeword/internal/fault"
)

type fakePhones struct {
	err   error
	found []console.PhoneView
	asked []string
}

func (f *fakePhones) Find(_ context.Context, actor, client, phone string) ([]console.PhoneView, error) {
	f.asked = append(f.asked, "find "+actor+" "+client+" "+phone)
	if f.err != nil {
		return nil, f.err
	}
	return append([]console.PhoneView{}, f.found...), nil
}

func (f *fakePhones) Erase(_ context.Context, actor, client, phone string) (console.PhoneErased, error) {
	f.asked = append(f.asked, "erase "+actor+" "+client+" "+phone)
	return console.PhoneErased{PhoneID: phone, Erased: console.ErasedCounts{Messages: 3}, Kept: console.KeptMarks{OptOut: true}}, f.err
}

func (f *fakePhones) Export(_ context.Context, actor, client, phone string) (console.PhoneExport, error) {
	f.asked = append(f.asked, "export "+actor+" "+client+" "+phone)
	return console.PhoneExport{
		PhoneID: phone, PhoneNumber: "+16502180000", Challenges: []console.ChallengeExport{{Attempts: 1}}, Limits: []console.LimitExport{},
		Devices: []string{"d"}, Sessions: []console.SessionExport{}, IdempotencyKeys: []api.Time{}, LineType: &console.LineExport{Type: "mobile"},
		Messages: []console.MessageDetail{}, Refusals: []console.PhoneRefusal{}, Events: []console.EventView{},
	}, f.err
}

func withPhones(t *testing.T) (*fixture, *fakePhones) {
	t.Helper()
	f, phones := newFixture(t), &fakePhones{}
	cfg := f.cfg
	cfg.Phones = phones
	c, err := console.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewServer(c.Handler())
	t.Cleanup(ts.Close)
	f.url = ts.URL
	return f, phones
}

const phonePath = "/admin/v1/phones/phone-number-live-1"

func TestPhones(t *testing.T) {
	f, phones := withPhones(t)
	a := f.do(http.DefaultClient, http.MethodDelete, phonePath+"?client=c", nil, bearer)
	if a.status != http.StatusOK || !strings.HasPrefix(a.body, `{"phoneId":"phone-number-live-1","erased":{"phones":0,`) ||
		!strings.Contains(a.body, `"messages":3`) || !strings.Contains(a.body, `"kept":{"optOut":true,"block":false,"failures":false}`) {
		t.Errorf("erase: %d %s", a.status, a.body)
	}
	if a := f.do(http.DefaultClient, http.MethodGet, phonePath+"/export?client=c", nil, bearer); a.status != http.StatusOK ||
		!strings.Contains(a.body, `"phoneNumber":"+16502180000"`) {
		t.Errorf("export: %d %s", a.status, a.body)
	}
	// A number in the address names no phone.
	f.do(http.DefaultClient, http.MethodDelete, "/admin/v1/phones/%2B16502180000?client=c", nil, bearer)
	want := []string{"erase token c phone-number-live-1", "export token c phone-number-live-1", "erase token c -"}
	if strings.Join(phones.asked, ";") != strings.Join(want, ";") {
		t.Errorf("asked %q", phones.asked)
	}
	if log := f.log.String(); strings.Contains(log, "6502180000") || strings.Contains(log, "live-1") {
		t.Errorf("the log tells the phone: %s", log)
	}
}

func TestPhonesRefuse(t *testing.T) {
	f, phones := withPhones(t)
	for _, c := range []struct {
		method, path string
		headers      []string
		status       int
		code         api.Code
	}{
		{http.MethodDelete, phonePath + "?client=c", nil, 401, api.CodeMissingAuthorization},
		{http.MethodDelete, phonePath + "?client=c", []string{bearer, "Sec-Fetch-Site: cross-site"}, 403, "CROSS_ORIGIN_REQUEST"},
		{http.MethodGet, phonePath + "/export?client=c", nil, 401, api.CodeMissingAuthorization},
		{http.MethodDelete, phonePath, []string{bearer}, 400, "INVALID_PARAMETER"},
		{http.MethodDelete, phonePath + "?client=", []string{bearer}, 400, "INVALID_PARAMETER"},
		{http.MethodDelete, phonePath + "?client=c&client=d", []string{bearer}, 400, "INVALID_PARAMETER"},
		{http.MethodDelete, phonePath + "?client=c&x=1", []string{bearer}, 400, "INVALID_PARAMETER"},
		{http.MethodDelete, phonePath + "?client=" + strings.Repeat("c", 129), []string{bearer}, 400, "INVALID_PARAMETER"},
		{http.MethodGet, phonePath + "?client=c", []string{bearer}, 405, api.CodeMethodNotAllowed},
		{http.MethodPost, phonePath + "/export?client=c", []string{bearer}, 405, api.CodeMethodNotAllowed},
	} {
		if a := f.do(http.DefaultClient, c.method, c.path, nil, c.headers...); a.status != c.status || a.code != c.code {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, a.status, a.code, c.status, c.code)
		}
	}
	if len(phones.asked) != 0 {
		t.Errorf("refused calls were carried out: %q", phones.asked)
	}
	for _, c := range []struct {
		err    error
		status int
		code   api.Code
	}{
		{console.ErrNoClient, 404, "NOT_FOUND_CLIENT"},
		{console.ErrNoPhone, 404, "NOT_FOUND_PHONE"},
		{fault.New(fault.Unavailable, "x"), 503, api.CodeUnavailable},
		{fault.New(fault.Internal, "x"), 500, api.CodeInternal},
	} {
		phones.err = c.err
		for _, call := range [][2]string{{http.MethodDelete, ""}, {http.MethodGet, "/export"}} {
			if a := f.do(http.DefaultClient, call[0], phonePath+call[1]+"?client=c", nil, bearer); a.status != c.status || a.code != c.code {
				t.Errorf("%s of %v: %d %s", call[0], c.err, a.status, a.code)
			}
		}
	}
}

// TestPhonesLogin: a login serves as well as the bearer.
func TestPhonesLogin(t *testing.T) {
	f, phones := withPhones(t)
	browser := f.browser()
	f.do(browser, http.MethodPost, "/login", url.Values{"token": {token}})
	if a := f.do(browser, http.MethodDelete, phonePath+"?client=c", nil, "Sec-Fetch-Site: same-origin"); a.status != http.StatusOK {
		t.Errorf("after a login: %d %s", a.status, a.code)
	}
	if a := f.do(browser, http.MethodDelete, phonePath+"?client=c", nil, "Sec-Fetch-Site: cross-site"); a.status != http.StatusForbidden {
		t.Errorf("from another site: %d", a.status)
	}
	if len(phones.asked) != 1 {
		t.Errorf("asked %q", phones.asked)
	}
}

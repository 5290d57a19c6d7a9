package console_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"codeword/api"
	"codeword/internal/console"
	"codeword/internal/console/login"
	"codeword/internal/fault"
)

// fill has n phones found, the second of which was erased and has nothing to tell.
func (f *fakePhones) fill(client string, n int, text string, m console.MessageView) {
	for i := range n {
		p := console.PhoneView{
			ClientID: client, PhoneID: fmt.Sprint("phone-number-live-", i), EraseTime: api.NewTime(at(1)),
			Challenges: []console.PhoneChallenge{}, Limits: []console.PhoneLimit{}, Messages: []console.MessageView{},
			Refusals: []console.PhoneRefusal{},
		}
		if i != 1 {
			p = aPhone(client, p.PhoneID)
			p.Limits = append(p.Limits, console.PhoneLimit{Lane: text, Sends: 1})
			p.Messages = append(p.Messages, m)
			p.Refusals = append(p.Refusals, console.PhoneRefusal{Time: api.NewTime(at(1)), Code: api.Code(text), Limit: text, Detail: text})
		}
		f.found = append(f.found, p)
	}
}

// aPhone is a phone of which everything can be told.
func aPhone(client, id string) console.PhoneView {
	return console.PhoneView{
		ClientID: client, PhoneID: id, PhoneMask: "0000", CreateTime: api.NewTime(at(1)), LastSendTime: api.NewTime(at(2)),
		VerifyTime: api.NewTime(at(3)), OptOutTime: api.NewTime(at(4)), BlockEndTime: api.NewTime(at(5)),
		Challenges: []console.PhoneChallenge{{
			ChallengeView: console.ChallengeView{State: console.ChallengeOpen, Attempts: new(2), MaxAttempts: 5},
			CreateTime:    api.NewTime(at(6)), ExpireTime: api.NewTime(at(7)), Bound: true,
		}},
		Limits: []console.PhoneLimit{{
			Lane: "open", Sends: 3, MaxSends: 10, WrongCodes: 15, MaxWrongCodes: 15, SendRetryTime: api.NewTime(at(8)), LockEndTime: api.NewTime(at(9)),
		}},
		Messages: []console.MessageView{aMessage()},
		Refusals: []console.PhoneRefusal{{Time: api.NewTime(at(10)), Code: api.CodeExceedsLimitClient, Limit: "budget-hour", Detail: "all is spent"}},
	}
}

func TestPhonesFind(t *testing.T) {
	w := newWhole(t)
	id := w.client("shop", "")
	if got := w.get("/phones"); got.status != 200 || !strings.Contains(got.body, `<option value="`+id+`">shop</option>`) || strings.Contains(got.body, "No client knows") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := w.post("/phones", url.Values{"phone": {" +16502187777 "}}); got.status != 200 || !strings.Contains(got.body, "No client knows such a phone") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := w.post("/phones", url.Values{"phone": {"phone-number-live-1"}, "client": {id}}); !strings.Contains(got.body, "The client does not know such a phone") {
		t.Errorf("%d %s", got.status, got.body)
	}
	w.phones.found = []console.PhoneView{aPhone(id, "phone-number-live-1")}
	got := w.post("/phones", url.Values{"phone": {"+16502187777"}})
	for _, want := range []string{
		"…0000 at <bdi>", "opted out</span>", "blocked</span>", "sends refused</span>", "since <time", "(2 of 5 attempts used)",
		"for the session or device that asked for it", "callers of whom nothing is known", "3 of 10", "15 of 15", "until <time",
		`href="/messages/` + messageID.String(), `href="/messages?to=phone-number-live-1&amp;client=` + id, "/admin/v1/phones/phone-number-live-1/export?client=" + id,
	} {
		if !strings.Contains(got.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(got.body, "6502187777") {
		t.Error("the page repeats the number")
	}
	doc := w.send("POST", "/admin/v1/phones/find", `{"phone": "+16502187777", "client": "c"}`)
	if doc.status != 200 || !strings.HasPrefix(doc.body, `{"phones":[{"clientId":"`+id+`","phoneId":"phone-number-live-1","phoneMask":"0000",`) ||
		!strings.Contains(doc.body, `"challenges":[{"state":"open","attempts":2,"maxAttempts":5,`) {
		t.Errorf("%d %s", doc.status, doc.body)
	}
	want := []string{"find token  +16502187777", "find token " + id + " phone-number-live-1", "find token  +16502187777", "find token c +16502187777"}
	if strings.Join(w.phones.asked, ";") != strings.Join(want, ";") {
		t.Errorf("asked %q", w.phones.asked)
	}
	if log := w.log.String(); strings.Contains(log, "6502187777") || strings.Contains(log, "live-1") {
		t.Errorf("the log tells the phone: %s", log)
	}
	w.checkPage("/phones", got, true)
}

func TestPhonesFindRefuses(t *testing.T) {
	w := newWhole(t)
	for _, c := range []struct {
		err    error
		status int
		code   api.Code
		page   string
	}{
		{fault.New(fault.InvalidPhone, "secret"), 400, api.CodeInvalidPhone, "neither a phone number"},
		{console.ErrNoClient, 404, "NOT_FOUND_CLIENT", "There is no such client"},
		{fault.New(fault.Unavailable, "secret"), 503, api.CodeUnavailable, "not available"},
		{errors.New("secret"), 500, api.CodeInternal, "went wrong"},
	} {
		w.phones.err = c.err
		if got := w.send("POST", "/admin/v1/phones/find", `{"phone": "x"}`); got.status != c.status || got.code != c.code || strings.Contains(got.body, "secret") {
			t.Errorf("%v: %d %s", c.err, got.status, got.body)
		}
		got := w.post("/phones", url.Values{"phone": {"x"}})
		if got.status != c.status || !strings.Contains(got.body, c.page) || strings.Contains(got.body, "secret") || strings.Contains(got.body, "No client knows") {
			t.Errorf("%v: %d %s", c.err, got.status, got.body)
		}
		w.checkPage("/phones", got, false)
	}
	for _, body := range []string{`{"number": "x"}`, `[]`, `{"phone": 1}`} {
		if got := w.send("POST", "/admin/v1/phones/find", body); got.status != 400 || got.code != "INVALID_PARAMETER" {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	for _, path := range []string{"/phones?phone=%2B16502187777", "/admin/v1/phones/find"} {
		if got := w.do(w.browser, "POST", path, url.Values{"phone": {"y"}}, "Sec-Fetch-Site: cross-site"); got.status != 403 {
			t.Errorf("%s from another site: %d", path, got.status)
		}
	}
	w.phones.asked, w.phones.err = nil, nil
	w.post("/phones?phone=%2B16502187777", url.Values{})
	if len(w.phones.asked) != 1 || w.phones.asked[0] != "find token  " {
		t.Errorf("a query was read: %q", w.phones.asked)
	}
}

func TestPhonesEraseForm(t *testing.T) {
	w := newWhole(t)
	id := w.client("shop", "")
	unkept := aPhone(id, "phone-number-live-abcd")
	unkept.PhoneMask = ""
	for _, c := range []struct {
		phone          console.PhoneView
		confirm, wrong string
	}{
		{aPhone(id, "phone-number-live-1"), "0000", "0001"},
		{unkept, "abcd", ""},
	} {
		w.phones.found, w.phones.asked = []console.PhoneView{c.phone}, nil
		page := w.post("/phones", url.Values{"phone": {c.phone.PhoneID}})
		form := formOf(t, page.body, "/phones/erase")
		form.Set("confirm", c.wrong)
		got := w.post("/phones/erase", form)
		if got.status != 400 || !strings.Contains(got.body, "Nothing was erased") || !strings.Contains(got.body, `<details class="confirm" open>`) {
			t.Errorf("%d %s", got.status, got.body)
		}
		w.checkPage("/phones/erase", got, false)
		form.Set("confirm", " "+c.confirm)
		got = w.post("/phones/erase", form)
		if got.status != 200 || !strings.Contains(got.body, "The phone is erased") || !strings.Contains(got.body, "<dt>Messages</dt><dd>3</dd>") || !strings.Contains(got.body, "the opt-out</span>") {
			t.Errorf("%d %s", got.status, got.body)
		}
		w.checkPage("/phones/erase", got, true)
		if last := w.phones.asked[len(w.phones.asked)-1]; len(w.phones.asked) != 3 || last != "erase token "+id+" "+c.phone.PhoneID {
			t.Errorf("asked %q", w.phones.asked)
		}
	}
	for _, form := range []url.Values{{}, {"confirm": {""}, "ending": {""}}} {
		w.phones.asked = nil
		if got := w.post("/phones/erase", form); got.status != 400 || len(w.phones.asked) != 1 || !strings.HasPrefix(w.phones.asked[0], "find ") {
			t.Errorf("%v: %d, asked %q", form, got.status, w.phones.asked)
		}
	}
	for _, c := range []struct {
		err    error
		status int
	}{{console.ErrNoPhone, 404}, {console.ErrNoClient, 404}, {fault.New(fault.Unavailable, "secret"), 503}} {
		w.phones.err = c.err
		got := w.post("/phones/erase", url.Values{"confirm": {"0000"}, "ending": {"0000"}, "phone": {"x"}, "client": {id}})
		if got.status != c.status || strings.Contains(got.body, "is erased") || strings.Contains(got.body, "secret") {
			t.Errorf("%v: %d %s", c.err, got.status, got.body)
		}
		w.checkPage("/phones/erase", got, false)
	}
}

// TestPhonesByRole: viewers look nothing up, and operators are shown nothing that admins
// alone may do.
func TestPhonesByRole(t *testing.T) {
	s := newSSO(t, nil)
	id := s.client("shop", "")
	s.fill(id, 1, "main")
	message := "/messages/" + messageID.String()
	for role, group := range map[login.Role]string{login.Viewer: "sms-viewers", login.Operator: "sms-operators", login.Admin: "sms-admins"} {
		b := s.enter(group)
		s.phones.asked = nil
		got := s.do(b, "POST", "/phones", url.Values{"phone": {"phone-number-live-0"}, "client": {id}})
		if allowed := role >= login.Operator; allowed != (got.status == 200) || allowed != (len(s.phones.asked) == 1) {
			t.Errorf("%s: %d, asked %q", role, got.status, s.phones.asked)
		}
		if admin := role == login.Admin; strings.Contains(got.body, "/phones/erase") != admin || strings.Contains(got.body, "/export?") != admin {
			t.Errorf("%s: %s", role, got.body)
		}
		shown := s.do(b, "GET", message, nil).body
		if strings.Contains(shown, `href="/phones"`) != (role >= login.Operator) || strings.Contains(shown, `action="/phones"`) != (role >= login.Operator) {
			t.Errorf("%s: the message's page says otherwise", role)
		}
	}
}

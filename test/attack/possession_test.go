package attack_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"codeword/api"
	"codeword/test/testserver"
)

func TestReplay(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Live)
	to := number(1)
	id, code := c.mustStart(to)
	token := c.mustAuthenticate(id, code)
	tries := []answer{
		c.authenticate(id, code),
		c.authenticate(id, code, bearer(token)),
	}
	s.Kill()
	s.Restart()
	c = callAs(t, s.Endpoint, s.Live)
	tries = append(tries, c.authenticate(id, code))
	// A new challenge has a code of its own: the old one is one guess in a million.
	c.mustSend(to)
	fresh := s.Code(to)
	if fresh != code {
		tries = append(tries, c.authenticate(id, code))
	}
	got := tally(tries)
	report(t, "replay", "a used code again: at once, with its session, after SIGKILL and restart, on a new challenge", "%v", got)
	if got["401 INVALID_OTP"] != len(tries) {
		t.Errorf("a used code got %v", got)
	}
}

func TestForeignCode(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	second := s.CreateClient("second", true, "")
	c, other := callAs(t, s.Endpoint, s.Live), callAs(t, s.Endpoint, second)
	a, b := number(1), number(2)
	idA, codeA := c.mustStart(a)
	idB, codeB := c.mustStart(b)
	idOther := other.mustSend(a)
	codeOther := s.Code(a)
	if codeA == codeB || codeA == codeOther { // once in half a million
		t.Skip("two challenges have the same code")
	}
	tries := map[string]answer{
		"code of another phone":             c.authenticate(idA, codeB),
		"code of another client":            c.authenticate(idA, codeOther),
		"another client's id and code":      c.authenticate(idOther, codeOther),
		"own code through another client":   other.authenticate(idA, codeA),
		"own code at another client's id":   other.authenticate(idOther, codeA),
		"own code through a test client":    callAs(t, s.Endpoint, s.Test).authenticate(idA, codeA),
		"own code, id rewritten as test id": callAs(t, s.Endpoint, s.Test).authenticate("phone-number-test-"+idA[len("phone-number-live-"):], codeA),
	}
	won := 0
	for name, got := range tries {
		if !got.is(http.StatusUnauthorized, api.CodeInvalidOTP) {
			won++
			t.Errorf("%s: %s", name, got)
		}
	}
	report(t, "foreign-code", "right codes at the wrong phone or client", "%d of %d accepted", won, len(tries))
	if idA == idOther {
		t.Error("two clients share a phone id")
	}
	c.mustAuthenticate(idB, codeB)
	other.mustAuthenticate(idOther, codeOther)
}

func TestForeignSession(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Test)
	a, b := number(1), number(2)
	own, foreign := c.mustSignIn(a), c.mustSignIn(b)
	id, code := c.mustStart(a, bearer(own))
	tries := map[string]answer{
		"no session":        c.authenticate(id, code),
		"another session":   c.authenticate(id, code, bearer(foreign)),
		"a forged session":  c.authenticate(id, code, bearer(own[:len(own)-4]+"AAAA")),
		"a session, basic":  c.authenticate(id, code, header{"Authorization", "Basic " + own}),
		"two sessions":      c.authenticate(id, code, bearer(foreign), bearer(own)),
		"two sessions back": c.authenticate(id, code, bearer(own), bearer(foreign)),
	}
	won := 0
	for name, got := range tries {
		if got.status != http.StatusUnauthorized {
			won++
			t.Errorf("%s: %s", name, got)
		}
	}
	report(t, "foreign-session", "the right code of a challenge that is bound to another session", "%d of %d accepted", won, len(tries))
	upgraded := c.mustAuthenticate(id, code, bearer(own))
	before, after := claims(t, own), claims(t, upgraded)
	if before["sid"] != after["sid"] || before["sub"] != after["sub"] {
		t.Error("the session that owns the challenge was not upgraded in place")
	}
}

func TestOneFactorTwice(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Test)
	token := c.mustSignIn(number(1))
	methods := func(token string) []string {
		var doc api.Session
		if err := json.Unmarshal(c.session(token).body, &doc); err != nil {
			t.Fatal(err)
		}
		return doc.AMR
	}
	for range 3 {
		token = c.mustSignIn(number(1), bearer(token))
	}
	amr := methods(token)
	report(t, "one-factor-twice", "an SMS session verified by SMS three times more", "amr %v", amr)
	if slices.Contains(amr, "mfa") || !slices.Contains(amr, "sms") {
		t.Errorf("amr %v", amr)
	}
	if got, ok := claims(t, token)["amr"].([]any); !ok || slices.Contains(got, any("mfa")) {
		t.Errorf("amr claim %v", got)
	}
}

func TestStepUpWithForeignPhone(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	idp := newIssuer(t)
	cred := s.CreateClient("stepup", false, idp.settings())
	c := callAs(t, s.Endpoint, cred)
	mine, yours := number(1), number(2)
	victim := c.mustSignIn(yours)
	token := c.mustSignIn(mine)

	// A session whose user has another phone.
	id, code := c.mustStart(yours, bearer(token))
	unproved := c.authenticate(id, wrong(code, 0), bearer(token))
	mismatch := c.authenticate(id, code, bearer(token))

	// A user of a trusted issuer who has no phone yet takes somebody's.
	stranger := idp.token(t, "mallory", nil)
	id, code = c.mustStart(yours, bearer(stranger))
	unproved2 := c.authenticate(id, wrong(code, 0), bearer(stranger))
	taken := c.authenticate(id, code, bearer(stranger))
	replay := c.authenticate(id, code, bearer(stranger))

	report(t, "step-up-with-foreign-phone", "another user's phone with the right code, from an own session and from a trusted issuer's",
		"%s and %s; with a wrong code %s and %s", mismatch, taken, unproved, unproved2)
	if !mismatch.is(http.StatusBadRequest, api.CodeMismatchPhone) {
		t.Errorf("own session: %s", mismatch)
	}
	if !taken.is(http.StatusBadRequest, api.CodeAlreadyExistsPhone) {
		t.Errorf("trusted issuer: %s", taken)
	}
	for _, a := range []answer{unproved, unproved2, replay} {
		if !a.is(http.StatusUnauthorized, api.CodeInvalidOTP) {
			t.Errorf("without proof of possession: %s", a)
		}
	}
	// Nothing changed hands.
	if got := c.mustSignIn(yours); claims(t, got)["sub"] != claims(t, victim)["sub"] {
		t.Error("the phone changed its user")
	}
	if got := c.mustSignIn(number(3), bearer(stranger)); claims(t, got)["sub"] == claims(t, victim)["sub"] {
		t.Error("the stranger became the phone's user")
	}
}

// TestReadsDoNotConsume: link scanners and prefetchers read, they do not post.
func TestReadsDoNotConsume(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Live)
	id, code := c.mustStart(number(1))
	body := encode(api.AuthenticateSmsOtpRequest{PhoneID: id, OTP: code})
	query := "?phoneId=" + id + "&otp=" + code
	var tries []answer
	for _, method := range []string{
		http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, "PROPFIND", "post",
	} {
		for _, suffix := range []string{"", query} {
			extra := []header{{"X-HTTP-Method-Override", "POST"}, {"X-Method-Override", "POST"}}
			a := c.do(method, api.PathAuthenticate+suffix, body, extra...)
			if a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != http.MethodPost {
				t.Errorf("%s: %s, Allow %q", method, a, a.header.Get("Allow"))
			}
			tries = append(tries, a)
		}
	}
	tries = append(tries, c.do(http.MethodPost, api.PathAuthenticate+query, ""))
	after := c.authenticate(id, code)
	report(t, "reads-consume", "the right code by GET, HEAD and six other methods, in body, query and with method overrides",
		"%d of %d consumed it, then POST got %s", tally(tries)["200"], len(tries), after)
	if after.status != http.StatusOK {
		t.Errorf("POST after all that: %s", after)
	}
}

// TestMagicIsForTest: what is fixed for a test client is nothing on a live one.
func TestMagicIsForTest(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	live := callAs(t, s.Endpoint, s.Live)
	const sampleID, sampleCode = "phone-number-test-01234abc-0000-0000-0000-0123456789", "123456"
	if id := callAs(t, s.Endpoint, s.Test).mustSend("+14165551234"); id != sampleID {
		t.Fatalf("the documented number has id %q", id)
	}
	wantCountry := live.send("+14165551234")
	if !wantCountry.is(http.StatusBadRequest, api.CodeInvalidPhoneCountryCode) {
		t.Errorf("the documented number on a live client: %s", wantCountry)
	}
	accepted := 0
	for _, to := range []string{
		"+15005550001", "+15005550002", "+15005550003", "+15005550004", "+15005550005", "+15005550006", "+15005550007",
	} {
		if a := live.send(to); !a.is(http.StatusBadRequest, api.CodeInvalidPhoneType) {
			accepted++
			t.Errorf("%s on a live client: %s", to, a)
		}
	}
	id := live.mustSend(number(1))
	for _, guess := range []string{sampleID, "phone-number-live-01234abc-0000-0000-0000-0123456789", id} {
		if a := live.authenticate(guess, sampleCode); a.status != http.StatusUnauthorized {
			accepted++ // one in a million by right
			t.Errorf("the documented code on a live client: %s", a)
		}
	}
	// Nor does it open another number of the test client.
	test := callAs(t, s.Endpoint, s.Test)
	if id, code := test.mustStart(number(2)); code != sampleCode {
		if a := test.authenticate(id, sampleCode); a.status != http.StatusUnauthorized {
			accepted++
			t.Errorf("the documented code at another number: %s", a)
		}
	}
	report(t, "magic-on-live", "the documented and the seven magic numbers, id and code against a live client", "%d of 12 accepted", accepted)
}

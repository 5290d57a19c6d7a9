package attack_test

import (
	"net/http"
	"testing"

	"codeword/api"
	"codeword/test/testserver"
)

// maxAttempts is how many guesses a challenge takes by default.
const maxAttempts = 5

func TestParallelWrong(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Live)
	id, code := c.mustStart(number(1))
	answers := atOnce(200, func(i int) answer { return c.authenticate(id, wrong(code, i)) })
	retryable := 0
	for _, a := range answers {
		if !a.is(http.StatusUnauthorized, api.CodeInvalidOTP) {
			t.Fatalf("a wrong guess got %s", a)
		}
		if a.retryable() {
			retryable++
		}
	}
	// The last guess that is compared is told that there are no more.
	after := c.authenticate(id, code)
	report(t, "parallel-wrong", "200 wrong guesses at once, then the right code",
		"%d compared, the right code got %s", retryable+1, after)
	if retryable != maxAttempts-1 {
		t.Errorf("%d guesses were told that the challenge takes more, want %d", retryable, maxAttempts-1)
	}
	if !after.is(http.StatusUnauthorized, api.CodeInvalidOTP) || after.retryable() {
		t.Errorf("the right code after 200 wrong ones got %s", after)
	}
}

// TestParallelLucky measures what the lockout is for: 200 different guesses, the
// right one among them, win no more often than 5 guesses would.
func TestParallelLucky(t *testing.T) {
	t.Parallel()
	const phones, guesses = 12, 200
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Live)
	won := 0
	for p := range phones {
		id, code := c.mustStart(number(p))
		right := guesses/4 + p*guesses/(2*phones) // somewhere in the middle
		answers := atOnce(guesses, func(i int) answer {
			if i == right {
				return c.authenticate(id, code)
			}
			return c.authenticate(id, wrong(code, i))
		})
		won += tally(answers)["200"]
	}
	report(t, "parallel-lucky", "the right code hidden among 200 guesses at once, on 12 phones",
		"%d of %d won (a server without lockout loses all)", won, phones)
	// 5 of 200 each: more than 6 of 12 happens once in 10^9.
	if won > 6 {
		t.Errorf("%d of %d phones were taken", won, phones)
	}
}

func TestParallelRight(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	for name, cred := range map[string]testserver.Credentials{"test": s.Test, "live": s.Live} {
		c := callAs(t, s.Endpoint, cred)
		to := map[string]string{"test": number(1), "live": number(2)}[name]
		id, code := c.mustStart(to)
		got := tally(atOnce(100, func(int) answer { return c.authenticate(id, code) }))
		report(t, "parallel-right", "100 callers present the right code at once ("+name+" client)", "%d success, %v", got["200"], got)
		if got["200"] != 1 || got["401 INVALID_OTP"] != 99 {
			t.Errorf("%s: %v, want one success and 99 refusals", name, got)
		}
	}
}

func TestResendKeepsAttempts(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Live)
	to := number(1)
	id, code := c.mustStart(to)
	compared := 0
	for i := range 3 {
		compared++
		if a := c.authenticate(id, wrong(code, i)); !a.retryable() {
			t.Fatalf("guess %d got %s", i+1, a)
		}
	}
	if again := c.mustSend(to); again != id || s.Code(to) != code {
		t.Error("a resend changed the id or the code")
	}
	for compared < 50 {
		compared++
		if a := c.authenticate(id, wrong(code, compared)); !a.retryable() {
			break
		}
	}
	after := c.authenticate(id, code)
	report(t, "resend-resets-guesses", "3 wrong guesses, a resend, more guesses", "%d compared in all, the right code then got %s", compared, after)
	if compared != maxAttempts || after.status != http.StatusUnauthorized {
		t.Errorf("%d guesses compared over a resend, want %d; then %s", compared, maxAttempts, after)
	}
}

func TestRefusedResend(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Live)
	to := number(1)
	id, code := c.mustStart(to)
	c.mustSend(to, idempotency("key-1"))
	c.mustSend(to)
	refused := []answer{
		c.send(to),
		c.send(to, idempotency("key-2")),
		c.do(http.MethodPost, api.PathSend, `{"phoneNumber": 1}`),
		c.do(http.MethodPost, api.PathSend, encode(api.SendSmsOtpRequest{PhoneNumber: number(2)}), idempotency("key-1")),
		c.send(to, bearer("x.y.z")),
	}
	for _, a := range refused {
		if a.status < 400 {
			t.Errorf("a send that should be refused got %s", a)
		}
	}
	after := c.authenticate(id, code)
	report(t, "refused-resend-kills-code", "five refused resends, then the code that was delivered", "%v; the code got %s", tally(refused), after)
	if after.status != http.StatusOK {
		t.Errorf("the delivered code got %s", after)
	}
}

// TestWrongCodeIsOneAnswer: wrong, expired, used, locked and unknown are told
// apart by data.retryable alone.
func TestWrongCodeIsOneAnswer(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Test)
	answers := make(map[string]answer)

	id, code := c.mustStart(number(1))
	answers["wrong"] = c.authenticate(id, wrong(code, 0))
	c.mustAuthenticate(id, code)
	answers["used"] = c.authenticate(id, code)
	locked, code := c.mustStart(number(2))
	for i := range maxAttempts {
		answers["last wrong"] = c.authenticate(locked, wrong(code, i))
	}
	answers["locked"] = c.authenticate(locked, code)
	expired, code := c.mustStart("+15005550007")
	answers["expired"] = c.authenticate(expired, code)
	answers["unknown id"] = c.authenticate("phone-number-test-00000000-0000-4000-8000-000000000000", "123456")
	answers["not an id"] = c.authenticate("x", "123456")
	answers["live id"] = c.authenticate("phone-number-live-00000000-0000-4000-8000-000000000000", "123456")
	answers["other client's id"] = c.authenticate(callAs(t, s.Endpoint, s.Live).mustSend(number(3)), "123456")

	want := comparable401(answers["locked"])
	different := 0
	for name, a := range answers {
		if !a.is(http.StatusUnauthorized, api.CodeInvalidOTP) {
			t.Errorf("%s got %s", name, a)
		}
		if a.retryable() != (name == "wrong") {
			t.Errorf("%s: retryable %v", name, a.retryable())
		}
		if got := comparable401(a); got != want {
			different++
			t.Errorf("%s differs:\n%s\nwant\n%s", name, got, want)
		}
	}
	report(t, "telling-401s-apart", "wrong, last wrong, used, locked, expired, unknown and foreign codes compared in body and headers",
		"%d of %d differ but for data.retryable", different, len(answers))
}

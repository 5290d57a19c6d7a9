package attack_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strconv"
	"testing"
	"time"

	"codeword/api"
	"codeword/internal/app"
	"codeword/internal/clocktest"
	"codeword/internal/waittest"
	"codeword/test/testserver"
)

// clock is one that a server lives by.
type clock struct {
	*clocktest.Clock

	t *testing.T
	e *testserver.Endpoint
}

// Advance moves the clock once all messages have left: one that were still queued would
// have waited for all that time, and the server refuse sends for it.
func (c clock) Advance(d time.Duration) {
	c.t.Helper()
	waittest.Until(c.t, "no message is queued", func() bool {
		return bytes.Contains(c.e.Admin("/admin/v1/messages?status=queued&limit=1"), []byte(`"messages":[]`))
	})
	c.Clock.Advance(d)
}

// simulate starts a server in this process that lives by the clock.
func simulate(t *testing.T) (*testserver.Endpoint, clock) {
	t.Helper()
	now := clocktest.At(time.Now().Truncate(time.Second))
	d, err := app.StartDev(t.Context(), app.DevConfig{
		Data: t.TempDir(), Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0",
		Now: now.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	e := testserver.NewEndpoint(
		t, d.URL, d.AdminURL, d.AdminToken,
		testserver.Credentials{ID: d.TestClientID, Secret: d.TestClientSecret},
		testserver.Credentials{ID: d.LiveClientID, Secret: d.LiveClientSecret},
	)
	return e, clock{now, t, e}
}

// wait is what a 429 asks for.
func wait(t *testing.T, a answer) time.Duration {
	t.Helper()
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	if a.status != http.StatusTooManyRequests || err != nil || seconds < 1 {
		t.Fatalf("%s with Retry-After %q", a, a.header.Get("Retry-After"))
	}
	return time.Duration(seconds) * time.Second
}

// TestGuessBudgetOfADay sends anew whenever it may and guesses whenever it may,
// for three days.
func TestGuessBudgetOfADay(t *testing.T) {
	t.Parallel()
	const budget, day = 15, 24 * time.Hour
	e, now := simulate(t)
	c := callAs(t, e, e.Live)
	to := number(1)
	var guesses []time.Time
	begin := now.Now()
	sends := 0
	for calls := 0; now.Now().Sub(begin) < 3*day; calls++ {
		if calls > 1000 {
			t.Fatal("1000 calls in three days do not end")
		}
		a := c.send(to)
		if a.status != http.StatusOK {
			now.Advance(wait(t, a))
			continue
		}
		sends++
		code := e.Code(to)
		for {
			a := c.authenticate(a.ok.PhoneID, wrong(code, len(guesses)))
			if a.status == http.StatusTooManyRequests {
				if !a.is(http.StatusTooManyRequests, api.CodeExceedsLimitOTP) {
					t.Errorf("beyond the budget: %s", a)
				}
				now.Advance(wait(t, a))
				break
			}
			guesses = append(guesses, now.Now())
			if !a.retryable() {
				break
			}
		}
	}
	most := 0
	for i := range guesses {
		n := 0
		for _, g := range guesses[i:] {
			if g.Sub(guesses[i]) < day {
				n++
			}
		}
		most = max(most, n)
	}
	report(t, "guess-budget", "sending anew and guessing whenever allowed, for three simulated days",
		"%d sends, %d guesses compared, at most %d in any 24 h (1 in %d)", sends, len(guesses), most, 1_000_000/max(most, 1))
	if most > budget {
		t.Errorf("%d guesses within 24 h, want at most %d", most, budget)
	}
	if most < budget-maxAttempts {
		t.Errorf("only %d guesses within 24 h: the attack did not do its work", most)
	}
}

func TestCodeLifetime(t *testing.T) {
	t.Parallel()
	const lifetime = 10 * time.Minute
	e, now := simulate(t)
	c := callAs(t, e, e.Live)
	got := make(map[string]answer)
	at := func(name string, n int, resendAt, end time.Duration) {
		id, code := c.mustStart(number(n))
		begin := now.Now()
		if resendAt > 0 {
			now.Advance(resendAt)
			c.mustSend(number(n))
		}
		now.Advance(begin.Add(end).Sub(now.Now()))
		got[name] = c.authenticate(id, code)
	}
	at("-1s", 1, 0, lifetime-time.Second)
	at("0", 2, 0, lifetime)
	at("+1s", 3, 0, lifetime+time.Second)
	at("+1s, resent at 9m", 4, 9*time.Minute, lifetime+time.Second)
	report(t, "code-lifetime", "the right code at its end -1 s, at it, +1 s, and +1 s when it was sent again", "%v", got)
	for name, a := range got {
		if name == "-1s" {
			if a.status != http.StatusOK {
				t.Errorf("%s: %s", name, a)
			}
		} else if !a.is(http.StatusUnauthorized, api.CodeInvalidOTP) || a.retryable() {
			t.Errorf("%s: %s", name, a)
		}
	}
}

// TestTenADay sends as soon as it may for two days, and each time tries one
// second before the time it was told.
func TestTenADay(t *testing.T) {
	t.Parallel()
	const perDay, day = 10, 24 * time.Hour
	e, now := simulate(t)
	c := callAs(t, e, e.Live)
	to := number(1)
	var sent []time.Time
	tooEarly, tooLate, waits := 0, 0, 0
	begin := now.Now()
	for calls := 0; now.Now().Sub(begin) < 2*day; calls++ {
		if calls > 1000 {
			t.Fatal("1000 sends in two days do not end")
		}
		a := c.send(to)
		if a.status == http.StatusOK {
			sent = append(sent, now.Now())
			now.Advance(300 * time.Millisecond) // so that waits are not whole seconds
			continue
		}
		waits++
		now.Advance(wait(t, a) - time.Second)
		if a := c.send(to); a.status == http.StatusOK {
			tooEarly++
			sent = append(sent, now.Now())
		}
		now.Advance(time.Second)
		if a := c.send(to); a.status == http.StatusOK {
			sent = append(sent, now.Now())
		} else {
			tooLate++
		}
	}
	most := 0
	for i := range sent {
		n := 0
		for _, s := range sent[i:] {
			if s.Sub(sent[i]) < day {
				n++
			}
		}
		most = max(most, n)
	}
	report(t, "ten-a-day", "sending to one phone whenever allowed for two simulated days, and one second early",
		"at most %d in any 24 h; of %d waits %d were too long, %d too short", most, waits, tooEarly, tooLate)
	if most != perDay || tooEarly != 0 || tooLate != 0 || waits < perDay {
		t.Errorf("%d in 24 h, want %d; Retry-After too long %d times, too short %d times of %d", most, perDay, tooEarly, tooLate, waits)
	}
}

// TestRetryAfterIsExact does the same for the limits of wrong codes and of end
// users' addresses.
func TestRetryAfterIsExact(t *testing.T) {
	t.Parallel()
	e, now := simulate(t)
	c := callAs(t, e, e.Live)
	check := func(name string, refused answer, again func() answer) time.Duration {
		d := wait(t, refused)
		now.Advance(d - time.Second)
		if a := again(); a.status != http.StatusTooManyRequests {
			t.Errorf("%s: a second before the time told: %s", name, a)
		}
		now.Advance(time.Second)
		if a := again(); a.status == http.StatusTooManyRequests {
			t.Errorf("%s: at the time told: %s", name, a)
		}
		return d
	}
	to := number(1)
	for range 3 {
		id, code := c.mustStart(to)
		for i := range maxAttempts {
			c.authenticate(id, wrong(code, i))
		}
		now.Advance(1700 * time.Millisecond)
	}
	byCode := check("wrong codes", c.send(to), func() answer { return c.send(to) })
	n := 100
	send := func() answer { n++; return c.send(number(n), fingerprintIP("192.0.2.1")) }
	for range addressBurst {
		send()
		now.Advance(130 * time.Millisecond)
	}
	byAddress := check("address", send(), send)
	report(t, "retry-after", "the call again one second before Retry-After and at it, for wrong codes and end users' addresses",
		"exact, after %s and %s", byCode, byAddress)
}

// TestExpiredSession: a token and the session behind it end on time.
func TestExpiredSession(t *testing.T) {
	t.Parallel()
	e, now := simulate(t)
	c := callAs(t, e, e.Test)
	token := c.mustSignIn(number(1))
	id, code := c.mustStart(number(1), bearer(token))
	now.Advance(5*time.Minute - time.Second)
	before := c.session(token)
	fresh := before.header.Get(api.HeaderAuthenticationRefresh)
	now.Advance(time.Second)
	after := c.session(token)
	used := c.authenticate(id, code, bearer(token))
	refreshed := c.session(fresh)
	now.Advance(11 * time.Minute)
	idle := c.session(fresh)
	report(t, "expired-token", "a token at its end -1 s and at it, to read and to step up; the refreshed one after the session idled",
		"%s, %s, %s; refreshed %s, idle %s", before, after, used, refreshed, idle)
	if before.status != http.StatusOK || refreshed.status != http.StatusOK || fresh == "" {
		t.Errorf("a live token got %s, its refreshed one %s", before, refreshed)
	}
	for _, a := range []answer{after, used, idle} {
		if a.status != http.StatusUnauthorized {
			t.Errorf("an expired token got %s", a)
		}
	}
	if !after.is(http.StatusUnauthorized, api.CodeExpiredAuthorization) {
		t.Errorf("an expired token got %s", after)
	}
}

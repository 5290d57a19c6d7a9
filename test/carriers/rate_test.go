package carriers_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"codeword/api"
	"codeword/client"
	"codeword/internal/waittest"
	"codeword/test/testserver"
)

// TestRate: a route's rate holds over each second, and another route of the same
// priority takes what is over.
func TestRate(t *testing.T) {
	t.Parallel()
	waittest.Chances(t, func() string { return keepsRate(t) })
}

func keepsRate(t *testing.T) (late string) {
	t.Helper()
	const (
		rate  = 50.0
		span  = 4 * time.Second
		slack = 0.1
	)
	paced, free := startSMSC(t, nil), startSMSC(t, nil)
	s := start(t, paced.route("paced", 1, "rate: 50,", "")+free.route("free", 1, "", ""), "--log-level", "warn")
	only := s.CreateClient("only the paced one", true, `{"routes": ["paced"], "fraudGuard": "off"}`)

	// A client with nowhere else to go has more to send than the route takes.
	alone := s.StartLoad(only, callers, 100)
	waittest.Until(t, "the first message", func() bool { return len(paced.messages()) > 0 })
	time.Sleep(span) // the measurement
	sends := alone.Stop()
	got := paced.messages()
	measured := 0
	for _, a := range got {
		if a.at.Sub(got[0].at) < span {
			measured++
		}
	}
	if want := rate * span.Seconds(); float64(measured) < want*(1-slack) || float64(measured) > want*(1+slack) {
		return fmt.Sprintf("%d messages in %v, want %.0f", measured, span, want)
	}
	if most, ok := steady(got, rate); !ok {
		return fmt.Sprintf("%d messages within a second", most)
	}
	if len(free.messages()) > 0 {
		t.Errorf("%d messages over a route that the client may not use", len(free.messages()))
	}
	waittest.Until(t, "the backlog leaves", func() bool { return len(paced.messages()) >= len(sends) })

	// One that may use both waits for neither.
	before := len(paced.messages())
	both := s.StartLoad(s.Live, callers, 200)
	time.Sleep(span / 2) // the measurement
	sends = both.Stop()
	phones := func() map[string][]arrival { return byNumber(paced.messages()[before:], free.messages()) }
	waittest.Until(t, "all messages arrive", func() bool { return len(phones()) >= len(sends) })
	var worst time.Duration
	for number, accepted := range sends {
		worst = max(worst, phones()[number][0].at.Sub(accepted))
	}
	t.Logf("alone %d messages in %v; together %d over the paced route, %d over the other, the last after %v",
		measured, span, len(paced.messages())-before, len(free.messages()), worst.Round(time.Millisecond))
	if worst > time.Second {
		return fmt.Sprintf("a message waited %v although a route was free", worst)
	}
	if n := len(paced.messages()) - before; n == 0 || float64(n) > rate*(1+slack)*(span/2+worst).Seconds() {
		return fmt.Sprintf("%d messages over the paced route", n)
	}
	if most, ok := steady(paced.messages()[before:], rate); !ok {
		return fmt.Sprintf("%d messages within a second", most)
	}
	return ""
}

// steady tells the most arrivals of any second, and whether that is no more than the
// rate allows. A busy machine delays some, which then come with the next ones.
func steady(got []arrival, rate float64) (most int, ok bool) {
	const late = 200 * time.Millisecond
	from := 0
	for i := range got {
		for got[i].at.Sub(got[from].at) >= time.Second {
			from++
		}
		most = max(most, i-from+1)
	}
	return most, float64(most) <= rate*(time.Second+late).Seconds()+1
}

// TestQueueTooOld: a client whose route cannot keep up is refused with 503 until
// its oldest message is young again; others are not.
func TestQueueTooOld(t *testing.T) {
	t.Parallel()
	slow, free := startSMSC(t, nil), startSMSC(t, nil)
	s := start(t, slow.route("slow", 1, "rate: 40,", "")+free.route("free", 1, "", ""), "--log-level", "warn", "--max-queue-age", "1s")
	only := s.Client(s.CreateClient("only the slow one", true, `{"routes": ["slow"], "fraudGuard": "off"}`))
	accepted, next := 0, 0
	send := func(c *client.Client) error {
		next++
		_, err := c.Send(t.Context(), testserver.Number(next))
		if err == nil {
			accepted++
		}
		return err
	}
	var refusal error
	waittest.Until(t, "refused", func() bool { refusal = send(only); return refusal != nil })
	var answer *client.Error
	if !errors.Is(refusal, api.CodeUnavailable) || !errors.As(refusal, &answer) || answer.RetryAfter < time.Second {
		t.Fatalf("refused with %v", refusal)
	}
	if err := send(s.live()); err != nil {
		t.Errorf("a client with a free route: %v", err)
	}
	waittest.Until(t, "accepted again", func() bool { return send(only) == nil })
	waittest.Until(t, "all that was accepted arrives", func() bool {
		return len(byNumber(slow.messages(), free.messages())) == accepted
	})
	t.Logf("refused after %d messages over a route of 40/s", accepted)
}

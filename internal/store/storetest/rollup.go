package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"codeword/internal/rollup"
	"codeword/internal/store"
)

func rollupChecks() []check {
	return []check{
		{name: "nothing was counted", run: rollupEmpty, alone: true},
		{name: "what each step of a message counts", run: rollupSteps, alone: true},
		{name: "what ended without a carrier", run: rollupEnds, alone: true},
		{name: "by hour, day and client", run: rollupSpans, alone: true},
		{name: "reading ends where its caller fails", run: rollupStops, alone: true},
		{name: "entries are added up a few at a time, each once", run: rollupSlices, alone: true},
		{name: "two that add up at once count once", run: rollupRace, alone: true},
		{name: "any history counts what the log says", run: rollupAgrees, alone: true},
		{name: "hours go before days, days in their time", run: rollupSwept, alone: true},
		{name: "what was counted is there after a reopen", run: rollupReopened, alone: true, needs: Durable},
	}
}

// fold adds up everything that is there.
func (s *suite) fold(t tb) {
	t.Helper()
	for {
		n, err := s.FoldRollups(context.Background(), 100)
		ok(t, "FoldRollups", err)
		if n == 0 {
			return
		}
	}
}

// counted sums up rollups.
func (s *suite) counted(t tb, f rollup.Filter, q store.RollupQuery) *rollup.Summary {
	t.Helper()
	if q.Span == 0 {
		q.Span = rollup.Hourly
	}
	if q.Until.IsZero() {
		q.From, q.Until = at(-1000*day), at(1000*day)
	}
	sum := rollup.NewSummary(f, rollup.Hourly)
	ok(t, "Rollups", s.Rollups(context.Background(), q, func(r *store.Rollup) error {
		if r.Span != q.Span || r.Start.Before(q.From) || !r.Start.Before(q.Until) || !r.Start.Equal(r.Start.Truncate(r.Span)) {
			t.Errorf("asked for %+v, got one of %v from %v", q, r.Span, r.Start)
		}
		return sum.Add(r.Client, r.Start, r.Body)
	}))
	return sum
}

// total is what was counted of everything; the same by hours and by days.
func (s *suite) total(t tb, want rollup.Counts) *rollup.Summary {
	t.Helper()
	s.fold(t)
	sum := s.counted(t, rollup.Filter{}, store.RollupQuery{})
	if sum.Total.Counts != want {
		t.Errorf("counted %+v, want %+v", sum.Total.Counts, want)
	}
	if days := s.counted(t, rollup.Filter{}, store.RollupQuery{Span: rollup.Daily}); days.Total.Counts != want {
		t.Errorf("counted %+v by days, want %+v", days.Total.Counts, want)
	}
	return sum
}

func rollupEmpty(t *testing.T, s *suite) {
	s.queue(t, at(0)) // nobody has it yet
	if n, err := s.FoldRollups(t.Context(), 10); n != 0 || err != nil {
		t.Errorf("added up %d of nothing: %v", n, err)
	}
	s.total(t, rollup.Counts{})
}

func rollupSteps(t *testing.T, s *suite) {
	m := s.queue(t, at(0))
	claimed := s.claimOne(t, at(0))
	refused, taken := dispatch("a", "", store.MessageQueued), dispatch("b", "ref", store.MessageSent)
	refused.Error = "throttled"
	o := outcome(claimed, taken)
	o.Area, o.Dispatches = 212, append([]store.Dispatch{refused}, o.Dispatches...)
	o.RetryAt = at(time.Minute)
	s.record(t, at(time.Second), 1, o)
	s.record(t, at(time.Second), 0, o) // its claim has ended
	want := rollup.Counts{Messages: 1, Sent: 1, Micros: 7900}
	s.total(t, want)

	// Nothing was heard of it, and another route gets it, too.
	claimed = s.claimOne(t, at(time.Minute))
	if claimed.Area != 212 {
		t.Errorf("the area code is %d", claimed.Area)
	}
	again := outcome(claimed, dispatch("c", "ref", store.MessageUnknown))
	again.Dispatches[0].Error = "timeout"
	s.record(t, at(time.Minute), 1, again) // tells no area
	want.Sent, want.Micros = 2, 15800
	s.total(t, want)

	failed := retry(of(again.Dispatches[0], store.ReceiptFailed))
	failed.Retry = false
	s.apply(t, at(2*time.Minute), failed, store.ReceiptChanged, m.ID)
	s.apply(t, at(2*time.Minute), failed, store.ReceiptDuplicate, m.ID)
	want.Failed = 1
	s.total(t, want)
	arrived := of(taken, store.ReceiptDelivered)
	s.apply(t, at(4*time.Minute), arrived, store.ReceiptChanged, m.ID)
	s.apply(t, at(5*time.Minute), arrived, store.ReceiptDuplicate, m.ID)
	s.apply(t, at(5*time.Minute), of(again.Dispatches[0], store.ReceiptDelivered), store.ReceiptNoted, m.ID)
	want.Failed, want.Delivered = 0, 1
	s.total(t, want)
	for range 2 {
		_, err := s.RecordVerified(t.Context(), at(8*time.Minute), []store.PhoneID{m.Phone})
		ok(t, "RecordVerified", err)
	}
	want.Verified = 1
	stepsByRoute(t, s.total(t, want), want)
}

func stepsByRoute(t *testing.T, sum *rollup.Summary, want rollup.Counts) {
	t.Helper()
	routes := map[string]rollup.Counts{}
	for name, tally := range sum.Routes {
		routes[name] = tally.Counts
	}
	wantRoutes := map[string]rollup.Counts{
		"a": {}, "b": {Messages: 1, Sent: 1, Delivered: 1, Micros: 7900}, "c": {Sent: 1, Verified: 1, Micros: 7900},
	}
	if !reflect.DeepEqual(routes, wantRoutes) {
		t.Errorf("routes %+v\nwant %+v", routes, wantRoutes)
	}
	failures := map[rollup.Failure]int64{{Route: "a", Reason: "throttled"}: 1, {Route: "c", Reason: "timeout"}: 1, {Route: "c", Reason: "unreachable"}: 1}
	if !reflect.DeepEqual(sum.Failures, failures) {
		t.Errorf("failures %+v", sum.Failures)
	}
	if sum.Areas[212] != want {
		t.Errorf("by area %+v", sum.Areas[212])
	}
	for what, c := range map[string]struct {
		of   *rollup.Hist
		want time.Duration
	}{"delivery": {&sum.Total.ToDelivery, 4 * time.Minute}, "verification": {&sum.Total.ToVerification, 8 * time.Minute}} {
		if got, counted := c.of.Quantile(0.5); !counted || c.of.Total() != 1 || got < c.want*4/5 || got > c.want*5/4 {
			t.Errorf("%s after %v (%d times), want about %v", what, got, c.of.Total(), c.want)
		}
	}
}

func rollupEnds(t *testing.T, s *suite) {
	s.queue(t, at(0))
	m := s.claimOne(t, at(0))
	s.record(t, at(0), 1, store.Outcome{ID: m.ID, Claims: 1, Status: store.MessageExpired, Error: "expired", Area: 305})
	s.queue(t, at(0))
	m = s.claimOne(t, at(0))
	d := dispatch("a", "", store.MessageFailed)
	d.Error = "invalid_number"
	s.record(t, at(0), 1, outcome(m, d))
	s.queue(t, at(0)) // the inbox
	m = s.claimOne(t, at(0))
	s.record(t, at(time.Second), 1, store.Outcome{ID: m.ID, Claims: 1, Status: store.MessageDelivered, Route: "inbox", Area: 5000})
	sum := s.total(t, rollup.Counts{Messages: 1, Sent: 1, Delivered: 1, Failed: 2})
	failures := map[rollup.Failure]int64{{Reason: "expired"}: 1, {Route: "a", Reason: "invalid_number"}: 1}
	if !reflect.DeepEqual(sum.Failures, failures) {
		t.Errorf("failures %+v", sum.Failures)
	}
	if got := sum.Areas[305]; got != (rollup.Counts{Failed: 1}) {
		t.Errorf("by area %+v", got)
	}
	if got := sum.Areas[0]; got != (rollup.Counts{Messages: 1, Sent: 1, Delivered: 1, Failed: 1}) {
		t.Errorf("without a known area code %+v", got)
	}
}

func rollupSpans(t *testing.T, s *suite) {
	for i, now := range []time.Time{at(0), at(time.Hour - time.Microsecond), at(time.Hour), at(12 * time.Hour)} {
		in := s.intent(random(), now)
		if i > 0 {
			in.Client = s.other
		}
		s.start(t, in)
		o := outcome(s.claimOne(t, now), dispatch("a", fmt.Sprint(i), store.MessageSent))
		o.Area = 200 + i
		s.record(t, at(20*time.Hour), 1, o) // late: the time of acceptance counts
	}
	s.total(t, rollup.Counts{Messages: 4, Sent: 4, Micros: 4 * 7900})
	for _, c := range []struct {
		name string
		f    rollup.Filter
		q    store.RollupQuery
		want int64
	}{
		{"the first hour", rollup.Filter{}, store.RollupQuery{Span: rollup.Hourly, From: at(0), Until: at(time.Hour)}, 2},
		{"the second hour", rollup.Filter{}, store.RollupQuery{Span: rollup.Hourly, From: at(time.Hour), Until: at(2 * time.Hour)}, 1},
		{"the first day", rollup.Filter{}, store.RollupQuery{Span: rollup.Daily, From: at(-12 * time.Hour), Until: at(12 * time.Hour)}, 3},
		{"a client", rollup.Filter{}, store.RollupQuery{Client: s.other}, 3},
		{"no client", rollup.Filter{}, store.RollupQuery{Client: "'; --"}, 0},
		{"an area", rollup.Filter{Area: 201}, store.RollupQuery{}, 1},
		{"a route", rollup.Filter{Route: "a"}, store.RollupQuery{}, 4},
		{"another route", rollup.Filter{Route: "b"}, store.RollupQuery{}, 0},
	} {
		if got := s.counted(t, c.f, c.q).Total.Sent; got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// bring sends n messages that are delivered at once, each in a commit of its own.
func (s *suite) bring(t tb, now time.Time, n int) {
	t.Helper()
	for range n {
		s.dispatched(t, now, dispatch("a", "", store.MessageDelivered))
	}
}

func delivered(n int64) rollup.Counts {
	return rollup.Counts{Messages: n, Sent: n, Delivered: n, Micros: n * 7900}
}

func rollupSlices(t *testing.T, s *suite) {
	s.bring(t, at(0), 5)
	entries := 0
	for {
		n, err := s.FoldRollups(t.Context(), 2)
		ok(t, "FoldRollups", err)
		if n == 0 {
			break
		}
		if n > 2 {
			t.Fatalf("added up %d entries, want at most 2", n)
		}
		entries += n
	}
	if entries != 5 {
		t.Errorf("there were %d entries, want one for each commit", entries)
	}
	s.total(t, delivered(5))
	s.bring(t, at(0), 1)
	s.total(t, delivered(6))
}

func rollupRace(t *testing.T, s *suite) {
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		wg.Go(func() {
			for {
				if _, err := s.FoldRollups(context.Background(), 3); err != nil {
					t.Errorf("FoldRollups: %v", err)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	s.bring(t, at(0), 30)
	close(stop)
	wg.Wait()
	s.total(t, delivered(30))
}

// agrees compares what was counted with what the log says.
func (s *suite) agrees(t tb) {
	t.Helper()
	page, err := s.Messages(context.Background(), store.MessageQuery{Clients: []string{s.client, s.other}, Limit: 5000})
	ok(t, "Messages", err)
	if page.Next != (store.MessageID{}) {
		t.Fatalf("the log is too long for this")
	}
	var want rollup.Counts
	for i := range page.Messages {
		d := s.detail(t, page.Messages[i].ID)
		taken := int64(0)
		for _, handed := range d.Dispatches {
			if handed.Status != store.MessageQueued && handed.Status != store.MessageFailed {
				taken++
				want.Micros += handed.PriceMicros
			}
		}
		want.Sent += taken
		want.Messages += min(taken, 1)
		switch d.Message.Status {
		case store.MessageDelivered:
			want.Delivered++
		case store.MessageFailed, store.MessageExpired:
			want.Failed++
		}
		if !d.Message.VerifiedAt.IsZero() {
			want.Verified++
		}
	}
	sum := s.total(t, want)
	if d, v := sum.Total.ToDelivery.Total(), sum.Total.ToVerification.Total(); d != want.Delivered || v != want.Verified {
		t.Errorf("%d times to delivery and %d to verification, want %d and %d", d, v, want.Delivered, want.Verified)
	}
}

// rollupAgrees does anything to a few messages, in any order.
func rollupAgrees(t *testing.T, s *suite) {
	boundRuns(t)
	refs := 0
	rapid.Check(t, func(rt *rapid.T) {
		var sent []store.Dispatch
		var phones []store.PhoneID
		now := at(0)
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"send", "claim", "receipt", "verify"}).Draw(rt, "step") {
			case "send":
				phones = append(phones, random())
				s.send(rt, phones[len(phones)-1], now)
			case "claim":
				for _, m := range s.claim(rt, now, 2) {
					refs++
					d := dispatch(rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "route"), fmt.Sprint(refs), rapid.SampledFrom([]store.MessageStatus{
						store.MessageSent, store.MessageUnknown, store.MessageDelivered, store.MessageFailed, store.MessageQueued,
					}).Draw(rt, "status"))
					o := outcome(m, d)
					if rapid.IntRange(0, 3).Draw(rt, "kind") == 0 {
						o.Status, o.Dispatches = rapid.SampledFrom([]store.MessageStatus{store.MessageExpired, store.MessageQueued}).Draw(rt, "end"), nil
						o.Route, o.CarrierRef = "", ""
					}
					o.RetryAt = now
					sent = append(sent, d)
					if rapid.Bool().Draw(rt, "overtaken") {
						s.tellOf(rt, now, d)
					}
					s.record(rt, now, 1, o)
				}
			case "receipt":
				if len(sent) > 0 {
					s.tellOf(rt, now, rapid.SampledFrom(sent).Draw(rt, "of"))
				}
			case "verify":
				if len(phones) > 0 {
					_, err := s.RecordVerified(context.Background(), now, []store.PhoneID{rapid.SampledFrom(phones).Draw(rt, "phone")})
					ok(rt, "RecordVerified", err)
				}
			}
			now = now.Add(lease)
		}
		for _, m := range s.claim(rt, now.Add(day), 100) { // so that the next begins with none
			s.record(rt, now, 1, store.Outcome{ID: m.ID, Claims: m.Claims, Status: store.MessageExpired})
		}
	})
	s.agrees(t)
}

// tellOf brings some receipt of a dispatch.
func (s *suite) tellOf(rt *rapid.T, now time.Time, d store.Dispatch) {
	r := rapid.SampledFrom(receiptsOf(d)).Draw(rt, "receipt")
	r.CarrierRef, r.Route = d.CarrierRef, d.Route
	_, err := s.ApplyReceipts(context.Background(), now, []store.Receipt{r})
	ok(rt, "ApplyReceipts", err)
}

func rollupSwept(t *testing.T, s *suite) {
	s.bring(t, at(0), 1)
	s.fold(t)
	for _, c := range []struct {
		after       time.Duration
		keep        time.Duration
		hours, days int
	}{
		{store.KeepHourly - day, 400 * day, 1, 1},
		{store.KeepHourly + day, 400 * day, 0, 1},
		{399 * day, 400 * day, 0, 1},
		{4000 * day, 0, 0, 1},
		{402 * day, 400 * day, 0, 0},
	} {
		s.roundOf(t, store.Sweep{Now: at(c.after), KeepMessages: keep, KeepRollups: c.keep, Limit: 10})
		for span, want := range map[time.Duration]int{rollup.Hourly: c.hours, rollup.Daily: c.days} {
			got := 0
			err := s.Rollups(t.Context(), store.RollupQuery{Span: span, From: at(-day), Until: at(day)}, func(*store.Rollup) error { got++; return nil })
			if err != nil || got != want {
				t.Errorf("after %v, kept %v: %d of span %v, want %d (%v)", c.after, c.keep, got, span, want, err)
			}
		}
	}
}

// rollupStops: who cannot go on gets his own error back, and the store goes on.
func rollupStops(t *testing.T, s *suite) {
	for i := range 3 {
		s.bring(t, at(time.Duration(i)*day), 1)
	}
	s.fold(t)
	q := store.RollupQuery{Span: rollup.Daily, From: at(-day), Until: at(1000 * day)}
	for range 50 { // more than there are connections
		failed, told := errors.New("failed"), 0
		err := s.Rollups(t.Context(), q, func(*store.Rollup) error {
			if told++; told == 2 {
				return failed
			}
			return nil
		})
		if err != failed || told != 2 { //nolint:errorlint // the very same
			t.Fatalf("told of %d; %v", told, err)
		}
	}
	s.total(t, delivered(3))
}

func rollupReopened(t *testing.T, s *suite) {
	s.bring(t, at(0), 3)
	s.fold(t)
	s.bring(t, at(0), 2) // not yet added up
	s.reopen(t)
	s.total(t, delivered(5))
}

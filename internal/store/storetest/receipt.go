package storetest

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

func receiptChecks() []check {
	return []check{
		{name: "what each receipt does to each status", run: receiptEffects, alone: true},
		{name: "a receipt that nothing was sent for", run: receiptUnmatched},
		{name: "a receipt that overtook its outcome", run: receiptEarly, alone: true},
		{name: "the history of receipts", run: receiptHistory, alone: true},
		{name: "delivered takes a message out of the queue", run: deliveredClears, alone: true},
		{name: "a failure is retried while the code lives", run: failureRetried, alone: true},
		{name: "a used code is not sent again", run: verifiedNotRetried, alone: true},
		{name: "a failure under a lease waits for its end", run: failureLeased, alone: true},
		{name: "a claim that dispatches nothing hides no receipt", run: idleClaim, alone: true},
		{name: "only the latest dispatch fails a message", run: latestFails, alone: true},
		{name: "an opt-out is the owner's word", run: receiptOptsOut, alone: true},
		{name: "a reference that is used again", run: referenceReused, alone: true},
		{name: "routes do not share references", run: referenceOfRoute, alone: true},
		{name: "every order of receipts and outcome", run: everyOrder, alone: true},
		{name: "any order over two dispatches", run: anyOrder, alone: true},
	}
}

// apply applies one receipt and checks its effect and its message.
func (s *suite) apply(t tb, now time.Time, r store.Receipt, want store.ReceiptEffect, of store.MessageID) {
	t.Helper()
	got, err := s.ApplyReceipts(context.Background(), now, []store.Receipt{r})
	ok(t, "ApplyReceipts", err)
	if len(got) == 1 && (got[0].Phone != store.PhoneID{}) != (want != store.ReceiptUnmatched && want != store.ReceiptDuplicate) {
		t.Errorf("%s receipt of effect %d: phone %s", r.Status, want, got[0].Phone)
	}
	if len(got) != 1 || got[0].Message != of || got[0].Effect != want {
		t.Fatalf("%s receipt: got %+v, want effect %d on %v", r.Status, got, want, of)
	}
}

// of makes a receipt of a dispatch.
func of(d store.Dispatch, status store.ReceiptStatus) store.Receipt {
	r := store.Receipt{Route: d.Route, CarrierRef: d.CarrierRef, Status: status, At: at(time.Millisecond)}
	if status == store.ReceiptFailed {
		r.Error = "rejected"
	}
	return r
}

// retry makes a failed receipt one that another route may do better than.
func retry(r store.Receipt) store.Receipt {
	r.Retry, r.Error = true, "unreachable"
	return r
}

func receiptEffects(t *testing.T, s *suite) {
	const (
		queued, sent, delivered  = store.MessageQueued, store.MessageSent, store.MessageDelivered
		failed, expired, unknown = store.MessageFailed, store.MessageExpired, store.MessageUnknown
		noted, changed           = store.ReceiptNoted, store.ReceiptChanged
	)
	for i, c := range []struct {
		before  store.MessageStatus
		receipt store.ReceiptStatus
		after   store.MessageStatus
		effect  store.ReceiptEffect
	}{
		{sent, store.ReceiptAccepted, sent, noted},
		{sent, store.ReceiptDelivered, delivered, changed},
		{sent, store.ReceiptFailed, failed, changed},
		{unknown, store.ReceiptAccepted, sent, changed},
		{unknown, store.ReceiptDelivered, delivered, changed},
		{unknown, store.ReceiptFailed, failed, changed},
		{queued, store.ReceiptAccepted, queued, noted},
		{queued, store.ReceiptDelivered, delivered, changed},
		{queued, store.ReceiptFailed, queued, noted}, // the carrier did not take that one
		{failed, store.ReceiptAccepted, failed, noted},
		{failed, store.ReceiptDelivered, delivered, changed},
		{failed, store.ReceiptFailed, failed, noted},
		{expired, store.ReceiptAccepted, expired, noted},
		{expired, store.ReceiptDelivered, delivered, changed},
		{expired, store.ReceiptFailed, expired, noted},
		{delivered, store.ReceiptAccepted, delivered, noted},
		{delivered, store.ReceiptDelivered, delivered, noted},
		{delivered, store.ReceiptFailed, delivered, noted},
	} {
		d := dispatch("a", fmt.Sprint("ref ", i), c.before)
		m := s.dispatched(t, at(0), d)
		s.apply(t, at(time.Second), of(d, c.receipt), c.effect, m.ID)
		s.apply(t, at(time.Minute), of(d, c.receipt), store.ReceiptDuplicate, m.ID)
		got := s.detail(t, m.ID)
		updated := at(0)
		if c.effect == changed {
			updated = at(time.Second)
		}
		if got.Message.Status != c.after || !got.Message.UpdatedAt.Equal(updated) || len(got.Receipts) != 1 {
			t.Errorf("%v, then %v: the log has %+v, want %v", c.before, c.receipt, got, c.after)
		}
		s.claimAll(t, at(0))
	}
}

func receiptUnmatched(t *testing.T, s *suite) {
	r := store.Receipt{Route: "a", CarrierRef: fmt.Sprint(random()), Status: store.ReceiptDelivered}
	s.apply(t, at(0), r, store.ReceiptUnmatched, store.MessageID{})
	s.apply(t, at(0), r, store.ReceiptDuplicate, store.MessageID{})
	r.Status = store.ReceiptAccepted
	s.apply(t, at(0), r, store.ReceiptUnmatched, store.MessageID{})
	r.CarrierRef = ""
	for range 2 { // an empty reference names nothing
		s.apply(t, at(0), r, store.ReceiptUnmatched, store.MessageID{})
	}
	got, err := s.ApplyReceipts(t.Context(), at(0), nil)
	if err != nil || len(got) != 0 {
		t.Errorf("no receipts: %+v, %v", got, err)
	}
}

func receiptEarly(t *testing.T, s *suite) {
	s.send(t, random(), at(0))
	m := s.claimOne(t, at(0))
	d := dispatch("a", "early", store.MessageSent)
	r := of(d, store.ReceiptDelivered)
	s.apply(t, at(time.Second), r, store.ReceiptUnmatched, store.MessageID{})
	out := outcome(m, d)
	out.RetryAt = at(time.Minute)
	s.record(t, at(time.Minute), 1, out)
	got := s.detail(t, m.ID)
	r.ReceivedAt = at(time.Second)
	if got.Message.Status != store.MessageDelivered || !reflect.DeepEqual(got.Receipts, []store.Receipt{r}) {
		t.Errorf("the log has %+v", got)
	}
	s.apply(t, at(time.Hour), r, store.ReceiptDuplicate, m.ID)
	s.none(t, at(100*day))
}

func receiptHistory(t *testing.T, s *suite) {
	s.send(t, random(), at(0))
	first, second := dispatch("a", "one", store.MessageUnknown), dispatch("b", "two", store.MessageSent)
	second.Claim = 2
	m := s.claimOne(t, at(0))
	out := outcome(m, first)
	out.RetryAt = at(0)
	s.record(t, at(0), 1, out)
	s.record(t, at(0), 1, outcome(s.claimOne(t, at(0)), second))
	var want []store.Receipt
	for i, r := range []store.Receipt{
		of(second, store.ReceiptAccepted), retry(of(first, store.ReceiptFailed)), of(first, store.ReceiptFailed), of(second, store.ReceiptDelivered),
	} {
		effect := store.ReceiptNoted
		if r.Status == store.ReceiptDelivered {
			effect = store.ReceiptChanged
		}
		now := at(time.Duration(i) * time.Second)
		s.apply(t, now, r, effect, m.ID)
		r.ReceivedAt = now
		want = append(want, r)
	}
	got := s.detail(t, m.ID)
	if !reflect.DeepEqual(got.Receipts, want) || !reflect.DeepEqual(got.Dispatches, []store.Dispatch{first, second}) {
		t.Errorf("history\n got %+v\nwant %+v", got.Receipts, want)
	}
}

func deliveredClears(t *testing.T, s *suite) {
	for name, prepare := range map[string]func(d store.Dispatch, out *store.Outcome){
		"to be checked": func(_ store.Dispatch, out *store.Outcome) { out.RetryAt = at(time.Minute) },
		"put off": func(_ store.Dispatch, out *store.Outcome) {
			out.Status, out.RetryAt = store.MessageQueued, at(time.Minute)
		},
	} {
		d := dispatch("a", name, store.MessageUnknown)
		s.send(t, random(), at(0))
		m := s.claimOne(t, at(0))
		out := outcome(m, d)
		prepare(d, &out)
		s.record(t, at(0), 1, out)
		s.apply(t, at(0), of(d, store.ReceiptDelivered), store.ReceiptChanged, m.ID)
		s.none(t, at(day))
	}
	// Requeued by a failure, then claimed: the outcome adds its history only.
	d := dispatch("a", "late", store.MessageSent)
	m := s.dispatched(t, at(0), d)
	s.apply(t, at(0), retry(of(d, store.ReceiptFailed)), store.ReceiptRequeued, m.ID)
	m = s.claimOne(t, at(0))
	s.apply(t, at(0), of(d, store.ReceiptDelivered), store.ReceiptChanged, m.ID)
	s.none(t, at(day))
	other := dispatch("b", "other", store.MessageFailed)
	out := outcome(m, other)
	out.Status, out.RetryAt, out.Error = store.MessageQueued, at(0), "busy"
	s.record(t, at(0), 1, out)
	s.record(t, at(0), 0, out)
	got := s.detail(t, m.ID)
	if got.Message.Status != store.MessageDelivered || got.Message.Error != "" || len(got.Dispatches) != 2 {
		t.Errorf("the log has %+v", got)
	}
	s.none(t, at(day))
}

func failureRetried(t *testing.T, s *suite) {
	for i, c := range []struct {
		after time.Duration
		want  store.ReceiptEffect
	}{{0, store.ReceiptRequeued}, {ttl - time.Microsecond, store.ReceiptRequeued}, {ttl, store.ReceiptChanged}, {day, store.ReceiptChanged}} {
		d := dispatch("a", fmt.Sprint("ref ", i), store.MessageSent)
		s.send(t, random(), at(0))
		m := s.claimOne(t, at(0))
		out := outcome(m, d)
		out.RetryAt = at(10 * day)
		s.record(t, at(0), 1, out)
		s.apply(t, at(c.after), retry(of(d, store.ReceiptFailed)), c.want, m.ID)
		s.apply(t, at(c.after), retry(of(d, store.ReceiptFailed)), store.ReceiptDuplicate, m.ID)
		s.apply(t, at(c.after), of(d, store.ReceiptAccepted), store.ReceiptNoted, m.ID) // late
		if c.want == store.ReceiptChanged {
			if got := s.detail(t, m.ID).Message; got.Status != store.MessageFailed || got.Error != "unreachable" {
				t.Errorf("after %v the log has %+v", c.after, got)
			}
			s.none(t, at(20*day))
			continue
		}
		q, err := s.QueueStats(t.Context())
		ok(t, "QueueStats", err)
		if q.Depth != 1 || !q.Waiting.IsZero() {
			t.Errorf("the queue is %+v, want one message that waits for a route", q)
		}
		again := s.claimOne(t, at(c.after))
		if again.ID != m.ID || again.Status != store.MessageQueued || again.Error != "unreachable" || again.Claims != 2 {
			t.Errorf("after %v claimed %+v", c.after, again)
		}
		s.record(t, at(c.after), 1, outcome(again, dispatch("b", "", store.MessageFailed)))
		s.none(t, at(20*day))
	}
}

func verifiedNotRetried(t *testing.T, s *suite) {
	d := dispatch("a", "ref", store.MessageSent)
	m := s.dispatched(t, at(0), d)
	_, err := s.RecordVerified(t.Context(), at(0), []store.PhoneID{m.Phone})
	ok(t, "RecordVerified", err)
	s.apply(t, at(0), retry(of(d, store.ReceiptFailed)), store.ReceiptChanged, m.ID)
	s.none(t, at(day))
}

// checked has a message claimed for the second time, since no receipt came.
func (s *suite) checked(t tb, d store.Dispatch) store.Message {
	t.Helper()
	s.send(t, random(), at(0))
	out := outcome(s.claimOne(t, at(0)), d)
	out.RetryAt = at(0)
	s.record(t, at(0), 1, out)
	return s.claimOne(t, at(0))
}

func failureLeased(t *testing.T, s *suite) {
	// The holder lives: nobody else gets the message, and its outcome counts.
	d := dispatch("a", "one", store.MessageSent)
	m := s.checked(t, d)
	s.apply(t, at(time.Second), retry(of(d, store.ReceiptFailed)), store.ReceiptRequeued, m.ID)
	s.none(t, at(lease-time.Microsecond))
	s.record(t, at(time.Second), 1, outcome(m, dispatch("b", "two", store.MessageSent)))
	s.none(t, at(100*day))
	if got := s.detail(t, m.ID); got.Message.Status != store.MessageSent || got.Message.Route != "b" || len(got.Dispatches) != 2 {
		t.Errorf("the log has %+v", got)
	}

	// The holder died: the message is due with the end of its lease.
	d = dispatch("a", "three", store.MessageSent)
	m = s.checked(t, d)
	s.apply(t, at(time.Second), retry(of(d, store.ReceiptFailed)), store.ReceiptRequeued, m.ID)
	s.none(t, at(lease-time.Microsecond))
	again := s.claimOne(t, at(lease))
	if again.ID != m.ID || again.Claims != 3 || again.Status != store.MessageQueued {
		t.Errorf("claimed %+v", again)
	}
	s.record(t, at(lease), 0, outcome(m, dispatch("b", "four", store.MessageSent)))
	s.record(t, at(lease), 1, outcome(again, dispatch("b", "five", store.MessageSent)))

	// It failed for good; if the holder has sent it all the same, that counts.
	d = dispatch("a", "six", store.MessageSent)
	m = s.checked(t, d)
	s.apply(t, at(time.Second), of(d, store.ReceiptFailed), store.ReceiptChanged, m.ID)
	s.none(t, at(100*day))
	s.record(t, at(time.Second), 1, outcome(m, dispatch("b", "seven", store.MessageSent)))
	if got := s.detail(t, m.ID).Message; got.Status != store.MessageSent || got.Error != "" {
		t.Errorf("the log has %+v", got)
	}
}

func idleClaim(t *testing.T, s *suite) {
	for i, c := range []struct {
		receipt store.Receipt
		effect  store.ReceiptEffect
		idle    store.MessageStatus
		want    store.MessageStatus
	}{
		{store.Receipt{Status: store.ReceiptFailed, Retry: true, Error: "e"}, store.ReceiptRequeued, store.MessageUnknown, store.MessageQueued},
		{store.Receipt{Status: store.ReceiptFailed, Error: "e"}, store.ReceiptChanged, store.MessageUnknown, store.MessageFailed},
		{store.Receipt{Status: store.ReceiptFailed, Error: "e"}, store.ReceiptChanged, store.MessageQueued, store.MessageFailed},
		{store.Receipt{Status: store.ReceiptAccepted}, store.ReceiptChanged, store.MessageUnknown, store.MessageSent},
		{store.Receipt{Status: store.ReceiptFailed, Retry: true, Error: "e"}, store.ReceiptRequeued, store.MessageExpired, store.MessageExpired},
	} {
		d := dispatch("a", fmt.Sprint("ref ", i), store.MessageUnknown)
		m := s.checked(t, d)
		c.receipt.Route, c.receipt.CarrierRef = d.Route, d.CarrierRef
		s.apply(t, at(0), c.receipt, c.effect, m.ID)
		s.record(t, at(0), 1, store.Outcome{ID: m.ID, Claims: 2, Status: c.idle, RetryAt: at(day)})
		if got := s.detail(t, m.ID).Message; got.Status != c.want {
			t.Errorf("case %d: the log has %+v, want %v", i, got, c.want)
		}
		s.claimAll(t, at(0))
		s.claimAll(t, at(2*day))
	}
}

func latestFails(t *testing.T, s *suite) {
	for i, second := range []store.MessageStatus{store.MessageSent, store.MessageQueued, store.MessageFailed} {
		first := dispatch("a", fmt.Sprint("first ", i), store.MessageUnknown)
		m := s.checked(t, first)
		out := outcome(m, dispatch("b", fmt.Sprint("second ", i), second))
		out.Status = store.MessageUnknown // the first may still arrive
		s.record(t, at(0), 1, out)
		effect, want := store.ReceiptNoted, store.MessageUnknown
		if second != store.MessageSent { // no carrier took the second
			effect, want = store.ReceiptChanged, store.MessageFailed
		}
		s.apply(t, at(0), of(first, store.ReceiptFailed), effect, m.ID)
		if got := s.detail(t, m.ID).Message; got.Status != want {
			t.Errorf("second %v: the log has %+v", second, got)
		}
		s.apply(t, at(0), of(first, store.ReceiptDelivered), store.ReceiptChanged, m.ID)
	}
}

func receiptOptsOut(t *testing.T, s *suite) {
	for i, early := range []bool{false, true} {
		d := dispatch("a", fmt.Sprint("ref ", i), store.MessageSent)
		r := retry(of(d, store.ReceiptFailed))
		r.OptOut = true
		s.send(t, random(), at(0))
		m := s.claimOne(t, at(0))
		if early {
			s.apply(t, at(0), r, store.ReceiptUnmatched, store.MessageID{})
			s.record(t, at(0), 1, outcome(m, d))
		} else {
			s.record(t, at(0), 1, outcome(m, d))
			s.apply(t, at(0), r, store.ReceiptChanged, m.ID)
		}
		s.none(t, at(day))
		s.refuse(t, s.intent(m.Phone, at(0)), fault.OptedOut)
		other := s.intent(random(), at(0))
		other.Client = s.other
		s.start(t, other)
		s.mark(t, m.Phone, at(0), optedOut(false))
		s.apply(t, at(0), r, store.ReceiptDuplicate, m.ID)
		s.send(t, m.Phone, at(0)) // its owner's START stands
		s.claimAll(t, at(0))
	}
}

func referenceReused(t *testing.T, s *suite) {
	for _, early := range []bool{false, true} {
		d := dispatch("a", fmt.Sprint("ref ", early), store.MessageSent)
		var old store.Message
		if early {
			s.send(t, random(), at(0))
			old = s.claimOne(t, at(0))
			s.apply(t, at(0), of(d, store.ReceiptDelivered), store.ReceiptUnmatched, store.MessageID{})
			s.record(t, at(0), 1, outcome(old, d))
		} else {
			old = s.dispatched(t, at(0), d)
			s.apply(t, at(0), of(d, store.ReceiptDelivered), store.ReceiptChanged, old.ID)
		}
		d.At = at(time.Hour)
		fresh := s.dispatched(t, at(time.Hour), d)
		if got := s.detail(t, fresh.ID); got.Message.Status != store.MessageSent || len(got.Receipts) != 0 {
			t.Errorf("the receipt of another message was taken: %+v", got)
		}
		s.apply(t, at(time.Hour), of(d, store.ReceiptDelivered), store.ReceiptChanged, fresh.ID)
		s.apply(t, at(time.Hour), of(d, store.ReceiptFailed), store.ReceiptNoted, fresh.ID)
		if got := s.detail(t, old.ID); len(got.Receipts) != 1 {
			t.Errorf("the older message has %+v", got.Receipts)
		}
	}
	// The newest dispatch may be that of the older message.
	older, newer := s.queue(t, at(0)), dispatch("a", "ref", store.MessageSent)
	s.claimOne(t, at(0))
	m := s.dispatched(t, at(time.Second), newer)
	newer.At = at(lease)
	s.record(t, at(lease), 1, outcome(s.claimOne(t, at(lease)), newer))
	s.apply(t, at(lease), of(newer, store.ReceiptDelivered), store.ReceiptChanged, older.ID)
	if got := s.detail(t, m.ID).Message.Status; got != store.MessageSent {
		t.Errorf("the other message is %v", got)
	}
}

func referenceOfRoute(t *testing.T, s *suite) {
	d := dispatch("a", "ref", store.MessageSent)
	m := s.dispatched(t, at(0), d)
	foreign := of(dispatch("b", "ref", 0), store.ReceiptDelivered)
	s.apply(t, at(0), foreign, store.ReceiptUnmatched, store.MessageID{})
	if got := s.detail(t, m.ID); got.Message.Status != store.MessageSent {
		t.Errorf("the log has %+v", got)
	}
}

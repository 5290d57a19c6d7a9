package storetest

import (
	"context"
	"reflect"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

func dispatchChecks() []check {
	return []check{
		{name: "an outcome brings its dispatches", run: outcomeDispatches, alone: true},
		{name: "a claim tells what was tried", run: claimTellsTried, alone: true},
		{name: "a message that is not heard of is due again", run: checksAgain, alone: true},
		{name: "a holder that died loses a message that was sent", run: checkLeases, alone: true},
		{name: "queued messages go first", run: queuedFirst, alone: true},
		{name: "a full queue leaves room for others", run: fullQueue, alone: true},
		{name: "an outcome counts once, whatever its status", run: outcomeOnce, alone: true},
		{name: "a lost lease leaves no dispatch", run: lostDispatch, alone: true},
		{name: "an outcome without a route keeps that of the one before", run: keepsRoute, alone: true},
		{name: "an outcome opts the phone out", run: outcomeOptsOut, alone: true},
		{name: "a claim tells who opted out", run: claimTellsOptOut, alone: true},
		{name: "a claim tells whose code cannot be used any more", run: claimTellsSpent, alone: true},
		{name: "the locale is the send's", run: keepsLocale},
		{name: "a message that is not stored", run: noSuchMessage},
	}
}

// dispatch is a handing-over to a route, with a reference of its own.
func dispatch(route, ref string, status store.MessageStatus) store.Dispatch {
	return store.Dispatch{
		At: at(0), Claim: 1, Route: route, Decision: route + ":chosen", Status: status, CarrierRef: ref,
		Segments: 1, PriceMicros: 7900,
	}
}

// outcome is that of a claimed message which one dispatch decided.
func outcome(m store.Message, d store.Dispatch) store.Outcome {
	d.Claim = m.Claims
	return store.Outcome{
		ID: m.ID, Claims: m.Claims, Status: d.Status, Route: d.Route, CarrierRef: d.CarrierRef, Error: d.Error,
		Dispatches: []store.Dispatch{d},
	}
}

// detail reads a message that must be there.
func (s *suite) detail(t tb, id store.MessageID) store.MessageDetail {
	t.Helper()
	out, err := s.Message(context.Background(), id)
	ok(t, "Message", err)
	return out
}

// claimOne claims the only message that is due.
func (s *suite) claimOne(t tb, now time.Time) store.Message {
	t.Helper()
	got := s.claim(t, now, 10)
	if len(got) != 1 {
		t.Fatalf("claimed %d messages at +%v, want one", len(got), now.Sub(at(0)))
	}
	return got[0]
}

// none fails if anything can be claimed.
func (s *suite) none(t tb, now time.Time) {
	t.Helper()
	if got := s.claim(t, now, 10); len(got) != 0 {
		t.Fatalf("claimed %+v at +%v, want nothing", got, now.Sub(at(0)))
	}
}

// dispatched sends to a new phone and records a dispatch of it.
func (s *suite) dispatched(t tb, now time.Time, d store.Dispatch) store.Message {
	t.Helper()
	s.send(t, random(), now)
	m := s.claimOne(t, now)
	s.record(t, now, 1, outcome(m, d))
	return m
}

func outcomeDispatches(t *testing.T, s *suite) {
	s.send(t, random(), at(0))
	m := s.claimOne(t, at(0))
	busy, taken := dispatch("a", "", store.MessageQueued), dispatch("b", "ref ü", store.MessageUnknown)
	busy.Error, taken.Error, taken.At = "throttled", "timeout", at(time.Second)
	out := outcome(m, taken)
	out.Dispatches = []store.Dispatch{busy, taken}
	s.record(t, at(2*time.Second), 1, out)
	got := s.detail(t, m.ID)
	if want := []store.Dispatch{busy, taken}; !reflect.DeepEqual(got.Dispatches, want) || len(got.Receipts) != 0 {
		t.Errorf("history\n got %+v, %+v\nwant %+v", got.Dispatches, got.Receipts, want)
	}
	m.Status, m.Route, m.CarrierRef, m.Error, m.UpdatedAt = store.MessageUnknown, "b", "ref ü", "timeout", at(2*time.Second)
	if !reflect.DeepEqual(got.Message, m) {
		t.Errorf("message\n got %+v\nwant %+v", got.Message, m)
	}
	if log := s.sent(t, m.Phone); len(log) != 1 || !reflect.DeepEqual(log[0], m) {
		t.Errorf("the log has %+v", log)
	}
}

func claimTellsTried(t *testing.T, s *suite) {
	s.send(t, random(), at(0))
	want := []string(nil)
	for i, routes := range [][]string{{"a", "b"}, {}, {"a"}, {"c"}} {
		m := s.claimOne(t, at(0))
		if m.Claims != i+1 || !reflect.DeepEqual(m.Tried, want) || m.Taken != nil {
			t.Fatalf("claim %d tells %q of which %q took it, want %q and none", m.Claims, m.Tried, m.Taken, want)
		}
		out := store.Outcome{ID: m.ID, Claims: m.Claims, Status: store.MessageQueued, RetryAt: at(0), Error: "busy"}
		for _, r := range routes {
			d := dispatch(r, "", store.MessageQueued)
			d.Claim = m.Claims
			out.Dispatches, want = append(out.Dispatches, d), append(want, r)
		}
		s.record(t, at(0), 1, out)
	}
	m := s.claimOne(t, at(0))
	if got := s.detail(t, m.ID); len(got.Dispatches) != len(want) || got.Message.Tried != nil {
		t.Errorf("the history has %+v", got)
	}
}

func checksAgain(t *testing.T, s *suite) {
	for _, status := range []store.MessageStatus{store.MessageSent, store.MessageUnknown} {
		s.send(t, random(), at(0))
		m := s.claimOne(t, at(0))
		out := outcome(m, dispatch("a", "", status))
		out.RetryAt = at(time.Minute)
		s.record(t, at(0), 1, out)
		if q, err := s.QueueStats(t.Context()); err != nil || q != (store.QueueStats{}) {
			t.Errorf("%v: the queue is %+v, %v", status, q, err)
		}
		s.none(t, at(time.Minute-time.Microsecond))
		again := s.claimOne(t, at(time.Minute))
		if again.ID != m.ID || again.Status != status || again.Claims != 2 || !reflect.DeepEqual(again.Tried, []string{"a"}) ||
			!reflect.DeepEqual(again.Taken, []string{"a"}) {
			t.Errorf("%v: claimed %+v", status, again)
		}
		s.none(t, at(time.Minute))
		s.record(t, at(time.Minute), 1, outcome(again, dispatch("b", "", store.MessageSent))) // and never again
		s.none(t, at(100*day))
		if got := s.detail(t, m.ID); got.Message.Route != "b" || len(got.Dispatches) != 2 {
			t.Errorf("%v: the log has %+v", status, got)
		}
	}
}

func checkLeases(t *testing.T, s *suite) {
	s.send(t, random(), at(0))
	out := outcome(s.claimOne(t, at(0)), dispatch("a", "", store.MessageSent))
	out.RetryAt = at(time.Minute)
	s.record(t, at(0), 1, out)
	now, died := at(time.Minute), s.claimOne(t, at(time.Minute))
	s.none(t, now.Add(lease-time.Microsecond))
	next := s.claimOne(t, now.Add(lease))
	if next.Claims != 3 {
		t.Errorf("claimed %+v", next)
	}
	s.record(t, now.Add(lease), 0, outcome(died, dispatch("late", "", store.MessageSent)))
	s.record(t, now.Add(lease), 1, outcome(next, dispatch("b", "", store.MessageSent)))
	if got := s.detail(t, next.ID); len(got.Dispatches) != 2 || got.Message.Route != "b" {
		t.Errorf("the log has %+v", got)
	}
}

// sentUnheard has n messages sent, which are to be looked at again a second later.
func (s *suite) sentUnheard(t *testing.T, n int) {
	t.Helper()
	for range n {
		s.send(t, random(), at(0))
	}
	for _, m := range s.claim(t, at(0), 10) {
		out := outcome(m, dispatch("a", "", store.MessageSent))
		out.RetryAt = at(time.Second)
		s.record(t, at(0), 1, out)
	}
}

func queuedFirst(t *testing.T, s *suite) {
	s.sentUnheard(t, 3)
	for range 2 {
		s.send(t, random(), at(time.Minute))
	}
	got := s.claim(t, at(time.Minute), 4)
	if len(got) != 4 || got[0].Claims != 1 || got[1].Claims != 1 || got[2].Claims != 2 || got[3].Claims != 2 {
		t.Errorf("claimed %+v, want the two that are queued and two more", got)
	}
	if got := s.claim(t, at(time.Minute), 4); len(got) != 1 || got[0].Claims != 2 {
		t.Errorf("claimed %+v, want the last one", got)
	}
}

// fullQueue: messages whose receipt did not come have their share of a claim,
// however many are queued.
func fullQueue(t *testing.T, s *suite) {
	s.sentUnheard(t, 3)
	for range 30 {
		s.send(t, random(), at(0))
	}
	for i, want := range []int{1, 2, 0} {
		unheard := 0
		got := s.claim(t, at(time.Minute), []int{8, 16, 8}[i])
		for _, m := range got {
			unheard += m.Claims - 1
		}
		if unheard != want || len(got) != []int{8, 16, 8}[i] {
			t.Errorf("claim %d got %d messages, %d of which were sent before; want %d", i, len(got), unheard, want)
		}
	}
}

// outcomeOnce: an outcome that is recorded again, since its answer was lost,
// neither doubles its dispatches nor moves what came after it.
func outcomeOnce(t *testing.T, s *suite) {
	for _, status := range []store.MessageStatus{
		store.MessageQueued, store.MessageSent, store.MessageDelivered, store.MessageFailed, store.MessageExpired, store.MessageUnknown,
	} {
		s.send(t, random(), at(0))
		m := s.claimOne(t, at(0))
		out := outcome(m, dispatch("a", status.String(), status))
		out.RetryAt = at(100 * day)
		s.record(t, at(0), 1, out, out)
		s.record(t, at(0), 0, out)
		if got := s.detail(t, m.ID); len(got.Dispatches) != 1 || got.Message.Status != status {
			t.Errorf("%v: the log has %+v", status, got)
		}
		s.none(t, at(0))
	}
}

func lostDispatch(t *testing.T, s *suite) {
	s.send(t, random(), at(0))
	first, second := s.claimOne(t, at(0)), s.claimOne(t, at(lease))
	s.record(t, at(lease), 0, outcome(first, dispatch("a", "lost", store.MessageSent)))
	s.record(t, at(lease), 1, outcome(second, dispatch("b", "kept", store.MessageSent)))
	got := s.detail(t, first.ID)
	if len(got.Dispatches) != 1 || got.Dispatches[0].Route != "b" || got.Dispatches[0].Claim != 2 || got.Message.Claims != 2 {
		t.Errorf("the log has %+v", got)
	}
	s.none(t, at(100*day))
}

func keepsRoute(t *testing.T, s *suite) {
	s.send(t, random(), at(0))
	out := outcome(s.claimOne(t, at(0)), dispatch("a", "kept ref", store.MessageUnknown))
	out.RetryAt = at(0)
	s.record(t, at(0), 1, out)
	m := s.claimOne(t, at(0))
	s.record(t, at(0), 1, store.Outcome{ID: m.ID, Claims: 2, Status: store.MessageUnknown})
	if got := s.detail(t, m.ID).Message; got.Route != "a" || got.CarrierRef != "kept ref" {
		t.Errorf("the log has %+v", got)
	}
	s.none(t, at(100*day))
}

func outcomeOptsOut(t *testing.T, s *suite) {
	s.send(t, random(), at(0))
	m := s.claimOne(t, at(0))
	out := outcome(m, dispatch("a", "", store.MessageFailed))
	out.OptOut = true
	stale := out
	stale.Claims++
	s.record(t, at(0), 0, stale)
	s.send(t, m.Phone, at(0)) // a stale outcome says nothing
	s.record(t, at(0), 1, out)
	s.refuse(t, s.intent(m.Phone, at(0)), fault.OptedOut)
	other := s.intent(random(), at(0))
	other.Client = s.other
	s.start(t, other)
	s.mark(t, m.Phone, at(time.Second), optedOut(false))
	s.record(t, at(time.Second), 0, out)
	s.send(t, m.Phone, at(time.Second))
}

func claimTellsOptOut(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	s.send(t, phone, at(0))
	if s.sent(t, phone)[0].OptedOut {
		t.Error("opted out before it was said")
	}
	s.mark(t, phone, at(0), optedOut(true))
	m := s.claimOne(t, at(0))
	if !m.OptedOut || !s.sent(t, phone)[0].OptedOut || !s.detail(t, m.ID).Message.OptedOut {
		t.Error("the message does not tell that its phone opted out")
	}
}

func claimTellsSpent(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	ch := s.send(t, phone, at(0))
	s.send(t, phone, at(0)) // the same code once more
	bound := s.intent(phone, at(0))
	bound.Challenge.Binding = "another caller"
	s.start(t, bound)
	s.send(t, random(), at(0))
	for _, m := range s.claim(t, at(0), 10) {
		if m.Spent {
			t.Errorf("%v is spent before its code was used", m.ID)
		}
		out := outcome(m, dispatch("a", "", store.MessageSent))
		if m.ID == bound.Message {
			out = store.Outcome{ID: m.ID, Claims: 1, Status: store.MessageQueued}
		}
		out.RetryAt = at(time.Second)
		s.record(t, at(0), 1, out)
	}
	s.send(t, phone, at(0))
	s.pass(t, s.guess(phone, at(0), ch.ID))
	spent := 0
	for _, m := range s.claim(t, at(time.Second), 10) {
		if m.Spent != (m.Challenge == ch.ID) {
			t.Errorf("claimed %+v after the code of %v was used", m, ch.ID)
		}
		if m.Spent {
			spent++
		}
	}
	if spent != 3 {
		t.Errorf("%d messages are spent, want those two that were sent and the one that is queued", spent)
	}
}

func keepsLocale(t *testing.T, s *suite) {
	in := s.intent(random(), at(0))
	in.Locale = "es-419"
	s.start(t, in)
	if got := s.sent(t, in.Phone)[0].Locale; got != "es-419" {
		t.Errorf("the log has locale %q", got)
	}
	if got := s.detail(t, in.Message).Message.Locale; got != "es-419" {
		t.Errorf("the message has locale %q", got)
	}
}

func noSuchMessage(t *testing.T, s *suite) {
	_, err := s.Message(t.Context(), random())
	refusal(t, "Message", err, fault.NotFound)
	_, err = s.Message(t.Context(), store.MessageID{})
	refusal(t, "Message", err, fault.NotFound)
}

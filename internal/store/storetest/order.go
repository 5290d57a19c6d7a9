package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"codeword/internal/store"
)

// ending is what is left of a message once all is told.
type ending struct {
	status   store.MessageStatus
	err      string
	route    string
	ref      string
	optedOut bool
	receipts int
	due      bool
}

// tale is a message and what is to be told of it: the receipts, and the outcome
// of its claim as the last of them; order says which when.
type tale struct {
	id       store.MessageID
	outcome  store.Outcome
	receipts []store.Receipt
	order    []int
}

// ending says how it must end: by the rules as they are written, not by the
// order in which things are told.
func (y *tale) ending() ending {
	last := y.outcome
	end := ending{status: last.Status, err: last.Error, route: last.Route, ref: last.CarrierRef, receipts: len(y.receipts)}
	told := func(pick func(store.Receipt) bool) bool { return slices.ContainsFunc(y.receipts, pick) }
	ofLast := func(status store.ReceiptStatus, retry bool) bool {
		return told(func(r store.Receipt) bool {
			return r.CarrierRef == last.CarrierRef && r.Status == status && r.Retry == retry
		})
	}
	switch {
	case told(func(r store.Receipt) bool { return r.Status == store.ReceiptDelivered }):
		end.status, end.err = store.MessageDelivered, ""
	case ofLast(store.ReceiptFailed, false):
		end.status, end.err = store.MessageFailed, "rejected"
	case ofLast(store.ReceiptFailed, true):
		end.status, end.err, end.due = store.MessageQueued, "unreachable", true
	case ofLast(store.ReceiptAccepted, false):
		end.status, end.err = store.MessageSent, ""
	}
	end.optedOut = told(func(r store.Receipt) bool { return r.OptOut })
	return end
}

// tell tells all tales, step by step, some of the receipts twice, and compares
// how they end.
func (s *suite) tell(t tb, tales []*tale) {
	t.Helper()
	for step, more := 0, true; more; step++ {
		more = false
		var outcomes []store.Outcome
		var receipts []store.Receipt
		for _, y := range tales {
			if step >= len(y.order) {
				continue
			}
			more = true
			if which := y.order[step]; which == len(y.receipts) {
				outcomes = append(outcomes, y.outcome)
			} else {
				receipts = append(receipts, slices.Repeat(y.receipts[which:which+1], 1+step%2)...)
			}
		}
		s.record(t, at(0), len(outcomes), outcomes...)
		_, err := s.ApplyReceipts(context.Background(), at(0), receipts)
		ok(t, "ApplyReceipts", err)
	}
	ends := make(map[store.MessageID]ending)
	for _, y := range tales {
		got := s.detail(t, y.id)
		m := got.Message
		ends[y.id] = ending{
			status: m.Status, err: m.Error, route: m.Route, ref: m.CarrierRef, optedOut: m.OptedOut, receipts: len(got.Receipts),
		}
	}
	for _, m := range s.claim(t, at(0), len(tales)) {
		end := ends[m.ID]
		end.due = true
		ends[m.ID] = end
	}
	for _, y := range tales {
		if got, want := ends[y.id], y.ending(); got != want {
			t.Errorf("%v with %+v in order %v\n got %+v\nwant %+v", y.outcome.Status, y.receipts, y.order, got, want)
		}
	}
}

// permutations calls f with every order of n things.
func permutations(n int, f func([]int)) {
	var next func(order []int)
	next = func(order []int) {
		if len(order) == n {
			f(order)
			return
		}
		for i := range n {
			if !slices.Contains(order, i) {
				next(append(slices.Clip(order), i))
			}
		}
	}
	next(nil)
}

// everyOrder tells of one dispatch all receipts that there can be, up to three
// of them, in every order, and the outcome before, between or after them.
func everyOrder(t *testing.T, s *suite) {
	var tales []*tale
	for _, status := range []store.MessageStatus{store.MessageSent, store.MessageUnknown} {
		for subset := range 16 {
			var picked []store.Receipt
			for i, r := range receiptsOf(dispatch("a", "", status))[:4] {
				if subset&(1<<i) != 0 {
					picked = append(picked, r)
				}
			}
			if len(picked) > 3 {
				continue
			}
			permutations(len(picked)+1, func(order []int) {
				d := dispatch("a", fmt.Sprint("ref ", len(tales)), status)
				y := &tale{order: order, receipts: slices.Clone(picked), outcome: outcome(store.Message{}, d)}
				for i := range y.receipts {
					y.receipts[i].CarrierRef = d.CarrierRef
				}
				tales = append(tales, y)
			})
		}
	}
	race(len(tales), func(int) {
		if _, err := s.StartChallenge(context.Background(), s.intent(random(), at(0))); err != nil {
			t.Errorf("StartChallenge: %v", err)
		}
	})
	for i, m := range s.claim(t, at(0), len(tales)) {
		tales[i].id, tales[i].outcome.ID, tales[i].outcome.Claims = m.ID, m.ID, m.Claims
	}
	s.tell(t, tales)
}

// receiptsOf are the receipts that a dispatch can get; the last is an opt-out.
func receiptsOf(d store.Dispatch) []store.Receipt {
	optOut := of(d, store.ReceiptFailed)
	optOut.OptOut = true
	return []store.Receipt{
		of(d, store.ReceiptAccepted), of(d, store.ReceiptDelivered), of(d, store.ReceiptFailed), retry(of(d, store.ReceiptFailed)), optOut,
	}
}

// anyOrder: a message went over two routes, since the first was not heard of.
// Whatever is told of both while the second claim is open or after, and in
// whatever order, the end is the same.
func anyOrder(t *testing.T, s *suite) {
	boundRuns(t)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		status := rapid.SampledFrom([]store.MessageStatus{store.MessageSent, store.MessageUnknown})
		first := dispatch("a", fmt.Sprint("first ", run), status.Draw(rt, "first"))
		second := dispatch("b", fmt.Sprint("second ", run), status.Draw(rt, "second"))
		y := &tale{}
		for _, d := range []store.Dispatch{first, second} {
			kinds := receiptsOf(d)
			// Failed for good, with or without an opt-out, is one receipt.
			final := rapid.SampledFrom([]int{2, 4}).Draw(rt, "final")
			for _, k := range rapid.SliceOfNDistinct(rapid.SampledFrom([]int{0, 1, 3, final}), 0, 3, rapid.ID).Draw(rt, "receipts") {
				y.receipts = append(y.receipts, kinds[k])
			}
		}
		for i := range len(y.receipts) + 1 {
			y.order = append(y.order, i)
		}
		y.order = rapid.Permutation(y.order).Draw(rt, "order")
		m := s.checked(rt, first)
		y.id, y.outcome = m.ID, outcome(m, second)
		s.tell(rt, []*tale{y})
		for _, left := range s.claim(rt, at(day), 100) { // empty the queue again
			s.record(rt, at(day), 1, store.Outcome{ID: left.ID, Claims: left.Claims, Status: store.MessageExpired})
		}
	})
}

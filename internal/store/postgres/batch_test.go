package postgres_test

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"codeword/internal/store"
	"codeword/internal/store/postgres"
)

// TestBatchIsOneByOne: a batch of outcomes or receipts, of the same messages and
// references over and over, does and tells what they do and tell one by one.
func TestBatchIsOneByOne(t *testing.T) {
	t.Parallel()
	batched, _ := newLog(t)
	single, _ := newLog(t)
	both := []*postgres.Store{batched, single}
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		var ids []store.MessageID
		for range 3 {
			in := sendTo(randomID(), moment(0))
			ids = append(ids, in.Message)
			for _, s := range both {
				if _, err := s.StartChallenge(context.Background(), in); err != nil {
					rt.Fatal(err)
				}
			}
		}
		now := moment(0)
		for range rapid.IntRange(1, 5).Draw(rt, "steps") {
			now = now.Add(2 * time.Minute) // leases have ended, and checks are due
			if rapid.Bool().Draw(rt, "claim") {
				if a, b := claimFrom(t, batched, now, 100), claimFrom(t, single, now, 100); !reflect.DeepEqual(byMessage(a), byMessage(b)) {
					rt.Fatalf("claimed\n%+v\n%+v", a, b)
				}
			}
			outcomes := rapid.SliceOfN(outcomeOf(run, ids), 0, 6).Draw(rt, "outcomes")
			n, err := batched.RecordOutcomes(context.Background(), now, outcomes)
			for i := range outcomes {
				m, errOne := single.RecordOutcomes(context.Background(), now, outcomes[i:i+1])
				if n -= m; errOne != nil {
					rt.Fatal(errOne)
				}
			}
			if n != 0 || err != nil {
				rt.Fatalf("%d outcomes more than one by one, %v", n, err)
			}
			receipts := rapid.SliceOfN(receiptOf(run), 0, 8).Draw(rt, "receipts")
			got, err := batched.ApplyReceipts(context.Background(), now, receipts)
			for i := range receipts {
				one, errOne := single.ApplyReceipts(context.Background(), now, receipts[i:i+1])
				if errOne != nil || err != nil || got[i] != one[0] {
					rt.Fatalf("receipt %d of %+v: %+v, %v; one by one %+v, %v", i, receipts, got, err, one, errOne)
				}
			}
			for _, id := range ids {
				a, errA := batched.Message(context.Background(), id)
				b, errB := single.Message(context.Background(), id)
				if errA != nil || errB != nil || !reflect.DeepEqual(a, b) {
					rt.Fatalf("%v, %v\n    batch %+v\none by one %+v", errA, errB, a, b)
				}
			}
		}
	})
}

// TestBatchSharesAReference: of two dispatches with one reference, in one batch, the
// first gets the receipts that came before, and the later one those that follow.
func TestBatchSharesAReference(t *testing.T) {
	t.Parallel()
	s, _ := newLog(t)
	fillQueue(t, s, 2)
	claimed := claimFrom(t, s, moment(0), 2)
	first, r := handedOver(&claimed[0], store.ReceiptDelivered)
	second, _ := handedOver(&claimed[1], 0)
	second.CarrierRef, second.Dispatches[0].CarrierRef, second.Dispatches[0].At = r.CarrierRef, r.CarrierRef, moment(time.Second)
	for i, want := range []store.Applied{
		{Effect: store.ReceiptUnmatched},
		{Message: claimed[1].ID, Phone: claimed[1].Phone, Effect: store.ReceiptChanged},
	} {
		if i == 1 {
			if n, err := s.RecordOutcomes(t.Context(), moment(0), []store.Outcome{first, second, first}); err != nil || n != 2 {
				t.Fatalf("%d outcomes were taken, %v", n, err)
			}
			if m, err := s.Message(t.Context(), claimed[1].ID); err != nil || m.Message.Status != store.MessageSent || len(m.Receipts) != 0 {
				t.Errorf("the receipt of another message was taken: %+v, %v", m, err)
			}
		}
		got, err := s.ApplyReceipts(t.Context(), moment(0), []store.Receipt{r, r})
		if err != nil || got[0] != want || got[1] != (store.Applied{Message: want.Message, Effect: store.ReceiptDuplicate}) {
			t.Fatalf("%+v, %v; want %+v and a duplicate", got, err, want)
		}
	}
	for _, m := range claimed {
		if got, err := s.Message(t.Context(), m.ID); err != nil || got.Message.Status != store.MessageDelivered || len(got.Receipts) != 1 {
			t.Errorf("the log has %+v, %v", got, err)
		}
	}
}

func byMessage(ms []store.Message) map[store.MessageID]store.Message {
	out := make(map[store.MessageID]store.Message, len(ms))
	for _, m := range ms {
		out[m.ID] = m
	}
	return out
}

// refOf is one of a few references of a run, or none.
func refOf(run int) *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"", fmt.Sprint("one ", run), fmt.Sprint("two ", run), fmt.Sprint("three ", run)})
}

func outcomeOf(run int, ids []store.MessageID) *rapid.Generator[store.Outcome] {
	status := rapid.SampledFrom([]store.MessageStatus{
		store.MessageQueued, store.MessageSent, store.MessageSent, store.MessageUnknown, store.MessageFailed,
	})
	return rapid.Custom(func(t *rapid.T) store.Outcome {
		o := store.Outcome{
			ID: rapid.SampledFrom(ids).Draw(t, "message"), Claims: rapid.IntRange(1, 4).Draw(t, "claims"),
			Status: status.Draw(t, "status"), Error: rapid.SampledFrom([]string{"", "busy"}).Draw(t, "error"),
			RetryAt: rapid.SampledFrom([]time.Time{{}, moment(0)}).Draw(t, "retry"), OptOut: rapid.IntRange(0, 5).Draw(t, "opt out") == 0,
		}
		for i := range rapid.IntRange(0, 2).Draw(t, "dispatches") {
			d := store.Dispatch{
				At: moment(time.Duration(rapid.IntRange(0, 3).Draw(t, "at"))), Claim: o.Claims, Route: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "route"),
				Decision: fmt.Sprint("d", i), Status: status.Draw(t, "status"), CarrierRef: refOf(run).Draw(t, "ref"), Segments: 1,
			}
			o.Dispatches, o.Route, o.CarrierRef = append(o.Dispatches, d), d.Route, d.CarrierRef
		}
		return o
	})
}

func receiptOf(run int) *rapid.Generator[store.Receipt] {
	return rapid.Custom(func(t *rapid.T) store.Receipt {
		return store.Receipt{
			Route: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "route"), CarrierRef: refOf(run).Draw(t, "ref"),
			Status: rapid.SampledFrom([]store.ReceiptStatus{store.ReceiptAccepted, store.ReceiptDelivered, store.ReceiptFailed, store.ReceiptFailed}).Draw(t, "status"),
			Error:  rapid.SampledFrom([]string{"", "x"}).Draw(t, "error"), Retry: rapid.Bool().Draw(t, "retry"), OptOut: rapid.IntRange(0, 5).Draw(t, "opt out") == 0,
		}
	})
}

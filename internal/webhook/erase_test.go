package webhook

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/store/sqlite/sqlitetest"
)

// TestErasedWhileUnderWay: a phone is erased between its message's claim and outcome. The
// outcome is told before it is recorded, and must not leave what names the phone.
func TestErasedWhileUnderWay(t *testing.T) {
	t.Parallel()
	st := sqlitetest.New(t)
	b := newBed(t, st, time.Now)
	b.emitter.cfg.Messages = st
	e, _ := b.create("https://example.com")
	now := time.Now()
	if err := st.CreateClient(t.Context(), store.Client{ID: client, Name: client, Settings: []byte("{}"), CreatedAt: now}); err != nil {
		t.Fatal(err)
	}
	stays, goes := store.PhoneID{1}, store.PhoneID{2}
	for _, phone := range []store.PhoneID{stays, goes} {
		_, err := st.StartChallenge(t.Context(), store.Start{
			Now: now, Client: client, Phone: phone, Sealed: []byte("sealed"), MaxAttempts: 5, Message: store.NewMessageID(),
			Challenge: store.Challenge{ID: store.ChallengeID(phone), Digits: 6, CreatedAt: now, ExpiresAt: now.Add(time.Hour)},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	claimed, err := st.ClaimMessages(t.Context(), store.Claim{Now: now, Lease: time.Minute, Limit: 10})
	if err != nil || len(claimed) != 2 {
		t.Fatalf("claimed %d, %v", len(claimed), err)
	}
	var outcomes []store.Outcome
	for i := range claimed {
		o := store.Outcome{ID: claimed[i].ID, Claims: claimed[i].Claims, Status: store.MessageSent, Route: "main"}
		b.emitter.Outcome(&claimed[i], &o)
		outcomes = append(outcomes, o)
	}
	if _, err := st.ErasePhone(t.Context(), store.Erase{Now: now, Client: client, Phones: []store.PhoneID{goes}}); err != nil {
		t.Fatal(err)
	}
	n, err := b.emitter.Outcomes(st).RecordOutcomes(t.Context(), now, outcomes)
	if err != nil || n != 1 {
		t.Fatalf("recorded %d, %v", n, err)
	}
	got := b.queued(&e)
	if len(got) != 1 || got[0].Data.PhoneID != "phone-number-test-"+stays.String() {
		t.Errorf("queued %+v", got)
	}
	// One whose lease was lost is told: its message is there.
	kept := slices.IndexFunc(claimed, func(m store.Message) bool { return m.Phone == stays })
	b.emitter.Outcome(&claimed[kept], &outcomes[kept])
	if n, err := b.emitter.Outcomes(st).RecordOutcomes(t.Context(), now, outcomes[kept:kept+1]); err != nil || n != 0 {
		t.Fatalf("recorded %d again, %v", n, err)
	}
	if all, err := st.Webhooks(t.Context(), store.WebhookQuery{Endpoint: e.ID, Limit: 9}); err != nil || len(all) != 1 {
		t.Errorf("%d events, %v", len(all), err)
	}
}

// erasing is a message log in which a message is erased right after the first look at it.
type erasing struct {
	recorder
	goes  store.MessageID
	looks int
	// down fails the second look.
	down bool
}

func (r *erasing) Message(ctx context.Context, id store.MessageID) (store.MessageDetail, error) {
	if id == r.goes {
		r.looks++
		switch {
		case r.looks == 2 && r.down:
			return store.MessageDetail{}, fault.New(fault.Unavailable, "down")
		case r.looks > 1:
			return store.MessageDetail{}, fault.New(fault.NotFound, "erased")
		}
	}
	return r.recorder.Message(ctx, id)
}

// TestErasedWhileItIsTold: a phone is erased between the look at its message and the
// queueing of its event, which must not stay.
func TestErasedWhileItIsTold(t *testing.T) {
	t.Parallel()
	stays, goes := store.NewMessageID(), store.NewMessageID()
	receipts := func(b *bed, r *erasing) error {
		r.applied = []store.Applied{{Message: stays, Effect: store.ReceiptChanged}, {Message: goes, Effect: store.ReceiptChanged}}
		_, err := b.emitter.Receipts(r).ApplyReceipts(b.t.Context(), time.Now(), nil)
		return err
	}
	handed := func(b *bed, _ *erasing) error {
		ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
		defer cancel()
		b.emitter.hand(stays)
		b.emitter.hand(goes)
		return b.emitter.Run(ctx)
	}
	for _, c := range []struct {
		name string
		tell func(*bed, *erasing) error
		r    erasing
	}{
		{"by a receipt", receipts, erasing{goes: goes}},
		{"by a receipt, erased before", receipts, erasing{goes: goes, looks: 1}},
		{"handed over", handed, erasing{goes: goes}},
		{"handed over, erased before", handed, erasing{goes: goes, looks: 1}},
		{"handed over, told again", handed, erasing{goes: goes, down: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				mem := newMemory()
				b := newBed(t, mem, time.Now)
				b.create("https://example.com/")
				c.r.messages = map[store.MessageID]store.Message{
					stays: {ID: stays, Client: client, Status: store.MessageDelivered},
					goes:  {ID: goes, Client: client, Status: store.MessageFailed},
				}
				b.emitter.cfg.Messages = &c.r
				if err := c.tell(b, &c.r); err != nil {
					t.Fatal(err)
				}
				told := make(map[store.EventID]bool)
				for _, d := range mem.deliveries {
					told[d.Event] = true
				}
				if len(told) != 1 || !told[derivedID(stays, KindMessageDelivered)] {
					t.Errorf("told %v", told)
				}
			})
		})
	}
}

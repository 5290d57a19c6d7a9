package webhook

import (
	"slices"
	"testing"
	"time"

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

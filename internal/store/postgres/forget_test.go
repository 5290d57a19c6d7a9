package postgres_test

import (
	"errors"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/store/postgres"
)

// signIn makes an attempt that is right.
func signIn(t *testing.T, s *postgres.Store, phone store.PhoneID) (store.Session, error) {
	t.Helper()
	return s.Attempt(t.Context(), store.Attempt{
		Now: moment(0), Client: logClient, Phone: phone, MaxAttempts: 5, Match: func(store.Challenge) bool { return true },
		Grant: store.Grant{Session: store.Session{ID: randomID(), User: randomID(), AMR: []string{"otp"}, AuthTime: moment(0), CreatedAt: moment(0), ExpiresAt: moment(time.Hour)}},
	})
}

func TestForgetEphemeral(t *testing.T) {
	t.Parallel()
	s, _ := newLog(t)
	const many = 300
	first, signedIn := sendTo(randomID(), moment(0)), sendTo(randomID(), moment(0))
	first.Idempotency = &store.Idempotency{Key: [32]byte{1}, ExpiresAt: moment(time.Hour)}
	for _, in := range []store.Start{first, signedIn} {
		if _, err := s.StartChallenge(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	sess, err := signIn(t, s, signedIn.Phone)
	if err != nil {
		t.Fatal(err)
	}
	optedOut := store.PhoneID(randomID())
	err = s.MarkPhone(t.Context(), store.PhoneMark{
		Now: moment(0), Client: logClient, Phone: optedOut, Sealed: make([]byte, 64), Mark: store.Mark{OptedOut: new(true)},
	})
	if err != nil {
		t.Fatal(err)
	}
	fillQueue(t, s, many)
	share(t, s)

	for range 2 { // forgetting nothing is fine, too
		if err := s.ForgetEphemeral(t.Context(), moment(0)); err != nil {
			t.Fatal(err)
		}
	}
	if queue, err := s.QueueStats(t.Context()); err != nil || queue.Depth != 0 {
		t.Errorf("%d messages are queued, %v", queue.Depth, err)
	}
	page, err := s.Messages(t.Context(), store.MessageQuery{Clients: []string{logClient}, Limit: 2 * many})
	if err != nil || len(page.Messages) != many+2 {
		t.Fatalf("the log has %d messages, %v", len(page.Messages), err)
	}
	for _, m := range page.Messages {
		if m.Status != store.MessageExpired || !m.UpdatedAt.Equal(moment(0)) || m.ExpiresAt.After(moment(0)) {
			t.Fatalf("the log has %+v", m)
		}
	}
	if n, err := s.CodeKeyUses(t.Context(), moment(0), 1); err != nil || n != 0 {
		t.Errorf("%d challenges live, %v", n, err)
	}
	if _, err := s.Session(t.Context(), moment(0), sess.ID); err == nil {
		t.Error("the session lives")
	}
	if _, err := signIn(t, s, first.Phone); !fault.Is(err, fault.WrongCode) {
		t.Errorf("a code of before: %v", err)
	}
	again := first
	again.Challenge.ID, again.Message = randomID(), messageAt(moment(0))
	if out, err := s.StartChallenge(t.Context(), again); err != nil || out.Replayed || out.Challenge.ID != again.Challenge.ID {
		t.Errorf("a send with a key of before: %+v, %v", out, err)
	}
	shared(t, s)
	// What is no moment's stays: the phone's user, and its owner's word.
	if _, err := s.StartChallenge(t.Context(), sendTo(signedIn.Phone, moment(0))); err != nil {
		t.Fatal(err)
	}
	if out, err := signIn(t, s, signedIn.Phone); err != nil || out.User != sess.User {
		t.Errorf("the phone's user is %v, %v", out.User, err)
	}
	if _, err := s.StartChallenge(t.Context(), sendTo(optedOut, moment(0))); !fault.Is(err, fault.OptedOut) {
		t.Errorf("a send to a number that opted out: %v", err)
	}
}

// share writes something of everything that nodes share.
func share(t *testing.T, s *postgres.Store) {
	t.Helper()
	err := errors.Join(
		s.PutNotes(t.Context(), moment(0), []store.Note{{Topic: "topic", Key: "key", At: moment(0), Until: moment(time.Hour)}}),
		s.PutLineFacts(t.Context(), moment(0), []store.LineFact{{Phone: [16]byte{1}, Type: "mobile", Until: moment(time.Hour)}}),
		s.PutDocument(t.Context(), store.Document{Name: "document", Revision: 1, UpdatedAt: moment(0)}),
		s.AppendEvents(t.Context(), []store.Event{{ID: store.NewEventID(), At: moment(0), Kind: "kind"}}),
	)
	if err != nil {
		t.Fatal(err)
	}
}

// shared wants what was kept of it, and nothing that expires.
func shared(t *testing.T, s *postgres.Store) {
	t.Helper()
	notes, err := s.Notes(t.Context(), moment(0), "topic", time.Time{})
	_, known, errFact := s.LineFact(t.Context(), moment(0), [16]byte{1})
	d, errDocument := s.Document(t.Context(), "document", 0)
	events, errEvents := s.Events(t.Context(), store.EventQuery{Limit: 10})
	if err := errors.Join(err, errFact, errDocument, errEvents); err != nil {
		t.Fatal(err)
	}
	if len(notes) != 0 || known || d.Revision != 1 || len(events) != 1 {
		t.Errorf("%d notes, a fact %t, revision %d, %d events", len(notes), known, d.Revision, len(events))
	}
}

// TestForgetEndsTheWait: messages that were sent when the copy was made are not
// sent again with a code that is dead, whatever comes in after.
func TestForgetEndsTheWait(t *testing.T) {
	t.Parallel()
	s, _ := newLog(t)
	fillQueue(t, s, 2)
	var outcomes, late []store.Outcome
	var receipts []store.Receipt
	claimed := claimFrom(t, s, moment(0), 10)
	for i := range claimed {
		o, r := handedOver(&claimed[i], store.ReceiptFailed)
		r.Retry = true
		outcomes, receipts = append(outcomes, o), append(receipts, r)
	}
	if _, err := s.RecordOutcomes(t.Context(), moment(0), outcomes); err != nil {
		t.Fatal(err)
	}
	if n, err := s.CodeKeyUses(t.Context(), moment(5*time.Minute), 1); err != nil || n != 4 {
		t.Errorf("%d uses of the code key, %v; want 2 challenges and 2 messages", n, err)
	}
	held := claimFrom(t, s, moment(time.Minute), 10)
	if len(held) != 2 {
		t.Fatalf("claimed %+v", held)
	}
	if err := s.ForgetEphemeral(t.Context(), moment(0)); err != nil {
		t.Fatal(err)
	}
	if n, err := s.CodeKeyUses(t.Context(), moment(0), 1); err != nil || n != 0 {
		t.Errorf("%d uses of the code key, %v", n, err)
	}
	applied, err := s.ApplyReceipts(t.Context(), moment(0), receipts)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range applied {
		if a.Effect != store.ReceiptChanged {
			t.Errorf("a failure has effect %d, want the end", a.Effect)
		}
	}
	for i := range held {
		o, _ := handedOver(&held[i], 0)
		late = append(late, o)
	}
	if n, err := s.RecordOutcomes(t.Context(), moment(0), late); err != nil || n != 0 {
		t.Errorf("%d outcomes of before were taken, %v", n, err)
	}
	if got := claimFrom(t, s, moment(24*time.Hour), 10); len(got) != 0 {
		t.Errorf("claimed %+v", got)
	}
}

package sqlite_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/store/sqlite"
)

// TestForgetEphemeral forgets more rows than go into one slice.
func TestForgetEphemeral(t *testing.T) {
	t.Parallel()
	s, path := newStore(t, sqlite.Config{})
	const many, callers = 5100, 100
	first := send(random())
	first.Idempotency = &store.Idempotency{Key: [32]byte{1}, ExpiresAt: now().Add(time.Hour)}
	if _, err := s.StartChallenge(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	signedIn := send(random())
	if _, err := s.StartChallenge(t.Context(), signedIn); err != nil {
		t.Fatal(err)
	}
	sess, err := s.Attempt(t.Context(), attempt(signedIn.Phone, true))
	if err != nil {
		t.Fatal(err)
	}
	optedOut := store.PhoneID(random())
	err = s.MarkPhone(t.Context(), store.PhoneMark{
		Now: now(), Client: client, Phone: optedOut, Sealed: make([]byte, 64), Mark: store.Mark{OptedOut: new(true)},
	})
	if err != nil {
		t.Fatal(err)
	}
	share(t, s)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range many / callers {
				if _, err := s.StartChallenge(t.Context(), send(random())); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()

	for range 2 { // forgetting nothing is fine, too
		if err := s.ForgetEphemeral(t.Context(), now()); err != nil {
			t.Fatal(err)
		}
	}
	queue, err := s.QueueStats(t.Context())
	if err != nil || queue.Depth != 0 {
		t.Errorf("%d messages are queued, %v", queue.Depth, err)
	}
	var log []store.Message
	for q := (store.MessageQuery{Clients: []string{client}, Limit: 2 * many}); ; {
		page, err := s.Messages(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, page.Messages...)
		if q.Before = page.Next; page.Next == (store.MessageID{}) {
			break
		}
	}
	if len(log) != many+2 {
		t.Fatalf("the log has %d messages", len(log))
	}
	for _, m := range log {
		if m.Status != store.MessageExpired || !m.UpdatedAt.Equal(now()) {
			t.Fatalf("the log has %+v", m)
		}
	}
	if n, err := s.CodeKeyUses(t.Context(), now(), 1); err != nil || n != 0 {
		t.Errorf("%d challenges live, %v", n, err)
	}
	if _, err := s.Session(t.Context(), now(), sess.ID); err == nil {
		t.Error("the session lives")
	}
	if _, err := s.Attempt(t.Context(), attempt(first.Phone, true)); !fault.Is(err, fault.WrongCode) {
		t.Errorf("a code of before: %v", err)
	}
	again := first
	again.Challenge.ID, again.Message = random(), send(first.Phone).Message
	if out, err := s.StartChallenge(t.Context(), again); err != nil || out.Replayed || out.Challenge.ID != again.Challenge.ID {
		t.Errorf("a send with a key of before: %+v, %v", out, err)
	}
	shared(t, s)
	// What is no moment's stays: the phone's user, and its owner's word.
	if _, err := s.StartChallenge(t.Context(), send(signedIn.Phone)); err != nil {
		t.Fatal(err)
	}
	if out, err := s.Attempt(t.Context(), attempt(signedIn.Phone, true)); err != nil || out.User != sess.User {
		t.Errorf("the phone's user is %v, %v", out.User, err)
	}
	if _, err := s.StartChallenge(t.Context(), send(optedOut)); !fault.Is(err, fault.OptedOut) {
		t.Errorf("a send to a number that opted out: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := sqlite.Check(t.Context(), path); err != nil {
		t.Error(err)
	}
}

// share writes something of everything that nodes share.
func share(t *testing.T, s *sqlite.Store) {
	t.Helper()
	err := errors.Join(
		s.PutNotes(t.Context(), now(), []store.Note{{Topic: "topic", Key: "key", At: now(), Until: now().Add(time.Hour)}}),
		s.PutLineFacts(t.Context(), now(), []store.LineFact{{Phone: [16]byte{1}, Type: "mobile", Until: now().Add(time.Hour)}}),
		s.PutDocument(t.Context(), store.Document{Name: "document", Revision: 1, UpdatedAt: now()}),
		s.AppendEvents(t.Context(), []store.Event{{ID: store.NewEventID(), At: now(), Kind: "kind"}}),
	)
	if err != nil {
		t.Fatal(err)
	}
}

// shared wants what was kept of it, and nothing that expires.
func shared(t *testing.T, s *sqlite.Store) {
	t.Helper()
	notes, err := s.Notes(t.Context(), now(), "topic", time.Time{})
	_, known, errFact := s.LineFact(t.Context(), now(), [16]byte{1})
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
	s, _ := newStore(t, sqlite.Config{})
	fill(t, s, 2)
	claim := func(at time.Time) []store.Message {
		t.Helper()
		got, err := s.ClaimMessages(t.Context(), store.Claim{Now: at, Lease: time.Minute, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	outcomes, receipts := delivered(claim(now()))
	if _, err := s.RecordOutcomes(t.Context(), now(), outcomes); err != nil {
		t.Fatal(err)
	}
	if n, err := s.CodeKeyUses(t.Context(), now().Add(5*time.Minute), 1); err != nil || n != 4 {
		t.Errorf("%d uses of the code key, %v; want 2 challenges and 2 messages", n, err)
	}
	held := claim(now().Add(time.Minute))
	if len(held) != 2 {
		t.Fatalf("claimed %+v", held)
	}
	if err := s.ForgetEphemeral(t.Context(), now()); err != nil {
		t.Fatal(err)
	}
	if n, err := s.CodeKeyUses(t.Context(), now(), 1); err != nil || n != 0 {
		t.Errorf("%d uses of the code key, %v", n, err)
	}
	for i := range receipts {
		receipts[i].Status, receipts[i].Retry = store.ReceiptFailed, true
	}
	applied, err := s.ApplyReceipts(t.Context(), now(), receipts)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range applied {
		if a.Effect != store.ReceiptChanged {
			t.Errorf("a failure has effect %d, want the end", a.Effect)
		}
	}
	late, _ := delivered(held)
	if n, err := s.RecordOutcomes(t.Context(), now(), late); err != nil || n != 0 {
		t.Errorf("%d outcomes of before were taken, %v", n, err)
	}
	if got := claim(now().Add(24 * time.Hour)); len(got) != 0 {
		t.Errorf("claimed %+v", got)
	}
}

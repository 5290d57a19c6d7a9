package sqlite_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/store/sqlite"
)

const intakeClient = "intake"

func intakeAt(d time.Duration) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(d)
}

func openIntake(t *testing.T) *sqlite.Store {
	t.Helper()
	s := open(t, sqlite.Config{Path: filepath.Join(t.TempDir(), "codeword.db")})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	err := s.CreateClient(t.Context(), store.Client{ID: intakeClient, Name: intakeClient, Settings: []byte("{}"), CreatedAt: intakeAt(0)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func accepted(phone store.PhoneID, at time.Time) store.Accepted {
	return store.Accepted{
		ID: store.NewMessageID(), Client: intakeClient, Phone: phone, Sealed: []byte("sealed"), Challenge: store.NewChallengeID(),
		KeyVersion: 7, Digits: 6, CreatedAt: at, ExpiresAt: at.Add(10 * time.Minute), Locale: "es-419",
	}
}

// TestQueueMessages: what was accepted elsewhere is logged and queued, once, behind
// what the phone was sent before, and those of unknown clients are left out.
func TestQueueMessages(t *testing.T) {
	t.Parallel()
	s := openIntake(t)
	phone, other := store.PhoneID(store.NewChallengeID()), store.PhoneID(store.NewChallengeID())
	foreign := accepted(other, intakeAt(0))
	foreign.Client = "nobody"
	batch := []store.Accepted{
		accepted(phone, intakeAt(0)), accepted(other, intakeAt(time.Second)), foreign, accepted(phone, intakeAt(2*time.Second)),
	}
	batch = append(batch, batch[0])
	for range 2 {
		if err := s.QueueMessages(t.Context(), batch); !fault.Is(err, fault.NotFound) {
			t.Fatalf("a batch with an unknown client: %v", err)
		}
	}
	if err := s.QueueMessages(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	page, err := s.Messages(t.Context(), store.MessageQuery{Clients: []string{intakeClient}, Phones: []store.PhoneID{phone}, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var ids []store.MessageID
	for _, m := range page.Messages {
		ids = append(ids, m.ID)
	}
	if want := []store.MessageID{batch[3].ID, batch[0].ID}; !slices.Equal(ids, want) {
		t.Errorf("the phone has %v, want %v", ids, want)
	}
	claimed, err := s.ClaimMessages(t.Context(), store.Claim{Now: intakeAt(time.Minute), Lease: time.Minute, Limit: 10})
	if err != nil || len(claimed) != 3 {
		t.Fatalf("claimed %d messages, %v; want 3", len(claimed), err)
	}
	m, a := claimed[0], batch[0]
	if m.ID != a.ID || m.Phone != phone || string(m.Sealed) != "sealed" || m.Challenge != a.Challenge || m.KeyVersion != 7 || m.Digits != 6 ||
		m.Locale != a.Locale || !m.CreatedAt.Equal(a.CreatedAt) || !m.ExpiresAt.Equal(a.ExpiresAt) || m.Claims != 1 {
		t.Errorf("claimed %+v, want %+v", m, a)
	}
	if _, err := s.Message(t.Context(), foreign.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("a message of an unknown client: %v", err)
	}
}

// TestPhoneFacts: a phone is known under its primary id or an older one.
func TestPhoneFacts(t *testing.T) {
	t.Parallel()
	s := openIntake(t)
	old, primary := store.PhoneID(store.NewChallengeID()), store.PhoneID(store.NewChallengeID())
	facts := func(want store.PhoneFacts, primary store.PhoneID, former ...store.PhoneID) {
		t.Helper()
		got, err := s.PhoneFacts(t.Context(), intakeClient, primary, former)
		if err != nil || got != want {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	facts(store.PhoneFacts{ID: primary}, primary, old)
	until := intakeAt(time.Hour)
	err := s.MarkPhone(t.Context(), store.PhoneMark{
		Now: intakeAt(0), Client: intakeClient, Phone: old, Sealed: []byte("sealed"), Mark: store.Mark{OptedOut: new(true), BlockedUntil: &until},
	})
	if err != nil {
		t.Fatal(err)
	}
	facts(store.PhoneFacts{ID: old, Known: true, OptedOut: true, BlockedUntil: until}, primary, store.PhoneID{}, old)
	user, err := s.OwnPhone(t.Context(), store.Own{
		Now: intakeAt(0), Client: intakeClient, Phone: primary, Sealed: []byte("sealed"), User: store.UserID(store.NewChallengeID()),
	})
	if err != nil {
		t.Fatal(err)
	}
	facts(store.PhoneFacts{ID: primary, Known: true, User: user, HasUser: true}, primary, old)
	if _, err := s.PhoneFacts(t.Context(), "nobody", primary, nil); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown client: %v", err)
	}
}

// TestOwnPhone: whose phone it is, and what is refused.
func TestOwnPhone(t *testing.T) {
	t.Parallel()
	s := openIntake(t)
	own := func(phone store.PhoneID, user store.UserID, known bool) (store.UserID, error) {
		return s.OwnPhone(t.Context(), store.Own{
			Now: intakeAt(0), Client: intakeClient, Phone: phone, Sealed: []byte("sealed"), User: user, Known: known,
		})
	}
	stored, unknown := store.PhoneID(store.NewChallengeID()), store.PhoneID(store.NewChallengeID())
	if err := s.QueueMessages(t.Context(), []store.Accepted{accepted(stored, intakeAt(0))}); err != nil {
		t.Fatal(err)
	}
	for _, phone := range []store.PhoneID{stored, unknown} {
		user, other := store.UserID(store.NewChallengeID()), store.UserID(store.NewChallengeID())
		for _, ask := range []store.UserID{user, other} { // the second is not needed
			if got, err := own(phone, ask, false); err != nil || got != user {
				t.Errorf("the phone is %v's, %v; want %v", got, err, user)
			}
		}
		if got, err := own(phone, user, true); err != nil || got != user {
			t.Errorf("for its user the phone is %v's, %v", got, err)
		}
		if _, err := own(phone, other, true); !fault.Is(err, fault.PhoneTaken) {
			t.Errorf("another's phone: %v", err)
		}
		if _, err := own(store.PhoneID(store.NewChallengeID()), user, true); !fault.Is(err, fault.MismatchPhone) {
			t.Errorf("a second phone: %v", err)
		}
	}
}

package postgres_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/store/postgres"
)

func acceptedFor(phone store.PhoneID, at time.Time) store.Accepted {
	return store.Accepted{
		ID: messageAt(at), Client: logClient, Phone: phone, Sealed: []byte("sealed"), Challenge: randomID(), KeyVersion: 7, Digits: 6,
		CreatedAt: at, ExpiresAt: at.Add(10 * time.Minute), Locale: "es-419",
	}
}

// history lists the messages of a phone, newest first, along its chain.
func history(t *testing.T, s *postgres.Store, phone store.PhoneID) []store.MessageID {
	t.Helper()
	page, err := s.Messages(t.Context(), store.MessageQuery{Clients: []string{logClient}, Phones: []store.PhoneID{phone}, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var ids []store.MessageID
	for _, m := range page.Messages {
		ids = append(ids, m.ID)
	}
	return ids
}

// TestQueueMessages: what was accepted elsewhere is logged and queued as a send
// would have, each message once.
func TestQueueMessages(t *testing.T) {
	t.Parallel()
	s, _ := newLog(t)
	known, fresh := store.PhoneID(randomID()), store.PhoneID(randomID())
	sent := sendTo(known, moment(-time.Hour))
	if _, err := s.StartChallenge(t.Context(), sent); err != nil {
		t.Fatal(err)
	}
	claimFrom(t, s, moment(0), 10)
	foreign := acceptedFor(randomID(), moment(0))
	foreign.Client = "nobody"
	batch := []store.Accepted{
		acceptedFor(fresh, moment(time.Millisecond)), acceptedFor(known, moment(2*time.Millisecond)),
		acceptedFor(fresh, moment(3*time.Millisecond)), foreign, acceptedFor(known, moment(4*time.Millisecond)),
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
	if got, want := history(t, s, fresh), []store.MessageID{batch[2].ID, batch[0].ID}; !slices.Equal(got, want) {
		t.Errorf("the new phone has %v, want %v", got, want)
	}
	if got, want := history(t, s, known), []store.MessageID{batch[4].ID, batch[1].ID, sent.Message}; !slices.Equal(got, want) {
		t.Errorf("the known phone has %v, want %v", got, want)
	}
	if _, err := s.Message(t.Context(), foreign.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("a message of an unknown client: %v", err)
	}
	claimed := claimFrom(t, s, moment(4*time.Millisecond), 10)
	if len(claimed) != 4 {
		t.Fatalf("claimed %d messages, want 4", len(claimed))
	}
	for i, a := range []store.Accepted{batch[0], batch[1], batch[2], batch[4]} {
		m := claimed[i]
		if m.ID != a.ID || m.Client != logClient || m.Phone != a.Phone || m.Challenge != a.Challenge || m.KeyVersion != 7 || m.Digits != 6 ||
			m.Locale != a.Locale || !m.CreatedAt.Equal(a.CreatedAt) || !m.ExpiresAt.Equal(a.ExpiresAt) || m.Claims != 1 {
			t.Errorf("claimed %+v, want %+v", m, a)
		}
		if (string(m.Sealed) == "sealed") != (a.Phone == fresh) {
			t.Errorf("the number of %v is %q", a.Phone, m.Sealed)
		}
	}
	// The next message goes behind them.
	next := sendTo(fresh, moment(time.Minute))
	if _, err := s.StartChallenge(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if got := history(t, s, fresh); len(got) != 3 || got[0] != next.Message {
		t.Errorf("the new phone has %v", got)
	}
}

// TestNodesQueueTheSame: two nodes move the same messages, in batches that overlap,
// while others are sent to the same phones. Each is logged once, and no chain breaks.
func TestNodesQueueTheSame(t *testing.T) {
	t.Parallel()
	const phones, each, rounds = 12, 5, 8
	first, url := newLog(t)
	nodes := []*postgres.Store{first, node(t, url)}
	want := make(map[store.PhoneID]int)
	var ids []store.PhoneID
	for range phones {
		ids = append(ids, randomID())
	}
	for round := range rounds {
		if round%2 == 0 { // known and unknown ones
			ids[rand.IntN(phones)] = randomID()
		}
		var batch []store.Accepted
		for i := range phones * each {
			batch = append(batch, acceptedFor(ids[i%phones], moment(time.Duration(round*1000+i)*time.Millisecond)))
			want[ids[i%phones]]++
		}
		var all sync.WaitGroup
		for _, s := range nodes {
			for range 2 {
				mine := slices.Clone(batch)
				rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
				for part := range slices.Chunk(mine, 25) {
					all.Go(func() {
						if err := s.QueueMessages(context.Background(), part); err != nil {
							t.Error(err)
						}
					})
				}
			}
			for _, phone := range ids[:4] {
				want[phone]++
				all.Go(func() {
					if _, err := s.StartChallenge(context.Background(), sendTo(phone, moment(time.Duration(round)*time.Second))); err != nil {
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
	}
	for phone, n := range want {
		if got := history(t, first, phone); len(got) != n {
			t.Errorf("%v has %d messages, want %d", phone, len(got), n)
		}
	}
	noDeadlock(t, url, nodes...)
}

// TestForeignPhone: an id that is another client's phone is a mistake, and changes nothing.
func TestForeignPhone(t *testing.T) {
	t.Parallel()
	s, _ := newLog(t)
	if err := s.CreateClient(t.Context(), store.Client{ID: "other", Name: "other", Settings: []byte("{}"), CreatedAt: moment(0)}); err != nil {
		t.Fatal(err)
	}
	sent := sendTo(randomID(), moment(0))
	if _, err := s.StartChallenge(t.Context(), sent); err != nil {
		t.Fatal(err)
	}
	_, err := s.OwnPhone(t.Context(), store.Own{Now: moment(0), Client: "other", Phone: sent.Phone, Sealed: []byte("sealed"), User: randomID()})
	if !fault.Is(err, fault.Internal) {
		t.Errorf("it got an owner: %v", err)
	}
	foreign := sendTo(sent.Phone, moment(time.Hour))
	foreign.Client = "other"
	if _, err := s.StartChallenge(t.Context(), foreign); !fault.Is(err, fault.Internal) {
		t.Errorf("it was sent to: %v", err)
	}
	if got, err := s.PhoneFacts(t.Context(), logClient, sent.Phone, nil); err != nil || !got.Known || got.HasUser {
		t.Errorf("the phone is %+v, %v", got, err)
	}
}

// TestPhoneFacts: a phone is known under its primary id or an older one.
func TestPhoneFacts(t *testing.T) {
	t.Parallel()
	s, _ := newLog(t)
	old, oldest, primary := store.PhoneID(randomID()), store.PhoneID(randomID()), store.PhoneID(randomID())
	facts := func(primary store.PhoneID, former ...store.PhoneID) store.PhoneFacts {
		t.Helper()
		got, err := s.PhoneFacts(t.Context(), logClient, primary, former)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := facts(primary, old, oldest); got != (store.PhoneFacts{ID: primary}) {
		t.Errorf("an unknown phone: %+v", got)
	}
	until := moment(time.Hour)
	for _, id := range []store.PhoneID{oldest, old} {
		err := s.MarkPhone(t.Context(), store.PhoneMark{
			Now: moment(0), Client: logClient, Phone: id, Sealed: []byte("sealed"), Mark: store.Mark{OptedOut: new(true), BlockedUntil: &until},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := facts(primary, old, oldest); got != (store.PhoneFacts{ID: old, Known: true, OptedOut: true, BlockedUntil: until}) {
		t.Errorf("a phone of older keys: %+v", got)
	}
	if got := facts(oldest); got.ID != oldest || !got.Known {
		t.Errorf("by its own id: %+v", got)
	}
	user, err := s.OwnPhone(t.Context(), store.Own{Now: moment(0), Client: logClient, Phone: primary, Sealed: []byte("sealed"), User: randomID()})
	if err != nil {
		t.Fatal(err)
	}
	if got := facts(primary, old); got != (store.PhoneFacts{ID: primary, Known: true, User: user, HasUser: true}) {
		t.Errorf("a phone with a user: %+v", got)
	}
	if _, err := s.PhoneFacts(t.Context(), "nobody", primary, nil); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown client: %v", err)
	}
}

// TestOwnPhone: whose phone it is, and what is refused.
func TestOwnPhone(t *testing.T) {
	t.Parallel()
	s, _ := newLog(t)
	own := func(phone store.PhoneID, user store.UserID, known bool) (store.UserID, error) {
		t.Helper()
		return s.OwnPhone(t.Context(), store.Own{Now: moment(0), Client: logClient, Phone: phone, Sealed: []byte("sealed"), User: user, Known: known})
	}
	stored, unknown := store.PhoneID(randomID()), store.PhoneID(randomID())
	if _, err := s.StartChallenge(t.Context(), sendTo(stored, moment(0))); err != nil {
		t.Fatal(err)
	}
	for _, phone := range []store.PhoneID{stored, unknown} {
		user := store.UserID(randomID())
		for _, ask := range []store.UserID{user, randomID()} { // the second is not needed
			if got, err := own(phone, ask, false); err != nil || got != user {
				t.Errorf("the phone is %v's, %v, want %v", got, err, user)
			}
		}
		if got, err := own(phone, user, true); err != nil || got != user {
			t.Errorf("for its user the phone is %v's, %v", got, err)
		}
		if _, err := own(phone, randomID(), true); !fault.Is(err, fault.PhoneTaken) {
			t.Errorf("another's phone: %v", err)
		}
		other := store.PhoneID(randomID())
		if _, err := own(other, user, true); !fault.Is(err, fault.MismatchPhone) {
			t.Errorf("a second phone: %v", err)
		}
		if got, err := s.PhoneFacts(t.Context(), logClient, other, nil); err != nil || got.HasUser {
			t.Errorf("a refused phone: %+v, %v", got, err)
		}
	}
}

// TestNodesOwnOnePhone: of users who prove one phone at once one has it, and of
// phones that are proved at once for one user he has one.
func TestNodesOwnOnePhone(t *testing.T) {
	t.Parallel()
	const callers = 8
	first, url := newLog(t)
	nodes := []*postgres.Store{first, node(t, url)}
	for round := range 6 {
		phone, user := store.PhoneID(randomID()), store.UserID(randomID())
		if round%2 == 0 {
			if _, err := first.StartChallenge(t.Context(), sendTo(phone, moment(0))); err != nil {
				t.Fatal(err)
			}
		}
		owners := make([]store.UserID, callers)
		taken := make([]bool, callers)
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				var err error
				owners[i], err = nodes[i%2].OwnPhone(context.Background(), store.Own{Now: moment(0), Client: logClient, Phone: phone, Sealed: []byte("s"), User: randomID()})
				if err != nil {
					t.Error(err)
				}
			})
			all.Go(func() {
				_, err := nodes[i%2].OwnPhone(context.Background(), store.Own{Now: moment(0), Client: logClient, Phone: randomID(), Sealed: []byte("s"), User: user, Known: true})
				if taken[i] = err == nil; err != nil && !fault.Is(err, fault.MismatchPhone) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if len(slices.Compact(owners)) != 1 {
			t.Errorf("the phone was told to be of %v", owners)
		}
		if n := len(slices.DeleteFunc(taken, func(b bool) bool { return !b })); n != 1 {
			t.Errorf("the user has %d phones", n)
		}
	}
}

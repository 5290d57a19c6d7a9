package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/guard"
	"codeword/internal/store"
)

func concurrencyChecks() []check {
	return []check{
		{name: "200 racing wrong guesses", run: raceWrong},
		{name: "100 racing right answers", run: raceRight},
		{name: "right answers among wrong ones", run: raceMixed},
		{name: "20 racing sends", run: raceSends},
		{name: "50 racing sends with one key", run: raceKey},
		{name: "racing claims", run: raceClaims, alone: true},
		{name: "racing updates", run: raceUpdates},
		{name: "racing users of one phone", run: raceUsers},
	}
}

// race calls f n times at once and waits for all.
func race(n int, f func(i int)) {
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-begin
			f(i)
		})
	}
	close(begin)
	wg.Wait()
}

// tally counts what racing operations were answered.
type tally struct {
	mu     sync.Mutex
	passed int
	kinds  map[fault.Kind]int
	other  []error
}

func (y *tally) add(err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	var f *fault.Error
	switch {
	case err == nil:
		y.passed++
	case errors.As(err, &f):
		if y.kinds == nil {
			y.kinds = make(map[fault.Kind]int)
		}
		y.kinds[f.Kind]++
	default:
		y.other = append(y.other, err)
	}
}

// want fails unless just so many passed and all others were refused with kind.
func (y *tally) want(t *testing.T, passed, refused int, kind fault.Kind) {
	t.Helper()
	if y.passed != passed || y.kinds[kind] != refused || len(y.other) > 0 {
		t.Errorf("%d passed, refused by kind %v, other errors %v; want %d passed, %d refused with kind %d",
			y.passed, y.kinds, y.other, passed, refused, kind)
	}
}

func raceWrong(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	ch := s.send(t, phone, at(0))
	var judged, retryable atomic.Int64
	var got tally
	race(200, func(int) {
		in := s.guess(phone, at(0), random())
		in.Match = func(store.Challenge) bool { judged.Add(1); return false }
		_, err := s.Attempt(t.Context(), in)
		var f *fault.Error
		if errors.As(err, &f) && f.Retryable {
			retryable.Add(1)
		}
		got.add(err)
	})
	got.want(t, 0, 200, fault.WrongCode)
	if judged.Load() != maxAttempts || retryable.Load() != maxAttempts-1 {
		t.Errorf("%d guesses were judged and %d told to be retryable, want %d and %d",
			judged.Load(), retryable.Load(), maxAttempts, maxAttempts-1)
	}
	s.fail(t, s.guess(phone, at(0), ch.ID), fault.WrongCode)
}

func raceRight(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	ch := s.send(t, phone, at(0))
	var got tally
	var sessions sync.Map
	race(100, func(int) {
		in := s.guess(phone, at(0), ch.ID)
		sessions.Store(in.Grant.Session.ID, true)
		_, err := s.Attempt(t.Context(), in)
		got.add(err)
	})
	got.want(t, 1, 99, fault.WrongCode)
	alive := 0
	sessions.Range(func(id, _ any) bool {
		if _, err := s.Session(t.Context(), at(0), id.(store.SessionID)); err == nil { //nolint:forcetypeassert // stored above
			alive++
		}
		return true
	})
	if alive != 1 {
		t.Errorf("%d sessions for one code", alive)
	}
}

func raceMixed(t *testing.T, s *suite) {
	for range 5 {
		phone := store.PhoneID(random())
		ch := s.send(t, phone, at(0))
		var judged atomic.Int64
		var got tally
		race(30, func(i int) {
			in := s.guess(phone, at(0), ch.ID)
			in.Match = func(store.Challenge) bool { judged.Add(1); return i%10 == 0 }
			_, err := s.Attempt(t.Context(), in)
			got.add(err)
		})
		if got.passed > 1 || got.kinds[fault.WrongCode] != 30-got.passed || judged.Load() > maxAttempts {
			t.Errorf("%d passed, %d judged, refusals %v, errors %v", got.passed, judged.Load(), got.kinds, got.other)
		}
		if got.passed == 0 && judged.Load() != maxAttempts {
			t.Errorf("nobody passed after %d judged guesses", judged.Load())
		}
	}
}

func raceSends(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	var got, ofClient tally
	var challenges sync.Map
	race(20, func(int) {
		in := s.intent(phone, at(0))
		in.PhoneLimits = phoneLimits()
		out, err := s.StartChallenge(t.Context(), in)
		got.add(err)
		if err == nil {
			challenges.Store(out.Challenge.ID, true)
		}
	})
	got.want(t, 3, 17, fault.LimitSMS)
	n := 0
	challenges.Range(func(any, any) bool { n++; return true })
	if log := s.sent(t, phone); n != 1 || len(log) != 3 {
		t.Errorf("%d challenges and %d messages for 3 sends, want 1 and 3", n, len(log))
	}
	charge := store.Charge{Name: "client", OfClient: true, Key: phone.String(), Bucket: guard.Bucket{Burst: 7, Every: time.Hour}}
	race(20, func(int) {
		in := s.intent(random(), at(0))
		in.Charges = []store.Charge{charge}
		_, err := s.StartChallenge(t.Context(), in)
		ofClient.add(err)
	})
	ofClient.want(t, 7, 13, fault.LimitClient)
}

func raceKey(t *testing.T, s *suite) {
	phone, key := store.PhoneID(random()), newIdempotency(at(day))
	var got tally
	var replayed atomic.Int64
	race(50, func(int) {
		out, err := s.StartChallenge(t.Context(), s.keyed(phone, at(0), key))
		got.add(err)
		if out.Replayed {
			replayed.Add(1)
		}
	})
	got.want(t, 50, 0, fault.Internal)
	if replayed.Load() != 49 {
		t.Errorf("%d of 50 were replayed, want 49", replayed.Load())
	}
	if n := len(s.sent(t, phone)); n != 1 {
		t.Errorf("%d messages for one key", n)
	}
}

func raceClaims(t *testing.T, s *suite) {
	const n = 60
	for range n {
		s.send(t, random(), at(0))
	}
	var mu sync.Mutex
	claimed := make(map[store.MessageID]int)
	race(8, func(int) {
		for {
			got, err := s.ClaimMessages(t.Context(), store.Claim{Now: at(0), Lease: lease, Limit: 3})
			if err != nil {
				t.Errorf("ClaimMessages: %v", err)
				return
			}
			if len(got) == 0 {
				return
			}
			mu.Lock()
			for _, m := range got {
				claimed[m.ID]++
			}
			mu.Unlock()
		}
	})
	if len(claimed) != n {
		t.Errorf("%d of %d messages were claimed", len(claimed), n)
	}
	for id, times := range claimed {
		if times != 1 {
			t.Errorf("message %v was claimed %d times within its lease", id, times)
		}
	}
}

func raceUpdates(t *testing.T, s *suite) {
	seen := s.stored(t, s.client)
	var clients, keys tally
	race(20, func(i int) {
		c := seen
		c.Name = string(rune('a' + i))
		clients.add(s.UpdateClient(t.Context(), c))
		keys.add(s.AddSigningKey(t.Context(), signingKey(c.Name, at(0)), ""))
	})
	clients.want(t, 1, 19, fault.Conflict)
	keys.want(t, 1, 19, fault.Conflict)
	if got := s.stored(t, s.client).Revision; got != seen.Revision+1 {
		t.Errorf("revision %d after one update of %d", got, seen.Revision)
	}
}

// raceUsers: two bearers verify one free phone at once, and one bearer two
// phones at once; a phone has one user and a user one phone.
func raceUsers(t *testing.T, s *suite) {
	for range 5 {
		phones := [2]store.PhoneID{random(), random()}
		users := [2]store.UserID{random(), random()}
		var guesses []store.Attempt
		for _, p := range phones {
			for _, u := range users {
				start := s.intent(p, at(0))
				start.Challenge.Binding = store.Binding(u.String())
				in := s.guess(p, at(0), s.start(t, start).Challenge.ID)
				in.Binding = start.Challenge.Binding
				known(u)(&in.Grant)
				guesses = append(guesses, in)
			}
		}
		var mu sync.Mutex
		byPhone, byUser := make(map[store.PhoneID]int), make(map[store.UserID]int)
		race(len(guesses), func(i int) {
			out, err := s.Attempt(t.Context(), guesses[i])
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			byPhone[out.Phone]++
			byUser[out.User]++
		})
		for _, p := range phones {
			if byPhone[p] != 1 {
				t.Errorf("phone verified by %d users, want 1", byPhone[p])
			}
		}
		for _, u := range users {
			if byUser[u] != 1 {
				t.Errorf("user verified %d phones, want 1", byUser[u])
			}
		}
	}
}

package sqlite_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/guard"
	"codeword/internal/store"
	"codeword/internal/store/sqlite"
	"codeword/internal/waittest"
)

const client = "client"

func now() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func random() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// newStore opens a store in a new directory, with a client, and closes it with
// the test.
func newStore(tb testing.TB, cfg sqlite.Config) (*sqlite.Store, string) {
	tb.Helper()
	cfg.Path = filepath.Join(tb.TempDir(), "codeword.db")
	s := open(tb, cfg)
	tb.Cleanup(func() { _ = s.Close() })
	if err := s.CreateClient(tb.Context(), store.Client{ID: client, Name: client, CreatedAt: now()}); err != nil {
		tb.Fatalf("CreateClient: %v", err)
	}
	return s, cfg.Path
}

func send(phone store.PhoneID) store.Start {
	message := random()
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now().UnixMilli()))
	copy(message[:6], ms[2:])
	return store.Start{
		Now: now(), Client: client, Phone: phone, Sealed: make([]byte, 64),
		Challenge:   store.Challenge{ID: random(), KeyVersion: 1, Digits: 6, CreatedAt: now(), ExpiresAt: now().Add(10 * time.Minute)},
		MaxAttempts: 5, Message: message,
	}
}

func attempt(phone store.PhoneID, match bool) store.Attempt {
	return store.Attempt{
		Now: now(), Client: client, Phone: phone, MaxAttempts: 5,
		Match: func(store.Challenge) bool { return match },
		Grant: store.Grant{Session: store.Session{
			ID: random(), User: random(), AMR: []string{"otp", "sms"},
			AuthTime: now(), CreatedAt: now(), ExpiresAt: now().Add(10 * time.Minute),
		}},
	}
}

// sent counts the messages of a phone.
func sent(t *testing.T, s *sqlite.Store, phone store.PhoneID) int {
	t.Helper()
	out, err := s.Messages(context.Background(), store.MessageQuery{Clients: []string{client}, Phones: []store.PhoneID{phone}, Limit: 10})
	if err != nil {
		t.Fatalf("Messages: %v", err)
	}
	return len(out.Messages)
}

// unavailable checks that nothing was acknowledged and that a retry is invited.
func unavailable(t *testing.T, what string, err error) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Unavailable {
		t.Fatalf("%s: got %v, want fault.Unavailable", what, err)
	}
	if f.RetryAfter <= 0 {
		t.Errorf("%s: no RetryAfter", what)
	}
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	waittest.Until(t, what, holds)
}

// queued starts n sends while the writer is held and returns their answers.
func queued(t *testing.T, s *sqlite.Store, n int) (phones []store.PhoneID, answers func() []error) {
	t.Helper()
	var wg sync.WaitGroup
	before := s.Stats().Queued
	errs := make([]error, n)
	for i := range n {
		phone := store.PhoneID(random())
		phones = append(phones, phone)
		wg.Go(func() { _, errs[i] = s.StartChallenge(context.Background(), send(phone)) })
	}
	eventually(t, "all are queued", func() bool { return s.Stats().Queued == before+n })
	return phones, func() []error { wg.Wait(); return errs }
}

func TestOneCommitForAllThatIsQueued(t *testing.T) {
	s, path := newStore(t, sqlite.Config{})
	release := s.Hold()
	phones, answers := queued(t, s, 40)
	before := s.Stats()
	release()
	for i, err := range answers() {
		if err != nil {
			t.Errorf("send %d: %v", i, err)
		}
	}
	after := s.Stats()
	if after.Commits != before.Commits+1 || after.Operations != before.Operations+40 {
		t.Errorf("%d commits for %d operations, want 1 for 40", after.Commits-before.Commits, after.Operations-before.Operations)
	}
	image := openImage(t, s, path, nil)
	for i, p := range phones {
		if sent(t, image, p) != 1 {
			t.Errorf("send %d was acknowledged and is not in the crash image", i)
		}
	}
}

func TestGroupsAreBounded(t *testing.T) {
	s, _ := newStore(t, sqlite.Config{MaxGroup: 8})
	release := s.Hold()
	_, answers := queued(t, s, 40)
	before := s.Stats().Commits
	release()
	for i, err := range answers() {
		if err != nil {
			t.Errorf("send %d: %v", i, err)
		}
	}
	if got := s.Stats().Commits - before; got != 5 {
		t.Errorf("%d commits, want 5 of at most 8", got)
	}
}

func TestOneFailureDoesNotTakeTheGroupWithIt(t *testing.T) {
	s, _ := newStore(t, sqlite.Config{})
	padding, err := s.Padding(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	release := s.Hold()
	first, firstAnswers := queued(t, s, 5)
	var runs int
	var failed error
	var wg sync.WaitGroup
	wg.Go(func() { failed = s.OperationFails(context.Background(), &runs) })
	eventually(t, "the failing one is queued", func() bool { return s.Stats().Queued == 6 })
	last, lastAnswers := queued(t, s, 5)
	release()
	wg.Wait()
	unavailable(t, "the failing one", failed)
	if !errors.Is(failed, sqlite.ErrEngine) || runs != 2 {
		t.Errorf("got %v after %d runs, want the engine's error after the group and once alone", failed, runs)
	}
	for i, err := range append(firstAnswers(), lastAnswers()...) {
		if err != nil {
			t.Errorf("send %d: %v", i, err)
		}
	}
	for i, p := range append(first, last...) {
		if n := sent(t, s, p); n != 1 {
			t.Errorf("send %d left %d messages, want 1", i, n)
		}
	}
	if after, err := s.Padding(t.Context()); err != nil || after != padding {
		t.Errorf("the failed operation left its write: %d, want %d (%v)", after, padding, err)
	}
}

// TestUndoneGroupChargesNothing: limits are kept in memory ahead of the file, and
// must fall back with it.
func TestUndoneGroupChargesNothing(t *testing.T) {
	s, _ := newStore(t, sqlite.Config{})
	charged := func() store.Start {
		in := send(random())
		in.Charges = []store.Charge{{Name: "charge", Key: "key", Bucket: guard.Bucket{Burst: 1, Every: time.Hour}}}
		return in
	}
	release := s.Hold()
	var err error
	var runs int
	var wg sync.WaitGroup
	wg.Go(func() { _, err = s.StartChallenge(context.Background(), charged()) })
	eventually(t, "the send is queued", func() bool { return s.Stats().Queued == 1 })
	wg.Go(func() { _ = s.OperationFails(context.Background(), &runs) })
	eventually(t, "the failing one is queued", func() bool { return s.Stats().Queued == 2 })
	release()
	wg.Wait()
	if err != nil || runs != 2 {
		t.Errorf("the send was told %v; the failing operation ran %d times, want 2", err, runs)
	}
	if _, err := s.StartChallenge(t.Context(), charged()); !fault.Is(err, fault.LimitSMS) {
		t.Errorf("got %v, want the charge of the send to stand", err)
	}
}

// TestWriterIsDurable: no test can pull the plug, so this one looks at the
// setting that SQLite documents to survive it: synchronous=FULL is 2.
func TestWriterIsDurable(t *testing.T) {
	s, _ := newStore(t, sqlite.Config{})
	if got, err := s.WriterSetting("PRAGMA synchronous"); err != nil || got != 2 {
		t.Errorf("synchronous is %d (%v), want 2", got, err)
	}
}

func TestFullQueueRefusesAtOnce(t *testing.T) {
	s, _ := newStore(t, sqlite.Config{Queue: 3})
	release := s.Hold()
	phones, answers := queued(t, s, 3)
	for range 5 { // the writer is held: only an answer at once is an answer
		_, err := s.StartChallenge(t.Context(), send(random()))
		unavailable(t, "a send beyond the queue", err)
	}
	release()
	for i, err := range answers() {
		if err != nil || sent(t, s, phones[i]) != 1 {
			t.Errorf("queued send %d: %v", i, err)
		}
	}
	if _, err := s.StartChallenge(t.Context(), send(random())); err != nil {
		t.Errorf("after the rush: %v", err)
	}
}

func TestAbandonedBeforeItBegan(t *testing.T) {
	s, _ := newStore(t, sqlite.Config{})
	release := s.Hold()
	ctx, cancel := context.WithCancel(t.Context())
	phone := store.PhoneID(random())
	done := make(chan error, 1)
	go func() {
		_, err := s.StartChallenge(ctx, send(phone))
		done <- err
	}()
	eventually(t, "it is queued", func() bool { return s.Stats().Queued == 1 })
	cancel()
	err := <-done // answered while the writer is still held
	unavailable(t, "the abandoned send", err)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled in it", err)
	}
	release()
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := sent(t, s, phone); n != 0 {
		t.Errorf("a send that was told to be unavailable left %d messages", n)
	}
}

func TestAbandonedWhileItRuns(t *testing.T) {
	s, _ := newStore(t, sqlite.Config{})
	phone := store.PhoneID(random())
	if _, err := s.StartChallenge(t.Context(), send(phone)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	in := attempt(phone, true)
	in.Match = func(store.Challenge) bool { cancel(); runtime.Gosched(); return true }
	got, err := s.Attempt(ctx, in)
	if err != nil {
		t.Fatalf("the code was used, but the caller was told %v", err)
	}
	if _, err := s.Session(t.Context(), now(), got.ID); err != nil {
		t.Errorf("Session: %v", err)
	}
}

func TestWaitingToReadCanBeGivenUp(t *testing.T) {
	s, _ := newStore(t, sqlite.Config{Readers: 1})
	give := s.TakeReader()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Clients(ctx)
	unavailable(t, "a read without a connection", err)
	give()
	if _, err := s.Clients(t.Context()); err != nil {
		t.Errorf("Clients: %v", err)
	}
}

func TestCloseAnswersEverybody(t *testing.T) {
	s, path := newStore(t, sqlite.Config{})
	release := s.Hold()
	phones, answers := queued(t, s, 30)
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	release()
	if err := <-closed; err != nil {
		t.Fatalf("Close: %v", err)
	}
	if fi, err := os.Stat(path + "-wal"); err == nil && fi.Size() > 0 {
		t.Errorf("Close left %d bytes of log", fi.Size())
	}
	errs := answers()
	again := open(t, sqlite.Config{Path: path})
	defer again.Close()
	for i, err := range errs {
		want := 1
		if err != nil {
			unavailable(t, "a send during Close", err)
			want = 0
		}
		if n := sent(t, again, phones[i]); n != want {
			t.Errorf("send %d was told %v and left %d messages", i, err, n)
		}
	}
}

func TestCloseUnderLoad(t *testing.T) {
	s, path := newStore(t, sqlite.Config{Queue: 8})
	var mu sync.Mutex
	var acknowledged []store.PhoneID
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for {
				phone := store.PhoneID(random())
				if _, err := s.StartChallenge(context.Background(), send(phone)); err == nil {
					mu.Lock()
					acknowledged = append(acknowledged, phone)
					mu.Unlock()
				} else if s.Ping(context.Background()) != nil {
					if _, err := s.Clients(context.Background()); err != nil {
						return // closed, for writers and readers
					}
				}
			}
		})
	}
	eventually(t, "there is load", func() bool { return s.Stats().Operations > 100 })
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	wg.Wait()
	again := open(t, sqlite.Config{Path: path})
	defer again.Close()
	for i, p := range acknowledged {
		if sent(t, again, p) != 1 {
			t.Fatalf("acknowledged send %d of %d is gone", i, len(acknowledged))
		}
	}
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	s, _ := newStore(t, sqlite.Config{})
	for range 10 {
		if _, err := s.StartChallenge(t.Context(), send(random())); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all goroutines ended", func() bool { return runtime.NumGoroutine() <= before })
}

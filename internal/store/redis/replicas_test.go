package redis_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/guard"
	"codeword/internal/store"
	"codeword/internal/store/redis"
	"codeword/internal/store/redis/redistest"
	"codeword/internal/store/sqlite"
)

// slow is a ledger that thinks about one phone for a while, and may block it then.
type slow struct {
	*sqlite.Store
	phone  store.PhoneID
	asked  chan struct{}
	answer chan struct{}
	blocks bool
}

func newSlow(tb testing.TB, blocks bool) *slow {
	tb.Helper()
	return &slow{Store: withClient(tb), phone: random(), asked: make(chan struct{}), answer: make(chan struct{}), blocks: blocks}
}

func (l *slow) PhoneFacts(ctx context.Context, client string, phone store.PhoneID, former []store.PhoneID) (store.PhoneFacts, error) {
	facts, err := l.Store.PhoneFacts(ctx, client, phone, former)
	if phone == l.phone {
		close(l.asked)
		<-l.answer
		if l.blocks {
			facts.BlockedUntil = moment(time.Hour)
		}
	}
	return facts, err
}

func charged(phone store.PhoneID, at time.Time, every time.Duration) store.Start {
	in := sendTo(phone, at)
	in.Charges = []store.Charge{{Name: "client", OfClient: true, Key: "client", Bucket: guard.Bucket{Burst: 1, Every: every}}}
	return in
}

// TestGiveBack: a refused send gets its charge back, as far as time has not given it
// back already: another one may have taken it since.
func TestGiveBack(t *testing.T) {
	t.Parallel()
	const every = 100 * time.Millisecond
	l := newSlow(t, true)
	s := open(t, redis.Config{URL: redistest.New(t), Ledger: l})
	refused := make(chan error, 1)
	go func() {
		_, err := s.StartChallenge(context.Background(), charged(l.phone, moment(0), every))
		refused <- err
	}()
	<-l.asked
	eventually(t, "the charge is made and has leaked away", func() bool {
		_, err := s.StartChallenge(context.Background(), charged(random(), moment(every-time.Millisecond), every))
		return fault.Is(err, fault.LimitClient)
	})
	time.Sleep(2 * every)
	if _, err := s.StartChallenge(t.Context(), charged(random(), moment(2*every), every)); err != nil {
		t.Fatalf("a send after the charge has leaked away: %v", err)
	}
	close(l.answer)
	wants(t, "the send to a blocked phone", <-refused, fault.Blocked)
	_, err := s.StartChallenge(t.Context(), charged(random(), moment(2*every), every))
	wants(t, "a second send at the same moment", err, fault.LimitClient)
}

// TestWait: a write that too few replicas have is not acknowledged.
func TestWait(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t)
	s := open(t, redis.Config{URL: c.URL() + "&wait=1&timeout=1s", Ledger: withClient(t)})
	phone := store.PhoneID(random())
	mustPass(t, s, phone, mustSend(t, s, phone))
	for _, r := range c.Replicas {
		r.Kill()
	}
	_, err := s.StartChallenge(t.Context(), sendTo(phone, moment(0)))
	wants(t, "a send without replicas", err, fault.Unavailable)
	if _, err := s.Session(t.Context(), moment(0), random()); !fault.Is(err, fault.InvalidAuthorization) {
		t.Errorf("a read waits for nobody: %v", err)
	}
}

// TestWaitWhereItWrote: the replicas that are asked are those of the primary that has
// the write, also when a slot has just moved there.
func TestWaitWhereItWrote(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t)
	s := open(t, redis.Config{URL: c.URL() + "&wait=1&timeout=1s", Ledger: withClient(t)})
	phone := store.PhoneID(random())
	for c.Shard(t, s.PhoneKey(client, phone)) != 0 {
		phone = random()
	}
	other := random()
	other[15] = phone[15] // the same slot
	slot := c.Slot(t, s.PhoneKey(client, phone))
	to := c.Primaries[1].Do(t, "CLUSTER", "MYID")
	id, err := to.ToString()
	if err != nil {
		t.Fatal(err)
	}
	c.Replicas[1].Pause()
	for _, p := range []*redistest.Server{c.Primaries[1], c.Primaries[0]} {
		p.Do(t, "CLUSTER", "SETSLOT", strconv.Itoa(slot), "NODE", id)
	}
	_, err = s.StartChallenge(t.Context(), sendTo(phone, moment(0)))
	wants(t, "a send that no replica has", err, fault.Unavailable)
	c.Replicas[1].Resume()
	eventually(t, "the slot is found where it is", func() bool {
		_, err := s.StartChallenge(context.Background(), sendTo(other, moment(0)))
		return err == nil
	})
}

// TestWaitInterrupted: when only the wait fails, the message is on its way. Its charge
// and its idempotency key stay used.
func TestWaitInterrupted(t *testing.T) {
	t.Parallel()
	l := newSlow(t, false)
	primary, replica := redistest.Single(t), redistest.Single(t)
	replica.Follow(t, primary)
	s := open(t, redis.Config{URL: primary.URL() + "?wait=1&timeout=10s", Ledger: l})
	key := func(in store.Start, body byte) store.Start {
		in.Idempotency = &store.Idempotency{Key: [32]byte{1}, Body: [32]byte{body}, ExpiresAt: moment(time.Hour)}
		return in
	}
	told := make(chan error, 1)
	go func() {
		_, err := s.StartChallenge(context.Background(), key(charged(l.phone, moment(0), time.Hour), 1))
		told <- err
	}()
	<-l.asked
	eventually(t, "its charge and its key are with the replica", func() bool {
		size := replica.Do(t, "DBSIZE")
		n, err := size.AsInt64()
		return err == nil && n >= 2 && replica.CaughtUp(t)
	})
	replica.Pause()
	close(l.answer)
	eventually(t, "the send waits for the replica", func() bool { return interrupt(t, primary) })
	wants(t, "a send whose wait was interrupted", <-told, fault.Unavailable)
	replica.Resume()
	_, err := s.StartChallenge(t.Context(), key(sendTo(random(), moment(0)), 2))
	wants(t, "another send with its key", err, fault.IdempotencyMismatch)
	_, err = s.StartChallenge(t.Context(), charged(random(), moment(0), time.Hour))
	wants(t, "another send beyond the limit", err, fault.LimitClient)
	eventually(t, "the message comes", func() bool { return logged(t, l, l.phone) == 1 })
}

// interrupt ends a WAIT with an error, as a demotion would, and tells whether there was
// one.
func interrupt(t *testing.T, s *redistest.Server) (done bool) {
	t.Helper()
	all := s.Do(t, "CLIENT", "LIST")
	list, err := all.ToString()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(list) {
		var id int
		if _, err := fmt.Sscanf(line, "id=%d", &id); err == nil && strings.Contains(line, " cmd=wait ") && strings.Contains(line, " flags=b ") {
			s.Do(t, "CLIENT", "UNBLOCK", strconv.Itoa(id), "ERROR")
			done = true
		}
	}
	return done
}

package redis_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"codeword/internal/store"
	"codeword/internal/store/redis"
	"codeword/internal/store/redis/redistest"
)

// TestMoved: what was accepted comes into the ledger at once, and delivery is told.
func TestMoved(t *testing.T) {
	t.Parallel()
	var told atomic.Int64
	l := withClient(t)
	s := open(t, redis.Config{URL: redistest.New(t), Ledger: l, Moved: func() { told.Add(1) }})
	phone := store.PhoneID(random())
	mustSend(t, s, phone)
	began := time.Now()
	eventually(t, "the message is in the ledger", func() bool { return logged(t, l, phone) == 1 })
	eventually(t, "delivery is told", func() bool { return told.Load() == 1 })
	t.Logf("after %v", time.Since(began))
}

// TestLedgerAway: what was accepted while the ledger was away waits for it.
func TestLedgerAway(t *testing.T) {
	t.Parallel()
	l := &shaky{Store: withClient(t)}
	l.away.Store(true)
	s := open(t, redis.Config{URL: redistest.New(t), Ledger: l})
	phones := make([]store.PhoneID, 20)
	for i := range phones {
		phones[i] = random()
		mustSend(t, s, phones[i])
		mustSend(t, s, phones[i])
	}
	eventually(t, "the mover tries", func() bool { return l.calls.Load() > 1 })
	if q, err := s.QueueStats(t.Context()); err != nil || q.Depth != 40 || !q.Oldest.Equal(moment(0)) {
		t.Errorf("queue %+v, %v; want 40 messages", q, err)
	}
	l.away.Store(false)
	for _, phone := range phones {
		eventually(t, "its messages are in the ledger", func() bool { return logged(t, l, phone) == 2 })
	}
	eventually(t, "the streams are empty", func() bool {
		q, err := s.QueueStats(context.Background())
		return err == nil && q.Depth == 40 // all in the ledger
	})
}

// inHand is a node that has accepted a message and cannot move it, and the phone.
func inHand(t *testing.T, url string) (*redis.Store, store.PhoneID) {
	t.Helper()
	l := &shaky{Store: withClient(t)}
	l.away.Store(true)
	node := open(t, redis.Config{URL: url, Ledger: l})
	phone := store.PhoneID(random())
	mustSend(t, node, phone)
	eventually(t, "the node has it in hand", func() bool { return l.calls.Load() > 0 })
	return node, phone
}

// TestTakeover: what a node had in hand when it died is moved by another one.
func TestTakeover(t *testing.T) {
	t.Parallel()
	url := redistest.New(t)
	dies, phone := inHand(t, url)
	if err := dies.Close(); err != nil {
		t.Fatal(err)
	}
	second := withClient(t)
	s := open(t, redis.Config{URL: url, Ledger: second})
	eventually(t, "the other node has moved it", func() bool { return logged(t, second, phone) == 1 })
	// It is forgotten a moment after the ledger has it.
	eventually(t, "it is counted once", func() bool {
		q, err := s.QueueStats(context.Background())
		return err == nil && q.Depth == 1
	})
}

// TestReaderMoves: who asks for the messages of a phone does not wait until those that a
// dead node had in hand are taken over, after three seconds.
func TestReaderMoves(t *testing.T) {
	t.Parallel()
	url := redistest.New(t)
	s := open(t, redis.Config{URL: url, Ledger: withClient(t)})
	_, phone := inHand(t, url)
	began := time.Now()
	page, err := s.Messages(t.Context(), store.MessageQuery{Clients: []string{client}, Phones: []store.PhoneID{phone}, Limit: 10})
	if took := time.Since(began); err != nil || len(page.Messages) != 1 || took > 3*time.Second {
		t.Errorf("after %v the list has %d messages, %v", took, len(page.Messages), err)
	}
}

// TestOrder: the messages of a phone come into the ledger in the order in which they were
// accepted, whichever nodes accepted them.
func TestOrder(t *testing.T) {
	t.Parallel()
	const phones, each = 60, 4
	url, l := redistest.New(t), withClient(t)
	nodes := []*redis.Store{open(t, redis.Config{URL: url, Ledger: l}), open(t, redis.Config{URL: url, Ledger: l})}
	var all sync.WaitGroup
	for range phones {
		all.Go(func() {
			phone := store.PhoneID(random())
			var want store.MessageID
			for i := range each {
				in := sendTo(phone, moment(time.Duration(i)*time.Second))
				if _, err := nodes[i%2].StartChallenge(context.Background(), in); err != nil {
					t.Error(err)
					return
				}
				want = in.Message
			}
			eventually(t, "its messages are in the ledger", func() bool { return logged(t, l, phone) == each })
			got, err := l.RecordVerified(context.Background(), moment(time.Minute), []store.PhoneID{phone})
			if err != nil || len(got) != 1 || got[0].ID != want {
				t.Errorf("the newest message in the ledger is %v, %v, want %v", got, err, want)
			}
		})
	}
	all.Wait()
}

// TestPoison: an entry that the ledger never takes, or that nobody can read, holds up
// no other.
func TestPoison(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	l := &shaky{Store: withClient(t)}
	l.away.Store(true)
	s := open(t, redis.Config{URL: server.URL(), Ledger: l})
	phone := store.PhoneID(random())
	sends := []store.Start{sendTo(phone, moment(0)), sendTo(phone, moment(1)), sendTo(phone, moment(2))}
	l.poison.Store(&sends[1].Message)
	stranger := sendTo(phone, moment(3))
	for i := range sends {
		if _, err := s.StartChallenge(t.Context(), sends[i]); err != nil {
			t.Fatal(err)
		}
	}
	stream := s.StreamKey(phone)
	server.Do(t, "XADD", stream, "*", "what", "is this")
	server.Do(t, "XADD", stream, "*", "c", "nobody", "m", string(stranger.Message[:]), "p", string(phone[:]), "h", string(phone[:]))
	l.away.Store(false)
	eventually(t, "the others are in the ledger", func() bool { return logged(t, l, phone) == 2 })
	eventually(t, "the stream is empty", func() bool {
		length := server.Do(t, "XLEN", stream)
		n, err := length.AsInt64()
		return err == nil && n == 0
	})
}

// TestNodesMoveTogether: several nodes move one intake; each message is logged once.
func TestNodesMoveTogether(t *testing.T) {
	t.Parallel()
	url, l := redistest.New(t), withClient(t)
	shared := keptOpen{l}
	nodes := []*redis.Store{open(t, redis.Config{URL: url, Ledger: shared}), open(t, redis.Config{URL: url, Ledger: shared})}
	t.Cleanup(func() { _ = l.Close() }) // before the nodes, which do not
	phones := make([]store.PhoneID, 10)
	for i := range phones {
		phones[i] = random()
	}
	for n := range 30 {
		for _, phone := range phones {
			mustSend(t, nodes[n%2], phone)
		}
	}
	for _, phone := range phones {
		eventually(t, "all its messages are in the ledger", func() bool { return logged(t, l, phone) >= 30 })
		page, err := l.Messages(t.Context(), store.MessageQuery{Clients: []string{client}, Phones: []store.PhoneID{phone}, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		ids := make([]store.MessageID, 0, len(page.Messages))
		for _, m := range page.Messages {
			ids = append(ids, m.ID)
		}
		slices.SortFunc(ids, func(a, b store.MessageID) int { return slices.Compare(a[:], b[:]) })
		if n := len(slices.Compact(ids)); n != 30 {
			t.Errorf("%d messages, want 30", n)
		}
	}
}

// keptOpen is a ledger that several nodes use.
type keptOpen struct{ redis.Ledger }

func (keptOpen) Close() error { return nil }

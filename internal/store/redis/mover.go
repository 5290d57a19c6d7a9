package redis

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"codeword/internal/fault"
	"codeword/internal/store"
)

const (
	// moveBatch is how many entries one part hands out at once.
	moveBatch = 128
	// moveIdle is how long a node may keep an entry before another one takes it over,
	// and what came to the part since.
	moveIdle = 3 * time.Second
	// scanEvery is how often a node looks at all parts: for what others left, and for
	// what was added while nobody was told.
	scanEvery = time.Second
	// movePause is between two tries while the ledger is away.
	movePause = 200 * time.Millisecond
)

// mover puts accepted messages from the streams into the ledger. Each node moves what
// it accepted itself, at once, and now and then what others left behind. While one has
// entries of a part in hand no other gets new ones of it, so that the messages of a
// phone come into the ledger in order; who is done looks for more.
type mover struct {
	store *Store
	// name is the node's among those that read the streams.
	name  string
	woken chan struct{}
	stop  context.CancelFunc
	ended sync.WaitGroup

	// held are entries in hand that the ledger would not take: it was away. Until it
	// has them no others are taken. They are the loop's alone.
	held []entry

	mu    sync.Mutex
	hints map[byte]bool
}

func newMover(s *Store) *mover {
	ctx, stop := context.WithCancel(context.Background())
	m := &mover{store: s, name: rand.Text(), woken: make(chan struct{}, 1), stop: stop, hints: make(map[byte]bool)}
	m.ended.Go(func() { m.run(ctx) })
	return m
}

func (m *mover) close() {
	m.stop()
	m.ended.Wait()
}

// hint says that a part has a new entry.
func (m *mover) hint(part byte) {
	m.mu.Lock()
	m.hints[part] = true
	m.mu.Unlock()
	select {
	case m.woken <- struct{}{}:
	default:
	}
}

// hinted takes all hints.
func (m *mover) hinted() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]byte, 0, len(m.hints))
	for part := range m.hints {
		out = append(out, part)
	}
	clear(m.hints)
	return out
}

func allParts() []byte {
	out := make([]byte, groups)
	for i := range out {
		out[i] = byte(i)
	}
	return out
}

func (m *mover) run(ctx context.Context) {
	tick := time.NewTicker(scanEvery)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-m.woken:
			err = m.move(ctx, m.hinted())
		case <-tick.C:
			err = m.move(ctx, allParts())
		}
		if err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(movePause):
		}
	}
}

// entry is one of a stream.
type entry struct {
	part    byte
	id      string
	message store.Accepted
	broken  bool
}

// move moves the entries of some parts, until they have no more or the ledger does
// not take them.
func (m *mover) move(ctx context.Context, parts []byte) error {
	more, err := m.deliver(ctx, m.held)
	if err != nil {
		return err
	}
	for _, part := range more {
		if !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	for len(parts) > 0 && ctx.Err() == nil {
		entries, err := m.collect(ctx, m.name, parts, moveIdle)
		more, moved := m.deliver(ctx, entries)
		if err := first(moved, err); err != nil {
			return err
		}
		parts = more
	}
	return nil
}

// moveAll moves everything that some parts have, whoever has it in hand: the ledger takes
// each message once. Any goroutine may call it.
func (m *mover) moveAll(ctx context.Context, parts []byte) error {
	for {
		// A name of its own, for the loop has hands of its own.
		entries, err := m.collect(ctx, m.name+"-reader", parts, 0)
		if len(entries) == 0 || err != nil {
			return err
		}
		if _, left, err := m.queue(ctx, entries); err != nil || len(left) > 0 {
			return err
		}
		m.store.cfg.Moved()
	}
}

// deliver gives entries to the ledger and keeps in hand what it does not take. It
// returns the parts that have more.
func (m *mover) deliver(ctx context.Context, entries []entry) (more []byte, err error) {
	m.held = nil
	if len(entries) == 0 {
		return nil, nil
	}
	more, m.held, err = m.queue(ctx, entries)
	if len(m.held) < len(entries) {
		m.store.cfg.Moved()
	}
	return more, err
}

// collect takes entries of some parts: new ones, and those that another node has had
// for longer than idle.
func (m *mover) collect(ctx context.Context, name string, parts []byte, idle time.Duration) (out []entry, err error) {
	calls := make([]invocation, len(parts))
	for i, part := range parts {
		calls[i] = invocation{"collect", []string{m.store.streamKey(part)}, []string{name, itoa(moveBatch), itoa(idle.Milliseconds())}}
	}
	for i, a := range m.store.invokeAll(ctx, calls) {
		if a.err != nil {
			err = a.err
			continue
		}
		got, bad := a.message.AsXRange()
		if bad != nil {
			err = unavailable("answered otherwise than agreed", bad)
		}
		for _, e := range got {
			out = append(out, parseEntry(parts[i], e))
		}
	}
	return out, err
}

func parseEntry(part byte, e rueidis.XRangeEntry) entry {
	f := e.FieldValues
	out := entry{part: part, id: e.ID, message: store.Accepted{
		Client: f["c"], Sealed: []byte(f["s"]), Locale: f["l"],
		KeyVersion: uint32(atoi(f["v"])),
		Digits:     int(atoi(f["d"])),
		CreatedAt:  store.FromMicros(atoi(f["t"])), ExpiresAt: store.FromMicros(atoi(f["e"])),
	}}
	for name, id := range map[string]*[16]byte{
		"m": (*[16]byte)(&out.message.ID), "p": (*[16]byte)(&out.message.Phone), "h": (*[16]byte)(&out.message.Challenge),
	} {
		if copy(id[:], f[name]) < len(id) {
			out.broken = true
		}
	}
	return out
}

// queue gives entries to the ledger, forgets those that it took, and returns the parts
// that have more and the entries that are left. A batch that it refuses is given one by
// one, so that one entry holds up no other. What the ledger can never take is forgotten,
// too.
func (m *mover) queue(ctx context.Context, entries []entry) (more []byte, left []entry, err error) {
	good := make([]store.Accepted, 0, len(entries))
	for i := range entries {
		if !entries[i].broken {
			good = append(good, entries[i].message)
		}
	}
	done := entries
	switch err = m.store.QueueMessages(ctx, good); {
	case err == nil || fault.Is(err, fault.NotFound): // of a client that is not stored
		err = nil
	case fault.Is(err, fault.Unavailable):
		return nil, entries, err
	default:
		done, left, err = m.queueEach(ctx, entries)
	}
	return m.forget(ctx, done), left, err
}

func (m *mover) queueEach(ctx context.Context, entries []entry) (done, left []entry, err error) {
	for i := range entries {
		var one error
		if !entries[i].broken {
			one = m.store.QueueMessages(ctx, []store.Accepted{entries[i].message})
		}
		if fault.Is(one, fault.Unavailable) {
			left, err = append(left, entries[i]), one
		} else {
			done = append(done, entries[i])
		}
	}
	return done, left, err
}

// forget removes entries from the streams, and returns the parts that have more.
func (m *mover) forget(ctx context.Context, entries []entry) (more []byte) {
	byPart := make(map[byte][]string)
	for i := range entries {
		byPart[entries[i].part] = append(byPart[entries[i].part], entries[i].id)
	}
	calls := make([]invocation, 0, len(byPart))
	parts := make([]byte, 0, len(byPart))
	for part, ids := range byPart {
		calls = append(calls, invocation{"done", []string{m.store.streamKey(part)}, ids})
		parts = append(parts, part)
	}
	if len(calls) == 0 {
		return nil
	}
	// One that is not forgotten is moved again, which changes nothing.
	for i, a := range m.store.invokeAll(context.WithoutCancel(ctx), calls) {
		if a.err == nil && a.int() > 0 {
			more = append(more, parts[i])
		}
	}
	return more
}

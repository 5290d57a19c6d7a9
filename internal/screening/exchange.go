package screening

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"time"

	"codeword/internal/guard/fraud"
	"codeword/internal/store"
)

// The topics of what nodes share.
const (
	topicNodes  = "guard/nodes"   // by node: which page of it is the latest
	topicCounts = "guard/counts/" // of each node one: its pages, overwritten in turn
	topicHolds  = "guard/holds"   // by client, scope and id
	topicPast   = "guard/past"    // by client
	topicSpend  = "spend"         // by client and node
)

const (
	// every is how often nodes tell each other.
	every = time.Second
	// pages is how many pages of a node are kept: who has not read one by the time
	// that it is overwritten has missed it.
	pages = 16
	// greetEvery is how often a node makes itself known, and nodeLife how long it counts
	// as there.
	greetEvery = 5 * time.Second
	nodeLife   = 30 * time.Second
	// overlap is how far back notes are read again: so much may clocks differ. Holds may
	// be ten thousands under attack: each second those of shortOverlap are read again, and
	// the others only every overlapEvery.
	overlap      = 2 * time.Minute
	shortOverlap = 5 * time.Second
	overlapEvery = 15 * time.Second
	// pastEvery is how often the history is saved, pastLife how long it is kept.
	pastEvery = 5 * time.Minute
	pastLife  = 60 * 24 * time.Hour
	// spendLife is how long what was spent is remembered: the day of any clock.
	spendLife = 49 * time.Hour
	// storeTimeout bounds one exchange.
	storeTimeout = 5 * time.Second
)

// exchange is how far the exchange with the other nodes has come.
type exchange struct {
	page   uint64
	unsent []byte
	// greeted is when this node was last made known, and by which page.
	greeted     time.Time
	greetedPage uint64
	// seen is how far the pages of each other node were merged.
	seen map[string]mark
	// holds are digests of those that were read, by a digest of their key, as long as they
	// are read again; whole is when they all were.
	holds   map[uint64]uint64
	whole   time.Time
	since   time.Time
	saved   time.Time
	failing bool
}

// mark is a page of a node, and when that put it by its own clock.
type mark struct {
	page uint64
	at   time.Time
}

func newExchange() exchange {
	return exchange{seen: make(map[string]mark), holds: make(map[uint64]uint64)}
}

// Load takes over what was known before a restart, and what the others know. It is
// called before the first send.
func (s *Screen) Load(ctx context.Context) error {
	now := s.cfg.Now()
	past, err := s.cfg.Notes.Notes(ctx, now, topicPast, time.Time{})
	if err != nil {
		return err
	}
	for i := range past {
		if err := s.guard.Recall(past[i].Key, past[i].Body); err != nil {
			s.cfg.Log.WarnContext(ctx, "fraud guard: a history cannot be read; it begins anew", "client", past[i].Key, "error", err)
		}
	}
	s.exchange.saved = now
	if err := s.readHolds(ctx, now); err != nil {
		return err
	}
	if err := s.readSpend(ctx, now, time.Time{}); err != nil {
		return err
	}
	if err := s.meet(ctx, now, func(string) error { return nil }); err != nil {
		return err // what others counted before is no evidence: we missed what became of it
	}
	s.exchange.since = now
	return nil
}

// Run exchanges until ctx ends, and once more then.
func (s *Screen) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.Exchange(ctx)
		case <-ctx.Done():
			s.exchange.saved = time.Time{} // save what was learned
			s.Exchange(context.WithoutCancel(ctx))
			return nil
		}
	}
}

// Exchange lets the guard do what is due, tells the others what this node knows and
// learns what they know. What cannot be told now is told the next time.
func (s *Screen) Exchange(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	now := s.cfg.Now()
	if made := s.guard.Tick(now); len(made) > 0 {
		s.decided(made)
	}
	err := s.tell(ctx, now)
	if err == nil {
		err = s.learn(ctx, now)
	}
	if err == nil {
		err = s.record(ctx)
	}
	if err == nil && now.Sub(s.exchange.saved) >= pastEvery {
		err = s.save(ctx, now)
	}
	switch failed := err != nil; {
	case failed && !s.exchange.failing:
		s.cfg.Log.WarnContext(ctx, "screening: this node knows of its own sends alone", "error", err)
	case !failed && s.exchange.failing:
		s.cfg.Log.InfoContext(ctx, "screening: nodes know of each other again")
	}
	s.exchange.failing = err != nil
}

// tell puts what is new on this node.
func (s *Screen) tell(ctx context.Context, now time.Time) error {
	var notes []store.Note
	put := func(topic, key string, body []byte, life time.Duration) {
		notes = append(notes, store.Note{Topic: topic, Key: key, At: now, Until: now.Add(life), Body: body})
	}
	x := &s.exchange
	if x.unsent == nil {
		if page := s.guard.Page(); page != nil {
			x.page++
			x.unsent = append(strconv.AppendUint(nil, x.page, 10), append([]byte{'\n'}, page...)...)
		}
	}
	if x.unsent != nil {
		put(topicCounts+s.cfg.Node, strconv.FormatUint(x.page%pages, 10), x.unsent, time.Minute)
	}
	greets := s.cfg.Shared && (x.page != x.greetedPage || now.Sub(x.greeted) >= greetEvery)
	if greets {
		put(topicNodes, s.cfg.Node, strconv.AppendUint(nil, x.page, 10), nodeLife)
	}
	reports := s.meter.Report(now)
	for client, raw := range reports {
		put(topicSpend, client+"/"+s.cfg.Node, raw, spendLife)
	}
	s.mu.Lock()
	decisions := s.decisions
	s.decisions = nil
	s.mu.Unlock()
	for i := range decisions {
		d := &decisions[i]
		if body, err := json.Marshal(s.holdData(d)); err == nil {
			put(topicHolds, holdKey(d.Client, d.Key), body, d.Until.Sub(now)+s.forget())
		}
	}
	if len(notes) == 0 {
		return nil
	}
	if err := s.cfg.Notes.PutNotes(ctx, now, notes); err != nil {
		for client := range reports {
			s.meter.Unreported(client)
		}
		s.mu.Lock()
		s.decisions = append(decisions, s.decisions...)
		s.mu.Unlock()
		return err
	}
	x.unsent = nil
	if greets {
		x.greeted, x.greetedPage = now, x.page
	}
	return nil
}

// save keeps the histories for a restart. They can be large, so each goes by itself and
// after all else; what fails is tried again when the next is due.
func (s *Screen) save(ctx context.Context, now time.Time) error {
	s.exchange.saved = now
	var errs []error
	for client, raw := range s.guard.Past(now) {
		errs = append(errs, s.cfg.Notes.PutNotes(ctx, now, []store.Note{{
			Topic: topicPast, Key: client, At: now, Until: now.Add(pastLife), Body: raw,
		}}))
	}
	return errors.Join(errs...)
}

// forget is how long a hold is remembered after its end.
func (s *Screen) forget() time.Duration {
	if s.cfg.Guard.Forget > 0 {
		return s.cfg.Guard.Forget
	}
	return 24 * time.Hour
}

// holdKey is the key of a hold's note.
func holdKey(client string, k fraud.Key) string {
	return client + "/" + k.Scope.String() + "/" + strconv.FormatUint(k.ID, 10)
}

// learn takes what is new on the others.
func (s *Screen) learn(ctx context.Context, now time.Time) error {
	since := s.exchange.since.Add(-overlap)
	if s.cfg.Shared {
		if err := s.meet(ctx, now, func(node string) error { return s.readCounts(ctx, now, node) }); err != nil {
			return err
		}
		if err := s.readSpend(ctx, now, since); err != nil {
			return err
		}
	}
	if err := s.readHolds(ctx, now); err != nil {
		return err
	}
	s.exchange.since = now
	return nil
}

// meet reads which other nodes there are, and calls read for those that have pages
// which were not read yet. Where there are none, nothing is told to them either.
func (s *Screen) meet(ctx context.Context, now time.Time, read func(node string) error) error {
	if !s.cfg.Shared {
		return nil
	}
	nodes, err := s.cfg.Notes.Notes(ctx, now, topicNodes, time.Time{})
	if err != nil {
		return err
	}
	others := 0
	for i := range nodes {
		n := &nodes[i]
		page, err := strconv.ParseUint(string(n.Body), 10, 64)
		if n.Key == s.cfg.Node || err != nil {
			continue
		}
		others++
		seen, known := s.exchange.seen[n.Key]
		if !known {
			s.exchange.seen[n.Key] = mark{page, n.At}
			continue // what it counted before we met is no evidence: we missed what became of it
		}
		if page > seen.page {
			if err := read(n.Key); err != nil {
				return err
			}
		}
	}
	s.guard.Share(others > 0)
	return nil
}

// readCounts merges the pages of a node that are new, in the order in which it made
// them. Its notes are compared by its own clock.
func (s *Screen) readCounts(ctx context.Context, now time.Time, node string) error {
	seen := s.exchange.seen[node]
	notes, err := s.cfg.Notes.Notes(ctx, now, topicCounts+node, seen.at)
	if err != nil {
		return err
	}
	slices.SortFunc(notes, func(a, b store.Note) int { return a.At.Compare(b.At) })
	for i := range notes {
		page, body, ok := pageOf(notes[i].Body)
		if !ok || page <= seen.page {
			continue
		}
		if err := s.guard.Merge(now, body); err != nil {
			s.cfg.Log.WarnContext(ctx, "fraud guard: counts of another node cannot be read", "node", node, "error", err)
		}
		seen = mark{page, notes[i].At}
	}
	s.exchange.seen[node] = seen
	return nil
}

// pageOf reads which page a note is, and what it tells.
func pageOf(note []byte) (page uint64, body []byte, ok bool) {
	head, body, ok := bytes.Cut(note, []byte{'\n'})
	page, err := strconv.ParseUint(string(head), 10, 64)
	return page, body, ok && err == nil
}

func (s *Screen) readSpend(ctx context.Context, now, since time.Time) error {
	notes, err := s.cfg.Notes.Notes(ctx, now, topicSpend, since)
	if err != nil {
		return err
	}
	for i := range notes {
		client, node, ok := strings.Cut(notes[i].Key, "/")
		if !ok || node == s.cfg.Node {
			continue
		}
		if err := s.meter.Learn(node, client, notes[i].Body); err != nil {
			s.cfg.Log.WarnContext(ctx, "budget: a node's spending cannot be read", "error", err)
		}
	}
	return nil
}

// readHolds takes over the holds and releases that it has not read yet.
func (s *Screen) readHolds(ctx context.Context, now time.Time) error {
	x := &s.exchange
	var since time.Time // at first all are read
	whole := now.Before(x.whole) || now.Sub(x.whole) >= overlapEvery
	switch {
	case x.since.IsZero():
	case whole:
		since = x.since.Add(-overlap)
	default:
		since = x.since.Add(-shortOverlap)
	}
	seen := x.holds
	if whole { // whatever is not read now is not read again
		seen = make(map[uint64]uint64)
	}
	err := s.cfg.Notes.EachNote(ctx, now, topicHolds, since, func(n *store.Note) {
		key, body := maphash.String(holdSeed, n.Key), maphash.Bytes(holdSeed, n.Body)
		known, ok := x.holds[key]
		seen[key] = body
		if !ok || known != body {
			s.takeHold(ctx, n)
		}
	})
	if err != nil {
		return err
	}
	if x.holds = seen; whole {
		x.whole = now
	}
	return nil
}

var holdSeed = maphash.MakeSeed()

// takeHold takes over a hold, or its release, of any node.
func (s *Screen) takeHold(ctx context.Context, n *store.Note) {
	h, ok := holdOf(n)
	if !ok {
		s.cfg.Log.WarnContext(ctx, "fraud guard: a hold cannot be read", "key", n.Key)
		return
	}
	switch d := h.Decision(h.Client); {
	case d.Key.Scope == 0: // of a newer version
	case h.Released:
		s.guard.Release(h.Client, d.Key, h.At)
	default:
		s.guard.Hold(d)
	}
}

// record keeps the events.
func (s *Screen) record(ctx context.Context) error {
	s.mu.Lock()
	events := s.events
	s.mu.Unlock()
	if len(events) == 0 {
		return nil
	}
	if err := s.cfg.Events.AppendEvents(ctx, events); err != nil {
		return fmt.Errorf("events: %w", err)
	}
	s.mu.Lock()
	s.events = slices.Clone(s.events[len(events):])
	s.mu.Unlock()
	return nil
}

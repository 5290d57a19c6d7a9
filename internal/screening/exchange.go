package screening

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"codeword/internal/guard/fraud"
	"codeword/internal/store"
)

// The topics of what nodes share.
const (
	topicCounts = "guard/counts" // pages of a node, overwritten in turn
	topicHolds  = "guard/holds"  // by client, scope and id
	topicPast   = "guard/past"   // by client
	topicSpend  = "spend"        // by client and node
)

const (
	// every is how often nodes tell each other.
	every = time.Second
	// pages is how many pages of a node are kept: who has not read one by the time
	// that it is overwritten has missed it.
	pages = 16
	// overlap is how far back notes are read again: so much may clocks differ.
	overlap = 2 * time.Minute
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
	page    uint64
	unsent  []byte
	seen    map[string]uint64 // pages merged, by node
	since   time.Time
	saved   time.Time
	failing bool
}

func newExchange() exchange { return exchange{seen: make(map[string]uint64)} }

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
	if err := s.readHolds(ctx, now, time.Time{}); err != nil {
		return err
	}
	if err := s.readSpend(ctx, now, time.Time{}); err != nil {
		return err
	}
	counts, err := s.cfg.Notes.Notes(ctx, now, topicCounts, time.Time{})
	for i := range counts { // what others counted before is no evidence: we missed what became of it
		if node, n, _, ok := pageOf(&counts[i]); ok {
			s.exchange.seen[node] = max(s.exchange.seen[node], n)
		}
	}
	s.exchange.since = now
	return err
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
		put(topicCounts, s.cfg.Node+"/"+strconv.FormatUint(x.page%pages, 10), x.unsent, time.Minute)
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
	if s.cfg.Guard.Shared {
		counts, err := s.cfg.Notes.Notes(ctx, now, topicCounts, since)
		if err != nil {
			return err
		}
		s.merge(ctx, counts)
		if err := s.readSpend(ctx, now, since); err != nil {
			return err
		}
	}
	if err := s.readHolds(ctx, now, since); err != nil {
		return err
	}
	s.exchange.since = now
	return nil
}

// merge counts the pages that are new, in the order in which each node made them.
func (s *Screen) merge(ctx context.Context, notes []store.Note) {
	type page struct {
		node string
		n    uint64
		body []byte
	}
	var fresh []page
	for i := range notes {
		node, n, body, ok := pageOf(&notes[i])
		if ok && node != s.cfg.Node && n > s.exchange.seen[node] {
			fresh = append(fresh, page{node, n, body})
		}
	}
	slices.SortFunc(fresh, func(a, b page) int {
		return cmp.Or(strings.Compare(a.node, b.node), cmp.Compare(a.n, b.n))
	})
	for _, p := range fresh {
		if err := s.guard.Merge(s.cfg.Now(), p.body); err != nil {
			s.cfg.Log.WarnContext(ctx, "fraud guard: counts of another node cannot be read", "node", p.node, "error", err)
		}
		s.exchange.seen[p.node] = p.n
	}
}

// pageOf reads whose page a note is, which, and what it tells.
func pageOf(n *store.Note) (node string, number uint64, body []byte, ok bool) {
	node, _, ok = strings.Cut(n.Key, "/")
	head, body, lines := bytes.Cut(n.Body, []byte{'\n'})
	number, err := strconv.ParseUint(string(head), 10, 64)
	return node, number, body, ok && lines && err == nil
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

func (s *Screen) readHolds(ctx context.Context, now, since time.Time) error {
	notes, err := s.cfg.Notes.Notes(ctx, now, topicHolds, since)
	if err != nil {
		return err
	}
	for i := range notes {
		client, _, _ := strings.Cut(notes[i].Key, "/")
		var h HoldData
		if err := json.Unmarshal(notes[i].Body, &h); err != nil {
			s.cfg.Log.WarnContext(ctx, "fraud guard: a hold cannot be read", "key", notes[i].Key, "error", err)
			continue
		}
		d := h.Decision(client)
		if d.Key.Scope == 0 {
			continue // of a newer version
		}
		if h.Released {
			s.guard.Release(client, d.Key, h.At)
			continue
		}
		s.guard.Hold(d)
	}
	return nil
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

// Package spend adds up what the messages of each client cost, over the nodes of a
// service, and says when a budget is used up. It does no I/O and reads no clock.
package spend

import (
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"
)

// Budget is what a client may spend, in millionths of a US dollar; 0: no limit. Hours
// and days are those of UTC.
type Budget struct {
	Hour, Day int64
}

// Unlimited tells whether there is no limit.
func (b Budget) Unlimited() bool { return b.Hour <= 0 && b.Day <= 0 }

// Period is the hour or the day.
type Period string

// The periods, as data.limit tells them.
const (
	PeriodHour Period = "spend_hour"
	PeriodDay  Period = "spend_day"
)

// State is how a budget stands.
type State struct {
	// Over is the period whose budget does not cover the next message, "" for none;
	// RetryAfter is how long it lasts.
	Over       Period
	RetryAfter time.Duration
	// Warn is the period of which WarnShare is used up; "" for none.
	Warn Period
	// Hour and Day are what was spent.
	Hour, Day int64
}

// WarnShare is which part of a budget is worth a warning.
const WarnShare = 0.8

// Meter adds up. It is safe for concurrent use.
type Meter struct {
	mu sync.Mutex
	// own is what this process has spent less what it took back, by client and hour
	// since the epoch; others is what the others told last, by their names.
	own    map[string]hours
	others map[string]map[string]hours
	// changed are the clients of whom the others have not been told the latest.
	changed map[string]bool
}

// hours is what one process spent in each hour less what it took back: less than 0 when
// it took back what another one had spent. Only the sum of all of them is what was spent.
type hours map[int64]int64

// New returns a Meter of nothing.
func New() *Meter {
	return &Meter{
		own: make(map[string]hours), others: make(map[string]map[string]hours), changed: make(map[string]bool),
	}
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

// Add notes what was spent at a time; less than 0 takes back what this or another node
// spent.
func (m *Meter) Add(client string, at time.Time, micros int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.add(client, at, micros)
}

func (m *Meter) add(client string, at time.Time, micros int64) {
	if micros == 0 {
		return
	}
	h := m.own[client]
	if h == nil {
		h = make(hours)
		m.own[client] = h
	}
	h[hourOf(at)] += micros
	m.changed[client] = true
}

// Reserve spends the price of a message, if the budget covers it, and tells how it
// stands. Over what other nodes have spent since they last reported a budget can be
// overdrawn.
func (m *Meter) Reserve(client string, now time.Time, b Budget, price int64) State {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.spent(client, now)
	next := func(p Period, spent, limit int64, length time.Duration) {
		switch {
		case limit <= 0:
		case spent+price > limit:
			if wait := now.Truncate(length).Add(length).Sub(now); wait > s.RetryAfter {
				s.Over, s.RetryAfter = p, wait
			}
		case float64(spent+price) >= WarnShare*float64(limit):
			s.Warn = p
		}
	}
	next(PeriodHour, s.Hour, b.Hour, time.Hour)
	next(PeriodDay, s.Day, b.Day, 24*time.Hour)
	if s.Over == "" {
		m.add(client, now, price)
	}
	return s
}

// Spent tells what was spent in the hour and the day of now.
func (m *Meter) Spent(client string, now time.Time) State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.spent(client, now)
}

// spent adds up the nodes. An hour in which more was taken back than spent, since a node
// died before it told what it had spent, cost nothing, and makes no other hour cheaper.
func (m *Meter) spent(client string, now time.Time) (s State) {
	hour := hourOf(now)
	day := hour / 24 * 24
	var sums [24]int64
	sum := func(h hours) {
		for at, micros := range h {
			if at >= day && at < day+24 {
				sums[at-day] += micros
			}
		}
	}
	sum(m.own[client])
	for _, o := range m.others {
		sum(o[client])
	}
	for _, micros := range sums {
		s.Day += max(micros, 0)
	}
	s.Hour = max(sums[hour-day], 0)
	return s
}

// Report is what the others are to be told of the clients for whom something was spent
// or taken back since the last call: the latest two days of each.
func (m *Meter) Report(now time.Time) map[string][]byte {
	oldest := hourOf(now) - 48
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string][]byte, len(m.changed))
	for client := range m.changed {
		h := m.own[client]
		for at := range h {
			if at < oldest {
				delete(h, at)
			}
		}
		if raw, err := json.Marshal(h); err == nil {
			out[client] = raw
		}
	}
	clear(m.changed)
	for node, o := range m.others {
		for client, h := range o {
			maps.DeleteFunc(h, func(at, _ int64) bool { return at < oldest })
			if len(h) == 0 {
				delete(o, client)
			}
		}
		if len(o) == 0 {
			delete(m.others, node)
		}
	}
	return out
}

// Unreported says that what Report told of a client did not reach the others.
func (m *Meter) Unreported(client string) {
	m.mu.Lock()
	m.changed[client] = true
	m.mu.Unlock()
}

// Learn takes what another node reported of a client, in the place of what it
// reported before. What it spent before it was restarted is of another node.
func (m *Meter) Learn(node, client string, raw []byte) error {
	h := make(hours)
	if err := json.Unmarshal(raw, &h); err != nil {
		return fmt.Errorf("spend: report of %s: %w", node, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.others[node]
	if o == nil {
		o = make(map[string]hours)
		m.others[node] = o
	}
	o[client] = h
	return nil
}

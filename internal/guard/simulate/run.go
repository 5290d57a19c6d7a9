package simulate

import (
	"container/heap"
	"encoding/binary"
	"net/netip"
	"time"

	"codeword/internal/guard/fraud"
)

// clientName is who the traffic is of.
const clientName = "client"

// Report is what the guard made of a scenario.
type Report struct {
	Scenario string
	Honest   Honesty
	Attacks  []Outcome
	// Decisions are all holds and alarms, in order.
	Decisions []fraud.Decision
	// Spent and Saved are what the messages cost that were sent and that were not,
	// in millionths of a US dollar.
	Spent, Saved int64
}

// Honesty is how honest people fared after the warm-up.
type Honesty struct {
	Sends   int
	Refused int
	// WarmupRefused are those refused during the warm-up, without an attack.
	WarmupSends, WarmupRefused int
}

// Share is the part of honest sends that were refused.
func (h Honesty) Share() float64 {
	if h.Sends == 0 {
		return 0
	}
	return float64(h.Refused) / float64(h.Sends)
}

// Outcome is how an attack fared.
type Outcome struct {
	Name    string
	Sends   int
	Through int
	// Before is how many came through until it was stopped, and Stopped how long
	// that took from its first send: of a hundred sends at most five came through.
	// Zero: it was not. What came through later, as when a hold ended, is in Through.
	Before  int
	Stopped time.Duration
	// FirstHold is how long it took until the first of its sends was refused.
	FirstHold time.Duration
	// Spent and Saved are in millionths of a US dollar.
	Spent, Saved int64
}

// event is a send on its way through the simulation.
type event struct {
	at      time.Time
	phone   uint64 // ten digits
	address netip.Addr
	// use is how long until the code is used; negative: it is not.
	use   time.Duration
	known bool
	// attack is the index of the attack, -1 for honest sends.
	attack int
}

// codeLife is how long a challenge lives; a send meanwhile repeats it.
const codeLife = 10 * time.Minute

// Run replays the scenario, which must be valid.
func Run(s *Scenario) *Report {
	r := &runner{
		s: s, guard: fraud.New(s.Guard), report: &Report{Scenario: s.Name},
		live: make(map[uint64]time.Time), proven: make(map[uint64]bool),
		tracks: make([]track, 0, len(s.Attacks)),
	}
	for _, a := range s.Attacks {
		r.tracks = append(r.tracks, track{name: a.Name})
	}
	src := source(s)
	for e, ok := src.next(); ok; e, ok = src.next() {
		r.advance(e.at)
		r.send(&e)
	}
	r.finish()
	return r.report
}

type runner struct {
	s      *Scenario
	guard  *fraud.Guard
	report *Report
	tracks []track
	uses   uses
	// live are the phones with a challenge, until its end; proven those that used a
	// code.
	live   map[uint64]time.Time
	proven map[uint64]bool
	ticked time.Time
}

// track follows an attack.
type track struct {
	name    string
	began   time.Time
	sends   int
	through int
	refused bool
	first   time.Duration
	// last are the latest sends, true for those that came through.
	last    [100]bool
	stopped time.Duration
	before  int
}

// advance lets time pass: codes are used, and the guard ticks once a second, while
// it learns every half minute.
func (r *runner) advance(to time.Time) {
	step := time.Second
	if to.Before(r.s.Start.Add(r.s.Warmup - time.Minute)) {
		step = 30 * time.Second
	}
	for {
		due := r.ticked.Add(step)
		if r.ticked.IsZero() {
			due = to
		}
		use := len(r.uses) > 0 && !r.uses[0].at.After(to)
		switch {
		case use && !r.uses[0].at.After(due):
			u := r.uses[0]
			heap.Pop(&r.uses)
			r.guard.Note(clientName, u.phone, fraud.Verified)
			r.proven[u.phone] = true
		case !due.After(to):
			r.report.Decisions = append(r.report.Decisions, r.guard.Tick(due)...)
			r.ticked = due
		default:
			return
		}
	}
}

// send puts one send to the guard.
func (r *runner) send(e *event) {
	warm := e.at.Before(r.s.Start.Add(r.s.Warmup))
	in := fraud.Send{At: e.at, Client: clientName, Block: uint32(e.phone / 1000), Phone: e.phone, Address: e.address}
	// A phone that was verified before is let through.
	_, held, _ := r.guard.Check(&in)
	refused := held && !e.known && !r.proven[e.phone]
	r.tally(e, warm, refused)
	if refused {
		return
	}
	fresh := !r.live[e.phone].After(e.at)
	if fresh {
		r.live[e.phone] = e.at.Add(codeLife)
	}
	r.report.Decisions = append(r.report.Decisions, r.guard.Sent(&in, fresh)...)
	if e.use >= 0 {
		heap.Push(&r.uses, use1{e.at.Add(e.use), e.phone})
	}
}

func (r *runner) tally(e *event, warm, refused bool) {
	price := r.s.PriceMicros
	if refused {
		r.report.Saved += price
	} else {
		r.report.Spent += price
	}
	h := &r.report.Honest
	switch {
	case e.attack >= 0:
		r.tracks[e.attack].note(e.at, refused)
	case warm:
		h.WarmupSends++
		h.WarmupRefused += one(refused)
	default:
		h.Sends++
		h.Refused += one(refused)
	}
}

func one(v bool) int {
	if v {
		return 1
	}
	return 0
}

// note follows the attack by a send.
func (t *track) note(at time.Time, refused bool) {
	if t.sends == 0 {
		t.began = at
	}
	if refused && !t.refused {
		t.refused, t.first = true, at.Sub(t.began)
	}
	t.last[t.sends%len(t.last)] = !refused
	t.sends++
	t.through += one(!refused)
	passed := 0
	for _, p := range t.last {
		passed += one(p)
	}
	if t.stopped == 0 && t.sends >= len(t.last) && passed <= len(t.last)/20 {
		t.stopped, t.before = t.first, t.through
		if passed > 0 {
			t.stopped = at.Sub(t.began)
		}
	}
}

// finish sums up.
func (r *runner) finish() {
	price := r.s.PriceMicros
	for i := range r.tracks {
		t := &r.tracks[i]
		o := Outcome{
			Name: t.name, Sends: t.sends, Through: t.through, FirstHold: t.first, Stopped: t.stopped, Before: t.before,
			Spent: int64(t.through) * price, Saved: int64(t.sends-t.through) * price,
		}
		r.report.Attacks = append(r.report.Attacks, o)
	}
}

// use1 is a code that will be used.
type use1 struct {
	at    time.Time
	phone uint64
}

// uses is a heap of codes that will be used, the earliest first.
type uses []use1

func (u uses) Len() int           { return len(u) }
func (u uses) Less(i, j int) bool { return u[i].at.Before(u[j].at) }
func (u uses) Swap(i, j int)      { u[i], u[j] = u[j], u[i] }

// Push implements heap.Interface; nothing else is pushed.
func (u *uses) Push(v any) {
	if use, ok := v.(use1); ok {
		*u = append(*u, use)
	}
}

// Pop implements heap.Interface.
func (u *uses) Pop() any {
	old := *u
	v := old[len(old)-1]
	*u = old[:len(old)-1]
	return v
}

// addressOf makes an address of a number, in 100.64.0.0/10 and beyond.
func addressOf(space byte, n uint64) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(n))
	b[0] = space
	return netip.AddrFrom4(b)
}

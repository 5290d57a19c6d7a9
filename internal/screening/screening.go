// Package screening decides whether a send may go on: it asks the fraud guard and
// the client's budget, tells both what became of messages, and shares with the other
// nodes what they know. A send waits for memory alone; what nodes share goes through
// the store beside it, once a second.
package screening

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"codeword/internal/fault"
	"codeword/internal/guard/fraud"
	"codeword/internal/guard/spend"
	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// Notes is the store's part of what nodes share.
type Notes interface {
	PutNotes(ctx context.Context, now time.Time, notes []store.Note) error
	Notes(ctx context.Context, now time.Time, topic string, since time.Time) ([]store.Note, error)
	// EachNote calls each for every note that Notes would list; it does not call the store.
	EachNote(ctx context.Context, now time.Time, topic string, since time.Time, each func(*store.Note)) error
}

// Events keeps what an operator may want to know later.
type Events interface {
	AppendEvents(ctx context.Context, events []store.Event) error
}

// Config is what a Screen needs. Metrics and Log may be left out.
type Config struct {
	Notes  Notes
	Events Events
	// Guard holds the figures of the fraud guard; its Hash must be one that all nodes
	// share.
	Guard fraud.Config
	// Node names this process among all that ever ran on the store.
	Node string
	// Shared: there may be other nodes.
	Shared bool
	// Free tells that the client's messages cost nothing, since they do not leave the
	// machine. The guard then only watches.
	Free func(*tenant.Client) bool
	// Price is what a segment of the client's messages is expected to cost, in
	// millionths of a US dollar.
	Price func(*tenant.Client) int64
	// Client returns a client by id; nil if there is none.
	Client  func(id string) *tenant.Client
	Now     func() time.Time
	Metrics Metrics
	Log     *slog.Logger
}

// Metrics are called as things happen, concurrently; each may be nil.
type Metrics struct {
	// Held: the guard held back a send by a hold of that scope; acted is false where
	// it only watches.
	Held func(scope string, acted bool)
	// Decided: the guard decided to hold something of that scope back.
	Decided func(scope string)
	// OverBudget: a send was refused for that period's budget.
	OverBudget func(period string)
}

// Screen judges sends. It is safe for concurrent use.
type Screen struct {
	cfg   Config
	guard *fraud.Guard
	meter *spend.Meter

	mu sync.Mutex
	// pending are decisions and events that are not stored yet.
	decisions []fraud.Decision
	events    []store.Event
	// warned is until when nobody has to be told of a budget again, by client, period
	// and kind.
	warned map[string]time.Time

	exchange exchange
}

// New returns a Screen, or an error that names what is missing.
func New(cfg Config) (*Screen, error) {
	if cfg.Notes == nil || cfg.Events == nil || cfg.Node == "" || cfg.Free == nil || cfg.Price == nil || cfg.Client == nil || cfg.Now == nil {
		return nil, errors.New("screening: Notes, Events, Node, Free, Price, Client and Now are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics.Held == nil {
		cfg.Metrics.Held = func(string, bool) {}
	}
	if cfg.Metrics.Decided == nil {
		cfg.Metrics.Decided = func(string) {}
	}
	if cfg.Metrics.OverBudget == nil {
		cfg.Metrics.OverBudget = func(string) {}
	}
	return &Screen{
		cfg: cfg, guard: fraud.New(cfg.Guard), meter: spend.New(),
		warned: make(map[string]time.Time), exchange: newExchange(),
	}, nil
}

// Send is a send of a live client, as far as it matters here.
type Send struct {
	Client *tenant.Client
	Number phone.Number
	// EndUser is the end user's address; invalid when it is not known.
	EndUser netip.Addr
	// Device is what the end user's device calls itself; zero when it is not known.
	Device store.DeviceID
	At     time.Time
}

// Verdict is what is to be done with a send. A verdict is given back with Accepted or
// Refused.
type Verdict struct {
	// ProvenOnly: only a phone that was verified before may get the message. Why says
	// for whom, for the log.
	ProvenOnly bool
	Why        string
	// OverBudget, when not nil, is the refusal; it does not hold for the repetition of
	// a send that was accepted before.
	OverBudget *fault.Error

	send fraud.Send
	// used is what let the send through within its usual volume.
	used     fraud.Key
	reserved int64
	judged   bool
}

// Screen judges a send before it is accepted.
func (s *Screen) Screen(in *Send) Verdict {
	var v Verdict
	set := &in.Client.Settings
	if set.FraudGuard != tenant.GuardOff {
		v.judged = true
		v.send = fraud.Send{
			At: in.At, Client: in.Client.ID, Block: in.Number.Block(), Address: in.EndUser,
			Device: binary.BigEndian.Uint64(in.Device[:8]), Safe: in.Client.Safe(in.Number, in.EndUser),
		}
		d, held, used := s.guard.Check(&v.send)
		v.used = used
		if held {
			v.ProvenOnly = set.FraudGuard == tenant.GuardEnforce && !s.cfg.Free(in.Client)
			v.Why = "the guard holds back " + heldName(&d)
			s.cfg.Metrics.Held(d.Key.Scope.String(), v.ProvenOnly)
		}
	}
	s.reserve(in, &v)
	return v
}

// heldName is what is held back, as it may be told of a single send. The digits of a block
// or exchange are left out: with the last four, which are told of phones, they are the
// whole number.
func heldName(d *fraud.Decision) string {
	switch d.Key.Scope {
	case fraud.Exchange, fraud.Block:
		return "the " + d.Key.Scope.String() + " of the number"
	case fraud.Client, fraud.Address, fraud.Network, fraud.Device:
	}
	return strings.TrimSpace(d.Key.Scope.String() + " " + publicName(d))
}

// reserve puts the price of the message on the client's account.
func (s *Screen) reserve(in *Send, v *Verdict) {
	b := in.Client.Budget()
	if s.cfg.Free(in.Client) {
		return
	}
	price := s.price(in.Client)
	if price == 0 && b.Unlimited() {
		return
	}
	st := s.meter.Reserve(in.Client.ID, in.At, b, price)
	switch {
	case st.Over != "":
		v.OverBudget = &fault.Error{
			Kind: fault.LimitClient, Detail: "the budget is used up", Limit: string(st.Over), RetryAfter: st.RetryAfter,
		}
		s.cfg.Metrics.OverBudget(string(st.Over))
		s.tellBudget(in, eventSpendStop, st.Over, st, b)
		return
	case st.Warn != "":
		s.tellBudget(in, eventSpendWarning, st.Warn, st, b)
	}
	v.reserved = price
}

// Accepted tells that the send was accepted for a phone. fresh tells that it began a
// challenge.
func (s *Screen) Accepted(v *Verdict, id store.PhoneID, fresh bool) {
	if !v.judged {
		return
	}
	v.send.Phone = phoneDigest(id)
	if made := s.guard.Sent(&v.send, fresh); len(made) > 0 {
		s.decided(made)
	}
}

// Refused tells that no message was sent after all.
func (s *Screen) Refused(c *tenant.Client, v *Verdict, at time.Time) {
	if v.reserved != 0 {
		s.meter.Add(c.ID, at, -v.reserved)
	}
	if v.used.Scope != 0 {
		s.guard.GiveBack(c.ID, v.used)
	}
}

// phoneDigest is enough of an id to tell phones apart.
func phoneDigest(id store.PhoneID) uint64 { return binary.BigEndian.Uint64(id[:8]) }

// Verified tells that the owner of the phone gave the right code.
func (s *Screen) Verified(client string, id store.PhoneID) {
	s.guard.Note(client, phoneDigest(id), fraud.Verified)
}

// Delivered tells that a message to the phone arrived.
func (s *Screen) Delivered(id store.PhoneID) { s.guard.Note("", phoneDigest(id), fraud.Delivered) }

// Recorded tells what became of messages on their way: what could not be sent is no
// evidence, and costs nothing; what was sent costs what its routes say.
func (s *Screen) Recorded(m *store.Message, o *store.Outcome) {
	if o.Status == store.MessageFailed {
		s.guard.Note(m.Client, phoneDigest(m.Phone), fraud.Failed)
	}
	c := s.cfg.Client(m.Client)
	if c == nil || s.cfg.Free(c) {
		return
	}
	var delta int64
	for i := range o.Dispatches {
		if d := &o.Dispatches[i]; d.Status != store.MessageFailed && d.Status != store.MessageQueued {
			delta += d.PriceMicros // it was taken
		}
	}
	s.meter.Add(m.Client, s.cfg.Now(), delta)
	if m.Status == store.MessageQueued && len(m.Taken) == 0 && o.Status != store.MessageQueued {
		s.meter.Add(m.Client, m.CreatedAt, -s.price(c)) // what was reserved: the message's fate is known
	}
}

// price is what is reserved for a message: as much as its text may take.
func (s *Screen) price(c *tenant.Client) int64 {
	return s.cfg.Price(c) * int64(c.Settings.MaxSegments)
}

// Spent tells what the client has spent in the hour and the day of now.
func (s *Screen) Spent(client string, now time.Time) spend.State { return s.meter.Spent(client, now) }

// Holds lists what is held back now, the latest first.
func (s *Screen) Holds() []fraud.Decision { return s.guard.Holds(s.cfg.Now()) }

// decided notes decisions, to be stored and told soon.
func (s *Screen) decided(made []fraud.Decision) {
	s.mu.Lock()
	s.decisions = append(s.decisions, made[:min(len(made), max(0, maxDecisions-len(s.decisions)))]...)
	for i := range made {
		s.keep(s.decisionEvent(&made[i]))
	}
	s.mu.Unlock()
	for i := range made {
		d := &made[i]
		s.cfg.Metrics.Decided(d.Key.Scope.String())
		s.cfg.Log.Warn("the fraud guard has decided", "what", verb(d), "client", d.Client, "scope", d.Key.Scope.String(), "name", publicName(d),
			"until", d.Until, "strikes", d.Strikes, "reasons", fmt.Sprint(d.Reasons), "numbers", d.Numbers)
	}
}

// maxDecisions bounds the decisions that wait for a store that is down.
const maxDecisions = 10_000

func verb(d *fraud.Decision) string {
	if d.Key.Scope == fraud.Client {
		return "under attack"
	}
	return "held back"
}

package screening

import (
	"encoding/json"
	"net/netip"
	"time"

	"codeword/internal/audit"
	"codeword/internal/guard/fraud"
	"codeword/internal/guard/spend"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// The kinds of events, as they are kept.
const (
	eventHold         = "guard.hold"
	eventAlarm        = "guard.alarm"
	eventRelease      = "guard.release"
	eventSpendWarning = "spend.warning"
	eventSpendStop    = "spend.stop"
)

// HoldData is what is told of a decision.
type HoldData struct {
	Scope string `json:"scope"`
	Name  string `json:"name,omitempty"`
	ID    uint64 `json:"id,string"`
	// Wider is the id of the key around it; 0 for none.
	Wider   uint64         `json:"wider,omitempty,string"`
	At      time.Time      `json:"at"`
	Until   time.Time      `json:"until"`
	Strikes int            `json:"strikes"`
	Mode    string         `json:"mode"`
	Reasons []fraud.Reason `json:"reasons"`
	Numbers fraud.Numbers  `json:"numbers"`
	// Released: an operator ended it.
	Released bool `json:"released,omitempty"`
}

// holdData tells a decision; mode is what the guard does with it.
func (s *Screen) holdData(d *fraud.Decision) HoldData {
	mode := tenant.GuardShadow
	if c := s.cfg.Client(d.Client); c != nil && c.Settings.FraudGuard == tenant.GuardEnforce && !s.cfg.Free(c) {
		mode = tenant.GuardEnforce
	}
	return HoldData{
		Scope: d.Key.Scope.String(), Name: d.Name, ID: d.Key.ID, Wider: d.Wider.ID, At: d.At, Until: d.Until, Strikes: d.Strikes,
		Mode: mode, Reasons: d.Reasons, Numbers: d.Numbers,
	}
}

// Decision is the decision that h tells of a client.
func (h *HoldData) Decision(client string) fraud.Decision {
	d := fraud.Decision{
		At: h.At, Until: h.Until, Client: client, Key: fraud.Key{ID: h.ID}, Name: h.Name, Strikes: h.Strikes,
		Reasons: h.Reasons, Numbers: h.Numbers,
	}
	for scope := fraud.Client; scope <= fraud.Device; scope++ {
		if scope.String() == h.Scope {
			d.Key.Scope = scope
		}
	}
	switch {
	case h.Wider == 0:
	case d.Key.Scope == fraud.Block:
		d.Wider = fraud.Key{Scope: fraud.Exchange, ID: h.Wider}
	case d.Key.Scope == fraud.Address:
		d.Wider = fraud.Key{Scope: fraud.Network, ID: h.Wider}
	}
	return d
}

// publicData is what is kept for long of a hold.
func publicData(h HoldData, d *fraud.Decision) HoldData {
	h.Name = publicName(d)
	if d.Key.Scope == fraud.Block {
		h.ID = h.Wider
	}
	return h
}

// publicName is a decision's name where it is kept for long or logged: of an address
// only its network is told, and of a block only its exchange, since other lines have
// the last digits.
func publicName(d *fraud.Decision) string {
	switch d.Key.Scope {
	case fraud.Block:
		return d.Name[:min(len(d.Name), len("+1206555"))]
	case fraud.Address:
		a, err := netip.ParseAddr(d.Name)
		if err != nil {
			return ""
		}
		return fraud.NetworkName(a)
	default:
		return d.Name
	}
}

func (s *Screen) decisionEvent(d *fraud.Decision) store.Event {
	kind := eventHold
	if d.Key.Scope == fraud.Client {
		kind = eventAlarm
	}
	return s.event(d.At, d.Client, kind, publicData(s.holdData(d), d))
}

func (s *Screen) event(at time.Time, client, kind string, data any) store.Event {
	raw, err := json.Marshal(data)
	if err != nil {
		raw = []byte("{}") // plain data can be written
	}
	return store.Event{ID: store.NewEventID(), At: at, Client: client, Kind: kind, Actor: audit.Service, Data: raw}
}

// budgetData is what is told of a budget.
type budgetData struct {
	Period string `json:"period"`
	// SpentUSD and LimitUSD are in US dollars.
	SpentUSD float64 `json:"spentUsd"`
	LimitUSD float64 `json:"limitUsd"`
}

// tellBudget notes, once in each period and node, that a budget is nearly used up, or
// is.
func (s *Screen) tellBudget(in *Send, kind string, p spend.Period, st spend.State, b spend.Budget) {
	data := budgetData{Period: string(p), SpentUSD: float64(st.Hour) / 1e6, LimitUSD: float64(b.Hour) / 1e6}
	until := in.At.Truncate(time.Hour).Add(time.Hour)
	if p == spend.PeriodDay {
		data.SpentUSD, data.LimitUSD = float64(st.Day)/1e6, float64(b.Day)/1e6
		until = in.At.Truncate(24 * time.Hour).Add(24 * time.Hour)
	}
	key := in.Client.ID + "\x00" + string(p) + "\x00" + kind
	s.mu.Lock()
	told := in.At.Before(s.warned[key])
	if !told {
		s.warned[key] = until
		s.keep(s.event(in.At, in.Client.ID, kind, data))
	}
	s.mu.Unlock()
	if !told {
		s.cfg.Log.Warn("a budget is nearly used up, or is", "event", kind, "client", in.Client.ID, "period", string(p), "spent_usd", data.SpentUSD, "limit_usd", data.LimitUSD)
	}
}

// maxEvents bounds the events that wait for a store that is down.
const maxEvents = 10_000

// keep adds an event to those that are to be stored; mu is held.
func (s *Screen) keep(e store.Event) {
	if len(s.events) < maxEvents {
		s.events = append(s.events, e)
	}
}

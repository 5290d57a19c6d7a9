package intent

import (
	"time"

	"codeword/internal/rollup"
	"codeword/internal/store"
)

// Figures are the events of the roll-ups that the operations of one transaction have
// caused, as they are written with it.
type Figures []byte

// of begins an event about a message.
func (m *Message) of(route string) rollup.Event {
	return rollup.Event{Client: m.Client, At: m.CreatedAt, Area: m.Area, Route: route}
}

// ended tells whether a message of that status never arrived, and is not on its way.
func ended(status store.MessageStatus) int {
	if status == store.MessageFailed || status == store.MessageExpired {
		return 1
	}
	return 0
}

func (f *Figures) add(e *rollup.Event) {
	if e.Messages || e.Sent || e.Delivered || e.Verified || e.Failed != 0 || e.Reason != "" || e.Micros != 0 {
		*f = rollup.Append(*f, e)
	}
}

// Outcome adds what a settled outcome, with the receipts that overtook it, changed of
// the message, which had that status before.
func (f *Figures) Outcome(now time.Time, m *Message, before store.MessageStatus, o *store.Outcome) {
	route := m.Route
	if route == "" {
		route = m.Stored
	}
	delivered := m.Status == store.MessageDelivered && before != store.MessageDelivered
	failed := ended(m.Status)
	reason := ""
	if failed > 0 {
		reason = o.Error
	}
	first := m.Earlier == 0
	for i := range o.Dispatches {
		d := &o.Dispatches[i]
		e := m.of(d.Route)
		e.Reason = d.Error
		if d.Error == reason {
			reason = "" // told
		}
		if Taken(d.Status) {
			e.Sent, e.Messages, first = true, first, false
			e.Micros = d.PriceMicros
		}
		if delivered && d.Route == route && e.Sent {
			e.Delivered, e.DeliveredAfter, delivered = true, now.Sub(m.CreatedAt), false
		}
		f.add(&e)
	}
	e := m.of(route)
	if len(o.Dispatches) == 0 && first && Taken(o.Status) { // by the inbox
		e.Sent, e.Messages = true, true
	}
	if delivered {
		e.Delivered, e.DeliveredAfter = true, now.Sub(m.CreatedAt)
	}
	e.Failed, e.Reason = failed, reason
	f.add(&e)
	if ended(before) > 0 { // counted where it was then
		e = m.of(m.Stored)
		e.Failed = -1
		f.add(&e)
	}
}

// Receipt adds what a new receipt changed of the message, which had that status before.
func (f *Figures) Receipt(now time.Time, m *Message, before store.MessageStatus, r *store.Receipt) {
	e := m.of(r.Route)
	if r.Status == store.ReceiptFailed {
		e.Reason = r.Error
	}
	if m.Status == store.MessageDelivered && before != store.MessageDelivered {
		e.Delivered, e.DeliveredAfter = true, now.Sub(m.CreatedAt)
	}
	failed := ended(m.Status) - ended(before)
	if r.Route == m.Stored {
		e.Failed, failed = failed, 0
	}
	f.add(&e)
	if failed != 0 {
		e = m.of(m.Stored)
		e.Failed = failed
		f.add(&e)
	}
}

// Overtook adds a receipt that came before the outcome of the dispatch that it is of.
func (f *Figures) Overtook(m *Message, route string, r *store.Receipt) {
	if r.Status == store.ReceiptFailed {
		e := m.of(route)
		e.Reason = r.Error
		f.add(&e)
	}
}

// Verified adds that the code of a message was used.
func (f *Figures) Verified(now time.Time, m *Message) {
	e := m.of(m.Stored)
	e.Verified, e.VerifiedAfter = true, now.Sub(m.CreatedAt)
	f.add(&e)
}

package intent

import (
	"time"

	"codeword/internal/store"
)

// Message is what outcomes and receipts change of a message.
type Message struct {
	ID    store.MessageID
	Phone store.PhoneID
	// Client is the engine's number of the client, and CreatedAt the time of acceptance.
	Client    int64
	CreatedAt time.Time
	// Area is the number's area code, 0 while nobody has opened it.
	Area   int
	Claims int
	Status store.MessageStatus
	Error  string
	// Due, Check and Leased are zero for never. A message that is due is queued,
	// and one that has a check is sent or unknown; never both.
	Due, Check, Leased time.Time
	Expires            time.Time
	// Route and Ref are to be written when Route is not empty; Stored is the route that
	// is written.
	Route, Ref, Stored string
	Verified           bool
	// Latest numbers the newest dispatch that a carrier took, or may have taken;
	// 0 for none. Only its receipts tell that the message failed.
	Latest int
	// Earlier is Latest before the outcome that is being recorded.
	Earlier int
}

// Taken tells whether a carrier took, or may have taken, the message.
func Taken(status store.MessageStatus) bool {
	return status == store.MessageSent || status == store.MessageDelivered || status == store.MessageUnknown
}

// Holds tells whether the outcome is one of the claim that is open. An outcome
// counts once, and only while its claim is the latest.
func (m *Message) Holds(o *store.Outcome) bool { return m.Claims == o.Claims && !m.Leased.IsZero() }

// become sets a status in which nothing is due.
func (m *Message) become(status store.MessageStatus, reason string) {
	m.Status, m.Error = status, reason
	m.Due, m.Check = time.Time{}, time.Time{}
}

// Settle ends the claim with its outcome. A receipt may have told meanwhile
// that the message arrived; nothing says more than that.
func (m *Message) Settle(now time.Time, o *store.Outcome) {
	m.Leased = time.Time{}
	m.Route, m.Ref = o.Route, o.CarrierRef
	if o.Area != 0 {
		m.Area = o.Area
	}
	if m.Status == store.MessageDelivered {
		return
	}
	m.become(o.Status, o.Error)
	switch o.Status {
	case store.MessageQueued:
		if m.Due = o.RetryAt; m.Due.IsZero() {
			m.Due = now
		}
	case store.MessageSent, store.MessageUnknown:
		m.Check = o.RetryAt
	}
}

// Apply lets a receipt of dispatch n change the message. The end is the same in
// whatever order the receipts and the outcome come:
//
//   - delivered is final and wins over everything;
//   - else the latest dispatch that a carrier took speaks for the message. It
//     failed if a receipt says so, even if another says "accepted", and for good
//     if one of several says so;
//   - accepted turns unknown into sent.
func (m *Message) Apply(now time.Time, n int, r *store.Receipt) store.ReceiptEffect {
	switch {
	case m.Status == store.MessageDelivered:
		return store.ReceiptNoted
	case r.Status == store.ReceiptDelivered:
		m.become(store.MessageDelivered, "")
		return store.ReceiptChanged
	case n != m.Latest:
		return store.ReceiptNoted
	case r.Status == store.ReceiptFailed:
		return m.fail(now, r)
	case r.Status == store.ReceiptAccepted && m.Status == store.MessageUnknown:
		m.Status, m.Error = store.MessageSent, "" // and is still to be heard of
		return store.ReceiptChanged
	default:
		return store.ReceiptNoted
	}
}

// fail ends the message, or queues it for another route. While a claim is open
// its holder may be sending, so that the message is not due before the lease
// has ended; the outcome of that claim, should it come, decides instead.
func (m *Message) fail(now time.Time, r *store.Receipt) store.ReceiptEffect {
	final := !r.Retry || r.OptOut
	switch m.Status {
	case store.MessageSent, store.MessageUnknown:
		if final || m.Verified || !m.Expires.After(now) {
			m.become(store.MessageFailed, r.Error)
			return store.ReceiptChanged
		}
		m.become(store.MessageQueued, r.Error)
		m.Due = now
		if m.Leased.After(now) {
			m.Due = m.Leased
		}
		return store.ReceiptRequeued
	case store.MessageQueued: // by another receipt
		if final {
			m.become(store.MessageFailed, r.Error)
			return store.ReceiptChanged
		}
	}
	return store.ReceiptNoted
}

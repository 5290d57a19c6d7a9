package delivery

import (
	"strings"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/message"
	"codeword/internal/routing"
	"codeword/internal/store"
)

// passage is a claimed message on its way, from one route to the next, to its
// outcome. While a send runs, the watch may take it over from its worker.
type passage struct {
	job
	out  store.Outcome
	plan routing.Plan
	msg  carrier.Message
	// ageless: the message is of use even after its code has died.
	ageless bool
	// segments is how many SMS the text takes.
	segments int
	// leg is the latest handing-over; failure is why the latest that failed did
	// so.
	leg     routing.Leg
	failure string
	// traced ends what Config.Tracer began; nil for nothing.
	traced func(*store.Outcome)
	// kept: nothing came of this claim; the message stays as it was.
	kept bool
}

// redelivery tells whether a carrier has, or may have, the message already, and
// nothing was heard of it since.
func (p *passage) redelivery() bool {
	return p.m.Status == store.MessageSent || p.m.Status == store.MessageUnknown
}

// dead tells whether the code has died.
func (p *passage) dead(now time.Time) bool {
	return !p.ageless && !now.Before(p.m.ExpiresAt)
}

// keep leaves a message as it was before the claim, and looks at it again at a
// time; zero: never.
func (p *passage) keep(again time.Time) {
	p.kept = true
	p.out.Status, p.out.RetryAt, p.out.Error = p.m.Status, again, p.m.Error
}

// end ends the message without a carrier; one that a carrier has stays so.
func (p *passage) end(status store.MessageStatus, reason string) {
	if p.redelivery() {
		p.keep(time.Time{})
		return
	}
	p.out.Status, p.out.Error = status, reason
}

// dispatched notes what came of the latest leg; the inbox is none.
func (p *passage) dispatched(status store.MessageStatus, ref, reason string) {
	if p.leg.Inbox() {
		return
	}
	if p.segments == 0 {
		p.segments = message.Count(string(p.msg.Text)).Parts
	}
	p.out.Dispatches = append(p.out.Dispatches, store.Dispatch{
		At: p.leg.At, Claim: p.m.Claims, Route: p.leg.Route, Decision: p.leg.Decision,
		Status: status, CarrierRef: ref, Error: reason,
		Segments: p.segments, PriceMicros: p.leg.PriceMicros * int64(p.segments),
	})
}

// settle notes what a carrier said; true if the message should go on to the
// next route.
func (p *passage) settle(receipt carrier.Receipt, failure *carrier.Error, now time.Time) (goOn bool) {
	p.plan.Done(p.leg, failure)
	if failure == nil {
		status := store.MessageSent
		if receipt.Delivered {
			status = store.MessageDelivered
		}
		ref := clean(receipt.Ref)
		p.taken(status, ref, "")
		if status == store.MessageSent {
			p.lookAgain(now, p.leg.ReceiptTimeout)
		}
		return false
	}
	switch {
	case failure.Class == carrier.Rejected, failure.Effect == carrier.EffectOptOut:
		p.taken(store.MessageFailed, "", failure.Reason)
		p.out.OptOut = failure.Effect == carrier.EffectOptOut
	case failure.Class == carrier.Retryable:
		p.failure = failure.Reason
		if !p.redelivery() {
			p.out.Route = p.leg.Route
		}
		p.dispatched(store.MessageQueued, "", failure.Reason)
		return true
	default:
		p.taken(store.MessageUnknown, clean(receipt.Ref), failure.Reason)
		p.lookAgain(now, p.leg.UnknownTimeout)
	}
	return false
}

// taken makes what came of the latest leg the outcome of the message.
func (p *passage) taken(status store.MessageStatus, ref, reason string) {
	p.dispatched(status, ref, reason)
	p.out.Status, p.out.Route, p.out.CarrierRef, p.out.Error = status, p.leg.Route, ref, reason
}

// lookAgain asks for another look at the message unless something is heard of
// it before; 0: never. After the code's death there would be nothing to do.
func (p *passage) lookAgain(now time.Time, timeout time.Duration) {
	if at := now.Add(timeout); timeout > 0 && at.Before(p.m.ExpiresAt) {
		p.out.RetryAt = at
	}
}

// maxRef bounds the carrier's id of a message, in bytes.
const maxRef = 128

// clean returns a carrier's id as it can be stored.
func clean(ref string) string {
	return strings.ToValidUTF8(ref[:min(len(ref), maxRef)], "")
}

package delivery

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/store"
)

// The reasons that the loop itself gives to an outcome. Others come from
// carriers.
const (
	// reasonClient, reasonRoute, reasonNumber, reasonCode: what the message needs
	// is not there (yet): a client, a carrier for its route, a seal or code key.
	reasonClient = "client_unknown"
	reasonRoute  = "route_unknown"
	reasonNumber = "number_unreadable"
	reasonCode   = "code_unavailable"
	// reasonErased: the phone was erased.
	reasonErased = "phone_erased"
	// reasonExpired: the code died first.
	reasonExpired = "expired"
	// reasonClaims: claimed too often.
	reasonClaims = "gave_up"
	// reasonPanic: the carrier, or the making of the text, panicked.
	reasonPanic = "panic"
	// reasonReleased: not begun, since its lease or the drain was about to end.
	reasonReleased = "released"
	// reasonInterrupted: a send that the end of the drain cut off.
	reasonInterrupted = "interrupted"
)

// maxRef bounds the carrier's id of a message, in bytes.
const maxRef = 128

// work delivers jobs until there are no more, or until a send hung for so long
// that another worker was started in its place.
func (l *Loop) work(s *slot) {
	defer l.watch.remove(s)
	for j := range l.jobs {
		if len(l.jobs) <= l.cfg.Batch/2 {
			signal(l.freed)
		}
		if !l.deliver(s, j) {
			return
		}
	}
}

// deliver takes one job to its outcome; false when this worker was replaced.
func (l *Loop) deliver(s *slot, j job) bool {
	now := l.cfg.Now()
	out := store.Outcome{ID: j.m.ID, Claims: j.m.Claims}
	c, msg := l.prepare(&j, now, &out)
	if c == nil {
		l.finish(j, out, now)
		return true
	}
	s.begin(j, out, now.Add(l.cfg.SendTimeout))
	receipt, err := l.send(c, msg)
	reported, replaced := s.end()
	if !reported {
		l.judge(j, receipt, err, &out)
		l.finish(j, out, l.cfg.Now())
	}
	return !replaced
}

// prepare decides whether the message is to be sent. If not, it returns no
// carrier, and out says what becomes of the message instead.
func (l *Loop) prepare(j *job, now time.Time, out *store.Outcome) (c carrier.Carrier, msg carrier.Message) {
	defer func() {
		if v := recover(); v != nil {
			l.logPanic(j.m.ID, v)
			c = nil
			l.again(*j, now, reasonPanic, out)
		}
	}()
	m := j.m
	client := l.cfg.Clients(m.Client)
	if client == nil {
		l.again(*j, now, reasonClient, out)
		return nil, msg
	}
	out.Route = client.Settings.Route
	found := l.cfg.Carriers(out.Route)
	j.ageless = found != nil && found.Traits().TakesExpired
	switch {
	case len(m.Sealed) == 0:
		out.Status, out.Error = store.MessageFailed, reasonErased
		return nil, msg
	case !now.Before(m.ExpiresAt) && !j.ageless:
		out.Status, out.Error = store.MessageExpired, reasonExpired
		return nil, msg
	case m.Claims > l.cfg.MaxClaims:
		out.Status, out.Error = store.MessageFailed, reasonClaims
		return nil, msg
	case found == nil:
		l.again(*j, now, reasonRoute, out)
		return nil, msg
	case l.sends.Err() != nil || now.Add(l.cfg.SendTimeout).After(j.until):
		out.Status, out.RetryAt, out.Error = store.MessageQueued, now, reasonReleased
		return nil, msg
	}
	to, err := l.cfg.Open(*m)
	if err != nil {
		l.again(*j, now, reasonNumber, out)
		return nil, msg
	}
	code, err := l.cfg.Code(client, *m)
	if err != nil {
		l.again(*j, now, reasonCode, out)
		return nil, msg
	}
	brand := client.Settings.Brand
	return found, carrier.Message{
		ID: m.ID, To: to, From: brand, Text: l.cfg.Render(brand, code), ValidUntil: m.ExpiresAt,
	}
}

// send calls the carrier. A panic may come after the message left, so its
// outcome is unknown.
func (l *Loop) send(c carrier.Carrier, msg carrier.Message) (receipt carrier.Receipt, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &carrier.Error{Class: carrier.Unknown, Reason: reasonPanic}
			l.logPanic(msg.ID, v)
		}
	}()
	ctx, cancel := context.WithTimeout(l.sends, l.cfg.SendTimeout)
	defer cancel()
	return c.Send(ctx, msg)
}

// judge turns what a carrier said into an outcome.
func (l *Loop) judge(j job, receipt carrier.Receipt, err error, out *store.Outcome) {
	failure := carrier.Classify(err)
	switch {
	case failure == nil:
		out.Status = store.MessageSent
		if receipt.Delivered {
			out.Status = store.MessageDelivered
		}
		if len(receipt.Ref) > maxRef {
			receipt.Ref = receipt.Ref[:maxRef]
		}
		out.CarrierRef = strings.ToValidUTF8(receipt.Ref, "")
	case failure.Class == carrier.Rejected:
		out.Status, out.Error = store.MessageFailed, failure.Reason
	case failure.Class == carrier.Retryable:
		l.again(j, l.cfg.Now(), failure.Reason, out)
	default:
		out.Status, out.Error = store.MessageUnknown, failure.Reason
		if l.sends.Err() != nil && errors.Is(err, context.Canceled) {
			out.Error = reasonInterrupted
		}
	}
}

// again puts the message back for another try, or gives it up when there are no
// tries left or its code will be dead by then.
func (l *Loop) again(j job, now time.Time, reason string, out *store.Outcome) {
	out.Error = reason
	at := now.Add(l.cfg.Backoff(j.m.Claims))
	if j.m.Claims >= l.cfg.MaxClaims || !j.ageless && !at.Before(j.m.ExpiresAt) {
		out.Status = store.MessageFailed
		return
	}
	out.Status, out.RetryAt = store.MessageQueued, at
}

// finish hands an outcome to the recorder.
func (l *Loop) finish(j job, out store.Outcome, now time.Time) {
	l.cfg.Metrics.Outcome(out.Route, out.Status, out.Error, now.Sub(j.m.CreatedAt))
	l.record.add(entry{outcome: out, until: j.until})
}

// logPanic logs where a panic came from. Of its value only the type is told,
// or the text of a runtime error: others may quote number or text.
func (l *Loop) logPanic(id store.MessageID, v any) {
	value := fmt.Sprintf("%T", v)
	if err, ok := v.(runtime.Error); ok {
		value = err.Error()
	}
	l.cfg.Log.ErrorContext(l.sends, "delivery: panic",
		"message", id.String(), "panic", value, "stack", string(debug.Stack()))
}

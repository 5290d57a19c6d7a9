package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/routing"
	"codeword/internal/store"
)

// The reasons that the loop itself gives to an outcome. Others come from
// carriers.
const (
	// reasonClient, reasonRoute, reasonNumber, reasonCode: what the message needs
	// is not there (yet): a client, a route that takes it, a seal or code key.
	reasonClient = "client_unknown"
	reasonRoute  = "route_unknown"
	reasonNumber = "number_unreadable"
	reasonCode   = "code_unavailable"
	// reasonDown: every route that the message could take is out of order.
	reasonDown = "no_route"
	// reasonBusy: it waits for its turn on a route.
	reasonBusy = "busy"
	// reasonTurn: its turn on a busy route would come after its code's death.
	reasonTurn = "no_capacity"
	// reasonErased: the phone was erased.
	reasonErased = "phone_erased"
	// reasonExpired: the code died first.
	reasonExpired = "expired"
	// reasonSpent: the code was used, or another took its place.
	reasonSpent = "code_spent"
	// reasonClaims: claimed too often.
	reasonClaims = "gave_up"
	// reasonPanic: the carrier, or the making of the text, panicked.
	reasonPanic = "panic"
	// reasonReleased: not begun, since its lease or the drain was about to end.
	reasonReleased = "released"
	// reasonInterrupted: a send that the end of the drain cut off.
	reasonInterrupted = "interrupted"
)

// work delivers jobs until there are no more, or until a send hung for so long
// that another worker was started in its place.
func (l *Loop) work(s *slot) {
	defer l.watch.remove(s)
	p := new(passage)
	for j := range l.jobs {
		if len(l.jobs) <= l.cfg.Batch/2 {
			signal(l.freed)
		}
		*p = passage{job: j, out: store.Outcome{ID: j.m.ID, Claims: j.m.Claims}}
		reported, replaced := l.deliver(s, p)
		if replaced {
			return
		}
		if reported {
			p = new(passage) // the watch has that one
		}
	}
}

// deliver takes a message to its outcome. It tells whether the watch reported
// the outcome, and whether this worker was replaced.
func (l *Loop) deliver(s *slot, p *passage) (reported, replaced bool) {
	now := l.cfg.Now()
	if p.m.Claims == 1 {
		l.cfg.Metrics.Begun(now.Sub(p.m.CreatedAt))
	}
	ctx := l.sends
	if l.cfg.Tracer != nil {
		ctx, p.traced = l.cfg.Tracer.Message(ctx, p.m)
	}
	for goOn := l.prepare(p, now); goOn; {
		leg, err := p.plan.Next(l.sends, now)
		if err != nil {
			now = l.cfg.Now()
			l.stuck(p, err, now)
			break
		}
		p.leg = leg
		s.begin(p, leg.At.Add(l.cfg.SendTimeout))
		receipt, err := l.call(ctx, &leg, p.msg)
		if reported, replaced = s.end(); reported {
			return reported, replaced
		}
		now = l.cfg.Now()
		l.cfg.Metrics.Answered(leg.Route, now.Sub(leg.At))
		goOn = p.settle(receipt, l.classify(err), now)
		if goOn && (p.dead(now) || !l.hasTime(p, now)) {
			l.again(p, now, now.Add(l.cfg.Backoff(p.m.Claims)), p.failure)
			break
		}
	}
	l.finish(p, now)
	return false, replaced
}

// prepare decides whether the message is to be sent, and makes its text and its
// plan. If not, the outcome says what becomes of the message instead.
func (l *Loop) prepare(p *passage, now time.Time) (ready bool) {
	later := func(reason string) { l.again(p, now, now.Add(l.cfg.Backoff(p.m.Claims)), reason) }
	defer func() {
		if v := recover(); v != nil {
			l.logPanic(p.m.ID, v)
			ready = false
			later(reasonPanic)
		}
	}()
	m := p.m
	client := l.cfg.Clients(m.Client)
	switch {
	case client == nil:
		later(reasonClient)
		return false
	case len(m.Sealed) == 0:
		p.end(store.MessageFailed, reasonErased)
		return false
	case m.OptedOut:
		p.end(store.MessageFailed, carrier.ReasonOptedOut)
		return false
	}
	to, err := l.cfg.Open(*m)
	if err != nil {
		later(reasonNumber)
		return false
	}
	p.out.Area = to.NPA()
	p.plan = l.cfg.Router.Plan(client, m, to)
	p.ageless = p.plan.TakesExpired()
	switch {
	case p.dead(now):
		p.end(store.MessageExpired, reasonExpired)
		return false
	case m.Spent && !p.ageless:
		p.end(store.MessageExpired, reasonSpent)
		return false
	case m.Claims > l.cfg.MaxClaims:
		p.end(store.MessageFailed, reasonClaims)
		return false
	case !l.hasTime(p, now):
		l.again(p, now, now, reasonReleased)
		return false
	}
	code, err := l.cfg.Code(client, *m)
	if err != nil {
		later(reasonCode)
		return false
	}
	p.msg = carrier.Message{ID: m.ID, To: to, Text: client.Texts.Render(m.Locale, code), ValidUntil: m.ExpiresAt}
	return true
}

// hasTime tells whether another send can end within the lease, and before a
// drain that has become urgent.
func (l *Loop) hasTime(p *passage, now time.Time) bool {
	return l.sends.Err() == nil && !now.Add(l.cfg.SendTimeout+routing.MaxTurn).After(p.until)
}

// call is send, followed by the tracer.
func (l *Loop) call(ctx context.Context, leg *routing.Leg, msg carrier.Message) (carrier.Receipt, error) {
	if l.cfg.Tracer == nil {
		return l.send(ctx, leg.Carrier, msg)
	}
	ctx, end := l.cfg.Tracer.Call(ctx, leg.Route)
	receipt, err := l.send(ctx, leg.Carrier, msg)
	end(l.classify(err))
	return receipt, err
}

// send calls the carrier. A panic may come after the message left, so its
// outcome is unknown.
func (l *Loop) send(ctx context.Context, c carrier.Carrier, msg carrier.Message) (receipt carrier.Receipt, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &carrier.Error{Class: carrier.Unknown, Reason: reasonPanic}
			l.logPanic(msg.ID, v)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, l.cfg.SendTimeout)
	defer cancel()
	return c.Send(ctx, msg)
}

// classify is carrier.Classify, and knows a send that was cut off by the end of
// the drain.
func (l *Loop) classify(err error) *carrier.Error {
	failure := carrier.Classify(err)
	if failure != nil && failure.Class == carrier.Unknown && l.sends.Err() != nil && errors.Is(err, context.Canceled) {
		return &carrier.Error{Class: carrier.Unknown, Reason: reasonInterrupted, Cause: err}
	}
	return failure
}

// stuck puts a message back for which there is no route (any more).
func (l *Loop) stuck(p *passage, err error, now time.Time) {
	at, reason := now.Add(l.cfg.Backoff(p.m.Claims)), p.failure
	var wait *routing.Wait
	switch {
	case errors.As(err, &wait) && !wait.Down:
		at, reason = wait.At, reasonBusy
	case wait != nil:
		if wait.At.After(at) {
			at = wait.At
		}
		reason = cmp.Or(reason, reasonDown)
	case errors.Is(err, routing.ErrNone):
		if p.redelivery() && p.failure == "" {
			p.keep(time.Time{}) // all that are left may have it
			return
		}
		if len(p.m.Taken) > 0 && p.failure == "" {
			p.end(store.MessageFailed, cmp.Or(p.m.Error, reasonRoute)) // all that are left had it
			return
		}
		reason = cmp.Or(reason, reasonRoute)
	default: // the drain has become urgent
		at, reason = now, reasonReleased
	}
	l.again(p, now, at, reason)
}

// again puts the message back for another try at a time, or gives it up when
// there are no tries left or its code will be dead by then.
func (l *Loop) again(p *passage, now, at time.Time, reason string) {
	m := p.m
	if left := l.cfg.MaxClaims - m.Claims; left > 0 && left < l.cfg.MaxClaims/2 && !p.ageless {
		// A message that had to wait often makes do with the claims that it has
		// left until shortly before its code's death.
		span := m.ExpiresAt.Add(-l.cfg.SendTimeout).Sub(now)
		if sparing := now.Add(span / time.Duration(left)); sparing.After(at) {
			at = sparing
		}
	}
	// What comes due in the last moment would be found after the code's death.
	hopeless := m.Claims >= l.cfg.MaxClaims || p.dead(at.Add(l.cfg.Poll))
	if reason == reasonBusy {
		l.expectTurn(at)
		l.turns.note(m, now, at)
		if hopeless {
			reason = cmp.Or(p.failure, reasonTurn)
		}
	}
	switch {
	case p.redelivery() && hopeless:
		p.keep(time.Time{})
	case p.redelivery():
		p.keep(at)
	case hopeless:
		p.out.Status, p.out.Error = store.MessageFailed, reason
	default:
		p.out.Status, p.out.RetryAt, p.out.Error = store.MessageQueued, at, reason
	}
}

// finish hands the outcome to the recorder.
func (l *Loop) finish(p *passage, now time.Time) {
	if !p.kept {
		l.cfg.Metrics.Outcome(p.out.Route, p.out.Status, p.out.Error, now.Sub(p.m.CreatedAt))
	}
	if p.traced != nil {
		p.traced(&p.out)
	}
	l.cfg.Done(p.m, &p.out)
	l.record.add(entry{outcome: p.out, until: p.until})
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

// Package smpp sends messages through an SMSC with SMPP 3.4 (Short Message
// Peer-to-Peer Protocol Specification, version 3.4, issue 1.2), and takes
// delivery receipts and messages from phones the same way.
//
// A text of several SMS has the reference of its last part, the only one for
// which a receipt is asked: phones show a text once all of it has come.
package smpp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"codeword/internal/carrier"
)

const (
	// firstReconnect is the pause before the first try to connect again.
	firstReconnect = 250 * time.Millisecond
	// settled is how long a connection must have held for the next pause to be
	// short again.
	settled = 10 * time.Second
)

var (
	_ carrier.Runner  = (*Carrier)(nil)
	_ carrier.Checker = (*Carrier)(nil)
)

// Carrier is a carrier.Carrier, carrier.Runner and carrier.Checker over SMPP.
type Carrier struct {
	cfg      *settings
	pool     *pool
	log      *limitedLog
	requests sync.Pool // of *request
	running  atomic.Bool
	// concat is the reference of the last text of several SMS.
	concat atomic.Uint32
}

// New returns a Carrier, or an error that names every wrong field. It does not
// connect: that is Run's.
func New(cfg Config) (*Carrier, error) {
	s, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	c := &Carrier{cfg: s, pool: newPool(s.ResponseTimeout), log: newLimitedLog(s)}
	c.requests.New = func() any {
		timer := time.NewTimer(time.Hour)
		timer.Stop()
		return &request{timer: timer, answered: make(chan answer, 1)}
	}
	return c, nil
}

// Name returns Config.Name.
func (c *Carrier) Name() string { return c.cfg.Name }

// Traits returns none: a dead code is not sent.
func (c *Carrier) Traits() carrier.Traits { return carrier.Traits{} }

// Connected is how many connections can send now.
func (c *Carrier) Connected() int { return c.pool.size() }

// Run keeps Config.Connections connections until ctx ends; then it waits for
// the answers that are due, ResponseTimeout at most, and unbinds.
func (c *Carrier) Run(ctx context.Context) error {
	if c.running.Swap(true) {
		return errors.New("smpp: Run was called before")
	}
	defer c.pool.close()
	var wg sync.WaitGroup
	for range c.cfg.Connections {
		for _, bind := range c.binds() {
			wg.Go(func() { c.keep(ctx, bind) })
		}
	}
	wg.Wait()
	return nil
}

// binds are the kinds of connections that one sends and receives with.
func (c *Carrier) binds() []command {
	if c.cfg.Bind == BindTransmitterReceiver {
		return []command{bindTransmitter, bindReceiver}
	}
	return []command{bindTransceiver}
}

// keep keeps one connection.
func (c *Carrier) keep(ctx context.Context, bind command) {
	pause := backoff.ExponentialBackOff{
		InitialInterval: firstReconnect, MaxInterval: c.cfg.ReconnectMax, Multiplier: 2, RandomizationFactor: 0.3,
	}
	for ctx.Err() == nil {
		begun := time.Now()
		err := c.hold(ctx, bind)
		if ctx.Err() != nil {
			return
		}
		if time.Since(begun) >= settled {
			pause.Reset()
		}
		wait := pause.NextBackOff()
		c.log.down(bind, err, wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// hold connects once and stays until the connection ends, or ctx does.
func (c *Carrier) hold(ctx context.Context, bind command) error {
	conn, rd, err := connect(ctx, c.cfg, bind)
	var refused *bindError
	c.pool.refused.Store(errors.As(err, &refused) && refused.misconfigured())
	if err != nil {
		return err
	}
	c.log.up(bind)
	var p *pool
	if bind != bindReceiver {
		p = c.pool
	}
	return newSession(c.cfg, conn, rd, p, c.log).run(ctx)
}

// Check connects, binds and unbinds.
func (c *Carrier) Check(ctx context.Context) error {
	for _, bind := range c.binds() {
		conn, rd, err := connect(ctx, c.cfg, bind)
		if err != nil {
			return err
		}
		goodbye(conn, rd, min(c.cfg.ResponseTimeout, maxGoodbye))
	}
	return nil
}

// Send submits the message and waits for the answer.
func (c *Carrier) Send(ctx context.Context, m carrier.Message) (carrier.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return carrier.Receipt{}, carrier.NewError(carrier.ReasonCanceled, err)
	}
	sub, text, cerr := c.compose(m)
	if cerr != nil {
		return carrier.Receipt{}, cerr
	}
	if len(text.parts) == 1 || c.cfg.LongMessages == LongPayload {
		sub.body, sub.payload = text.whole(), len(text.parts) > 1
		sub.registered = true
		text.parts = text.parts[:1]
	} else {
		sub.udhi = true
	}
	ref := byte(0)
	if sub.udhi {
		ref = byte(c.concat.Add(1))
	}
	var receipt carrier.Receipt
	for i, part := range text.parts {
		if sub.udhi {
			sub.body = withUDH(part, ref, len(text.parts), i+1)
			sub.registered = i == len(text.parts)-1
		}
		id, err := c.submit(ctx, &sub)
		if err != nil {
			return carrier.Receipt{}, err
		}
		receipt.Ref = id
	}
	return receipt, nil
}

// compose writes what all parts of a message have in common.
func (c *Carrier) compose(m carrier.Message) (submission, encoded, *carrier.Error) {
	sub := submission{
		service: c.cfg.ServiceType,
		source:  c.cfg.source,
		dest:    address{c.cfg.destTON, c.cfg.destNPI, strings.TrimPrefix(m.To.E164(), "+")},
		until:   m.ValidUntil,
	}
	if c.cfg.destTON == tonNational {
		sub.dest.digits = strings.TrimPrefix(sub.dest.digits, "1")
	}
	text := encode(string(m.Text), c.cfg.DefaultAlphabet == AlphabetLatin1)
	if len(text.parts) > c.cfg.MaxSegments {
		return submission{}, encoded{}, carrier.NewError(carrier.ReasonMisconfigured, errTooLong)
	}
	sub.coding = text.coding
	return sub, text, nil
}

// relativeTime writes a time from now as YYMMDDhhmmss000R (section 7.1.1.2),
// in whole seconds, at least one and less than a month.
func relativeTime(d time.Duration) string {
	n := min(max(int(d/time.Second), 1), 28*24*60*60)
	return fmt.Sprintf("0000%02d%02d%02d%02d000R", n/86400, n/3600%24, n/60%60, n%60)
}

// write encodes a submit_sm once it can be sent, which may be long after Send
// began; it is an error if the message has died meanwhile.
func (c *Carrier) write(r *request, sub *submission) *carrier.Error {
	if !sub.until.IsZero() {
		life := sub.until.Sub(c.cfg.Now())
		if life <= 0 {
			return carrier.NewError(carrier.ReasonExpired, nil)
		}
		sub.validity = relativeTime(life)
	}
	r.frame = appendSubmit(r.frame[:0], sub)
	return nil
}

// submit sends one submit_sm and waits for its answer, the id of the message.
func (c *Carrier) submit(ctx context.Context, sub *submission) (string, error) {
	r, _ := c.requests.Get().(*request)
	defer c.requests.Put(r)
	var s *session
	for {
		var err *carrier.Error
		if s, err = c.pool.acquire(ctx); err != nil {
			return "", err
		}
		if err = c.write(r, sub); err != nil {
			c.pool.release(s)
			return "", err
		}
		if s.submit(r) {
			break
		}
	}
	a := await(ctx, s, r)
	switch {
	case a.lost != nil:
		return "", a.lost
	case a.status == statusOK:
		c.pool.succeeded()
		return a.ref, nil
	case a.status == statusBindState: // the connection takes no message any more
		s.retire()
		fallthrough
	default:
		return "", c.refused(a.status)
	}
}

// await waits for the answer to a request. Nobody else has the request once it
// has returned.
func await(ctx context.Context, s *session, r *request) answer {
	r.timer.Reset(s.cfg.ResponseTimeout)
	defer r.timer.Stop()
	cause := context.DeadlineExceeded
	select {
	case a := <-r.answered:
		return a
	case <-r.timer.C:
	case <-ctx.Done():
		cause = ctx.Err()
	}
	switch s.giveUp(r) {
	case outcomeUnwritten:
		return answer{lost: carrier.NewError(carrier.ReasonCanceled, cause)}
	case outcomeUnanswered:
		return answer{lost: carrier.NewError(carrier.ReasonTimeout, cause)}
	default:
		return <-r.answered
	}
}

// refused is the error that an answer other than ESME_ROK stands for.
func (c *Carrier) refused(st status) *carrier.Error {
	reason, ok := c.cfg.statusReasons[st]
	if !ok {
		reason = st.reason()
	}
	err := carrier.NewError(reason, fmt.Errorf("smpp: submit_sm refused with %v", st))
	if err.Effect == carrier.EffectThrottle {
		err.RetryAfter = c.pool.throttle()
		c.log.throttled(st, err.RetryAfter)
	}
	return err
}

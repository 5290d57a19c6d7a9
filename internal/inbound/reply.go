package inbound

import (
	"context"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/message"
	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

const (
	// replyQueue is how many answers may wait, replyWorkers how many are sent at
	// once.
	replyQueue, replyWorkers = 256, 4
	// replyTimeout bounds one send, replyLife how long an answer is worth
	// bringing.
	replyTimeout, replyLife = 10 * time.Second, 10 * time.Minute
)

// What became of an answer.
const (
	replySent    = "sent"
	replyFailed  = "failed"
	replyLimited = "limited"
	replyDropped = "dropped"
)

// reply is an answer that waits to be sent.
type reply struct {
	route   string
	wish    message.KeywordKind
	carrier carrier.Carrier
	msg     carrier.Message
}

// replies are the answers that wait, and what is remembered of those before.
type replies struct {
	queue  chan reply
	memory *memory
}

func newReplies() replies {
	return replies{queue: make(chan reply, replyQueue), memory: &memory{}}
}

// answer lets a phone know that its wish was heard, which CTIA's Messaging
// Principles and Best Practices ask of senders for STOP and HELP. It is best
// effort, and goes only to phones to which a client once wrote, never to the
// very sender, and only so often: the other side may be a robot that answers as
// well.
func (i *Intake) answer(route string, in carrier.Inbound, wish message.KeywordKind, known []*tenant.Client) {
	c := i.cfg.Replier(route)
	with := slices.IndexFunc(known, func(c *tenant.Client) bool { return !c.Unread }) // which has texts
	if c == nil || with < 0 || in.To == in.From.E164() {
		return
	}
	now := i.cfg.Now()
	if !i.replies.memory.allow(in.From, wish, now) {
		i.cfg.Metrics.Reply(route, wish, replyLimited)
		return
	}
	// One phone gets one answer, however many clients share the sender.
	texts := known[with].Texts
	var text message.Text
	switch wish {
	case message.KeywordStop:
		text = texts.Stopped()
	case message.KeywordStart:
		text = texts.Started()
	case message.KeywordHelp:
		text = texts.Help()
	case message.KeywordNone:
		return
	}
	r := reply{route: route, wish: wish, carrier: c, msg: carrier.Message{
		ID: store.NewMessageID(), To: in.From, Text: text, ValidUntil: now.Add(replyLife),
	}}
	select {
	case i.replies.queue <- r:
	default:
		i.cfg.Metrics.Reply(route, wish, replyDropped)
	}
}

// Run sends answers until ctx ends. Those that still wait are dropped then.
func (i *Intake) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	for range replyWorkers {
		workers.Go(func() {
			for {
				select {
				case r := <-i.replies.queue:
					i.send(ctx, r)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	workers.Wait()
	return nil
}

// send tries once. What a carrier says may quote the number, so only the reason
// is logged.
func (i *Intake) send(ctx context.Context, r reply) {
	outcome := replyFailed
	defer func() {
		if v := recover(); v != nil {
			i.cfg.Log.ErrorContext(ctx, "inbound: a carrier panicked", "route", r.route, "stack", string(debug.Stack()))
		}
		i.cfg.Metrics.Reply(r.route, r.wish, outcome)
	}()
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	if _, err := r.carrier.Send(ctx, r.msg); err != nil {
		i.cfg.Log.WarnContext(ctx, "inbound: a keyword was not answered", "route", r.route, "reason", carrier.Classify(err).Reason)
		return
	}
	outcome = replySent
}

const (
	// replyEvery is the least time between two answers to a number, replyDay how
	// many it gets in replyPeriod.
	replyEvery  = time.Minute
	replyDay    = 5
	replyPeriod = 24 * time.Hour
	// maxNumbers bounds each of the two halves of the memory.
	maxNumbers = 8192
)

// memory knows which numbers were answered lately. It has two halves, of which
// the older is forgotten when the younger is full or a period old: bounded, and
// without a sweep.
type memory struct {
	mu             sync.Mutex
	recent, former map[phone.Number]answered
	began          time.Time
}

// answered is what a number got.
type answered struct {
	first, last time.Time
	count       int
	// stopped: STOP was confirmed, and no START came since.
	stopped bool
}

// allow tells whether a wish of a number may be answered now, and counts on it
// being so.
func (m *memory) allow(n phone.Number, wish message.KeywordKind, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.recent == nil || len(m.recent) >= maxNumbers || now.Sub(m.began) >= replyPeriod {
		m.recent, m.former, m.began = make(map[phone.Number]answered), m.recent, now
	}
	a, ok := m.recent[n]
	if !ok {
		a, ok = m.former[n]
	}
	if !ok || now.Sub(a.first) >= replyPeriod {
		a = answered{first: now, last: a.last, stopped: a.stopped}
	}
	if wish == message.KeywordStart {
		a.stopped = false
	}
	// STOP is confirmed once; whoever opted out is not to be written to.
	allowed := a.count < replyDay && now.Sub(a.last) >= replyEvery && (wish != message.KeywordStop || !a.stopped)
	if allowed {
		a.last = now
		a.count++
		a.stopped = a.stopped || wish == message.KeywordStop
	}
	m.recent[n] = a
	return allowed
}

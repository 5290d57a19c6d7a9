package smpp

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"codeword/internal/carrier"
)

var (
	errNotBound    = errors.New("smpp: not bound")
	errPeerUnbound = errors.New("smpp: the carrier unbound")
	errUnbound     = errors.New("smpp: unbound")
	errUseless     = errors.New("smpp: connected, but messages are not answered or not taken")
	errFlood       = errors.New("smpp: the carrier asks faster than it reads")
)

// request is a submit_sm on its way. It is used again and again.
type request struct {
	frame []byte
	timer *time.Timer
	// answered has room for the one answer.
	answered chan answer
	// sequence and written belong to the session while it has the request.
	sequence uint32
	written  bool
}

// answer is what became of a request.
type answer struct {
	lost   *carrier.Error // not nil: there was no answer
	status status
	ref    string
}

// session is one bound connection. Its goroutines are run (keeps it alive, and
// ends it), read, write and report.
type session struct {
	cfg  *settings
	in   interpreter
	conn net.Conn
	rd   *reader
	pool *pool // nil if it cannot send
	free int   // owned by pool
	log  *limitedLog

	wake    chan struct{} // there is something to write
	retired chan struct{} // run shall end the session in order
	idle    chan struct{} // nothing waits for an answer any more, after leaving
	unbound chan struct{} // our unbind was answered
	done    chan struct{} // closed by fail
	reports chan report
	heard   atomic.Int64 // when the peer was last heard of, since begun
	begun   time.Time

	mu sync.Mutex
	// err is why the session ended; nil while it has not.
	err error
	// leaving: no more messages are taken.
	leaving bool
	// inflight are the messages without an answer, by sequence_number. A message
	// that nobody waits for any more stays, as nil, and keeps its place in the
	// window: the SMSC counts it as well, and may still answer.
	inflight map[uint32]*request
	givenUp  int
	sequence uint32
	queue    []*request // not yet written
	control  []byte     // encoded PDUs other than submit_sm, not yet written
	hangUp   bool       // the session ends once control is written
}

func newSession(cfg *settings, conn net.Conn, rd *reader, p *pool, log *limitedLog) *session {
	return &session{
		cfg:  cfg,
		in:   interpreter{latin1: cfg.DefaultAlphabet == AlphabetLatin1, ids: cfg.ids, receiptReasons: cfg.receiptReasons},
		conn: conn, rd: rd, pool: p, log: log,
		wake:     make(chan struct{}, 1),
		retired:  make(chan struct{}, 1),
		idle:     make(chan struct{}, 1),
		unbound:  make(chan struct{}, 1),
		done:     make(chan struct{}),
		reports:  make(chan report, maxReports),
		begun:    time.Now(),
		inflight: make(map[uint32]*request, cfg.Window),
		sequence: 1, // of the bind
	}
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run keeps the session until the connection ends or ctx does, and returns why
// it ended. In the second case it waits for the answers that are due, and
// unbinds.
func (s *session) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(s.read)
	wg.Go(s.write)
	wg.Go(func() { s.report(context.WithoutCancel(ctx)) })
	if s.pool != nil {
		s.pool.add(s)
		defer s.pool.remove(s)
	}
	tick := time.NewTimer(s.cfg.EnquireInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return s.failure()
		case <-s.retired:
			s.leave(errUseless)
			return s.failure()
		case <-ctx.Done():
			s.leave(errUnbound)
			return s.failure()
		case <-tick.C:
			tick.Reset(s.enquire())
		}
	}
}

// enquire tests a connection that has been silent, and returns when to look
// again. The reader ends the session if nothing comes back.
func (s *session) enquire() time.Duration {
	silent := time.Since(s.begun) - time.Duration(s.heard.Load())
	if left := s.cfg.EnquireInterval - silent; left > 0 {
		return left
	}
	s.mu.Lock()
	h := header{command: enquireLink, sequence: s.nextSequence()}
	s.mu.Unlock()
	s.send(h, appendHeader)
	return s.cfg.EnquireInterval
}

// maxGoodbye bounds how long an unbind waits for its answer.
const maxGoodbye = 2 * time.Second

// leave ends the session in order: no new messages, wait for the answers of
// those that are out, unbind. err is why.
func (s *session) leave(err error) {
	if s.pool != nil {
		s.pool.remove(s)
	}
	s.mu.Lock()
	s.leaving = true
	idle := len(s.inflight) == s.givenUp
	h := header{command: unbind, sequence: s.nextSequence()}
	s.mu.Unlock()
	limit := time.NewTimer(s.cfg.ResponseTimeout)
	defer limit.Stop()
	if !idle {
		select {
		case <-s.idle:
		case <-s.done:
		case <-limit.C:
		}
	}
	s.send(h, appendHeader)
	limit.Reset(min(s.cfg.ResponseTimeout, maxGoodbye))
	select {
	case <-s.unbound:
	case <-s.done:
	case <-limit.C:
	}
	s.fail(err)
}

// retire makes run end the session in order, so that a better one replaces it.
func (s *session) retire() { signal(s.retired) }

// submit takes a request. It is false, and nothing was written or will be, if
// the session takes none any more; the caller's place is gone then.
func (s *session) submit(r *request) bool {
	s.mu.Lock()
	if s.err != nil || s.leaving {
		s.mu.Unlock()
		return false
	}
	r.sequence, r.written = s.nextSequence(), false
	setSequence(r.frame, r.sequence)
	s.inflight[r.sequence] = r
	s.queue = append(s.queue, r)
	s.mu.Unlock()
	signal(s.wake)
	return true
}

// nextSequence returns a number from 1 to maxSequence that no message without
// an answer has.
func (s *session) nextSequence() uint32 {
	for {
		s.sequence = s.sequence%maxSequence + 1
		if _, taken := s.inflight[s.sequence]; !taken {
			return s.sequence
		}
	}
}

// outcome is what giveUp found.
type outcome uint8

const (
	// outcomeAnswered: too late to give up, the answer is in request.answered.
	outcomeAnswered outcome = iota
	// outcomeUnwritten: the request was taken back.
	outcomeUnwritten
	// outcomeUnanswered: the SMSC may have the message.
	outcomeUnanswered
)

// giveUp ends the wait for an answer. When half of the window waits in vain the
// session is of no more use, and retires.
func (s *session) giveUp(r *request) outcome {
	s.mu.Lock()
	if s.inflight[r.sequence] != r {
		s.mu.Unlock()
		return outcomeAnswered
	}
	result := outcomeUnanswered
	if r.written {
		s.inflight[r.sequence] = nil
		s.givenUp++
		if 2*s.givenUp >= s.cfg.Window {
			s.retire()
		}
	} else {
		result = outcomeUnwritten
		delete(s.inflight, r.sequence)
		for i, q := range s.queue {
			if q == r {
				s.queue = append(s.queue[:i], s.queue[i+1:]...)
				break
			}
		}
	}
	s.noteIdle()
	s.mu.Unlock()
	if result == outcomeUnwritten {
		s.pool.release(s)
	}
	return result
}

// noteIdle tells leave that all answers are there.
func (s *session) noteIdle() {
	if s.leaving && len(s.inflight) == s.givenUp {
		signal(s.idle)
	}
}

// resolve brings an answer to the request that waits for it. Answers to nothing
// are dropped: late ones, second ones, and guesses.
func (s *session) resolve(sequence uint32, a answer) {
	s.mu.Lock()
	r, ok := s.inflight[sequence]
	if !ok || (r != nil && !r.written) {
		s.mu.Unlock()
		return
	}
	delete(s.inflight, sequence)
	if r == nil {
		s.givenUp--
	}
	s.noteIdle()
	s.mu.Unlock()
	if r != nil {
		r.answered <- a
	}
	s.pool.release(s)
}

// send queues a PDU other than a submit_sm.
func (s *session) send(h header, encode func([]byte, header) []byte) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.control = encode(s.control, h)
	flood := len(s.control) > maxBatch
	s.mu.Unlock()
	if flood {
		s.fail(errFlood)
		return
	}
	signal(s.wake)
}

// failure is why the session has ended.
func (s *session) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// fail ends the session at once. Of the messages that wait for an answer, those
// that were not written are Retryable, the others Unknown.
func (s *session) fail(err error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = err
	waiting := s.inflight
	s.inflight, s.queue, s.control, s.givenUp = nil, nil, nil, 0
	s.mu.Unlock()
	close(s.done)
	if s.pool != nil {
		s.pool.remove(s)
	}
	for _, r := range waiting {
		switch {
		case r == nil:
		case r.written:
			r.answered <- answer{lost: carrier.NewError(carrier.ReasonConnectionLost, err)}
		default:
			r.answered <- answer{lost: carrier.NewError(carrier.ReasonUnavailable, err)}
		}
	}
	// Last, since over TLS it may take its time to say goodbye.
	_ = s.conn.Close() // nothing can be done about an error
}

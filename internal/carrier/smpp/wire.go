package smpp

import (
	"context"
	"time"

	"codeword/internal/carrier"
)

const (
	// maxBatch is how many bytes are written at once, and how many may wait that
	// the peer has asked for.
	maxBatch = 64 << 10
	// maxReports bounds the deliver_sm of one connection that wait for the sink.
	// More are answered with ESME_RX_T_APPN, and come again.
	maxReports = 256
	// sinkTimeout bounds one call of the sink.
	sinkTimeout = 10 * time.Second
)

// mark is where in a batch the PDU of a message ends.
type mark struct {
	sequence uint32
	end      int
}

// write writes what is queued, as much at once as there is. It is the only
// writer of the connection.
func (s *session) write() {
	var batch []byte
	var marks []mark
	for {
		select {
		case <-s.done:
			return
		case <-s.wake:
		}
		for {
			var last bool
			batch, marks, last = s.take(batch[:0], marks[:0])
			if len(batch) == 0 {
				break
			}
			if err := s.conn.SetWriteDeadline(time.Now().Add(s.cfg.ResponseTimeout)); err != nil {
				s.fail(err)
				return
			}
			if n, err := s.conn.Write(batch); err != nil {
				s.unwritten(marks, n)
				s.fail(err)
				return
			}
			if last {
				s.fail(errPeerUnbound)
				return
			}
		}
	}
}

// take moves what is queued into batch. From here on its messages count as
// written.
func (s *session) take(batch []byte, marks []mark) (_ []byte, _ []mark, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch = append(batch, s.control...)
	s.control = s.control[:0]
	n := 0
	for _, r := range s.queue {
		if len(batch)+len(r.frame) > maxBatch && len(batch) > 0 {
			break
		}
		n++
		r.written = true
		batch = append(batch, r.frame...)
		marks = append(marks, mark{r.sequence, len(batch)})
	}
	rest := copy(s.queue, s.queue[n:])
	clear(s.queue[rest:])
	s.queue = s.queue[:rest]
	return batch, marks, s.hangUp
}

// unwritten takes back that messages were written whose last byte the
// connection did not take: half a PDU is none.
func (s *session) unwritten(marks []mark, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range marks {
		if r := s.inflight[m.sequence]; r != nil && m.end > n {
			r.written = false
		}
	}
}

// read takes what the peer sends.
func (s *session) read() {
	for {
		h, body, err := s.rd.next()
		if err != nil {
			s.fail(err)
			return
		}
		s.heard.Store(int64(time.Since(s.begun)))
		s.handle(h, body)
	}
}

func (s *session) handle(h header, body []byte) {
	switch h.command {
	case submitSMResp:
		a := answer{status: h.status}
		if h.status == statusOK {
			a.ref = s.cfg.ids.ofSubmit(decodeMessageID(body))
		}
		s.resolve(h.sequence, a)
	case genericNack:
		a := answer{status: h.status}
		if h.status == statusOK {
			a.lost = carrier.NewError(carrier.ReasonGarbage, errMalformed)
		}
		s.resolve(h.sequence, a)
	case deliverSM, dataSM:
		s.deliver(h, body)
	case enquireLink:
		s.send(header{command: enquireLinkResp, sequence: h.sequence}, appendHeader)
	case enquireLinkResp, outbind, alertNotify:
	case unbind:
		s.peerUnbinds(header{command: unbindResp, sequence: h.sequence})
	case unbindResp:
		signal(s.unbound)
	default:
		if h.command&responseBit != 0 { // to a message: an answer that makes no sense
			s.resolve(h.sequence, answer{lost: carrier.NewError(carrier.ReasonGarbage, errMalformed)})
			return
		}
		s.send(header{command: genericNack, status: statusInvalidCmdID, sequence: h.sequence}, appendHeader)
	}
}

// peerUnbinds answers an unbind and ends the session after the answer. Both are set at
// once: a writer that came between them would hang up without it.
func (s *session) peerUnbinds(answer header) {
	s.mu.Lock()
	s.control = appendHeader(s.control, answer)
	s.leaving, s.hangUp = true, true
	s.mu.Unlock()
	if s.pool != nil {
		s.pool.remove(s)
	}
	signal(s.wake)
}

// report is a deliver_sm or data_sm that waits for the sink.
type report struct {
	answer  header
	reports carrier.Reports
}

// deliver reads a deliver_sm or data_sm and queues it for the sink. It never
// blocks, since the answers to our messages come the same way.
func (s *session) deliver(h header, body []byte) {
	to := header{command: h.command | responseBit, sequence: h.sequence}
	d, err := decodeDelivery(h.command, body)
	if err != nil {
		to.status = statusPermAppError
		s.send(to, appendDelivered)
		s.log.malformed()
		return
	}
	r, ok := s.in.read(&d)
	if !ok {
		s.send(to, appendDelivered)
		return
	}
	select {
	case s.reports <- report{to, r}:
	default:
		to.status = statusTempAppError
		s.send(to, appendDelivered)
	}
}

// report gives the sink what has come, all at once and in order, and then
// answers.
func (s *session) report(ctx context.Context) {
	batch := make([]report, 0, maxReports)
	for {
		batch = batch[:0]
		select {
		case <-s.done:
			return
		case r := <-s.reports:
			batch = append(batch, r)
		}
		for len(batch) < maxReports && len(s.reports) > 0 {
			batch = append(batch, <-s.reports)
		}
		result := s.sink(ctx, batch)
		for _, r := range batch {
			r.answer.status = result
			s.send(r.answer, appendDelivered)
		}
		clear(batch)
	}
}

func (s *session) sink(ctx context.Context, batch []report) status {
	ctx, cancel := context.WithTimeout(ctx, sinkTimeout)
	defer cancel()
	var all carrier.Reports
	for _, r := range batch {
		all.Receipts = append(all.Receipts, r.reports.Receipts...)
		all.Inbound = append(all.Inbound, r.reports.Inbound...)
	}
	if err := s.cfg.Sink(ctx, all); err != nil {
		s.log.sinkFailed()
		return statusTempAppError
	}
	return statusOK
}

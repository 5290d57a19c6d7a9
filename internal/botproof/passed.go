package botproof

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/google/uuid"
)

// repeatWithin is how long after a token passed the same request may come again. A
// token works once at its provider, so without that no send could be repeated whose
// answer was lost.
const repeatWithin = 5 * time.Minute

// maxPassed bounds what is remembered; the oldest goes first.
const maxPassed = 1 << 16

// mark stands for a token in one request: the same client, Idempotency-Key, body and
// token. The zero mark is that of a request without a key, which cannot come again.
//
// It is no weaker than the token: of all requests with one key at most one is sent,
// and those after it are replays of its answer.
type mark [sha256.Size]byte

func markOf(c Claim) (m mark) {
	if c.Key == "" {
		return m
	}
	h := sha256.New()
	for _, part := range [][]byte{[]byte(c.Client.ID), []byte(c.Key), c.Body, []byte(c.Token)} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		_, _ = h.Write(size[:]) // a hash never fails
		_, _ = h.Write(part)
	}
	h.Sum(m[:0])
	return m
}

// uuid names the question at the provider; "" for the zero mark.
func (m mark) uuid() string {
	if m == (mark{}) {
		return ""
	}
	return uuid.NewSHA1(uuid.Nil, m[:]).String()
}

// passed remembers requests whose tokens were good. The zero value is ready.
type passed struct {
	mu    sync.Mutex
	until map[mark]time.Time
	// order has the marks as they came, which is as they end.
	order []mark
}

func (p *passed) has(now time.Time, m mark) bool {
	if m == (mark{}) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.until[m].After(now)
}

func (p *passed) add(now time.Time, m mark) {
	if m == (mark{}) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.order) > 0 && (len(p.order) >= maxPassed || !p.until[p.order[0]].After(now)) {
		delete(p.until, p.order[0])
		p.order = p.order[1:]
	}
	if p.until == nil {
		p.until = make(map[mark]time.Time)
	}
	if _, known := p.until[m]; !known {
		p.order = append(p.order, m)
	}
	p.until[m] = now.Add(repeatWithin)
}

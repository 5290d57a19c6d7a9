// Package rollup is the arithmetic behind the operator's overview: what happened to
// messages, added up by the hour of their acceptance, client, route and area code.
//
// Whoever changes a message of the log writes Events in the same transaction. Now and
// then they are taken from there and added to Blocks, one for each client and hour, and
// one for each client and day. Nothing of a person is in either.
package rollup

import (
	"encoding/binary"
	"errors"
	"time"
)

// Hourly and Daily are the spans of blocks. Days are those of UTC.
const (
	Hourly = time.Hour
	Daily  = 24 * time.Hour
)

// Counts are what is added up.
type Counts struct {
	// Messages were taken by a carrier, each counted once, with the route that was the
	// first to take it. Sent counts them once for every route that took them.
	Messages int64
	Sent     int64
	// Delivered arrived, as the first receipt that says so; with its route.
	Delivered int64
	// Verified brought a code that was used; with the message's last route.
	Verified int64
	// Failed have ended without having arrived.
	Failed int64
	// Micros is what was spent, in millionths of a US dollar.
	Micros int64
}

// Add adds what another one has counted.
func (c *Counts) Add(o *Counts) {
	c.Messages += o.Messages
	c.Sent += o.Sent
	c.Delivered += o.Delivered
	c.Verified += o.Verified
	c.Failed += o.Failed
	c.Micros += o.Micros
}

// Event is something that happened to a message.
type Event struct {
	// Client is the engine's number of the client.
	Client int64
	// At is when the message was accepted; the event counts for that hour.
	At    time.Time
	Route string
	// Area is the number's area code; 0 when it is not known.
	Area int
	// Messages, Sent, Delivered and Verified tell what is counted, once.
	Messages, Sent, Delivered, Verified bool
	// Failed is 1 when the message failed, -1 when it has not failed after all.
	Failed int
	// DeliveredAfter and VerifiedAfter are how long after its acceptance it was, for
	// what is counted of the two.
	DeliveredAfter, VerifiedAfter time.Duration
	// Reason is why a route, or none, did not take or not deliver it.
	Reason string
	// Micros is what it cost, in millionths of a US dollar.
	Micros int64
}

// The flags of a stored event.
const (
	flagMessages = 1 << iota
	flagSent
	flagDelivered
	flagVerified
	flagFailed
	flagUnfailed
	flagReason
	flagMicros
)

// maxName is the longest name of a route or a reason that is kept, in bytes.
const maxName = 64

// Append adds an event to those that are written already.
func Append(buf []byte, e *Event) []byte {
	buf = append(buf, flag(e.Messages, flagMessages)|flag(e.Sent, flagSent)|flag(e.Delivered, flagDelivered)|flag(e.Verified, flagVerified)|
		flag(e.Failed > 0, flagFailed)|flag(e.Failed < 0, flagUnfailed)|flag(e.Reason != "", flagReason)|flag(e.Micros != 0, flagMicros))
	buf = binary.AppendUvarint(buf, uint64(e.Client))
	buf = binary.AppendVarint(buf, hourOf(e.At))
	buf = binary.AppendUvarint(buf, uint64(area(e.Area)))
	buf = appendName(buf, e.Route)
	if e.Delivered {
		buf = append(buf, byte(bucket(e.DeliveredAfter)))
	}
	if e.Verified {
		buf = append(buf, byte(bucket(e.VerifiedAfter)))
	}
	if e.Reason != "" {
		buf = appendName(buf, e.Reason)
	}
	if e.Micros != 0 {
		buf = binary.AppendVarint(buf, e.Micros)
	}
	return buf
}

func flag(is bool, bit byte) byte {
	if is {
		return bit
	}
	return 0
}

// hourOf counts the hours since 1970.
func hourOf(at time.Time) int64 {
	sec := at.Unix()
	if sec < 0 {
		return 0
	}
	return sec / 3600
}

// area is an area code, or 0 for what is none.
func area(code int) int {
	if code < 0 || code > 999 {
		return 0
	}
	return code
}

func appendName(buf []byte, name string) []byte {
	name = name[:min(len(name), maxName)]
	buf = append(buf, byte(len(name)))
	return append(buf, name...)
}

// ErrDamaged is what cannot be read: it is damaged, or of a later release.
var ErrDamaged = errors.New("rollup: the figures cannot be read")

// reader reads what Append and Block.Encode have written; the first error sticks.
type reader struct {
	rest []byte
	err  error
	// last is the name that was read last: the next one is mostly the same.
	last string
}

func (r *reader) fail() {
	r.rest, r.err = nil, ErrDamaged
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uvarint() uint64 {
	if len(r.rest) > 0 && r.rest[0] < 0x80 { // most are
		v := r.rest[0]
		r.rest = r.rest[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) varint() int64 {
	if len(r.rest) > 0 && r.rest[0] < 0x80 {
		v := r.rest[0]
		r.rest = r.rest[1:]
		return int64(v>>1) ^ -int64(v&1)
	}
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (r *reader) name() string {
	n := int(r.byte())
	if n > len(r.rest) {
		r.fail()
		return ""
	}
	s := r.rest[:min(n, maxName)]
	r.rest = r.rest[n:]
	if string(s) != r.last {
		r.last = string(s)
	}
	return r.last
}

// tally is an event as it is added to a block.
type tally struct {
	client, hour        int64
	route               string
	area                int
	counts              Counts
	delivered, verified int // buckets; -1 for none
	reason              string
}

func (r *reader) event() (t tally) {
	flags := r.byte()
	count := func(bit byte) int64 { return int64(min(1, flags&bit)) }
	t.counts = Counts{
		Messages: count(flagMessages), Sent: count(flagSent), Delivered: count(flagDelivered), Verified: count(flagVerified),
		Failed: count(flagFailed) - count(flagUnfailed),
	}
	t.client = int64(r.uvarint())
	t.hour = r.varint()
	t.area = area(int(min(r.uvarint(), 1000)))
	t.route = r.name()
	t.delivered, t.verified = -1, -1
	if t.counts.Delivered != 0 {
		t.delivered = min(int(r.byte()), buckets-1)
	}
	if t.counts.Verified != 0 {
		t.verified = min(int(r.byte()), buckets-1)
	}
	if flags&flagReason != 0 {
		t.reason = r.name()
	}
	if flags&flagMicros != 0 {
		t.counts.Micros = r.varint()
	}
	return t
}

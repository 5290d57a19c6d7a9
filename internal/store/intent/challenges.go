package intent

import (
	"encoding/binary"
	"strings"
	"time"

	"codeword/internal/store"
)

// Challenges is the packed live challenges of one phone, one per binding, as
// an engine keeps them beside the phone. Each is
//
//	id (16) key version (4) digits (1) attempts (1) created (8) expires (8)
//	length of binding (1) binding
//
// with big-endian integers and times in Unix microseconds. There are seldom
// more than one; maxChallenges bounds them.
type Challenges []byte

const (
	challengeHead = 16 + 4 + 1 + 1 + 8 + 8 + 1
	maxChallenges = 16
	maxBinding    = 255
)

// next decodes the first challenge and returns it with its size; a size of 0
// means that the list has ended, or that the rest is no challenge.
func (l Challenges) next() (ch store.Challenge, size int) {
	if len(l) < challengeHead {
		return ch, 0
	}
	size = challengeHead + int(l[challengeHead-1])
	if len(l) < size {
		return ch, 0
	}
	copy(ch.ID[:], l)
	ch.KeyVersion = binary.BigEndian.Uint32(l[16:])
	ch.Digits = int(l[20])
	ch.Attempts = int(l[21])
	ch.CreatedAt = store.FromMicros(int64(binary.BigEndian.Uint64(l[22:])))
	ch.ExpiresAt = store.FromMicros(int64(binary.BigEndian.Uint64(l[30:])))
	ch.Binding = store.Binding(l[challengeHead:size])
	return ch, size
}

// Find returns the challenge with that binding.
func (l Challenges) Find(b store.Binding) (store.Challenge, bool) {
	for {
		ch, size := l.next()
		if size == 0 {
			return store.Challenge{}, false
		}
		if ch.Binding == b {
			return ch, true
		}
		l = l[size:]
	}
}

// Holds tells whether the challenge of that id is in the list.
func (l Challenges) Holds(id store.ChallengeID) bool {
	for {
		ch, size := l.next()
		if size == 0 {
			return false
		}
		if ch.ID == id {
			return true
		}
		l = l[size:]
	}
}

// filter returns a new list of the challenges that keep wants.
func (l Challenges) filter(keep func(store.Challenge) bool) Challenges {
	var out Challenges
	for {
		ch, size := l.next()
		if size == 0 {
			return out
		}
		if keep(ch) {
			out = append(out, l[:size]...)
		}
		l = l[size:]
	}
}

// Prune drops what has expired.
func (l Challenges) Prune(now time.Time) Challenges {
	return l.filter(func(ch store.Challenge) bool { return ch.ExpiresAt.After(now) })
}

// Remove drops the challenge with that binding.
func (l Challenges) Remove(b store.Binding) Challenges {
	return l.filter(func(ch store.Challenge) bool { return ch.Binding != b })
}

// Put adds ch, or replaces the one with its binding. When there are too many, the
// oldest of those bound to a session goes, so that nobody who has many sessions can
// drive out another kind.
func (l Challenges) Put(ch store.Challenge) Challenges {
	out := l.Remove(ch.Binding)
	for n := out.count(); n >= maxChallenges; n-- {
		out = out.dropOldest()
	}
	binding := ch.Binding[:min(len(ch.Binding), maxBinding)]
	out = append(out, ch.ID[:]...)
	out = binary.BigEndian.AppendUint32(out, ch.KeyVersion)
	out = append(out, byte(ch.Digits), byte(ch.Attempts))
	out = binary.BigEndian.AppendUint64(out, uint64(store.Micros(ch.CreatedAt)))
	out = binary.BigEndian.AppendUint64(out, uint64(store.Micros(ch.ExpiresAt)))
	out = append(out, byte(len(binding)))
	return append(out, binding...)
}

// dropOldest drops the oldest challenge that is bound to a session, or the oldest of
// all if none is.
func (l Challenges) dropOldest() Challenges {
	victim, _ := l.next()
	for rest := l; ; {
		ch, size := rest.next()
		if size == 0 {
			break
		}
		if ch.Binding != "" && !strings.HasPrefix(string(ch.Binding), deviceMark) {
			victim = ch
			break
		}
		rest = rest[size:]
	}
	return l.Remove(victim.Binding)
}

func (l Challenges) count() (n int) {
	for {
		_, size := l.next()
		if size == 0 {
			return n
		}
		n++
		l = l[size:]
	}
}

// Until is when the last of them dies.
func (l Challenges) Until() (t time.Time) {
	for {
		ch, size := l.next()
		if size == 0 {
			return t
		}
		if ch.ExpiresAt.After(t) {
			t = ch.ExpiresAt
		}
		l = l[size:]
	}
}

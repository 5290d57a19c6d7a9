package sqlite

import (
	"encoding/binary"
	"time"

	"codeword/internal/store"
)

// challengeList is the packed live challenges of one phone, one per binding, as
// they stand in phones.challenges. Each is
//
//	id (16) key version (4) digits (1) attempts (1) created (8) expires (8)
//	length of binding (1) binding
//
// with big-endian integers and times in Unix microseconds. There are seldom
// more than one; maxChallenges bounds them.
type challengeList []byte

const (
	challengeHead = 16 + 4 + 1 + 1 + 8 + 8 + 1
	maxChallenges = 16
	maxBinding    = 255
)

// next decodes the first challenge and returns it with its size; a size of 0
// means that the list has ended, or that the rest is no challenge.
func (l challengeList) next() (ch store.Challenge, size int) {
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
	ch.CreatedAt = fromMicros(int64(binary.BigEndian.Uint64(l[22:])))
	ch.ExpiresAt = fromMicros(int64(binary.BigEndian.Uint64(l[30:])))
	ch.Binding = store.Binding(l[challengeHead:size])
	return ch, size
}

func (l challengeList) find(b store.Binding) (store.Challenge, bool) {
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

// holds tells whether the challenge of that id is in the list.
func (l challengeList) holds(id store.ChallengeID) bool {
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
func (l challengeList) filter(keep func(store.Challenge) bool) challengeList {
	var out challengeList
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

// prune drops what has expired.
func (l challengeList) prune(now time.Time) challengeList {
	return l.filter(func(ch store.Challenge) bool { return ch.ExpiresAt.After(now) })
}

func (l challengeList) remove(b store.Binding) challengeList {
	return l.filter(func(ch store.Challenge) bool { return ch.Binding != b })
}

// put adds ch, or replaces the one with its binding. The oldest goes when there
// are too many.
func (l challengeList) put(ch store.Challenge) challengeList {
	out := l.remove(ch.Binding)
	for n := out.count(); n >= maxChallenges; n-- {
		_, size := out.next()
		out = out[size:]
	}
	binding := ch.Binding[:min(len(ch.Binding), maxBinding)]
	out = append(out, ch.ID[:]...)
	out = binary.BigEndian.AppendUint32(out, ch.KeyVersion)
	out = append(out, byte(ch.Digits), byte(ch.Attempts))
	out = binary.BigEndian.AppendUint64(out, uint64(micros(ch.CreatedAt)))
	out = binary.BigEndian.AppendUint64(out, uint64(micros(ch.ExpiresAt)))
	out = append(out, byte(len(binding)))
	return append(out, binding...)
}

func (l challengeList) count() (n int) {
	for {
		_, size := l.next()
		if size == 0 {
			return n
		}
		n++
		l = l[size:]
	}
}

// until is when the last of them dies.
func (l challengeList) until() (t time.Time) {
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

package intent

import (
	"encoding/binary"
	"slices"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// Stayed is what stays of a phone that is erased.
type Stayed struct {
	Failures []byte
	Lanes    Lanes
	// Row tells that something stays, so that the row does.
	Row bool
}

// Erase tells what stays of a phone that has a row, and counts in out what does not.
func (p *Phone) Erase(in *store.Erase, out *store.Erased) Stayed {
	if p.ErasedAt.IsZero() {
		out.Phones++
	}
	out.Challenges += p.Challenges.count()
	out.Devices += len(p.Devices.List())
	stays := Stayed{Failures: recent(in.Now, p.Failures)}
	bound, known := p.budget(laneBound), p.budget(laneKnown)
	bound, known = Budget{Failures: recent(in.Now, bound.Failures)}, Budget{Failures: recent(in.Now, known.Failures)}
	left := Phone{}
	if !bound.unused() {
		left.spend(laneBound, bound)
	}
	if !known.unused() {
		left.spend(laneKnown, known)
	}
	stays.Lanes = left.Lanes
	failures := len(stays.Failures)+len(stays.Lanes) > 0
	blocked := in.Now.Before(p.Blocked)
	out.Failures = out.Failures || failures
	out.Blocked = out.Blocked || blocked
	out.OptedOut = out.OptedOut || p.OptedOut
	stays.Row = p.OptedOut || blocked || failures || in.Fence
	return stays
}

// recent drops from a log what no limit counts any more.
func recent(now time.Time, log []byte) []byte {
	oldest := now.Add(-store.LimitsKept).UnixMilli()
	var out []byte
	for ; len(log) >= stampSize; log = log[stampSize:] {
		if int64(binary.BigEndian.Uint64(log)) > oldest {
			out = append(out, log[:stampSize]...)
		}
	}
	return out
}

// Late tells of something that happened elsewhere whether the phone was erased since;
// erased is its ErasedAt.
func Late(erased, happened time.Time) bool { return !erased.IsZero() && !happened.After(erased) }

// ErrLate refuses a code that was judged before its phone was erased.
func ErrLate() error { return fault.New(fault.WrongCode, "the phone was erased meanwhile") }

// Fill unfolds what is packed in a phone's row; now says which challenges live.
func Fill(r *store.PhoneRecord, challenges Challenges, now time.Time) {
	for live := challenges.Prune(now); ; {
		ch, size := live.next()
		if size == 0 {
			break
		}
		r.Challenges = append(r.Challenges, ch)
		live = live[size:]
	}
	p := Phone{Budget: Budget{Burst: r.Burst, Day: r.Day, Failures: r.Failures}, Lanes: r.PhoneRow.Lanes}
	for l, name := range LaneNames {
		b := p.budget(lane(l))
		if !b.unused() {
			r.Lanes = append(r.Lanes, store.LaneRecord{Lane: name, BurstUntil: b.Burst, Sends: times(b.Day), Failures: times(b.Failures)})
		}
	}
	r.Devices = store.Devices(r.PhoneRow.Devices).List()
}

// LaneNames are what the lanes are called, in order.
var LaneNames = [...]string{"open", "bound", "known"}

// times unpacks a log of package guard.
func times(log []byte) (out []time.Time) {
	for ; len(log) >= stampSize; log = log[stampSize:] {
		out = append(out, time.UnixMilli(int64(binary.BigEndian.Uint64(log))).UTC())
	}
	return out
}

// First picks, of the records under all ids of a number, the row of the one that is
// known, and puts the rest together.
func First(records []store.PhoneRecord) (out store.PhoneRecord) {
	for i := range records {
		r := &records[i]
		if r.Known && (!out.Known || len(out.Sealed) == 0 && len(r.Sealed) > 0) {
			r.Sessions, r.Keys = append(r.Sessions, out.Sessions...), append(r.Keys, out.Keys...)
			out = *r
			continue
		}
		out.Sessions, out.Keys = append(out.Sessions, r.Sessions...), append(out.Keys, r.Keys...)
	}
	slices.SortFunc(out.Sessions, func(a, b store.Session) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return out
}

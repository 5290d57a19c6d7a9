package storetest

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

func eraseChecks() []check {
	return []check{
		{name: "nothing of a phone is found afterwards", run: eraseAll, alone: true},
		{name: "it may be repeated, and finds nothing then", run: eraseAgain},
		{name: "others are left alone", run: eraseOthers},
		{name: "under a former id", run: eraseFormer},
		{name: "an opt-out stays, and nothing with it", run: eraseOptedOut, alone: true},
		{name: "a block stays until its end", run: eraseBlocked},
		{name: "wrong codes count on, in each lane", run: eraseFailures},
		{name: "what stays is gone a day later", run: eraseSwept, alone: true},
		{name: "the outcome of a message that is gone", run: eraseClaimed, alone: true},
		{name: "a client that is not stored", run: eraseNoClient},
		{name: "while it is sent to and guessed at", run: eraseRace},
		{name: "a record tells all that is kept", run: recordTells, alone: true},
		{name: "a record of the row alone", run: recordRow},
		{name: "a number that is not known has no record", run: recordUnknown},
		{name: "a record tells a message's challenge", run: recordChallenge},
	}
}

// erase carries out an erasure that must succeed.
func (s *suite) erase(t tb, now time.Time, lines [][16]byte, phones ...store.PhoneID) store.Erased {
	t.Helper()
	out, err := s.ErasePhone(context.Background(), store.Erase{Now: now, Client: s.client, Phones: phones, Lines: lines})
	ok(t, "ErasePhone", err)
	return out
}

// recordOf reads a phone's record.
func (s *suite) recordOf(t tb, now time.Time, phones ...store.PhoneID) store.PhoneRecord {
	t.Helper()
	out, err := s.PhoneRecord(context.Background(), store.PhoneQuery{Now: now, Client: s.client, Phones: phones})
	ok(t, "PhoneRecord", err)
	return out
}

// bare fails if more is told of a phone than may stay of one that was erased: the rest
// is for the caller to judge.
func (s *suite) bare(t *testing.T, now time.Time, phones ...store.PhoneID) store.PhoneRecord {
	t.Helper()
	r := s.recordOf(t, now, phones...)
	left := r
	left.PhoneRow = store.PhoneRow{
		ID: r.ID, Client: r.Client, OptedOutAt: r.OptedOutAt, BlockedUntil: r.BlockedUntil, LastSendAt: r.LastSendAt,
		Failures: r.Failures, Lanes: r.PhoneRow.Lanes,
	}
	for i := range r.Lanes {
		if len(r.Lanes[i].Sends) > 0 || !r.Lanes[i].BurstUntil.IsZero() {
			t.Errorf("lane %s still tells of sends", r.Lanes[i].Lane)
		}
	}
	if !reflect.DeepEqual(left, r) || len(r.Challenges)+len(r.Devices)+len(r.Sessions)+len(r.Keys) > 0 {
		t.Errorf("after the erasure there is %+v", r)
	}
	for _, phone := range phones {
		if n := len(s.sent(t, phone)); n != 0 {
			t.Errorf("%d messages are left", n)
		}
	}
	return r
}

// lived is a phone with all that can be kept of one.
type lived struct {
	phone    store.PhoneID
	sessions []store.Session
	messages []store.MessageID
	key      *store.Idempotency
	code     store.ChallengeID
	line     [16]byte
	taken    store.Dispatch
}

// live has a phone verified by a device, twice, and sent to once more.
func (s *suite) live(t *testing.T, now time.Time) (l lived) {
	t.Helper()
	l = lived{phone: random(), key: newIdempotency(now.Add(day)), line: random(), taken: dispatch("main", store.NewMessageID().String(), store.MessageSent)}
	w := who{device: random()}
	for i := range 3 {
		in := w.sends(s.intent(l.phone, now.Add(time.Duration(i)*time.Minute)))
		if i == 2 {
			in.Idempotency = l.key
		}
		l.code = s.start(t, in).Challenge.ID
		l.messages = append(l.messages, in.Message)
		m := s.claimOne(t, in.Now)
		s.record(t, in.Now, 1, outcome(m, l.taken))
		if i < 2 {
			l.sessions = append(l.sessions, s.pass(t, w.guesses(s.guess(l.phone, in.Now, l.code))))
		}
		l.taken.CarrierRef += "+"
	}
	l.taken.CarrierRef = l.taken.CarrierRef[:len(l.taken.CarrierRef)-1]
	s.apply(t, now.Add(3*time.Minute), of(l.taken, store.ReceiptDelivered), store.ReceiptChanged, l.messages[2])
	ok(t, "PutLineFacts", s.PutLineFacts(t.Context(), now, []store.LineFact{{Phone: l.line, Type: "mobile", Source: "x", Until: now.Add(keep)}}))
	return l
}

func eraseAll(t *testing.T, s *suite) {
	l := s.live(t, at(0))
	got := s.erase(t, at(5*time.Minute), [][16]byte{random(), l.line}, l.phone)
	want := store.Erased{
		Phones: 1, Users: 1, Sessions: 2, Challenges: 1, Devices: 1, Messages: 3, Dispatches: 3, Receipts: 1, Idempotency: got.Idempotency, LineFacts: 1,
	}
	if got != want || got.Idempotency > 1 {
		t.Errorf("erased %+v, want %+v", got, want)
	}
	s.bare(t, at(5*time.Minute), l.phone)
	for _, sess := range l.sessions {
		_, err := s.Session(t.Context(), at(5*time.Minute), sess.ID)
		refusal(t, "Session", err, fault.InvalidAuthorization)
	}
	for _, id := range l.messages {
		_, err := s.Message(t.Context(), id)
		refusal(t, "Message", err, fault.NotFound)
	}
	s.fact(t, at(5*time.Minute), l.line, store.LineFact{}, false)
	s.fail(t, s.guess(l.phone, at(5*time.Minute), l.code), fault.WrongCode)
	s.none(t, at(day))
	s.apply(t, at(6*time.Minute), of(l.taken, store.ReceiptFailed), store.ReceiptUnmatched, store.MessageID{})
	// It can be sent to again, as a new one.
	in := s.intent(l.phone, at(7*time.Minute))
	in.Sealed = []byte("sealed anew")
	code := s.start(t, in).Challenge.ID
	if sent := s.sent(t, l.phone); len(sent) != 1 || string(sent[0].Sealed) != "sealed anew" {
		t.Errorf("the log has %d messages after a new send: %+v", len(sent), sent)
	}
	sess := s.pass(t, s.guess(l.phone, at(7*time.Minute), code))
	if sess.User == l.sessions[0].User {
		t.Error("the phone still had its user")
	}
	r := s.recordOf(t, at(7*time.Minute), l.phone)
	if string(r.Sealed) != "sealed anew" || r.User != sess.User || len(r.Sessions) != 1 || !r.CreatedAt.Equal(at(7*time.Minute)) {
		t.Errorf("the new phone is %+v", r)
	}
}

func eraseAgain(t *testing.T, s *suite) {
	for _, phone := range []store.PhoneID{random(), s.signIn(t, at(0)).Phone} {
		for i := range 3 {
			got := s.erase(t, at(time.Minute), nil, phone)
			if i > 0 && got != (store.Erased{}) {
				t.Errorf("call %d erased %+v", i+1, got)
			}
			s.bare(t, at(time.Minute), phone)
		}
	}
}

func eraseOthers(t *testing.T, s *suite) {
	mine, neighbor := s.signIn(t, at(0)), s.signIn(t, at(0))
	theirs := store.PhoneID(random())
	in := s.intent(theirs, at(0))
	in.Client = s.other
	code := s.start(t, in).Challenge.ID
	guess := s.guess(theirs, at(0), code)
	guess.Client = s.other
	other := s.pass(t, guess)
	s.erase(t, at(time.Minute), nil, mine.Phone, random())
	s.erase(t, at(time.Minute), nil, theirs) // not this client's
	for _, sess := range []store.Session{neighbor, other} {
		if _, err := s.Session(t.Context(), at(time.Minute), sess.ID); err != nil {
			t.Errorf("another phone's session: %v", err)
		}
		r, err := s.PhoneRecord(t.Context(), store.PhoneQuery{Now: at(time.Minute), Client: sess.Client, Phones: []store.PhoneID{sess.Phone}})
		if err != nil || r.User != sess.User || len(r.Sealed) == 0 || len(s.sent(t, sess.Phone)) != 1 {
			t.Errorf("another phone is %+v, %v", r, err)
		}
	}
}

// recordRow: the row of a phone can be read without a look at all sessions.
func recordRow(t *testing.T, s *suite) {
	sess := s.signIn(t, at(0))
	s.mark(t, sess.Phone, at(time.Minute), store.Mark{OptedOut: new(true)})
	all := s.recordOf(t, at(time.Minute), random(), sess.Phone)
	row, err := s.PhoneRecord(t.Context(), store.PhoneQuery{Now: at(time.Minute), Client: s.client, Phones: []store.PhoneID{random(), sess.Phone}, RowOnly: true})
	ok(t, "PhoneRecord", err)
	if len(all.Sessions) != 1 || len(row.Sessions)+len(row.Keys) != 0 || row.OptedOutAt.IsZero() {
		t.Errorf("all: %+v, row only: %+v", all, row)
	}
	all.Sessions, all.Keys = nil, nil
	if !reflect.DeepEqual(all, row) {
		t.Errorf("all: %+v, row only: %+v", all, row)
	}
}

func eraseFormer(t *testing.T, s *suite) {
	sess := s.signIn(t, at(0))
	primary := store.PhoneID(random())
	if got := s.erase(t, at(time.Minute), nil, primary, random(), sess.Phone); got.Phones != 1 || got.Sessions != 1 || got.Messages != 1 {
		t.Errorf("erased %+v", got)
	}
	s.bare(t, at(time.Minute), sess.Phone)
	in := s.intent(primary, at(2*time.Minute))
	in.Former = []store.PhoneID{sess.Phone}
	s.start(t, in)
}

func eraseOptedOut(t *testing.T, s *suite) {
	sess := s.signIn(t, at(0))
	s.mark(t, sess.Phone, at(time.Minute), optedOut(true))
	if got := s.erase(t, at(time.Hour), nil, sess.Phone); !got.OptedOut || got.Users != 1 {
		t.Errorf("erased %+v", got)
	}
	r := s.bare(t, at(time.Hour), sess.Phone)
	if !r.Known || !r.OptedOutAt.Equal(at(time.Minute)) {
		t.Errorf("the opt-out is of %v", r.OptedOutAt)
	}
	for _, later := range []time.Duration{time.Hour, 10 * keep} {
		s.round(t, at(later), 10)
		s.refuse(t, s.intent(sess.Phone, at(later)), fault.OptedOut)
	}
	if got := s.erase(t, at(10*keep), nil, sess.Phone); !got.OptedOut || got.Phones != 0 {
		t.Errorf("a second call erased %+v", got)
	}
	s.mark(t, sess.Phone, at(10*keep), optedOut(false))
	s.send(t, sess.Phone, at(11*keep))
	if got := s.recordOf(t, at(11*keep), sess.Phone); len(got.Sealed) == 0 {
		t.Error("the number is not stored again")
	}
}

func eraseBlocked(t *testing.T, s *suite) {
	sess := s.signIn(t, at(0))
	s.mark(t, sess.Phone, at(0), blocked(at(day)))
	if got := s.erase(t, at(time.Hour), nil, sess.Phone); !got.Blocked {
		t.Errorf("erased %+v", got)
	}
	s.bare(t, at(time.Hour), sess.Phone)
	s.refuse(t, s.intent(sess.Phone, at(day-time.Microsecond)), fault.Blocked)
	s.send(t, sess.Phone, at(day))
}

func eraseFailures(t *testing.T, s *suite) {
	phone, open, bound, device, session := s.known(t, at(0))
	for _, w := range []who{open, bound, device} {
		s.useUp(t, phone, at(0), w)
	}
	if got := s.erase(t, at(time.Minute), nil, phone); !got.Failures {
		t.Errorf("erased %+v", got)
	}
	if r := s.bare(t, at(time.Minute), phone); len(r.Lanes) != 3 {
		t.Errorf("failures of %d lanes are left", len(r.Lanes))
	}
	// Nobody is known any more: all are strangers, whose budgets are used up.
	s.lockedOut(t, phone, at(time.Hour), open, bound, device, session)
	s.erase(t, at(2*time.Hour), nil, phone)
	s.lockedOut(t, phone, at(3*time.Hour), open, bound)
	s.signsIn(t, phone, at(25*time.Hour), open)
}

func eraseSwept(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	s.start(t, who{}.sends(s.intent(phone, at(0))))
	s.miss(t, phone, at(0), 1)
	in := who{}.guesses(s.guess(phone, at(0), random()))
	s.fail(t, in, fault.WrongCode)
	s.erase(t, at(time.Minute), nil, phone)
	s.round(t, at(24*time.Hour), 10)
	if r := s.recordOf(t, at(24*time.Hour), phone); !r.Known {
		t.Error("the wrong codes are forgotten while they count")
	}
	s.round(t, at(26*time.Hour), 10)
	// What expires may stay a little longer, by the server's own clock.
	if r := s.recordOf(t, at(26*time.Hour), phone); !r.LastSendAt.IsZero() {
		t.Errorf("a day later there is %+v", r)
	}
}

func eraseClaimed(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	s.send(t, phone, at(0))
	m := s.claimOne(t, at(0))
	s.erase(t, at(time.Second), nil, phone)
	s.record(t, at(2*time.Second), 0, outcome(m, dispatch("main", "ref", store.MessageSent)))
	_, err := s.Message(t.Context(), m.ID)
	refusal(t, "Message", err, fault.NotFound)
	s.bare(t, at(time.Second), phone)
}

func eraseNoClient(t *testing.T, s *suite) {
	_, err := s.ErasePhone(t.Context(), store.Erase{Now: at(0), Client: "nobody", Phones: []store.PhoneID{random()}})
	refusal(t, "ErasePhone", err, fault.NotFound)
	_, err = s.PhoneRecord(t.Context(), store.PhoneQuery{Now: at(0), Client: "nobody", Phones: []store.PhoneID{random()}})
	refusal(t, "PhoneRecord", err, fault.NotFound)
}

// eraseRace: whatever happens at once, nobody sees half of it, and a call afterwards
// leaves nothing.
func eraseRace(t *testing.T, s *suite) {
	for range 10 {
		phone := store.PhoneID(random())
		code := s.send(t, phone, at(0)).ID
		race(9, func(i int) {
			var err error
			switch i % 3 {
			case 0:
				_, err = s.StartChallenge(t.Context(), s.intent(phone, at(time.Second)))
			case 1:
				_, err = s.Attempt(t.Context(), s.guess(phone, at(time.Second), code))
			default:
				_, err = s.ErasePhone(t.Context(), store.Erase{Now: at(time.Second), Client: s.client, Phones: []store.PhoneID{phone}})
			}
			var f *fault.Error
			if err != nil && (!errors.As(err, &f) || f.Kind != fault.WrongCode) {
				t.Errorf("racer %d: %v", i, err)
			}
		})
		s.erase(t, at(time.Minute), nil, phone)
		s.bare(t, at(time.Minute), phone)
		s.fail(t, s.guess(phone, at(time.Minute), code), fault.WrongCode)
		s.pass(t, s.guess(phone, at(2*time.Minute), s.send(t, phone, at(2*time.Minute)).ID))
	}
}

func recordTells(t *testing.T, s *suite) {
	l := s.live(t, at(0))
	in := who{}.guesses(s.guess(l.phone, at(4*time.Minute), random()))
	s.send(t, l.phone, at(4*time.Minute))
	s.fail(t, in, fault.WrongCode)
	r := s.recordOf(t, at(5*time.Minute), random(), l.phone)
	if !r.Known || r.ID != l.phone || r.Client != s.client || string(r.Sealed) != string(s.intent(l.phone, at(0)).Sealed) ||
		r.User != l.sessions[0].User || r.VerifiedAt.IsZero() || len(r.Challenges) == 0 || len(r.Devices) != 1 || len(r.Sessions) != 2 {
		t.Errorf("the record is %+v", r)
	}
	lanes := make(map[string]store.LaneRecord)
	for _, l := range r.Lanes {
		lanes[l.Lane] = l
	}
	if open, known := lanes["open"], lanes["known"]; len(open.Failures) != 1 || !open.Failures[0].Equal(at(4*time.Minute)) ||
		len(open.Sends)+len(known.Sends) != 3 {
		t.Errorf("the lanes are %+v", r.Lanes)
	}
	for i, sess := range r.Sessions {
		if !reflect.DeepEqual(sess, l.sessions[0]) && !reflect.DeepEqual(sess, l.sessions[1]) {
			t.Errorf("session %d is %+v", i, sess)
		}
	}
	if late := s.recordOf(t, at(2*day), l.phone); len(late.Sessions)+len(late.Challenges)+len(late.Keys) != 0 {
		t.Errorf("what has expired is told: %+v", late)
	}
}

func recordUnknown(t *testing.T, s *suite) {
	if r := s.recordOf(t, at(0), random(), random()); r.Known || r.Sealed != nil {
		t.Errorf("nobody's record is %+v", r)
	}
}

// recordChallenge: a message's challenge is found by the id that the message names, with
// its attempts, until it is used or replaced; one that has ended by the time before its end,
// while it is kept.
func recordChallenge(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	told := func(now time.Time, want *store.Challenge) {
		t.Helper()
		r, err := s.PhoneRecord(t.Context(), store.PhoneQuery{Now: now, Client: s.client, Phones: []store.PhoneID{phone}, RowOnly: true})
		ok(t, "PhoneRecord", err)
		if want == nil && len(r.Challenges) != 0 || want != nil && (len(r.Challenges) != 1 || !reflect.DeepEqual(r.Challenges[0], *want)) {
			t.Errorf("at +%v it tells %+v, want %+v", now.Sub(at(0)), r.Challenges, want)
		}
	}
	first := s.send(t, phone, at(0))
	told(at(0), &first)
	s.miss(t, phone, at(time.Second), maxAttempts)
	first.Attempts = maxAttempts
	told(at(time.Minute), &first)
	second := s.send(t, phone, at(2*time.Minute)) // takes the place of the first
	if log := s.sent(t, phone); len(log) != 2 || log[0].Challenge != second.ID || log[1].Challenge != first.ID {
		t.Errorf("the messages name other challenges: %+v", log)
	}
	told(at(2*time.Minute), &second)
	end := second.ExpiresAt
	told(end, nil)
	told(end.Add(-time.Microsecond), &second)
	s.pass(t, s.guess(phone, end.Add(-time.Second), second.ID))
	told(end.Add(-time.Second), nil)
}

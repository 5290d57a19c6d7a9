package storetest

import (
	"sync/atomic"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/guard"
	"codeword/internal/store"
)

func laneChecks() []check {
	return []check{
		{name: "failures of one lane are none of another's", run: failuresApart},
		{name: "sends of one lane are none of another's", run: sendsApart},
		{name: "many sessions and devices have two budgets", run: manyStrangers},
		{name: "a known device signs in whatever strangers did", run: knownDevice},
		{name: "the owner's session signs in whatever strangers did", run: ownSession},
		{name: "guesses of strangers are no guesses at a device's challenge", run: deviceChallenge},
		{name: "a device's challenge is for that device", run: whoseDevice},
		{name: "a signed-in caller may use his device's challenge", run: signInMeanwhile},
		{name: "a phone knows four devices", run: fourDevices},
		{name: "a device becomes known by success alone", run: successAlone},
		{name: "many sessions drive out no other challenge", run: noneDrivenOut},
		{name: "what is used up, and who is known, is there after reopening", run: lanesAreThereAgain, alone: true, needs: Durable},
		{name: "racing guesses in lanes", run: raceLanes},
		{name: "only phones that were verified", run: provenOnly},
		{name: "a refusal that came with the send", run: refusedBefore},
	}
}

// sends and guesses make a send and an attempt those of a caller, with limits.
func (w who) sends(in store.Start) store.Start {
	in.Challenge.Binding, in.User, in.Device = w.binding, w.user, w.device
	in.PhoneLimits = phoneLimits()
	return in
}

func (w who) guesses(in store.Attempt) store.Attempt {
	in.Binding, in.Device, in.Failures = w.binding, w.device, phoneLimits().Failures
	if w.user != (store.UserID{}) {
		in.Grant.Known, in.Grant.Session.User = true, w.user
	}
	return in
}

// known verifies a new phone, and returns the callers of whom one is in each lane.
func (s *suite) known(t *testing.T, now time.Time) (phone store.PhoneID, open, bound, device, session who) {
	t.Helper()
	phone = random()
	device = who{device: random()}
	in := s.guess(phone, now, s.send(t, phone, now).ID)
	in.Device = device.device
	owner := s.pass(t, in)
	session = who{binding: "of the owner", user: owner.User}
	return phone, who{device: random()}, who{binding: "of a stranger"}, device, session
}

// useUp fails until the lane of a caller takes no more guesses, and returns how many
// were judged.
func (s *suite) useUp(t *testing.T, phone store.PhoneID, now time.Time, callers ...who) (judged int) {
	t.Helper()
	for i := range 200 {
		w := callers[i%len(callers)]
		if _, err := s.StartChallenge(t.Context(), w.unlimited(s.intent(phone, now))); err != nil {
			t.Fatalf("StartChallenge: %v", err)
		}
		in := w.guesses(s.guess(phone, now, random()))
		in.Match = func(store.Challenge) bool { judged++; return false }
		if _, err := s.Attempt(t.Context(), in); fault.Is(err, fault.LimitOTP) {
			return judged
		}
	}
	t.Fatalf("%d guesses were judged, and there is no end", judged)
	return 0
}

// unlimited is a send that counts for no limit of the phone.
func (w who) unlimited(in store.Start) store.Start {
	in = w.sends(in)
	in.PhoneLimits = nil
	return in
}

// lockedOut wants every caller's guess and send to be refused for failures.
func (s *suite) lockedOut(t *testing.T, phone store.PhoneID, now time.Time, callers ...who) {
	t.Helper()
	for _, w := range callers {
		in := w.guesses(s.guess(phone, now, random()))
		in.Match = func(store.Challenge) bool { t.Error("a guess beyond the budget was judged"); return false }
		for _, f := range []*fault.Error{s.fail(t, in, fault.LimitOTP), s.refuse(t, w.sends(s.intent(phone, now)), fault.LimitOTP)} {
			if f.Limit != store.LimitPhoneFailures {
				t.Errorf("refused by %q", f.Limit)
			}
		}
	}
}

// signsIn wants a caller to get a code and to use it.
func (s *suite) signsIn(t *testing.T, phone store.PhoneID, now time.Time, w who) store.Session {
	t.Helper()
	return s.pass(t, w.guesses(s.guess(phone, now, s.start(t, w.sends(s.intent(phone, now))).Challenge.ID)))
}

func failuresApart(t *testing.T, s *suite) {
	for i := range 4 {
		phone, open, bound, device, session := s.known(t, at(0))
		all := []who{open, bound, device, session}
		if n := s.useUp(t, phone, at(time.Minute), all[i]); n != 15 {
			t.Errorf("lane of caller %d: %d guesses were judged, want 15", i, n)
		}
		for j, w := range all {
			if j == i || i >= 2 && j >= 2 { // the owner's session and his device are in one lane
				s.lockedOut(t, phone, at(time.Hour), w)
			} else {
				s.signsIn(t, phone, at(time.Hour), w)
			}
		}
	}
}

func sendsApart(t *testing.T, s *suite) {
	for i := range 4 {
		phone, open, bound, device, session := s.known(t, at(0))
		all := []who{open, bound, device, session}
		limits := func(now time.Time, limit string) {
			t.Helper()
			for j, w := range all {
				in := w.sends(s.intent(phone, now))
				if j != i && (i < 2 || j < 2) {
					s.start(t, in)
				} else if f := s.refuse(t, in, fault.LimitSMS); f.Limit != limit {
					t.Errorf("caller %d after sends of %d: refused by %q, want %q", j, i, f.Limit, limit)
				}
			}
		}
		for range 3 {
			s.start(t, all[i].sends(s.intent(phone, at(0))))
		}
		limits(at(0), store.LimitPhoneBurst)
		for n := range 7 {
			s.start(t, all[i].sends(s.intent(phone, at(time.Duration(n+1)*time.Hour))))
		}
		limits(at(12*time.Hour), store.LimitPhoneDay)
	}
}

// manyStrangers: whatever an attacker sends and guesses with, he has the budgets of
// two lanes and no more.
func manyStrangers(t *testing.T, s *suite) {
	phone, _, _, device, session := s.known(t, at(0))
	var sessions, devices []who
	for range 40 {
		sessions = append(sessions, who{binding: store.Binding(store.SessionID(random()).String()), user: random(), device: random()})
		devices = append(devices, who{device: random()})
	}
	for _, strangers := range [][]who{devices, sessions} {
		if n := s.useUp(t, phone, at(time.Minute), strangers...); n != 15 {
			t.Errorf("%d guesses of 40 strangers were judged, want 15", n)
		}
		s.lockedOut(t, phone, at(time.Hour), strangers...)
	}
	s.lockedOut(t, phone, at(time.Hour), who{})
	s.signsIn(t, phone, at(time.Hour), device)
	s.signsIn(t, phone, at(time.Hour), session)
}

// exhaust uses up failures and sends of the lanes that strangers have.
func (s *suite) exhaust(t *testing.T, phone store.PhoneID, now time.Time, strangers ...who) {
	t.Helper()
	for _, w := range strangers {
		for n := range 10 {
			s.start(t, w.sends(s.intent(phone, now.Add(time.Duration(n)*time.Minute))))
		}
		s.refuse(t, w.sends(s.intent(phone, now.Add(10*time.Minute))), fault.LimitSMS)
		s.useUp(t, phone, now.Add(10*time.Minute), w)
		s.lockedOut(t, phone, now.Add(20*time.Minute), w)
	}
}

func knownDevice(t *testing.T, s *suite) {
	phone, open, bound, device, session := s.known(t, at(0))
	s.exhaust(t, phone, at(time.Minute), open, bound)
	got := s.signsIn(t, phone, at(time.Hour), device)
	if got.User != session.user {
		t.Errorf("signed in as %v, want %v", got.User, session.user)
	}
	s.lockedOut(t, phone, at(2*time.Hour), open, bound) // success forgives nothing
	s.signsIn(t, phone, at(2*time.Hour), device)
}

func ownSession(t *testing.T, s *suite) {
	phone, open, bound, _, session := s.known(t, at(0))
	s.exhaust(t, phone, at(time.Minute), open, bound)
	s.signsIn(t, phone, at(time.Hour), session)
	other := session
	other.binding = "of the owner, too"
	s.signsIn(t, phone, at(time.Hour), other)
	other.user = random()
	s.lockedOut(t, phone, at(time.Hour), other)
}

func deviceChallenge(t *testing.T, s *suite) {
	phone, open, _, device, _ := s.known(t, at(0))
	ch := s.start(t, device.sends(s.intent(phone, at(time.Minute)))).Challenge
	if ch.Binding != deviceBinding(device.device) {
		t.Errorf("the binding is %q", ch.Binding)
	}
	if unbound := s.start(t, open.sends(s.intent(phone, at(time.Minute)))).Challenge; unbound.ID == ch.ID || unbound.Binding != "" {
		t.Errorf("a stranger's send joined the device's challenge: %+v", unbound)
	}
	strangers := []who{open, {}, {binding: "of a stranger"}}
	for i := range 4 * maxAttempts {
		s.fail(t, strangers[i%len(strangers)].guesses(s.guess(phone, at(time.Minute), random())), fault.WrongCode)
	}
	s.fail(t, device.guesses(s.guess(phone, at(time.Minute), random())), fault.WrongCode)
	again := s.start(t, device.sends(s.intent(phone, at(2*time.Minute)))).Challenge
	if again.ID != ch.ID || again.Attempts != 1 {
		t.Errorf("the device's challenge is %+v, want %v after 1 guess", again, ch.ID)
	}
	s.pass(t, device.guesses(s.guess(phone, at(2*time.Minute), ch.ID)))
}

func whoseDevice(t *testing.T, s *suite) {
	phone, open, bound, device, session := s.known(t, at(0))
	ch := s.start(t, device.sends(s.intent(phone, at(0)))).Challenge
	for _, w := range []who{{}, open, bound, session, {binding: ch.Binding[:7]}} {
		in := w.guesses(s.guess(phone, at(0), ch.ID))
		in.Match = func(store.Challenge) bool { t.Errorf("it was judged for %+v", w); return true }
		s.fail(t, in, fault.WrongCode)
	}
	s.pass(t, device.guesses(s.guess(phone, at(0), ch.ID)))
	// A known device may use a code that nobody is bound to.
	s.pass(t, device.guesses(s.guess(phone, at(0), s.start(t, open.sends(s.intent(phone, at(0)))).Challenge.ID)))
}

// signInMeanwhile: the order of a caller's challenges is his session's, his device's,
// nobody's; one that takes no attempts hides none.
func signInMeanwhile(t *testing.T, s *suite) {
	phone, open, _, device, session := s.known(t, at(0))
	both := who{binding: session.binding, user: session.user, device: device.device}
	unbound := s.start(t, open.sends(s.intent(phone, at(0)))).Challenge
	ofDevice := s.start(t, device.sends(s.intent(phone, at(0)))).Challenge
	bound := s.start(t, both.sends(s.intent(phone, at(0)))).Challenge
	if bound.Binding != both.binding {
		t.Errorf("a send with a bearer is bound to %q", bound.Binding)
	}
	for _, ch := range []store.Challenge{bound, ofDevice, unbound} {
		s.pass(t, both.guesses(s.guess(phone, at(0), ch.ID)))
	}
}

func fourDevices(t *testing.T, s *suite) {
	phone, _, _, first, _ := s.known(t, at(0))
	devices := []who{first}
	for range 4 {
		devices = append(devices, who{device: random()})
	}
	isKnown := func(w who, want bool) {
		t.Helper()
		in := w.unlimited(s.intent(phone, at(0)))
		if got := s.start(t, in).Challenge.Binding == deviceBinding(w.device); got != want {
			t.Errorf("the device is known: %v, want %v", got, want)
		}
	}
	for _, w := range devices[1:4] {
		s.signsIn(t, phone, at(time.Hour), w)
	}
	s.signsIn(t, phone, at(time.Hour), first) // which is the most recent one now
	s.signsIn(t, phone, at(time.Hour), first)
	for _, w := range devices[:4] {
		isKnown(w, true)
	}
	s.signsIn(t, phone, at(2*time.Hour), devices[4])
	isKnown(devices[1], false)
	for _, i := range []int{0, 2, 3, 4} {
		isKnown(devices[i], true)
	}
	s.signsIn(t, phone, at(3*time.Hour), who{}) // no device is none
	isKnown(devices[2], true)
	isKnown(who{}, false)
}

func successAlone(t *testing.T, s *suite) {
	phone, _, _, _, session := s.known(t, at(0))
	device := who{device: random()}
	ch := s.start(t, device.sends(s.intent(phone, at(0)))).Challenge
	for range maxAttempts - 1 {
		s.fail(t, device.guesses(s.guess(phone, at(0), random())), fault.WrongCode)
	}
	// The code is right, but the phone is another user's.
	other := who{binding: "of a stranger", user: random(), device: device.device}
	s.fail(t, other.guesses(s.guess(phone, at(0), ch.ID)), fault.PhoneTaken)
	if got := s.start(t, device.sends(s.intent(phone, at(time.Minute)))).Challenge; got.Binding != "" {
		t.Errorf("the device is known: %+v", got)
	}
	// A phone of its own knows it, other phones do not.
	third, _, _, _, _ := s.known(t, at(0))
	both := who{binding: session.binding, user: session.user, device: device.device}
	s.signsIn(t, phone, at(time.Hour), both)
	if got := s.start(t, device.sends(s.intent(phone, at(time.Hour)))).Challenge; got.Binding == "" {
		t.Error("the device is not known after it verified the phone with a bearer")
	}
	if got := s.start(t, device.sends(s.intent(third, at(time.Hour)))).Challenge; got.Binding != "" {
		t.Error("another phone knows the device")
	}
}

func noneDrivenOut(t *testing.T, s *suite) {
	phone, open, _, device, _ := s.known(t, at(0))
	mine := s.start(t, device.unlimited(s.intent(phone, at(0)))).Challenge
	unbound := s.start(t, open.unlimited(s.intent(phone, at(0)))).Challenge
	for range 40 {
		s.start(t, who{binding: store.Binding(store.SessionID(random()).String())}.unlimited(s.intent(phone, at(0))))
	}
	s.pass(t, device.guesses(s.guess(phone, at(0), mine.ID)))
	s.pass(t, open.guesses(s.guess(phone, at(0), unbound.ID)))
}

func lanesAreThereAgain(t *testing.T, s *suite) {
	phone, open, bound, device, session := s.known(t, at(0))
	s.useUp(t, phone, at(0), bound)
	for range 14 {
		s.start(t, device.unlimited(s.intent(phone, at(0))))
		s.fail(t, device.guesses(s.guess(phone, at(0), random())), fault.WrongCode)
	}
	fresh := store.PhoneID(random()) // a bearer's send makes it
	for range 3 {
		s.start(t, bound.sends(s.intent(fresh, at(0))))
	}
	s.reopen(t)
	s.lockedOut(t, phone, at(time.Hour), bound)
	s.refuse(t, bound.sends(s.intent(fresh, at(0))), fault.LimitSMS)
	s.signsIn(t, phone, at(time.Hour), session)
	ch := s.start(t, device.sends(s.intent(phone, at(time.Hour)))).Challenge
	if ch.Binding != deviceBinding(device.device) {
		t.Errorf("the device is not known: %+v", ch)
	}
	s.fail(t, device.guesses(s.guess(phone, at(time.Hour), random())), fault.WrongCode)
	s.lockedOut(t, phone, at(2*time.Hour), device, session)
	s.signsIn(t, phone, at(2*time.Hour), open)
}

// raceLanes: guesses in all lanes at once; of each as many are judged as it has.
func raceLanes(t *testing.T, s *suite) {
	phone, open, bound, device, _ := s.known(t, at(0))
	lanes := []who{open, bound, device}
	var judged [3]atomic.Int64
	const rounds = 6 // of up to five guesses at each challenge
	for range rounds {
		for _, w := range lanes {
			_, err := s.StartChallenge(t.Context(), w.unlimited(s.intent(phone, at(0))))
			ok(t, "StartChallenge", err)
		}
		race(60, func(i int) {
			in := lanes[i%3].guesses(s.guess(phone, at(0), random()))
			in.Match = func(store.Challenge) bool { judged[i%3].Add(1); return false }
			if _, err := s.Attempt(t.Context(), in); !fault.Is(err, fault.WrongCode) && !fault.Is(err, fault.LimitOTP) {
				t.Errorf("Attempt: %v", err)
			}
		})
	}
	for i := range lanes {
		if n := judged[i].Load(); n != 15 {
			t.Errorf("lane %d: %d guesses were judged, want 15", i, n)
		}
	}
	s.lockedOut(t, phone, at(time.Hour), lanes...)
}

func provenOnly(t *testing.T, s *suite) {
	held := func(phone store.PhoneID, now time.Time) store.Start {
		in := s.intent(phone, now)
		in.ProvenOnly = true
		return in
	}
	phone := store.PhoneID(random())
	charge := store.Charge{Name: "client", OfClient: true, Key: phone.String(), Bucket: guard.Bucket{Burst: 1, Every: time.Hour}}
	in := held(phone, at(0))
	in.PhoneLimits, in.Charges, in.Idempotency = phoneLimits(), []store.Charge{charge}, newIdempotency(at(day))
	s.refuse(t, in, fault.Blocked)
	if n := len(s.sent(t, phone)); n != 0 {
		t.Errorf("%d messages of a send that was held back", n)
	}
	in.ProvenOnly = false // neither the charge nor the key was used
	in.Message = newMessage(at(0))
	s.start(t, in)
	s.refuse(t, held(phone, at(0)), fault.Blocked) // known is not verified
	again := in
	again.ProvenOnly, again.Message = true, newMessage(at(0))
	if out := s.start(t, again); !out.Replayed || out.Phone != phone {
		t.Errorf("a replay of an accepted send: %+v", out)
	}
	verified, _, _, device, session := s.known(t, at(0))
	for _, w := range []who{{}, device, session, {binding: "of a stranger"}} {
		out := s.start(t, w.unlimited(held(verified, at(time.Minute))))
		s.pass(t, w.guesses(s.guess(verified, at(time.Minute), out.Challenge.ID)))
	}
	ok(t, "MarkPhone", s.MarkPhone(t.Context(), store.PhoneMark{
		Now: at(0), Client: s.client, Phone: verified, Sealed: []byte("s"), Mark: store.Mark{OptedOut: new(true)},
	}))
	s.refuse(t, held(verified, at(2*time.Minute)), fault.OptedOut)
}

// refusedBefore: what was refused before it came here is not sent and not charged, and
// an accepted send is still repeated.
func refusedBefore(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	in := s.keyed(phone, at(0), newIdempotency(at(day)))
	in.Charges = []store.Charge{{Name: "client", OfClient: true, Key: phone.String(), Bucket: guard.Bucket{Burst: 1, Every: time.Hour}}}
	whys := []*fault.Error{
		{Kind: fault.LimitClient, Limit: "a budget", RetryAfter: time.Hour},
		{Kind: fault.InvalidPhoneType, Detail: "a landline"},
		{Kind: fault.Unavailable, Detail: "nobody tells the line type"},
	}
	for _, why := range whys {
		for _, key := range []*store.Idempotency{in.Idempotency, nil} {
			refused := in
			refused.Idempotency, refused.Refusal = key, why
			if f := s.refuse(t, refused, why.Kind); f.Limit != why.Limit || f.RetryAfter != why.RetryAfter || f.Detail != why.Detail || f.Unsure {
				t.Errorf("refused with %+v, want %+v", f, why)
			}
		}
	}
	s.start(t, in)
	for _, why := range whys {
		in.Refusal, in.Message = why, newMessage(at(0))
		if out := s.start(t, in); !out.Replayed {
			t.Errorf("a repetition: %+v", out)
		}
	}
	if n := len(s.sent(t, phone)); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

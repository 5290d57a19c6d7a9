package storetest

import (
	"context"
	"flag"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"codeword/internal/fault"
	"codeword/internal/guard"
	"codeword/internal/store"
)

func modelChecks() []check {
	return []check{{name: "any sequence does what the model does", run: followsModel}}
}

// The limits of the model are tight, so that short sequences meet them.
const modelAttempts = 3

func modelLimits() *store.PhoneLimits {
	return &store.PhoneLimits{
		Burst:    guard.Bucket{Burst: 3, Every: time.Minute},
		Day:      guard.Window{Max: 6, Period: time.Hour},
		Failures: guard.Window{Max: 7, Period: time.Hour},
	}
}

// model is the store as plain memory, one operation after the other.
type model struct {
	now      time.Time
	phones   []*phoneModel
	sessions []store.Session
}

type phoneModel struct {
	id      store.PhoneID
	live    map[store.Binding]*store.Challenge
	lanes   map[string]*laneModel
	user    store.UserID
	devices []store.DeviceID
	log     []store.MessageID
	codes   []store.ChallengeID
}

// laneModel is what was used up of one lane's limits.
type laneModel struct {
	burst           time.Time
	sends, failures []time.Time
}

// who is a caller: his bearer's session and user, and his device.
type who struct {
	binding store.Binding
	user    store.UserID
	device  store.DeviceID
}

// lane is the caller's.
func (p *phoneModel) lane(w who) *laneModel {
	name := "open"
	switch {
	case slices.Contains(p.devices, w.device), w.user != (store.UserID{}) && w.user == p.user:
		name = "known"
	case w.binding != "":
		name = "bound"
	}
	if p.lanes[name] == nil {
		p.lanes[name] = new(laneModel)
	}
	return p.lanes[name]
}

// own are the bindings of the challenges that a caller may use, his own first.
func (p *phoneModel) own(w who) (out []store.Binding) {
	if w.binding != "" {
		out = append(out, w.binding)
	}
	if slices.Contains(p.devices, w.device) {
		out = append(out, deviceBinding(w.device))
	}
	return append(out, "")
}

// deviceBinding is that of a challenge that is bound to a device.
func deviceBinding(d store.DeviceID) store.Binding { return "device\x00" + store.Binding(d[:]) }

// wait is how long until another event fits into the window.
func wait(events []time.Time, now time.Time, w guard.Window) time.Duration {
	if len(events) < w.Max {
		return 0
	}
	return max(0, events[len(events)-w.Max].Add(w.Period).Sub(now))
}

// start tells the refusal of a send, or carries it out and tells the challenge.
func (p *phoneModel) start(in store.Start) (store.Challenge, *fault.Error) {
	caller := who{in.Challenge.Binding, in.User, in.Device}
	used := p.lane(caller)
	burst := in.PhoneLimits.Burst.Take(in.Now, used.burst)
	refused := &fault.Error{}
	for _, l := range []fault.Error{
		{Kind: fault.LimitSMS, Limit: store.LimitPhoneBurst, RetryAfter: burst.RetryAfter},
		{Kind: fault.LimitSMS, Limit: store.LimitPhoneDay, RetryAfter: wait(used.sends, in.Now, in.PhoneLimits.Day)},
		{Kind: fault.LimitOTP, Limit: store.LimitPhoneFailures, RetryAfter: wait(used.failures, in.Now, in.PhoneLimits.Failures)},
	} {
		if l.RetryAfter > refused.RetryAfter {
			refused = &l
		}
	}
	if refused.RetryAfter > 0 {
		return store.Challenge{}, refused
	}
	used.burst, used.sends, p.log = burst.Next, append(used.sends, in.Now), append(p.log, in.Message)
	ch := p.alive(p.own(caller)[0], in.Now)
	if ch == nil {
		ch = &in.Challenge
		ch.Binding = p.own(caller)[0]
		p.live[ch.Binding] = ch
		p.codes = append(p.codes, ch.ID)
	}
	return *ch, nil
}

// alive is the challenge of a binding that still takes attempts, or nil.
func (p *phoneModel) alive(b store.Binding, now time.Time) *store.Challenge {
	if ch := p.live[b]; ch != nil && now.Before(ch.ExpiresAt) && ch.Attempts < modelAttempts {
		return ch
	}
	return nil
}

// attempt tells the refusal of a guess, or carries it out.
func (p *phoneModel) attempt(in store.Attempt, code store.ChallengeID) *fault.Error {
	caller := who{in.Binding, in.BearerUser(), in.Device}
	used := p.lane(caller)
	if retry := wait(used.failures, in.Now, in.Failures); retry > 0 && len(p.log) > 0 {
		return &fault.Error{Kind: fault.LimitOTP, Limit: store.LimitPhoneFailures, RetryAfter: retry}
	}
	var ch *store.Challenge
	for _, b := range p.own(caller) {
		if ch == nil {
			ch = p.alive(b, in.Now)
		}
	}
	switch {
	case ch == nil:
		return &fault.Error{Kind: fault.WrongCode}
	case ch.ID != code:
		ch.Attempts++
		used.failures = append(used.failures, in.Now)
		return &fault.Error{
			Kind:      fault.WrongCode,
			Retryable: ch.Attempts < modelAttempts && wait(used.failures, in.Now, in.Failures) == 0,
		}
	}
	delete(p.live, ch.Binding)
	if p.user == (store.UserID{}) {
		p.user = in.Grant.Session.User
	}
	if in.Device != (store.DeviceID{}) {
		p.devices = slices.DeleteFunc(p.devices, func(d store.DeviceID) bool { return d == in.Device })
		p.devices = slices.Insert(p.devices, 0, in.Device)
		p.devices = p.devices[:min(len(p.devices), 4)]
	}
	return nil
}

// modelRuns is how many sequences are tried unless -rapid.checks says more: each
// step is a durable write, and the race detector makes an engine in pure Go
// twenty times slower.
const modelRuns = "20"

func boundRuns(t *testing.T) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	if f == nil || f.Value.String() != f.DefValue {
		return
	}
	ok(t, "set the number of runs", f.Value.Set(modelRuns))
	t.Cleanup(func() { ok(t, "restore the number of runs", f.Value.Set(f.DefValue)) })
}

func followsModel(t *testing.T, s *suite) {
	boundRuns(t)
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{now: at(0)}
		for range 2 {
			m.phones = append(m.phones, &phoneModel{
				id: random(), live: make(map[store.Binding]*store.Challenge), lanes: make(map[string]*laneModel),
			})
		}
		rt.Repeat(map[string]func(*rapid.T){
			"send":    func(rt *rapid.T) { m.send(rt, s) },
			"resend":  func(rt *rapid.T) { m.send(rt, s) },
			"guess":   func(rt *rapid.T) { m.guess(rt, s) },
			"reguess": func(rt *rapid.T) { m.guess(rt, s) },
			"session": func(rt *rapid.T) { m.session(rt, s) },
			"advance": func(rt *rapid.T) {
				steps := []time.Duration{time.Millisecond, time.Minute, time.Minute, ttl - time.Millisecond, ttl, time.Hour}
				m.now = m.now.Add(rapid.SampledFrom(steps).Draw(rt, "by"))
			},
			"sweep": func(rt *rapid.T) {
				_, err := s.SweepExpired(context.Background(), store.Sweep{Now: m.now, KeepMessages: keep, Limit: rapid.IntRange(1, 50).Draw(rt, "limit")})
				ok(rt, "SweepExpired", err)
			},
			"reopen": func(rt *rapid.T) {
				if !slices.Contains(s.engine.Lacks, Durable) && rapid.IntRange(0, 9).Draw(rt, "once in ten") == 0 {
					s.reopen(t)
				}
			},
			"": func(rt *rapid.T) { m.compare(rt, s) },
		})
	})
}

// caller draws one: a stranger or the phone's user, with or without a device.
func (p *phoneModel) caller(rt *rapid.T) who {
	out := who{binding: rapid.SampledFrom([]store.Binding{"", "", "a", "b"}).Draw(rt, "binding")}
	if out.binding != "" && rapid.Bool().Draw(rt, "own bearer") {
		out.user = p.user
	}
	if n := rapid.IntRange(-3, 6).Draw(rt, "device"); n > 0 {
		out.device = store.DeviceID{byte(n)}
	}
	return out
}

// agree compares what the store answered with what the model says.
func agree(rt *rapid.T, err error, want *fault.Error) {
	rt.Helper()
	if want == nil {
		ok(rt, "the model passes, the store", err)
		return
	}
	f := refusal(rt, "the model refuses, the store", err, want.Kind)
	if f.Limit != want.Limit || f.RetryAfter != want.RetryAfter || f.Retryable != want.Retryable {
		rt.Fatalf("refused with %+v, want %+v", f, want)
	}
}

func (m *model) send(rt *rapid.T, s *suite) {
	p := rapid.SampledFrom(m.phones).Draw(rt, "phone")
	in := s.intent(p.id, m.now)
	in.MaxAttempts, in.PhoneLimits = modelAttempts, modelLimits()
	caller := p.caller(rt)
	in.Challenge.Binding, in.User, in.Device = caller.binding, caller.user, caller.device
	out, err := s.StartChallenge(context.Background(), in)
	ch, refused := p.start(in)
	agree(rt, err, refused)
	if refused == nil && !reflect.DeepEqual(out, store.Started{Phone: p.id, Challenge: ch}) {
		rt.Fatalf("started %+v, want %+v", out, ch)
	}
}

// guess tries a code that the phone was sent at any time, or one that it was
// not.
func (m *model) guess(rt *rapid.T, s *suite) {
	p := rapid.SampledFrom(m.phones).Draw(rt, "phone")
	code := store.ChallengeID(random())
	if back := rapid.IntRange(0, 3).Draw(rt, "code"); back > 0 && back <= len(p.codes) {
		code = p.codes[len(p.codes)-back]
	}
	in := s.guess(p.id, m.now, code)
	in.MaxAttempts, in.Failures = modelAttempts, modelLimits().Failures
	caller := p.caller(rt)
	in.Binding, in.Device = caller.binding, caller.device
	if caller.user != (store.UserID{}) {
		in.Grant.Known, in.Grant.Session.User = true, caller.user
	}
	out, err := s.Attempt(context.Background(), in)
	refused := p.attempt(in, code)
	agree(rt, err, refused)
	if refused == nil {
		want := in.Grant.Session
		want.Client, want.Phone, want.User = s.client, p.id, p.user
		if !reflect.DeepEqual(out, want) {
			rt.Fatalf("granted %+v, want %+v", out, want)
		}
		m.sessions = append(m.sessions, want)
	}
}

// session uses, or ends, one of the sessions so far.
func (m *model) session(rt *rapid.T, s *suite) {
	if len(m.sessions) == 0 {
		rt.Skip("no session yet")
	}
	sess := &m.sessions[rapid.IntRange(0, len(m.sessions)-1).Draw(rt, "session")]
	if rapid.Bool().Draw(rt, "revoke") {
		ok(rt, "RevokeSession", s.RevokeSession(context.Background(), m.now, sess.ID))
		sess.ExpiresAt = time.Time{}
		return
	}
	expires := m.now.Add(idle)
	ok(rt, "TouchSession", s.TouchSession(context.Background(), m.now, sess.ID, expires))
	if sess.ExpiresAt.After(m.now) && expires.After(sess.ExpiresAt) {
		sess.ExpiresAt = expires
	}
}

// compare looks at all that can be seen without changing it.
func (m *model) compare(rt *rapid.T, s *suite) {
	for _, p := range m.phones {
		want := slices.Clone(p.log)
		slices.SortFunc(want, func(a, b store.MessageID) int { return slices.Compare(b[:], a[:]) })
		if got := ids(s.sent(rt, p.id)); !slices.Equal(got, want) {
			rt.Fatalf("messages %v, want %v", got, want)
		}
	}
	for _, want := range m.sessions {
		got, err := s.Session(context.Background(), m.now, want.ID)
		if !want.ExpiresAt.After(m.now) {
			refusal(rt, "Session", err, fault.InvalidAuthorization)
			continue
		}
		ok(rt, "Session", err)
		if !reflect.DeepEqual(got, want) {
			rt.Fatalf("session %+v, want %+v", got, want)
		}
	}
}

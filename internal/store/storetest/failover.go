package storetest

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"codeword/internal/store"
)

// Failover is an engine that loses a part of what it knows while it is in use, and how
// to make it so.
type Failover struct {
	Store Store
	// Fail makes it lose, and returns when it can take calls again.
	Fail func()
	// Phone and Session tell what is in the part that it loses.
	Phone   func(client string, id store.PhoneID) bool
	Session func(id store.SessionID) bool
}

const (
	failoverPhones   = 24
	failoverSessions = 24
	// failoverHeld are phones that are sent to before and answered after.
	failoverHeld = 12
	// failoverPace is between two calls of a caller, and failoverPatience after one that
	// got no answer: each of those doubles what may have happened.
	failoverPace     = 4 * time.Millisecond
	failoverPatience = 150 * time.Millisecond
)

// Run has callers send, guess, read, touch and revoke before, during and after the
// failure. Whatever is refused as unavailable may have happened or not; all other
// answers must be explained by one order of all calls in which each phone and session
// that is lost is lost once, at one moment, and nothing else ever is.
func (f Failover) Run(t *testing.T) {
	t.Helper()
	r := newFailoverRun(t, f)
	well := func() { time.Sleep(linearSteps * failoverPace) }
	r.during(well)
	held := r.hold()
	begin := r.clock()
	r.during(f.Fail)
	lost := r.lose(begin)
	r.during(well)
	refused := r.present(held)
	r.challenges.check(t, challengeModel())
	r.touches.check(t, sessionModel())
	if lost == 0 {
		t.Error("nothing was lost, so that nothing was tested")
	}
	t.Logf("%d calls on %d phones and %d on %d sessions, %d and %d of them without an answer; %d phones and sessions lost what was known of them, "+
		"and for it %d codes that were good before were refused after",
		len(r.challenges.ops), len(r.phones), len(r.touches.ops), len(r.sessions), r.challenges.unheard, r.touches.unheard, lost, refused)
}

type failoverRun struct {
	Failover
	suite      *suite
	phones     []store.PhoneID
	last       []atomic.Pointer[store.ChallengeID]
	sessions   []store.SessionID
	challenges history
	touches    history
}

func newFailoverRun(t *testing.T, f Failover) *failoverRun {
	t.Helper()
	e := Engine{New: func(*testing.T) Store { return f.Store }}
	r := &failoverRun{Failover: f, suite: e.open(t), last: make([]atomic.Pointer[store.ChallengeID], failoverPhones)}
	for range failoverPhones + failoverHeld {
		r.phones = append(r.phones, random())
	}
	for range failoverSessions {
		r.sessions = append(r.sessions, r.suite.signIn(t, at(0)).ID)
	}
	return r
}

// clock is the moment in both histories.
func (r *failoverRun) clock() [2]int64 {
	return [2]int64{r.challenges.clock.Add(1), r.touches.clock.Add(1)}
}

// during has callers call while something happens.
func (r *failoverRun) during(happens func()) {
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for caller := range linearCallers {
		all.Go(func() {
			for ctx.Err() == nil {
				pause := failoverPace
				if !r.step(caller) {
					pause = failoverPatience
				}
				time.Sleep(pause)
			}
		})
	}
	happens()
	stop()
	all.Wait()
}

// step makes one call, and tells whether there was an answer.
func (r *failoverRun) step(caller int) bool {
	if rand.IntN(4) == 0 {
		in := sessionIn{Session: rand.IntN(len(r.sessions)), Do: "read"}
		switch n := rand.IntN(60); {
		case n == 0:
			in.Do = "revoke"
		case n < 20:
			in.Do, in.Expires = "touch", at(idle).Unix()+rand.Int64N(1000)
		}
		return r.touches.record(caller, in, func() answer { return r.suite.linearSession(r.sessions[in.Session], in) })
	}
	i := rand.IntN(failoverPhones)
	in := challengeIn{Phone: i, Send: rand.IntN(3) == 0, Code: random()}
	if known := r.last[i].Load(); !in.Send && known != nil && rand.IntN(4) == 0 {
		in.Code = *known
	}
	return r.challenges.record(caller, in, func() answer {
		if !in.Send {
			return r.suite.linearGuess(r.phones[i], in.Code)
		}
		out := r.suite.linearSend(r.phones[i], in.Code)
		if !out.Unknown {
			r.last[i].Store(&out.Got)
		}
		return out
	})
}

// hold sends to the phones that callers leave alone, and returns the codes.
func (r *failoverRun) hold() []store.ChallengeID {
	codes := make([]store.ChallengeID, failoverHeld)
	for n := range codes {
		i := failoverPhones + n
		codes[n] = random()
		r.challenges.record(0, challengeIn{Phone: i, Send: true, Code: codes[n]}, func() answer {
			return r.suite.linearSend(r.phones[i], codes[n])
		})
	}
	return codes
}

// present guesses right at the phones that were left alone, and counts refusals.
func (r *failoverRun) present(codes []store.ChallengeID) (refused int) {
	for n, code := range codes {
		i := failoverPhones + n
		r.challenges.record(0, challengeIn{Phone: i, Code: code}, func() answer {
			out := r.suite.linearGuess(r.phones[i], code)
			if !out.Passed {
				refused++
			}
			return out
		})
	}
	return refused
}

// lose notes that what is in the lost part was lost since begin, and counts it.
func (r *failoverRun) lose(begin [2]int64) (lost int) {
	end := r.clock()
	for i, phone := range r.phones {
		if r.Phone(r.suite.client, phone) {
			r.challenges.add(linearCallers, challengeIn{Phone: i, Lost: true}, challengeOut{}, begin[0], end[0])
			lost++
		}
	}
	for i, id := range r.sessions {
		if r.Session(id) {
			r.touches.add(linearCallers, sessionIn{Session: i, Do: "lose"}, sessionOut{}, begin[1], end[1])
			lost++
		}
	}
	return lost
}

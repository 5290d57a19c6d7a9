package storetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"codeword/internal/fault"
	"codeword/internal/store"
)

func linearChecks() []check {
	return []check{
		{name: "challenges", run: linearChallenges},
		{name: "sessions", run: linearSessions},
	}
}

const (
	linearCallers  = 8
	linearSteps    = 40
	linearTimeout  = 20 * time.Second
	linearAttempts = 3
)

// history records operations with a logical clock, so that every operation has
// moments of its own.
type history struct {
	clock atomic.Int64
	mu    sync.Mutex
	ops   []porcupine.Operation
}

func (h *history) record(caller int, in any, call func() any) {
	begin := h.clock.Add(1)
	out := call()
	end := h.clock.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: caller, Input: in, Call: begin, Output: out, Return: end})
}

func (h *history) check(t *testing.T, m porcupine.Model) {
	t.Helper()
	switch got := porcupine.CheckOperationsTimeout(m, h.ops, linearTimeout); got {
	case porcupine.Ok:
	case porcupine.Illegal:
		t.Errorf("no order of these %d operations explains their answers", len(h.ops))
	default:
		t.Errorf("the history could not be judged: %v", got)
	}
}

// byTarget splits a history by what it was done to.
func byTarget(target func(in any) int) func([]porcupine.Operation) [][]porcupine.Operation {
	return func(all []porcupine.Operation) [][]porcupine.Operation {
		parts := make(map[int][]porcupine.Operation)
		for _, op := range all {
			parts[target(op.Input)] = append(parts[target(op.Input)], op)
		}
		var out [][]porcupine.Operation
		for _, part := range parts {
			out = append(out, part)
		}
		return out
	}
}

// challengeIn is a send (Code is the challenge it brings) or a guess at Code.
type challengeIn struct {
	Phone int
	Send  bool
	Code  store.ChallengeID
}

// challengeOut is the challenge that a send got, or what a guess was told.
type challengeOut struct {
	Got               store.ChallengeID
	Attempts          int
	Passed, Retryable bool
	Failed            string
}

// challengeState is one phone.
type challengeState struct {
	Live     store.ChallengeID
	Attempts int
}

func challengeModel() porcupine.Model {
	return porcupine.Model{
		Partition: byTarget(func(in any) int { return in.(challengeIn).Phone }), //nolint:forcetypeassert // recorded here
		Init:      func() any { return challengeState{} },
		Step: func(state, input, output any) (bool, any) {
			st, _ := state.(challengeState)
			in, _ := input.(challengeIn)
			out, _ := output.(challengeOut)
			alive := st.Live != (store.ChallengeID{}) && st.Attempts < linearAttempts
			switch {
			case in.Send:
				if !alive {
					st = challengeState{Live: in.Code}
				}
				return out == challengeOut{Got: st.Live, Attempts: st.Attempts}, st
			case !alive:
				return out == challengeOut{}, st
			case in.Code == st.Live:
				return out == challengeOut{Passed: true}, challengeState{}
			default:
				st.Attempts++
				return out == challengeOut{Retryable: st.Attempts < linearAttempts}, st
			}
		},
	}
}

func linearChallenges(t *testing.T, s *suite) {
	var h history
	phones := [3]store.PhoneID{random(), random(), random()}
	var last [3]atomic.Pointer[store.ChallengeID]
	race(linearCallers, func(caller int) {
		draw := rand.New(rand.NewPCG(1, uint64(caller)))
		for range linearSteps {
			i := draw.IntN(len(phones))
			in := challengeIn{Phone: i, Send: draw.IntN(3) == 0, Code: random()}
			if known := last[i].Load(); !in.Send && known != nil && draw.IntN(2) == 0 {
				in.Code = *known
			}
			h.record(caller, in, func() any {
				if !in.Send {
					return s.linearGuess(phones[i], in.Code)
				}
				out := s.linearSend(phones[i], in.Code)
				last[i].Store(&out.Got)
				return out
			})
		}
	})
	h.check(t, challengeModel())
}

func (s *suite) linearSend(phone store.PhoneID, brings store.ChallengeID) challengeOut {
	in := s.intent(phone, at(0))
	in.Challenge.ID, in.MaxAttempts = brings, linearAttempts
	out, err := s.StartChallenge(context.Background(), in)
	if err != nil {
		return challengeOut{Failed: err.Error()}
	}
	return challengeOut{Got: out.Challenge.ID, Attempts: out.Challenge.Attempts}
}

func (s *suite) linearGuess(phone store.PhoneID, code store.ChallengeID) challengeOut {
	in := s.guess(phone, at(0), code)
	in.MaxAttempts = linearAttempts
	_, err := s.Attempt(context.Background(), in)
	var f *fault.Error
	switch {
	case err == nil:
		return challengeOut{Passed: true}
	case errors.As(err, &f) && f.Kind == fault.WrongCode:
		return challengeOut{Retryable: f.Retryable}
	default:
		return challengeOut{Failed: err.Error()}
	}
}

// sessionIn does one thing to one session.
type sessionIn struct {
	Session int
	Do      string
	Expires int64
}

// sessionOut is what a read saw: the expiry in seconds, 0 for gone.
type sessionOut struct {
	Expires int64
	Failed  string
}

func sessionModel() porcupine.Model {
	return porcupine.Model{
		Partition: byTarget(func(in any) int { return in.(sessionIn).Session }), //nolint:forcetypeassert // recorded here
		Init:      func() any { return at(idle).Unix() },
		Step: func(state, input, output any) (bool, any) {
			expires, _ := state.(int64)
			in, _ := input.(sessionIn)
			out, _ := output.(sessionOut)
			switch in.Do {
			case "read":
				return out == sessionOut{Expires: expires}, expires
			case "touch":
				if expires != 0 {
					expires = max(expires, in.Expires)
				}
			case "revoke":
				expires = 0
			}
			return out == sessionOut{}, expires
		},
	}
}

func linearSessions(t *testing.T, s *suite) {
	var h history
	var sessions [4]store.SessionID
	for i := range sessions {
		sessions[i] = s.signIn(t, at(0)).ID
	}
	race(linearCallers, func(caller int) {
		draw := rand.New(rand.NewPCG(2, uint64(caller)))
		for step := range linearSteps {
			in := sessionIn{Session: draw.IntN(len(sessions)), Do: "read"}
			switch n := draw.IntN(10); {
			case n == 0 && step > linearSteps/4:
				in.Do = "revoke"
			case n < 5:
				in.Do, in.Expires = "touch", at(idle).Unix()+draw.Int64N(1000)
			}
			h.record(caller, in, func() any { return s.linearSession(sessions[in.Session], in) })
		}
	})
	h.check(t, sessionModel())
}

func (s *suite) linearSession(id store.SessionID, in sessionIn) (out sessionOut) {
	var err error
	switch in.Do {
	case "touch":
		err = s.TouchSession(context.Background(), at(0), id, time.Unix(in.Expires, 0))
	case "revoke":
		err = s.RevokeSession(context.Background(), at(0), id)
	default:
		var sess store.Session
		sess, err = s.Session(context.Background(), at(0), id)
		if fault.Is(err, fault.InvalidAuthorization) {
			return sessionOut{}
		}
		out.Expires = sess.ExpiresAt.Unix()
	}
	if err != nil {
		return sessionOut{Failed: err.Error()}
	}
	return out
}

package storetest

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/waittest"
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
	linearTimeout  = waittest.Patience
	linearAttempts = 3
)

// answer is what an operation was told.
type answer interface{ unknown() bool }

// history records operations with a logical clock, so that every operation has
// moments of its own.
type history struct {
	clock   atomic.Int64
	mu      sync.Mutex
	ops     []porcupine.Operation
	unheard int
}

// record carries out an operation. One that nobody was told about may yet happen. It
// returns whether there was an answer.
func (h *history) record(caller int, in any, call func() answer) bool {
	begin := h.clock.Add(1)
	out := call()
	end := h.clock.Add(1)
	if out.unknown() {
		end = math.MaxInt64
	}
	h.add(caller, in, out, begin, end)
	return !out.unknown()
}

func (h *history) add(caller int, in any, out answer, begin, end int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: caller, Input: in, Call: begin, Output: out, Return: end})
	if out.unknown() {
		h.unheard++
	}
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

// answered wants an answer to every operation.
func (h *history) answered(t *testing.T) {
	t.Helper()
	if h.unheard > 0 {
		t.Errorf("%d of %d operations were not answered", h.unheard, len(h.ops))
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
			h.record(caller, in, func() answer {
				if !in.Send {
					return s.linearGuess(phones[i], in.Code)
				}
				out := s.linearSend(phones[i], in.Code)
				last[i].Store(&out.Got)
				return out
			})
		}
	})
	h.answered(t)
	h.check(t, challengeModel())
}

func (s *suite) linearSend(phone store.PhoneID, brings store.ChallengeID) challengeOut {
	in := s.intent(phone, at(0))
	in.Challenge.ID, in.MaxAttempts = brings, linearAttempts
	out, err := s.StartChallenge(context.Background(), in)
	if err != nil {
		return challengeFailed(err)
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
		return challengeFailed(err)
	}
}

func challengeFailed(err error) challengeOut {
	if fault.Is(err, fault.Unavailable) {
		return challengeOut{Unknown: true}
	}
	return challengeOut{Failed: err.Error()}
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
			h.record(caller, in, func() answer { return s.linearSession(sessions[in.Session], in) })
		}
	})
	h.answered(t)
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
	if fault.Is(err, fault.Unavailable) {
		return sessionOut{Unknown: true}
	}
	if err != nil {
		return sessionOut{Failed: err.Error()}
	}
	return out
}

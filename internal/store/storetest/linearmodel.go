package storetest

import (
	"github.com/anishathalye/porcupine"

	"codeword/internal/store"
)

// The models of the linearizability checks. An operation whose outcome nobody was told
// may have been carried out, in whole or in part, or not.

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

// challengeIn is a send (Code is the challenge it brings), a guess at Code, or the
// loss of what the engine knew of the phone's challenges.
type challengeIn struct {
	Phone      int
	Send, Lost bool
	Code       store.ChallengeID
}

// challengeOut is the challenge that a send got, or what a guess was told.
type challengeOut struct {
	Got               store.ChallengeID
	Attempts          int
	Passed, Retryable bool
	Unknown           bool // and nothing else
	Failed            string
}

func (o challengeOut) unknown() bool { return o.Unknown }

// challengeState is one phone. Spent are attempts that were taken for guesses nobody
// was told about.
type challengeState struct {
	Live            store.ChallengeID
	Attempts, Spent int
}

func (s challengeState) alive() bool {
	return s.Live != (store.ChallengeID{}) && s.Attempts+s.Spent < linearAttempts
}

func challengeModel() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Partition: byTarget(func(in any) int { return in.(challengeIn).Phone }), //nolint:forcetypeassert // recorded here
		Init:      func() []any { return []any{challengeState{}} },
		Step: func(state, input, output any) []any {
			st, _ := state.(challengeState)
			in, _ := input.(challengeIn)
			out, _ := output.(challengeOut)
			if in.Lost {
				return []any{challengeState{}}
			}
			if out.Unknown {
				return st.unknown(in)
			}
			want, next := st.step(in)
			if out != want {
				return nil
			}
			return []any{next}
		},
	}
	return m.ToModel()
}

// step is what an operation must be told, and what it leaves.
func (s challengeState) step(in challengeIn) (challengeOut, challengeState) {
	switch {
	case in.Send && !s.alive():
		return challengeOut{Got: in.Code}, challengeState{Live: in.Code}
	case in.Send:
		return challengeOut{Got: s.Live, Attempts: s.Attempts}, s
	case !s.alive():
		return challengeOut{}, s
	case in.Code == s.Live:
		return challengeOut{Passed: true}, challengeState{}
	default:
		s.Attempts++
		return challengeOut{Retryable: s.Attempts < linearAttempts}, s
	}
}

// unknown is all that an operation may leave of which nobody was told.
func (s challengeState) unknown(in challengeIn) []any {
	_, done := s.step(in)
	out := []any{s}
	if done != s {
		out = append(out, done)
	}
	if !in.Send && s.alive() {
		s.Spent++
		out = append(out, s)
	}
	return out
}

// sessionIn does one thing to one session: read, touch, revoke, or lose it.
type sessionIn struct {
	Session int
	Do      string
	Expires int64
}

// sessionOut is what a read saw: the expiry in seconds, 0 for gone.
type sessionOut struct {
	Expires int64
	Unknown bool
	Failed  string
}

func (o sessionOut) unknown() bool { return o.Unknown }

func sessionModel() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Partition: byTarget(func(in any) int { return in.(sessionIn).Session }), //nolint:forcetypeassert // recorded here
		Init:      func() []any { return []any{at(idle).Unix()} },
		Step: func(state, input, output any) []any {
			expires, _ := state.(int64)
			in, _ := input.(sessionIn)
			out, _ := output.(sessionOut)
			next, want := expires, sessionOut{}
			switch in.Do {
			case "read":
				want.Expires = expires
			case "touch":
				if expires != 0 {
					next = max(expires, in.Expires)
				}
			case "revoke", "lose":
				next = 0
			}
			switch {
			case out.Unknown && next != expires:
				return []any{expires, next}
			case out.Unknown || out == want:
				return []any{next}
			default:
				return nil
			}
		},
	}
	return m.ToModel()
}

package app

import (
	"context"
	"time"

	"codeword/internal/console"
	"codeword/internal/fault"
	"codeword/internal/store"
)

// challenge tells what is known of the challenge of a message. The store keeps those that
// live with their phone, and of the dead ones what nothing has swept yet: what is not
// there any more is not guessed at.
func (l *messageLog) challenge(ctx context.Context, m *store.Message) *console.ChallengeView {
	if !m.VerifiedAt.IsZero() {
		return &console.ChallengeView{State: console.ChallengeUsed}
	}
	now := l.now()
	q := store.PhoneQuery{Now: now, Client: m.Client, Phones: []store.PhoneID{m.Phone}, RowOnly: true}
	if !m.ExpiresAt.After(now) {
		q.Now = m.ExpiresAt.Add(-time.Microsecond) // when it still lived
	}
	record, err := l.phones.PhoneRecord(ctx, q)
	switch {
	case fault.Is(err, fault.NotFound):
		return &console.ChallengeView{State: console.ChallengeUnknown}
	case err != nil: // the rest of the message can be read all the same
		return &console.ChallengeView{State: console.ChallengeUnavailable}
	}
	for i := range record.Challenges {
		if ch := &record.Challenges[i]; ch.ID == m.Challenge {
			most := 0
			if c := l.clients.Known(m.Client); c != nil {
				most = c.Settings.MaxAttempts
			}
			return new(challengeView(ch, most, now))
		}
	}
	return &console.ChallengeView{State: console.ChallengeUnknown}
}

// challengeView is a challenge that the store has, of a client that allows so many
// attempts; 0 when nobody knows how many.
func challengeView(ch *store.Challenge, most int, now time.Time) console.ChallengeView {
	out := console.ChallengeView{State: console.ChallengeOpen, Attempts: &ch.Attempts, MaxAttempts: most}
	switch {
	case most > 0 && ch.Attempts >= most:
		out.State = console.ChallengeExhausted
	case !ch.ExpiresAt.After(now):
		out.State = console.ChallengeExpired
	}
	return out
}

package postgres

import (
	"context"

	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// claimStatement takes messages whose time in column due has come, the longest due
// first, and hides them; parameters: now, the limit, the end of the lease. Locked
// rows are skipped: somebody claims them, or notes something about them, which
// takes no longer than a moment. What was changed since the statement began is
// looked at again after its lock, so that no message is claimed twice.
func claimStatement(due string) string {
	return `WITH due AS MATERIALIZED (
			SELECT message_id, ` + due + ` AS since FROM messages WHERE ` + due + ` <= $1
			ORDER BY ` + due + `, message_id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
		), m AS (
			UPDATE messages SET claims = claims + 1, ` + due + ` = $3, leased_until = $3 FROM due WHERE messages.message_id = due.message_id
			RETURNING messages.*, due.since
		)
		SELECT ` + messageColumns + `, p.challenges FROM m` + messageJoins + `ORDER BY m.since, m.message_id`
}

var (
	claimQueued = claimStatement("due_at")
	// claimUnheard takes sent and unknown messages whose receipt did not come.
	claimUnheard = claimStatement("check_at")
)

// unheardShare is the part of a claim, one in so many, that is not for queued
// messages while others wait in vain for a receipt.
const unheardShare = 8

// ClaimMessages takes due messages, the longest due first, and hides them for
// the lease; messages that wait for a receipt where queued ones leave room, or
// within their share. Each claim raises Claims, which fences the outcomes of
// older ones.
func (s *Store) ClaimMessages(ctx context.Context, in store.Claim) ([]store.Message, error) {
	if in.Limit <= 0 {
		return nil, s.usable()
	}
	var queued, unheard []store.Message
	err := s.transact(ctx, func(t *tx) error {
		queued, unheard = queued[:0], unheard[:0]
		share := in.Limit / unheardShare
		t.claim(&unheard, claimUnheard, &in, share)
		if err := t.flush(); err != nil {
			return err
		}
		t.claim(&queued, claimQueued, &in, in.Limit-len(unheard))
		if err := t.flush(); err != nil {
			return err
		}
		if room := in.Limit - len(queued) - len(unheard); len(unheard) == share { // there may be more
			t.claim(&unheard, claimUnheard, &in, room)
			if err := t.flush(); err != nil {
				return err
			}
		}
		queued = append(queued, unheard...)
		t.tried(queued)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return queued, nil
}

// claim queues a claim of up to so many messages.
func (t *tx) claim(out *[]store.Message, statement string, in *store.Claim, limit int) {
	if limit == 0 {
		return
	}
	t.each(func(c row) {
		m := scanMessage(c)
		m.Spent = !intent.Challenges(c[messageColumnCount]).Holds(m.Challenge)
		*out = append(*out, m)
	}, statement, micros(in.Now), limit, micros(in.Now.Add(in.Lease)))
}

// tried queues a look at what was dispatched of messages that were claimed before.
// Their rows are locked by now, so that it misses no outcome.
func (t *tx) tried(claimed []store.Message) {
	again := make(map[store.MessageID]*store.Message)
	var ids []store.MessageID
	for i := range claimed {
		if m := &claimed[i]; m.Claims > 1 {
			again[m.ID] = m
			ids = append(ids, m.ID)
		}
	}
	if len(ids) == 0 {
		return
	}
	all, lowest, highest := span(ids)
	t.each(func(c row) {
		m, route := again[c.id(0)], c.text(1)
		m.Tried = append(m.Tried, route)
		if intent.Taken(store.MessageStatus(c.int(2))) {
			m.Taken = append(m.Taken, route)
		}
	}, `SELECT message_id, route, status FROM dispatches WHERE `+theseMessages+` ORDER BY message_id, n`, all, lowest, highest)
}

// QueueStats tells how many messages wait and since when.
func (s *Store) QueueStats(ctx context.Context) (store.QueueStats, error) {
	var out store.QueueStats
	err := s.query(ctx, func(c row) {
		out = store.QueueStats{Depth: int(c.int(0)), Oldest: c.time(1), Waiting: c.time(2)}
	}, `SELECT count(*), min(created_at), min(created_at) FILTER (WHERE error = '') FROM messages WHERE due_at IS NOT NULL`)
	return out, err
}

package sqlite

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// claimable is one way for a message to be due: how to find such messages, and
// how to hide them for a lease. Parameters are now and the limit, and the
// claims, the end of the lease and the id.
type claimable struct{ find, hide string }

var (
	claimQueued = claimable{
		find: `SELECT ` + messageColumns + `, p.challenges FROM messages m INDEXED BY messages_due` + messageJoins +
			`WHERE m.due_at <= ? ORDER BY m.due_at LIMIT ?`,
		hide: `UPDATE messages SET claims = ?1, due_at = ?2, leased_until = ?2 WHERE message_id = ?3`,
	}
	// claimUnheard takes sent and unknown messages whose receipt did not come.
	claimUnheard = claimable{
		find: `SELECT ` + messageColumns + `, p.challenges FROM messages m INDEXED BY messages_check` + messageJoins +
			`WHERE m.check_at <= ? ORDER BY m.check_at LIMIT ?`,
		hide: `UPDATE messages SET claims = ?1, check_at = ?2, leased_until = ?2 WHERE message_id = ?3`,
	}
)

// unheardShare is the part of a claim, one in so many, that is not for queued
// messages while others wait in vain for a receipt.
const unheardShare = 8

// ClaimMessages takes due messages, the longest due first, and hides them for
// the lease; messages that wait for a receipt where queued ones leave room, or
// within their share. Each claim raises Claims, which fences the outcomes of
// older ones.
func (s *Store) ClaimMessages(ctx context.Context, in store.Claim) ([]store.Message, error) {
	var out []store.Message
	err := s.writer.do(ctx, func(t *tx) error {
		out = out[:0]
		for _, part := range [...]struct {
			from *claimable
			upTo int
		}{{&claimQueued, in.Limit - in.Limit/unheardShare}, {&claimUnheard, in.Limit}, {&claimQueued, in.Limit}} {
			var err error
			if out, err = t.claim(part.from, &in, part.upTo, out); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// claim adds messages to those claimed already, up to so many.
func (t *tx) claim(from *claimable, in *store.Claim, upTo int, claimed []store.Message) ([]store.Message, error) {
	begin := len(claimed)
	if begin >= upTo {
		return claimed, nil
	}
	err := prepare(t.conn, from.find).time(in.Now).int(int64(upTo - begin)).
		each(func(st *sqlite.Stmt) {
			m := scanMessage(st)
			m.Spent = !intent.Challenges(columnBlob(st, messageColumnCount)).Holds(m.Challenge)
			claimed = append(claimed, m)
		})
	if err != nil {
		return nil, err
	}
	for i := begin; i < len(claimed); i++ {
		m := &claimed[i]
		if m.Claims > 0 {
			err := prepare(t.conn, `SELECT route, status FROM dispatches WHERE message_id = ? ORDER BY n`).blob(m.ID[:]).
				each(func(st *sqlite.Stmt) {
					m.Tried = append(m.Tried, st.ColumnText(0))
					if intent.Taken(store.MessageStatus(st.ColumnInt64(1))) {
						m.Taken = append(m.Taken, st.ColumnText(0))
					}
				})
			if err != nil {
				return nil, err
			}
		}
		m.Claims++
		err := prepare(t.conn, from.hide).int(int64(m.Claims)).time(in.Now.Add(in.Lease)).blob(m.ID[:]).exec()
		if err != nil {
			return nil, err
		}
	}
	return claimed, nil
}

// QueueStats tells how many messages wait and since when.
func (s *Store) QueueStats(ctx context.Context) (store.QueueStats, error) {
	var out store.QueueStats
	err := s.snapshot(ctx, func(conn *sqlite.Conn) error {
		out = store.QueueStats{}
		// The index holds the ids, which sort by time, so that the oldest is
		// found without a look at the rows: one that is leased or put off is due
		// late, but is not young.
		var oldest, waiting store.MessageID
		_, err := prepare(conn, `SELECT COUNT(*), MIN(message_id), MIN(CASE WHEN error = '' THEN message_id END)
			FROM messages INDEXED BY messages_due WHERE due_at IS NOT NULL`).
			one(func(st *sqlite.Stmt) {
				out.Depth, oldest, waiting = st.ColumnInt(0), columnID(st, 1), columnID(st, 2)
			})
		if err != nil || out.Depth == 0 {
			return err
		}
		accepted := func(id store.MessageID) (at time.Time, err error) {
			_, err = prepare(conn, `SELECT created_at FROM messages WHERE message_id = ?`).blob(id[:]).
				one(func(st *sqlite.Stmt) { at = columnTime(st, 0) })
			return at, err
		}
		if out.Oldest, err = accepted(oldest); err != nil {
			return err
		}
		out.Waiting, err = accepted(waiting)
		return err
	})
	return out, err
}

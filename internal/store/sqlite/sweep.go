package sqlite

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"zombiezen.com/go/sqlite"

	"codeword/internal/store"
)

func newestFirst(ms []store.Message) {
	slices.SortFunc(ms, func(a, b store.Message) int { return bytes.Compare(b.ID[:], a.ID[:]) })
}

// sweeper remembers where in each table the next slice begins.
type sweeper struct {
	mu      sync.Mutex
	table   int
	cursor  []byte
	cursor2 []byte
}

// sweepTable says how to find and remove what has expired in one table. The
// scan reads slices in key order on the read pool; only the removals, each of
// which checks again, go through the writer.
type sweepTable struct {
	// scan selects (key, second key or empty blob, expired) after the cursor;
	// parameters: the two cursor parts, now, the oldest message to keep, limit.
	scan string
	// remove deletes one row if it is still expired; parameters: the two key
	// parts, now, the oldest message to keep.
	remove string
}

var sweepTables = [...]sweepTable{
	{
		scan: `SELECT phone_id, binding, expires_at <= ?3 FROM challenges
			WHERE (phone_id, binding) > (?1, ?2) AND ?4 = ?4 ORDER BY phone_id, binding LIMIT ?5`,
		remove: `DELETE FROM challenges WHERE phone_id = ?1 AND binding = ?2 AND expires_at <= ?3 AND ?4 = ?4`,
	},
	{
		scan: `SELECT session_id, x'', expires_at <= ?3 FROM sessions
			WHERE session_id > ?1 AND ?2 = ?2 AND ?4 = ?4 ORDER BY session_id LIMIT ?5`,
		remove: `DELETE FROM sessions WHERE session_id = ?1 AND ?2 = ?2 AND expires_at <= ?3 AND ?4 = ?4`,
	},
	{
		scan: `SELECT idempotency_key, x'', expires_at <= ?3 FROM idempotency
			WHERE idempotency_key > ?1 AND ?2 = ?2 AND ?4 = ?4 ORDER BY idempotency_key LIMIT ?5`,
		remove: `DELETE FROM idempotency WHERE idempotency_key = ?1 AND ?2 = ?2 AND expires_at <= ?3 AND ?4 = ?4`,
	},
	{
		// A limit whose time has passed is a full bucket, as is a missing one.
		scan: `SELECT limit_key, x'', tat <= ?3 FROM limits
			WHERE limit_key > ?1 AND ?2 = ?2 AND ?4 = ?4 ORDER BY limit_key LIMIT ?5`,
		remove: `DELETE FROM limits WHERE limit_key = ?1 AND ?2 = ?2 AND tat <= ?3 AND ?4 = ?4`,
	},
	{
		scan: `SELECT message_id, x'', created_at <= ?4 AND due_at IS NULL FROM messages
			WHERE message_id > ?1 AND ?2 = ?2 AND ?3 = ?3 ORDER BY message_id LIMIT ?5`,
		remove: `DELETE FROM messages WHERE message_id = ?1 AND ?2 = ?2 AND ?3 = ?3 AND created_at <= ?4 AND due_at IS NULL`,
	},
	{
		// A phone that nobody verified, and that did not opt out, is forgotten
		// with its last message.
		scan: `SELECT phone_id, x'', last_send_at <= ?4 AND user_id IS NULL AND opted_out_at = 0 FROM phones
			WHERE phone_id > ?1 AND ?2 = ?2 AND ?3 = ?3 ORDER BY phone_id LIMIT ?5`,
		remove: `DELETE FROM phones WHERE phone_id = ?1 AND ?2 = ?2 AND ?3 = ?3
			AND last_send_at <= ?4 AND user_id IS NULL AND opted_out_at = 0`,
	},
}

type sweepKey struct{ a, b []byte }

// SweepExpired looks at the next slice of rows and removes the expired ones.
// One slice holds the writer for about a millisecond; a round over all tables
// takes as many slices as there are rows divided by Limit.
func (s *Store) SweepExpired(ctx context.Context, in store.Sweep) (store.Swept, error) {
	s.sweep.mu.Lock()
	defer s.sweep.mu.Unlock()
	table := sweepTables[s.sweep.table]
	now, oldest := in.Now, in.Now.Add(-in.KeepMessages)
	var expired []sweepKey
	var last sweepKey
	seen := 0
	err := s.read(ctx, func(conn *sqlite.Conn) error {
		return prepare(conn, table.scan).blob(s.sweep.cursor).blob(s.sweep.cursor2).time(now).time(oldest).int(int64(in.Limit)).
			each(func(st *sqlite.Stmt) {
				seen++
				last = sweepKey{columnBlob(st, 0), columnBlob(st, 1)}
				if st.ColumnBool(2) {
					expired = append(expired, last)
				}
			})
	})
	if err != nil {
		return store.Swept{}, err
	}
	var out store.Swept
	if len(expired) > 0 {
		err := s.writer.do(ctx, func(t *tx) error {
			out.Removed = 0
			for _, k := range expired {
				if err := prepare(t.conn, table.remove).blob(k.a).blob(k.b).time(now).time(oldest).exec(); err != nil {
					return err
				}
				out.Removed += t.conn.Changes()
			}
			return nil
		})
		if err != nil {
			return store.Swept{}, err
		}
	}
	s.sweep.cursor, s.sweep.cursor2 = last.a, last.b
	if seen < in.Limit {
		s.sweep.cursor, s.sweep.cursor2 = nil, nil
		s.sweep.table = (s.sweep.table + 1) % len(sweepTables)
		out.Done = s.sweep.table == 0
	}
	return out, nil
}

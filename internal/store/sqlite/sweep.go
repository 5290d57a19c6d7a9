package sqlite

import (
	"context"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/store"
)

// sweeper remembers where in each table the next slice begins.
type sweeper struct {
	mu     sync.Mutex
	table  int
	cursor []byte
}

// sweepTable says how to find and remove what has expired in one table. The
// scan reads slices in key order on the read pool; only the removals, each of
// which checks again, go through the writer.
type sweepTable struct {
	// scan selects (key, expired) after the cursor; parameters: the cursor, now,
	// oldest, limit.
	scan string
	// remove deletes one row if it is still expired; parameters: the key, now,
	// oldest.
	remove string
	// oldest is what is kept although it is no moment's; nil for oldestMessage.
	oldest func(*store.Sweep) time.Time
	// with delete what hangs on a row that was removed; parameter: its key.
	with []string
}

var sweepTables = [...]sweepTable{
	{
		scan: `SELECT session_id, expires_at <= ?2 FROM sessions
			WHERE session_id > ?1 AND ?3 = ?3 ORDER BY session_id LIMIT ?4`,
		remove: `DELETE FROM sessions WHERE session_id = ?1 AND expires_at <= ?2 AND ?3 = ?3`,
	},
	{
		scan: `SELECT idempotency_key, expires_at <= ?2 FROM idempotency
			WHERE idempotency_key > ?1 AND ?3 = ?3 ORDER BY idempotency_key LIMIT ?4`,
		remove: `DELETE FROM idempotency WHERE idempotency_key = ?1 AND expires_at <= ?2 AND ?3 = ?3`,
	},
	{
		// A limit whose time has passed is a full bucket, as is a missing one.
		scan: `SELECT limit_key, tat <= ?2 FROM limits
			WHERE limit_key > ?1 AND ?3 = ?3 ORDER BY limit_key LIMIT ?4`,
		remove: `DELETE FROM limits WHERE limit_key = ?1 AND tat <= ?2 AND ?3 = ?3`,
	},
	{
		scan: `SELECT message_id, created_at <= ?3 AND due_at IS NULL FROM messages
			WHERE message_id > ?1 AND ?2 = ?2 ORDER BY message_id LIMIT ?4`,
		remove: `DELETE FROM messages WHERE message_id = ?1 AND ?2 = ?2 AND created_at <= ?3 AND due_at IS NULL`,
		with: []string{
			`DELETE FROM dispatches WHERE message_id = ?`,
			`DELETE FROM receipts WHERE message_id = ?`,
		},
	},
	{
		// Receipts that nothing was sent for, or whose outcome was lost; a
		// reference has few.
		scan: `SELECT CAST(carrier_ref AS BLOB), MIN(received_at) <= ?2 - ` + earlyKept + ` FROM early_receipts
			WHERE carrier_ref > CAST(?1 AS TEXT) AND ?3 = ?3 GROUP BY carrier_ref ORDER BY carrier_ref LIMIT ?4`,
		remove: `DELETE FROM early_receipts WHERE carrier_ref = CAST(?1 AS TEXT) AND received_at <= ?2 - ` + earlyKept + ` AND ?3 = ?3`,
	},
	{
		// Dead challenges go with the phone's next send; this is for phones that
		// never see one.
		scan: `SELECT phone_id, challenges IS NOT NULL AND challenges_until <= ?2 FROM phones
			WHERE phone_id > ?1 AND ?3 = ?3 ORDER BY phone_id LIMIT ?4`,
		remove: `UPDATE phones SET challenges = NULL, challenges_until = 0
			WHERE phone_id = ?1 AND challenges_until <= ?2 AND ?3 = ?3`,
	},
	{
		// A phone that nobody verified, and that neither opted out nor is
		// blocked, is forgotten with its last message.
		scan: `SELECT phone_id, ` + forgettable + ` FROM phones
			WHERE phone_id > ?1 ORDER BY phone_id LIMIT ?4`,
		remove: `DELETE FROM phones WHERE phone_id = ?1 AND ` + forgettable,
	},
	{
		// What limits have counted for a phone that stays, once it counts no more.
		scan: `SELECT phone_id, ` + countless + ` FROM phones
			WHERE phone_id > ?1 AND ?3 = ?3 ORDER BY phone_id LIMIT ?4`,
		remove: `UPDATE phones SET day_log = NULL, failure_log = NULL, lanes = NULL WHERE phone_id = ?1 AND ` + countless + ` AND ?3 = ?3`,
	},
	{
		scan: `SELECT CAST(note_no AS BLOB), ends_at <= ?2 FROM notes
			WHERE note_no > CAST(?1 AS INTEGER) AND ?3 = ?3 ORDER BY note_no LIMIT ?4`,
		remove: `DELETE FROM notes WHERE note_no = CAST(?1 AS INTEGER) AND ends_at <= ?2 AND ?3 = ?3`,
	},
	{
		scan: `SELECT phone, ends_at <= ?2 FROM line_facts
			WHERE phone > ?1 AND ?3 = ?3 ORDER BY phone LIMIT ?4`,
		remove: `DELETE FROM line_facts WHERE phone = ?1 AND ends_at <= ?2 AND ?3 = ?3`,
	},
	{
		scan: `SELECT event_id, at < ?3 FROM events
			WHERE event_id > ?1 AND ?2 = ?2 ORDER BY event_id LIMIT ?4`,
		remove: `DELETE FROM events WHERE event_id = ?1 AND ?2 = ?2 AND at < ?3`,
		oldest: (*store.Sweep).OldestEvent,
	},
	{
		scan: `SELECT event_id, queued_at < ?3 FROM webhooks
			WHERE event_id > ?1 AND ?2 = ?2 ORDER BY event_id LIMIT ?4`,
		remove: `DELETE FROM webhooks WHERE event_id = ?1 AND ?2 = ?2 AND queued_at < ?3`,
		oldest: (*store.Sweep).OldestWebhook,
		with:   []string{`DELETE FROM webhook_deliveries WHERE event_id = ?`},
	},
	{
		scan: `SELECT CAST(rollup_no AS BLOB), ` + pastRollup + ` FROM rollups
			WHERE rollup_no > CAST(?1 AS INTEGER) ORDER BY rollup_no LIMIT ?4`,
		remove: `DELETE FROM rollups WHERE rollup_no = CAST(?1 AS INTEGER) AND ` + pastRollup,
		oldest: (*store.Sweep).OldestRollup,
	},
}

// oldestMessage is when the oldest message was accepted that is still kept.
func oldestMessage(in *store.Sweep) time.Time { return in.Now.Add(-max(in.KeepMessages, leastKept)) }

const (
	// leastKept is how long a phone's row stays whatever the retention is: it holds
	// the logs of limits over a day. uncounted is when the last send was that they
	// may count.
	leastKept = store.LimitsKept
	uncounted = `?2 - 90000000000`
	// An erased phone's last send is its erasure.
	forgettable = `(last_send_at <= ?3 OR length(sealed) = 0 AND last_send_at <= ` + uncounted + `)
		AND user_id IS NULL AND opted_out_at = 0 AND blocked_until <= ?2`
	countless = `last_send_at <= ` + uncounted + ` AND (day_log IS NOT NULL OR failure_log IS NOT NULL OR lanes IS NOT NULL)`
)

// pastRollup tells which roll-ups have passed: store.KeepHourly, in microseconds, is for
// those of hours.
const pastRollup = `(start_at < ?3 OR hours = 1 AND start_at < ?2 - 3888000000000)`

// earlyKept is how long, in microseconds, a receipt waits for its outcome: a day.
const earlyKept = "86400000000"

// SweepExpired looks at the next slice of rows and removes the expired ones.
// One slice holds the writer for about a millisecond; a round over all tables
// takes as many slices as there are rows divided by Limit.
func (s *Store) SweepExpired(ctx context.Context, in store.Sweep) (store.Swept, error) {
	s.sweep.mu.Lock()
	defer s.sweep.mu.Unlock()
	table := sweepTables[s.sweep.table]
	now, oldest := in.Now, oldestMessage(&in)
	if table.oldest != nil {
		oldest = table.oldest(&in)
	}
	var expired [][]byte
	var last []byte
	seen := 0
	err := s.read(ctx, func(conn *sqlite.Conn) error {
		return prepare(conn, table.scan).blob(s.sweep.cursor).time(now).time(oldest).int(int64(in.Limit)).
			each(func(st *sqlite.Stmt) {
				seen++
				last = columnBlob(st, 0)
				if st.ColumnBool(1) {
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
				removed, err := t.remove(&table, k, now, oldest)
				if err != nil {
					return err
				}
				if removed {
					out.Removed++
				}
			}
			return nil
		})
		if err != nil {
			return store.Swept{}, err
		}
	}
	s.sweep.cursor = last
	if seen < in.Limit {
		s.sweep.cursor = nil
		s.sweep.table = (s.sweep.table + 1) % len(sweepTables)
		out.Done = s.sweep.table == 0
	}
	return out, nil
}

// remove removes what has a key, if it is still expired, and what hangs on it.
func (t *tx) remove(table *sweepTable, key []byte, now, oldest time.Time) (removed bool, err error) {
	err = prepare(t.conn, table.remove).blob(key).time(now).time(oldest).exec()
	if err != nil || t.conn.Changes() == 0 {
		return false, err
	}
	for _, sql := range table.with {
		if err := prepare(t.conn, sql).blob(key).exec(); err != nil {
			return false, err
		}
	}
	return true, nil
}

package postgres

import (
	"context"
	"sync"
	"time"

	"codeword/internal/store"
)

// sweeper remembers where in each table the next slice begins.
type sweeper struct {
	mu     sync.Mutex
	table  int
	cursor any
}

// sweepTable says how to find and remove what has expired in one table.
type sweepTable struct {
	// scan selects (key, expired) after the cursor; parameters: the cursor, now,
	// oldest, limit.
	scan string
	// remove removes those of the keys that are still expired, and that nobody
	// works on, and returns their keys; parameters: the keys, now, oldest.
	remove string
	// oldest is what is kept although it is no moment's; nil for oldestMessage.
	oldest func(*store.Sweep) time.Time
	// with deletes what hangs on rows that were removed; parameter: their keys.
	with []string
	keys keyType
}

// keyType is what a table's key is made of.
type keyType struct {
	// first sorts before every key.
	first any
	read  func(row) any
	list  func([]any) any
}

var (
	uuidKey = keyType{
		[16]byte{}, func(c row) any { return c.id(0) }, listOf[[16]byte],
	}
	byteaKey = keyType{
		[]byte{}, func(c row) any { return c.bytes(0) }, listOf[[]byte],
	}
	numberKey = keyType{
		int64(0), func(c row) any { return c.int(0) }, listOf[int64],
	}
	textKey = keyType{
		"", func(c row) any { return c.text(0) }, listOf[string],
	}
)

func listOf[K any](keys []any) any {
	out := make([]K, len(keys))
	for i := range keys {
		out[i], _ = keys[i].(K)
	}
	return out
}

var sweepTables = [...]sweepTable{
	{
		keys: uuidKey,
		scan: `SELECT session_id, expires_at <= $2 FROM sessions
			WHERE session_id > $1 AND $3::bigint IS NOT NULL ORDER BY session_id LIMIT $4`,
		remove: `DELETE FROM sessions WHERE session_id IN (SELECT session_id FROM sessions
			WHERE session_id = ANY($1) AND expires_at <= $2 AND $3::bigint IS NOT NULL FOR UPDATE SKIP LOCKED) RETURNING session_id`,
	},
	{
		keys: byteaKey,
		scan: `SELECT idempotency_key, expires_at <= $2 FROM idempotency
			WHERE idempotency_key > $1 AND $3::bigint IS NOT NULL ORDER BY idempotency_key LIMIT $4`,
		remove: `DELETE FROM idempotency WHERE idempotency_key IN (SELECT idempotency_key FROM idempotency
			WHERE idempotency_key = ANY($1) AND expires_at <= $2 AND $3::bigint IS NOT NULL FOR UPDATE SKIP LOCKED) RETURNING idempotency_key`,
	},
	{
		// A limit whose time has passed is a full bucket, as is a missing one.
		keys: byteaKey,
		scan: `SELECT limit_key, tat <= $2 FROM limits
			WHERE limit_key > $1 AND $3::bigint IS NOT NULL ORDER BY limit_key LIMIT $4`,
		remove: `DELETE FROM limits WHERE limit_key IN (SELECT limit_key FROM limits
			WHERE limit_key = ANY($1) AND tat <= $2 AND $3::bigint IS NOT NULL FOR UPDATE SKIP LOCKED) RETURNING limit_key`,
	},
	{
		// What has a partition of its time goes with it (partition.go).
		keys: uuidKey,
		scan: `SELECT message_id, created_at <= $3 AND due_at IS NULL FROM messages_rest
			WHERE message_id > $1 AND $2::bigint IS NOT NULL ORDER BY message_id LIMIT $4`,
		remove: `DELETE FROM messages_rest WHERE message_id IN (SELECT message_id FROM messages_rest
			WHERE message_id = ANY($1) AND $2::bigint IS NOT NULL AND created_at <= $3 AND due_at IS NULL FOR UPDATE SKIP LOCKED) RETURNING message_id`,
		with: []string{
			`DELETE FROM dispatches_rest WHERE message_id = ANY($1)`,
			`DELETE FROM receipts_rest WHERE message_id = ANY($1)`,
		},
	},
	{
		// Receipts that nothing was sent for, or whose outcome was lost; a
		// reference has few.
		keys: textKey,
		scan: `SELECT carrier_ref, min(received_at) <= $2 - ` + earlyKept + ` FROM early_receipts
			WHERE carrier_ref > $1 AND $3::bigint IS NOT NULL GROUP BY carrier_ref ORDER BY carrier_ref LIMIT $4`,
		remove: `DELETE FROM early_receipts WHERE carrier_ref = ANY($1) AND received_at <= $2 - ` + earlyKept + `
			AND $3::bigint IS NOT NULL RETURNING carrier_ref`,
	},
	{
		// Dead challenges go with the phone's next send; this is for phones that
		// never see one.
		keys: uuidKey,
		scan: `SELECT phone_id, challenges IS NOT NULL AND challenges_until <= $2 FROM phones
			WHERE phone_id > $1 AND $3::bigint IS NOT NULL ORDER BY phone_id LIMIT $4`,
		remove: `UPDATE phones SET challenges = NULL, challenges_until = 0 WHERE phone_id IN (SELECT phone_id FROM phones
			WHERE phone_id = ANY($1) AND challenges_until <= $2 AND $3::bigint IS NOT NULL FOR UPDATE SKIP LOCKED) RETURNING phone_id`,
	},
	{
		// A phone that nobody verified, and that neither opted out nor is
		// blocked, is forgotten with its last message.
		keys: uuidKey,
		scan: `SELECT phone_id, ` + forgettable + ` FROM phones
			WHERE phone_id > $1 ORDER BY phone_id LIMIT $4`,
		remove: `DELETE FROM phones WHERE phone_id IN (SELECT phone_id FROM phones
			WHERE phone_id = ANY($1) AND ` + forgettable + ` FOR UPDATE SKIP LOCKED) RETURNING phone_id`,
	},
	{
		// What limits have counted for a phone that stays, once it counts no more.
		keys: uuidKey,
		scan: `SELECT phone_id, ` + countless + ` FROM phones
			WHERE phone_id > $1 AND $3::bigint IS NOT NULL ORDER BY phone_id LIMIT $4`,
		remove: `UPDATE phones SET day_log = NULL, failure_log = NULL, lanes = NULL WHERE phone_id IN (SELECT phone_id FROM phones
			WHERE phone_id = ANY($1) AND ` + countless + ` AND $3::bigint IS NOT NULL FOR UPDATE SKIP LOCKED) RETURNING phone_id`,
	},
	{
		keys: numberKey,
		scan: `SELECT note_no, ends_at <= $2 FROM notes
			WHERE note_no > $1 AND $3::bigint IS NOT NULL ORDER BY note_no LIMIT $4`,
		remove: `DELETE FROM notes WHERE note_no IN (SELECT note_no FROM notes
			WHERE note_no = ANY($1) AND ends_at <= $2 AND $3::bigint IS NOT NULL FOR UPDATE SKIP LOCKED) RETURNING note_no`,
	},
	{
		keys: uuidKey,
		scan: `SELECT phone, ends_at <= $2 FROM line_facts
			WHERE phone > $1 AND $3::bigint IS NOT NULL ORDER BY phone LIMIT $4`,
		remove: `DELETE FROM line_facts WHERE phone IN (SELECT phone FROM line_facts
			WHERE phone = ANY($1) AND ends_at <= $2 AND $3::bigint IS NOT NULL FOR UPDATE SKIP LOCKED) RETURNING phone`,
	},
	{
		keys: uuidKey,
		scan: `SELECT event_id, at < $3 FROM events
			WHERE event_id > $1 AND $2::bigint IS NOT NULL ORDER BY event_id LIMIT $4`,
		remove: `DELETE FROM events WHERE event_id = ANY($1) AND $2::bigint IS NOT NULL AND at < $3 RETURNING event_id`,
		oldest: (*store.Sweep).OldestEvent,
	},
	{
		keys: uuidKey,
		scan: `SELECT event_id, queued_at < $3 FROM webhooks
			WHERE event_id > $1 AND $2::bigint IS NOT NULL ORDER BY event_id LIMIT $4`,
		remove: `DELETE FROM webhooks WHERE event_id = ANY($1) AND $2::bigint IS NOT NULL AND queued_at < $3 RETURNING event_id`,
		oldest: (*store.Sweep).OldestWebhook,
		with:   []string{`DELETE FROM webhook_deliveries WHERE event_id = ANY($1)`},
	},
	{
		keys: numberKey,
		scan: `SELECT rollup_no, ` + pastRollup + ` FROM rollups
			WHERE rollup_no > $1 ORDER BY rollup_no LIMIT $4`,
		remove: `DELETE FROM rollups WHERE rollup_no IN (SELECT rollup_no FROM rollups
			WHERE rollup_no = ANY($1) AND ` + pastRollup + ` FOR UPDATE SKIP LOCKED) RETURNING rollup_no`,
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
	uncounted = `$2::bigint - 90000000000`
	// An erased phone's last send is its erasure.
	forgettable = `(last_send_at <= $3 OR octet_length(sealed) = 0 AND last_send_at <= ` + uncounted + `)
		AND user_id IS NULL AND opted_out_at = 0 AND blocked_until <= $2`
	countless = `last_send_at <= ` + uncounted + ` AND (day_log IS NOT NULL OR failure_log IS NOT NULL OR lanes IS NOT NULL)`
	// pastRollup tells which roll-ups have passed: store.KeepHourly, in microseconds, is
	// for those of hours.
	pastRollup = `(start_at < $3 OR hours = 1 AND start_at < $2::bigint - 3888000000000)`
	// earlyKept is how long, in microseconds, a receipt waits for its outcome: a day.
	earlyKept = "86400000000"
)

// SweepExpired looks at the next slice of rows and removes the expired ones,
// but for those that a transaction works on. One node at a time should sweep; if
// two do, they only do the same twice.
func (s *Store) SweepExpired(ctx context.Context, in store.Sweep) (store.Swept, error) {
	s.sweep.mu.Lock()
	defer s.sweep.mu.Unlock()
	table := &sweepTables[s.sweep.table]
	now, oldest := micros(in.Now), micros(oldestMessage(&in))
	if table.oldest != nil {
		oldest = micros(table.oldest(&in))
	}
	if s.sweep.cursor == nil {
		s.sweep.cursor = table.keys.first
	}
	var last any
	var out store.Swept
	var seen int
	err := s.transact(ctx, func(t *tx) error {
		var expired, removed []any
		seen, out = 0, store.Swept{}
		t.each(func(c row) {
			seen++
			last = table.keys.read(c)
			if c.bool(1) {
				expired = append(expired, last)
			}
		}, table.scan, s.sweep.cursor, now, oldest, in.Limit)
		if err := t.flush(); err != nil || len(expired) == 0 {
			return err
		}
		known := make(map[string]bool, len(expired)) // a key may have several rows
		t.each(func(c row) {
			if !known[string(c[0])] {
				known[string(c[0])] = true
				removed = append(removed, table.keys.read(c))
			}
		}, table.remove, table.keys.list(expired), now, oldest)
		if err := t.flush(); err != nil {
			return err
		}
		for _, sql := range table.with {
			t.exec(sql, table.keys.list(removed))
		}
		out.Removed = len(removed)
		return nil
	})
	if err != nil {
		return store.Swept{}, err
	}
	s.sweep.cursor = last
	if seen < in.Limit {
		s.sweep.cursor = nil
		s.sweep.table = (s.sweep.table + 1) % len(sweepTables)
		out.Done = s.sweep.table == 0
	}
	return out, nil
}

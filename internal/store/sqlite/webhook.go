package sqlite

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/store"
)

// QueueWebhooks queues webhooks, all or none of them. One whose id is there already is
// left as it is, with its deliveries, so that a call may be repeated.
func (s *Store) QueueWebhooks(ctx context.Context, webhooks []store.Webhook) error {
	if len(webhooks) == 0 {
		return nil
	}
	return s.writer.do(ctx, func(t *tx) error {
		for i := range webhooks {
			if err := t.queueWebhook(&webhooks[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) queueWebhook(w *store.Webhook) error {
	err := prepare(t.conn, `INSERT INTO webhooks (event_id, client, kind, queued_at, body) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (event_id) DO NOTHING`).
		blob(w.ID[:]).blob([]byte(w.Client)).blob([]byte(w.Kind)).time(w.At).blob(w.Body).exec()
	if err != nil || t.conn.Changes() == 0 {
		return err
	}
	for _, endpoint := range w.Endpoints {
		err := prepare(t.conn, `INSERT INTO webhook_deliveries (event_id, endpoint_id, state, due_at, until) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (endpoint_id, event_id) DO NOTHING`).
			blob(w.ID[:]).blob(endpoint[:]).int(int64(store.DeliveryPending)).time(w.At).time(w.Until).exec()
		if err != nil {
			return err
		}
	}
	return nil
}

// deliveryColumns are those that columnDelivery reads, of webhook_deliveries d and
// webhooks w.
const deliveryColumns = `d.event_id, d.endpoint_id, d.state, d.claims, d.attempts, d.status, d.error, d.due_at, d.until, d.done_at,
	w.client, w.kind, w.queued_at`

func columnDelivery(st *sqlite.Stmt) store.WebhookDelivery {
	return store.WebhookDelivery{
		Event: columnID(st, 0), Endpoint: columnID(st, 1), State: store.DeliveryState(st.ColumnInt64(2)),
		Claims: st.ColumnInt(3), Attempts: st.ColumnInt(4), Status: st.ColumnInt(5), Error: st.ColumnText(6),
		DueAt: columnTime(st, 7), Until: columnTime(st, 8), DoneAt: columnTime(st, 9),
		Client: columnName(st, 10), Kind: columnName(st, 11), QueuedAt: columnTime(st, 12),
	}
}

// ClaimWebhooks takes due deliveries of some endpoints, the longest due first, and
// hides them for the lease. Each claim raises Claims, which fences the outcomes of
// older ones. Which endpoints have any is read first, so that thousands which have none
// take nothing of the one writer's time.
func (s *Store) ClaimWebhooks(ctx context.Context, in store.WebhookClaim) ([]store.WebhookDelivery, error) {
	rooms, err := s.dueRooms(ctx, &in)
	if err != nil || len(rooms) == 0 {
		return nil, err
	}
	var out []store.WebhookDelivery
	err = s.writer.do(ctx, func(t *tx) error {
		out = out[:0]
		for _, room := range rooms {
			begin := len(out)
			err := prepare(t.conn, `SELECT `+deliveryColumns+`, w.body
				FROM webhook_deliveries d INDEXED BY webhook_deliveries_due JOIN webhooks w ON w.event_id = d.event_id
				WHERE d.endpoint_id = ? AND d.due_at <= ? ORDER BY d.due_at LIMIT ?`).
				blob(room.Endpoint[:]).time(in.Now).int(int64(max(room.Limit, 0))).
				each(func(st *sqlite.Stmt) {
					d := columnDelivery(st)
					d.Body = columnBlob(st, 13)
					out = append(out, d)
				})
			if err != nil {
				return err
			}
			for i := begin; i < len(out); i++ {
				d := &out[i]
				d.Claims++
				d.DueAt = in.Now.Add(in.Lease)
				err := prepare(t.conn, `UPDATE webhook_deliveries SET claims = ?, due_at = ?, leased = 1 WHERE endpoint_id = ? AND event_id = ?`).
					int(int64(d.Claims)).time(d.DueAt).blob(d.Endpoint[:]).blob(d.Event[:]).exec()
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Store) dueRooms(ctx context.Context, in *store.WebhookClaim) (out []store.EndpointRoom, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		out = nil
		for _, room := range in.Rooms {
			due, err := prepare(conn, `SELECT 1 FROM webhook_deliveries INDEXED BY webhook_deliveries_due
				WHERE endpoint_id = ? AND due_at <= ? LIMIT 1`).
				blob(room.Endpoint[:]).time(in.Now).one(func(*sqlite.Stmt) {})
			if err != nil {
				return err
			}
			if due && room.Limit > 0 {
				out = append(out, room)
			}
		}
		return nil
	})
	return out, err
}

// RecordWebhooks stores what became of claimed deliveries. An outcome counts once, and
// only while its claim is the latest.
func (s *Store) RecordWebhooks(ctx context.Context, now time.Time, outcomes []store.WebhookOutcome) error {
	if len(outcomes) == 0 {
		return nil
	}
	return s.writer.do(ctx, func(t *tx) error {
		for i := range outcomes {
			o := &outcomes[i]
			due, done := o.DueAt, time.Time{}
			if o.State != store.DeliveryPending {
				due, done = time.Time{}, now
			}
			err := prepare(t.conn, `UPDATE webhook_deliveries
				SET state = ?, attempts = ?, status = ?, error = ?, due_at = ?, done_at = ?, leased = 0
				WHERE endpoint_id = ? AND event_id = ? AND claims = ? AND leased = 1`).
				int(int64(o.State)).int(int64(o.Attempts)).int(int64(o.Status)).text(o.Error).timeOrNull(due).time(done).
				blob(o.Endpoint[:]).blob(o.Event[:]).int(int64(o.Claims)).exec()
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// ReplayWebhooks makes deliveries due again, a step at a time. One that is claimed at
// the moment is tried once more.
func (s *Store) ReplayWebhooks(ctx context.Context, in store.WebhookReplay) (out store.WebhookReplayed, err error) {
	err = s.writer.do(ctx, func(t *tx) error {
		out = store.WebhookReplayed{}
		first, last := in.Event, in.Event
		if in.Event == (store.EventID{}) {
			seen := 0
			err := prepare(t.conn, `SELECT event_id FROM webhook_deliveries WHERE endpoint_id = ? AND event_id > ? ORDER BY event_id LIMIT ?`).
				blob(in.Endpoint[:]).blob(in.After[:]).int(int64(in.Limit)).each(func(st *sqlite.Stmt) {
				if last = columnID(st, 0); seen == 0 {
					first = last
				}
				seen++
			})
			if err != nil || seen == 0 {
				return err
			}
			if seen == in.Limit {
				out.Next = last
			}
		}
		err := prepare(t.conn, `UPDATE webhook_deliveries
			SET state = ?1, attempts = 0, due_at = ?2, until = ?3, done_at = 0, leased = 0, claims = claims + 1
			WHERE endpoint_id = ?4 AND event_id BETWEEN ?5 AND ?6 AND (?7 = 0 OR state = ?7)
			AND (SELECT queued_at FROM webhooks w WHERE w.event_id = webhook_deliveries.event_id) >= ?8`).
			int(int64(store.DeliveryPending)).time(in.Now).time(in.Until).blob(in.Endpoint[:]).blob(first[:]).blob(last[:]).
			int(int64(in.State)).time(in.Since).exec()
		out.Count = t.conn.Changes()
		return err
	})
	return out, err
}

// Webhooks lists deliveries to an endpoint, newest first.
func (s *Store) Webhooks(ctx context.Context, in store.WebhookQuery) ([]store.WebhookDelivery, error) {
	if in.Limit <= 0 {
		return nil, nil
	}
	before := in.Before
	if before == (store.EventID{}) {
		for i := range before {
			before[i] = 0xff
		}
	}
	var out []store.WebhookDelivery
	err := s.read(ctx, func(conn *sqlite.Conn) error {
		out = nil
		return prepare(conn, `SELECT `+deliveryColumns+` FROM webhook_deliveries d JOIN webhooks w ON w.event_id = d.event_id
			WHERE d.endpoint_id = ? AND d.event_id < ? AND (?3 = 0 OR d.state = ?3) ORDER BY d.event_id DESC LIMIT ?`).
			blob(in.Endpoint[:]).blob(before[:]).int(int64(in.State)).int(int64(in.Limit)).
			each(func(st *sqlite.Stmt) { out = append(out, columnDelivery(st)) })
	})
	return out, err
}

// tookSince looks at the index alone, whatever waits for the endpoint.
const tookSince = `SELECT 1 FROM webhook_deliveries INDEXED BY webhook_deliveries_done WHERE endpoint_id = ? AND state = ? AND done_at >= ? LIMIT 1`

// TookSince reports whether an endpoint took anything then or later.
func (s *Store) TookSince(ctx context.Context, endpoint store.EndpointID, since time.Time) (took bool, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) (err error) {
		took, err = prepare(conn, tookSince).blob(endpoint[:]).int(int64(store.DeliveryDone)).time(since).one(func(*sqlite.Stmt) {})
		return err
	})
	return took, err
}

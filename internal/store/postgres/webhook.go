package postgres

import (
	"bytes"
	"context"
	"slices"
	"time"

	"codeword/internal/store"
)

// QueueWebhooks queues webhooks, all or none of them. One whose id is there already is
// left as it is, with its deliveries, so that a call may be repeated.
func (s *Store) QueueWebhooks(ctx context.Context, webhooks []store.Webhook) error {
	if len(webhooks) == 0 {
		return nil
	}
	// Sorted, so that nodes that repeat each other's never wait in a circle; of one id
	// the first counts.
	sorted := slices.Clone(webhooks)
	slices.SortStableFunc(sorted, func(a, b store.Webhook) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return s.transact(ctx, func(t *tx) error {
		for i := range sorted {
			t.queueWebhook(&sorted[i])
		}
		return nil
	})
}

func (t *tx) queueWebhook(w *store.Webhook) {
	endpoints := make([][16]byte, len(w.Endpoints))
	for j, id := range w.Endpoints {
		endpoints[j] = id
	}
	t.exec(`WITH fresh AS (
			INSERT INTO webhooks (event_id, client, kind, queued_at, body) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (event_id) DO NOTHING RETURNING event_id)
		INSERT INTO webhook_deliveries (event_id, endpoint_id, state, due_at, until)
			SELECT fresh.event_id, e.id, $6, $4, $7 FROM fresh CROSS JOIN (SELECT DISTINCT unnest($8::uuid[]) AS id) e`,
		[16]byte(w.ID), []byte(w.Client), []byte(w.Kind), micros(w.At), notNull(w.Body),
		int16(store.DeliveryPending), micros(w.Until), endpoints)
}

// deliveryColumns are those that scanDelivery reads, of deliveries d and webhooks w.
const deliveryColumns = `d.event_id, d.endpoint_id, d.state, d.claims, d.attempts, d.status, d.error, d.due_at, d.until, d.done_at,
	w.client, w.kind, w.queued_at`

func scanDelivery(c row) store.WebhookDelivery {
	return store.WebhookDelivery{
		Event: c.id(0), Endpoint: c.id(1), State: store.DeliveryState(c.int(2)),
		Claims: int(c.int(3)), Attempts: int(c.int(4)), Status: int(c.int(5)), Error: c.text(6),
		DueAt: c.time(7), Until: c.time(8), DoneAt: c.time(9),
		Client: c.text(10), Kind: c.text(11), QueuedAt: c.time(12),
	}
}

// ClaimWebhooks takes due deliveries of some endpoints, the longest due first, and
// hides them for the lease. Each claim raises Claims, which fences the outcomes of
// older ones. What another node claims at the moment is skipped.
func (s *Store) ClaimWebhooks(ctx context.Context, in store.WebhookClaim) ([]store.WebhookDelivery, error) {
	ids, limits := make([][16]byte, len(in.Rooms)), make([]int64, len(in.Rooms))
	for i, room := range in.Rooms {
		ids[i], limits[i] = room.Endpoint, int64(max(room.Limit, 0))
	}
	var out []store.WebhookDelivery
	err := s.transact(ctx, func(t *tx) error {
		out = out[:0]
		t.each(func(c row) {
			d := scanDelivery(c)
			d.Body = c.bytes(13)
			out = append(out, d)
		}, `WITH due AS MATERIALIZED (
				SELECT x.event_id, x.endpoint_id, x.due_at AS since
				FROM unnest($1::uuid[], $2::bigint[]) AS r(id, room) CROSS JOIN LATERAL (
					SELECT event_id, endpoint_id, due_at FROM webhook_deliveries WHERE endpoint_id = r.id AND due_at <= $3
					ORDER BY due_at LIMIT r.room FOR NO KEY UPDATE SKIP LOCKED) x
			), d AS (
				UPDATE webhook_deliveries t SET claims = t.claims + 1, due_at = $4 FROM due
				WHERE t.event_id = due.event_id AND t.endpoint_id = due.endpoint_id
				RETURNING t.*, due.since
			)
			SELECT `+deliveryColumns+`, w.body FROM d JOIN webhooks w ON w.event_id = d.event_id ORDER BY d.since`,
			ids, limits, micros(in.Now), micros(in.Now.Add(in.Lease)))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// RecordWebhooks stores what became of claimed deliveries. An outcome counts once, and
// only while its claim is the latest.
func (s *Store) RecordWebhooks(ctx context.Context, now time.Time, outcomes []store.WebhookOutcome) error {
	if len(outcomes) == 0 {
		return nil
	}
	sorted := slices.Clone(outcomes) // in one order, as all who lock several
	slices.SortFunc(sorted, func(a, b store.WebhookOutcome) int {
		if c := bytes.Compare(a.Endpoint[:], b.Endpoint[:]); c != 0 {
			return c
		}
		return bytes.Compare(a.Event[:], b.Event[:])
	})
	return s.transact(ctx, func(t *tx) error {
		for i := range sorted {
			o := &sorted[i]
			var due any
			done := time.Time{}
			if o.State == store.DeliveryPending {
				due = micros(o.DueAt)
			} else {
				done = now
			}
			// The fence rises with the outcome, too, so that it counts once.
			t.exec(`UPDATE webhook_deliveries
				SET state = $1, attempts = $2, status = $3, error = $4, due_at = $5, done_at = $6, claims = claims + 1
				WHERE endpoint_id = $7 AND event_id = $8 AND claims = $9`,
				int16(o.State), o.Attempts, o.Status, []byte(o.Error), due, micros(done),
				[16]byte(o.Endpoint), [16]byte(o.Event), o.Claims)
		}
		return nil
	})
}

// ReplayWebhooks makes deliveries due again, a step at a time. One that is claimed at
// the moment is tried once more.
func (s *Store) ReplayWebhooks(ctx context.Context, in store.WebhookReplay) (out store.WebhookReplayed, err error) {
	err = s.transact(ctx, func(t *tx) error {
		out = store.WebhookReplayed{}
		first, last := in.Event, in.Event
		if in.Event == (store.EventID{}) {
			seen := 0
			t.each(func(c row) {
				if last = c.id(0); seen == 0 {
					first = last
				}
				seen++
			}, `SELECT event_id FROM webhook_deliveries WHERE endpoint_id = $1 AND event_id > $2 ORDER BY event_id LIMIT $3`,
				[16]byte(in.Endpoint), [16]byte(in.After), in.Limit)
			if err := t.flush(); err != nil || seen == 0 {
				return err
			}
			if seen == in.Limit {
				out.Next = last
			}
		}
		t.change(func(rows int64) { out.Count = int(rows) }, `WITH those AS MATERIALIZED (
				SELECT d.event_id FROM webhook_deliveries d JOIN webhooks w ON w.event_id = d.event_id
				WHERE d.endpoint_id = $4 AND d.event_id BETWEEN $5 AND $6 AND ($7::smallint = 0 OR d.state = $7) AND w.queued_at >= $8
				ORDER BY d.event_id FOR NO KEY UPDATE OF d)
			UPDATE webhook_deliveries d SET state = $1, attempts = 0, due_at = $2, until = $3, done_at = 0, claims = claims + 1
			FROM those WHERE d.endpoint_id = $4 AND d.event_id = those.event_id`,
			int16(store.DeliveryPending), micros(in.Now), micros(in.Until), [16]byte(in.Endpoint), [16]byte(first), [16]byte(last),
			int16(in.State), micros(in.Since))
		return t.flush()
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
	err := s.query(ctx, func(c row) { out = append(out, scanDelivery(c)) },
		`SELECT `+deliveryColumns+` FROM webhook_deliveries d JOIN webhooks w ON w.event_id = d.event_id
			WHERE d.endpoint_id = $1 AND d.event_id < $2 AND ($3::smallint = 0 OR d.state = $3)
			ORDER BY d.event_id DESC LIMIT $4`,
		[16]byte(in.Endpoint), [16]byte(before), int16(in.State), in.Limit)
	return out, err
}

// TookSince reports whether an endpoint took anything then or later. It looks at an index
// alone, whatever waits for the endpoint.
func (s *Store) TookSince(ctx context.Context, endpoint store.EndpointID, since time.Time) (took bool, err error) {
	err = s.query(ctx, func(row) { took = true },
		`SELECT 1 FROM webhook_deliveries WHERE endpoint_id = $1 AND state = $2 AND done_at >= $3 LIMIT 1`,
		[16]byte(endpoint), int16(store.DeliveryDone), micros(since))
	return took, err
}

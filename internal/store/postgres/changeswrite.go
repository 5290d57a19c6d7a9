package postgres

import (
	"slices"

	"codeword/internal/store"
)

// write queues everything that changed, a statement for each table.
func (ch *changes) write(t *tx) {
	ch.writeMessages(t)
	ch.writeDispatches(t)
	ch.writeReceipts(t)
	ch.writeEarly(t)
	t.writeFigures(ch.figures)
	if len(ch.optedOut) > 0 {
		phones, _, _ := span(ch.optedOut)
		// The first time stands.
		t.exec(`WITH o AS MATERIALIZED (SELECT phone_id FROM phones
				WHERE phone_id = ANY($1::uuid[]) AND opted_out_at = 0 ORDER BY phone_id FOR NO KEY UPDATE)
			UPDATE phones p SET opted_out_at = $2 FROM o WHERE p.phone_id = o.phone_id`, phones, micros(ch.now))
	}
}

func (ch *changes) writeMessages(t *tx) {
	var (
		ids                 []store.MessageID
		statuses, areas     []int16
		errors, routes      []string
		refs                []string
		dues, checks, lease []int64
	)
	for _, id := range sorted(ch.messages, byID) {
		m := ch.messages[id]
		if !m.dirty {
			continue
		}
		ids = append(ids, id)
		statuses, areas = append(statuses, int16(m.Status)), append(areas, int16(m.Area))
		errors = append(errors, storable(m.Error))
		routes, refs = append(routes, storable(m.Route)), append(refs, storable(m.Ref))
		dues, checks, lease = append(dues, micros(m.Due)), append(checks, micros(m.Check)), append(lease, micros(m.Leased))
	}
	if len(ids) == 0 {
		return
	}
	all, _, _ := span(ids) // in order already
	t.exec(`UPDATE messages m SET status = u.status, error = u.error, due_at = NULLIF(u.due, 0), check_at = NULLIF(u.check_at, 0),
			leased_until = u.leased, updated_at = $9, area = u.area, route = CASE u.route WHEN '' THEN m.route ELSE u.route END,
			carrier_ref = CASE u.route WHEN '' THEN m.carrier_ref ELSE u.ref END
		FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::text[], $10::smallint[])
			AS u(message_id, status, error, due, check_at, leased, route, ref, area)
		WHERE m.message_id = u.message_id`,
		all, statuses, errors, dues, checks, lease, routes, refs, micros(ch.now), areas)
}

func (ch *changes) writeDispatches(t *tx) {
	n := len(ch.addDispatches)
	if n == 0 {
		return
	}
	var (
		ids               = make([][16]byte, n)
		numbers, claims   = make([]int32, n), make([]int32, n)
		ats, prices       = make([]int64, n), make([]int64, n)
		routes, decisions = make([]string, n), make([]string, n)
		refs, errors      = make([]string, n), make([]string, n)
		statuses          = make([]int16, n)
		segments          = make([]int32, n)
	)
	for i := range ch.addDispatches {
		d := &ch.addDispatches[i]
		ids[i], numbers[i], claims[i] = d.id, int32(d.n), int32(d.Claim)
		ats[i], prices[i] = micros(d.At), d.PriceMicros
		routes[i], decisions[i] = storable(d.Route), storable(d.Decision)
		refs[i], errors[i] = storable(d.CarrierRef), storable(d.Error)
		statuses[i], segments[i] = int16(d.Status), int32(d.Segments)
	}
	t.exec(`INSERT INTO dispatches (message_id, n, at, claim, route, decision, status, carrier_ref, error, segments, price_micros)
		SELECT * FROM unnest($1::uuid[], $2::integer[], $3::bigint[], $4::integer[], $5::text[], $6::text[], $7::smallint[], $8::text[],
			$9::text[], $10::integer[], $11::bigint[])`,
		ids, numbers, ats, claims, routes, decisions, statuses, refs, errors, segments, prices)
}

// receiptColumns are receipts, column by column, as parameters.
type receiptColumns struct {
	statuses       []int16
	errors         []string
	retry, optOut  []bool
	ats, receiveds []int64
}

func (cs *receiptColumns) add(r *store.Receipt) {
	cs.statuses = append(cs.statuses, int16(r.Status))
	cs.errors = append(cs.errors, storable(r.Error))
	cs.retry, cs.optOut = append(cs.retry, r.Retry), append(cs.optOut, r.OptOut)
	cs.ats, cs.receiveds = append(cs.ats, micros(r.At)), append(cs.receiveds, micros(r.ReceivedAt))
}

func (ch *changes) writeReceipts(t *tx) {
	if len(ch.addReceipts) == 0 {
		return
	}
	var cs receiptColumns
	ids, numbers := make([][16]byte, len(ch.addReceipts)), make([]int32, len(ch.addReceipts))
	for i, r := range ch.addReceipts {
		ids[i], numbers[i] = r.id, int32(r.n)
		cs.add(r.Receipt)
	}
	t.exec(`INSERT INTO receipts (message_id, n, status, error, retry, opt_out, at, received_at)
		SELECT * FROM unnest($1::uuid[], $2::integer[], $3::smallint[], $4::text[], $5::boolean[], $6::boolean[], $7::bigint[], $8::bigint[])`,
		ids, numbers, cs.statuses, cs.errors, cs.retry, cs.optOut, cs.ats, cs.receiveds)
}

func (ch *changes) writeEarly(t *tx) {
	if len(ch.dropEarly) > 0 {
		routes, names := splitReferences(ch.dropEarly)
		t.exec(`DELETE FROM early_receipts e USING unnest($1::text[], $2::text[]) AS u(route, ref)
			WHERE e.carrier_ref = u.ref AND e.route = u.route`, routes, names)
	}
	if len(ch.addEarly) == 0 {
		return
	}
	var cs receiptColumns
	var of []reference
	for i := range ch.addEarly {
		r := &ch.addEarly[i]
		of = append(of, reference{r.Route, r.CarrierRef})
		cs.add(r)
	}
	routes, names := splitReferences(of)
	t.exec(`INSERT INTO early_receipts (carrier_ref, route, status, error, retry, opt_out, at, received_at)
		SELECT * FROM unnest($1::text[], $2::text[], $3::smallint[], $4::text[], $5::boolean[], $6::boolean[], $7::bigint[], $8::bigint[])`,
		names, routes, cs.statuses, cs.errors, cs.retry, cs.optOut, cs.ats, cs.receiveds)
}

// distinct returns references without the doubles, and without those that name
// nothing.
func distinct(refs []reference) []reference {
	known := make(map[reference]struct{}, len(refs))
	return slices.DeleteFunc(refs, func(r reference) bool {
		_, double := known[r]
		known[r] = struct{}{}
		return double || r.ref == ""
	})
}

package postgres

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// changes are what a batch of outcomes or receipts does to the log: rows read and
// locked once, changed in memory by one after the other, and written once.
//
// All transactions of all nodes lock in one order: references, then messages, then
// phones, each ascending. The lock of a reference is what a receipt and the outcome
// of its dispatch have in common, whichever comes first: who comes second sees what
// the other has written.
type changes struct {
	now      time.Time
	messages map[store.MessageID]*messageRow
	// early are receipts without a dispatch, by reference: those stored and those
	// of this batch.
	early map[reference][]store.Receipt
	// receipts are those of the messages' dispatches, stored and of this batch.
	receipts map[dispatchKey][]store.Receipt
	// What is to be added, or taken away.
	addDispatches []newDispatch
	addReceipts   []newReceipt
	addEarly      []store.Receipt
	dropEarly     []reference
	optedOut      []store.PhoneID
	figures       intent.Figures
}

type (
	// messageRow is a message in memory. last numbers its newest dispatch.
	messageRow struct {
		intent.Message
		last  int
		dirty bool
	}
	// reference is what a carrier calls a message.
	reference struct{ route, ref string }
	// dispatchKey names a dispatch.
	dispatchKey struct {
		id store.MessageID
		n  int
	}
	newDispatch struct {
		dispatchKey
		*store.Dispatch
	}
	newReceipt struct {
		dispatchKey
		*store.Receipt
	}
)

func newChanges(now time.Time) *changes {
	return &changes{
		now:      now,
		messages: make(map[store.MessageID]*messageRow),
		early:    make(map[reference][]store.Receipt),
		receipts: make(map[dispatchKey][]store.Receipt),
	}
}

// lockReferences queues the locks of references, and a look at the receipts that
// wait for their dispatch.
func (ch *changes) lockReferences(t *tx, refs []reference) {
	if len(refs) == 0 {
		return
	}
	keys := make([]int64, len(refs))
	for i, r := range refs {
		h := fnv.New64a()
		_, _ = h.Write([]byte(r.route + "\x00" + r.ref)) // never fails
		keys[i] = int64(h.Sum64())
	}
	slices.Sort(keys)
	t.exec(`SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) AS k`, slices.Compact(keys))
	routes, names := splitReferences(refs)
	t.each(func(c row) {
		r := scanReceipt(c)
		r.Route, r.CarrierRef = c.text(6), c.text(7)
		of := reference{r.Route, r.CarrierRef}
		ch.early[of] = append(ch.early[of], r)
	}, `SELECT e.status, e.error, e.retry, e.opt_out, e.at, e.received_at, e.route, e.carrier_ref
		FROM unnest($1::text[], $2::text[]) AS u(route, ref) JOIN early_receipts e ON e.carrier_ref = u.ref AND e.route = u.route`,
		routes, names)
}

func splitReferences(refs []reference) (routes, names []string) {
	routes, names = make([]string, len(refs)), make([]string, len(refs))
	for i, r := range refs {
		routes[i], names[i] = r.route, r.ref
	}
	return routes, names
}

// lockMessages queues the locks of messages.
func (ch *changes) lockMessages(t *tx, ids []store.MessageID) {
	all, lowest, highest := span(ids)
	t.each(func(c row) {
		m := &messageRow{}
		m.ID = c.id(0)
		m.Phone = c.id(1)
		m.Claims = int(c.int(2))
		m.Status = store.MessageStatus(c.int(3))
		m.Error = c.text(4)
		m.Due, m.Check, m.Leased = c.time(5), c.time(6), c.time(7)
		m.Expires = c.time(8)
		m.Verified = c.bool(9)
		m.Client, m.CreatedAt, m.Area, m.Stored = c.int(10), c.time(11), int(c.int(12)), c.text(13)
		ch.messages[m.ID] = m
	}, `SELECT message_id, phone_id, claims, status, error, due_at, check_at, leased_until, expires_at, verified_at <> 0,
			client_no, created_at, area, route
		FROM messages WHERE `+theseMessages+` ORDER BY message_id FOR NO KEY UPDATE`, all, lowest, highest)
}

// readHistory queues a look at the dispatches of messages that lockMessages has
// locked, and at the receipts of those.
func (ch *changes) readHistory(t *tx, ids []store.MessageID) {
	if len(ids) == 0 {
		return
	}
	all, lowest, highest := span(ids)
	t.each(func(c row) {
		if m := ch.messages[c.id(0)]; m != nil {
			m.last = max(m.last, int(c.int(1)))
			if intent.Taken(store.MessageStatus(c.int(2))) {
				m.Latest = max(m.Latest, int(c.int(1)))
			}
		}
	}, `SELECT message_id, n, status FROM dispatches WHERE `+theseMessages, all, lowest, highest)
	t.each(func(c row) {
		of := dispatchKey{c.id(6), int(c.int(7))}
		ch.receipts[of] = append(ch.receipts[of], scanReceipt(c))
	}, `SELECT status, error, retry, opt_out, at, received_at, message_id, n FROM receipts WHERE `+theseMessages, all, lowest, highest)
}

// inOrder sorts receipts, so that what they do does not depend on how they lie.
func inOrder(receipts []store.Receipt) []store.Receipt {
	slices.SortFunc(receipts, func(a, b store.Receipt) int {
		return cmp.Or(cmp.Compare(a.Status, b.Status), strings.Compare(a.Error, b.Error))
	})
	return receipts
}

// has tells whether a receipt that says the same is among these.
func has(receipts []store.Receipt, r *store.Receipt) bool {
	return slices.ContainsFunc(receipts, func(o store.Receipt) bool { return o.Status == r.Status && o.Error == r.Error })
}

// addReceipt adds a receipt to its dispatch; false when it was there.
func (ch *changes) addReceipt(of dispatchKey, r *store.Receipt) bool {
	if has(ch.receipts[of], r) {
		return false
	}
	ch.receipts[of] = append(ch.receipts[of], *r)
	ch.addReceipts = append(ch.addReceipts, newReceipt{of, r})
	return true
}

// optOut notes that the owner of a phone wants no messages.
func (ch *changes) optOut(phone store.PhoneID) { ch.optedOut = append(ch.optedOut, phone) }

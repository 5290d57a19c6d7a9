package postgres

import (
	"time"

	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// intake is a batch of accepted messages on its way into the log. As a send does,
// it locks phones, ascending, and then adds messages.
type intake struct {
	entries []entry
	ids     []store.MessageID
	// phones are those of the entries.
	phones map[store.PhoneID]*chained
	// stored are the messages that the log has.
	stored map[store.MessageID]bool
	// fresh are the entries to be added, with the message of the phone before each.
	fresh []entry
}

type (
	entry struct {
		*store.Accepted
		client   int64
		previous [16]byte
	}
	// chained is a phone, with its newest message.
	chained struct {
		known bool
		last  [16]byte
		// erased is as in intent.Phone.
		erased time.Time
		// first and newest are what the batch adds; nil for nothing.
		first, newest *entry
	}
)

func newIntake() *intake { return &intake{phones: make(map[store.PhoneID]*chained)} }

func (in *intake) add(a *store.Accepted, client int64) {
	in.entries = append(in.entries, entry{Accepted: a, client: client})
	in.ids = append(in.ids, a.ID)
	want(in.phones, a.Phone)
}

// read queues the locks of the phones, and then a look at what is there already:
// whoever adds a message holds its phone.
func (in *intake) read(t *tx) {
	in.stored = make(map[store.MessageID]bool)
	for id := range in.phones {
		in.phones[id] = &chained{}
	}
	phones, _, _ := span(sorted(in.phones, byID))
	t.each(func(c row) {
		p := in.phones[c.id(0)]
		p.known, p.last, p.erased = true, c.id(1), c.time(2)
	}, `SELECT p.phone_id, p.last_message, CASE WHEN octet_length(p.sealed) = 0 THEN p.last_send_at ELSE 0 END FROM unnest($1::uuid[]) AS u(phone_id) JOIN phones p ON p.phone_id = u.phone_id
		ORDER BY p.phone_id FOR NO KEY UPDATE OF p`, phones)
	all, lowest, highest := span(in.ids)
	t.each(func(c row) { in.stored[c.id(0)] = true }, `SELECT message_id FROM messages WHERE `+theseMessages, all, lowest, highest)
}

// chain finds out what is to be added.
func (in *intake) chain() {
	in.fresh = make([]entry, 0, len(in.entries))
	for _, e := range in.entries {
		if in.stored[e.ID] {
			continue
		}
		in.stored[e.ID] = true
		p := in.phones[e.Phone]
		if intent.Late(p.erased, e.CreatedAt) {
			continue
		}
		e.previous = p.last
		in.fresh = append(in.fresh, e)
		p.last, p.newest = e.ID, &in.fresh[len(in.fresh)-1]
		if p.first == nil {
			p.first = p.newest
		}
	}
}

// write queues the phones, those that were not known first, and the messages.
func (in *intake) write(t *tx) {
	var made, changed struct {
		ids, last         [][16]byte
		clients, ats, new []int64
		sealed            [][]byte
	}
	for _, id := range sorted(in.phones, byID) {
		p := in.phones[id]
		if p.newest == nil {
			continue
		}
		to := &changed
		if !p.erased.IsZero() {
			t.exec(`UPDATE phones SET sealed = $2, created_at = $3 WHERE phone_id = $1`, [16]byte(id), notNull(p.first.Sealed), micros(p.first.CreatedAt))
		}
		if !p.known {
			to = &made
			made.clients = append(made.clients, p.first.client)
			made.sealed = append(made.sealed, notNull(p.first.Sealed))
			made.new = append(made.new, micros(p.first.CreatedAt))
		}
		to.ids, to.last, to.ats = append(to.ids, id), append(to.last, p.last), append(to.ats, micros(p.newest.CreatedAt))
	}
	if len(made.ids) > 0 {
		t.exec(`INSERT INTO phones (phone_id, client_no, sealed, created_at, last_message, last_send_at)
			SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bigint[], $5::uuid[], $6::bigint[])`,
			made.ids, made.clients, made.sealed, made.new, made.last, made.ats)
	}
	if len(changed.ids) > 0 {
		t.exec(`UPDATE phones p SET last_message = u.last, last_send_at = GREATEST(p.last_send_at, u.at)
			FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS u(phone_id, last, at) WHERE p.phone_id = u.phone_id`,
			changed.ids, changed.last, changed.ats)
	}
	in.writeMessages(t)
}

func (in *intake) writeMessages(t *tx) {
	if len(in.fresh) == 0 {
		return
	}
	var (
		ids, phones, previous, challenges   [][16]byte
		clients, versions, created, expires []int64
		digits                              []int16
		locales                             []string
	)
	for i := range in.fresh {
		e := &in.fresh[i]
		ids, phones = append(ids, e.ID), append(phones, e.Phone)
		previous, challenges = append(previous, e.previous), append(challenges, e.Challenge)
		clients, versions = append(clients, e.client), append(versions, int64(e.KeyVersion))
		created, expires = append(created, micros(e.CreatedAt)), append(expires, micros(e.ExpiresAt))
		digits, locales = append(digits, int16(e.Digits)), append(locales, storable(e.Locale))
	}
	t.exec(`INSERT INTO messages
			(message_id, client_no, phone_id, previous, challenge_id, key_version, digits, status, due_at, created_at, expires_at, locale)
		SELECT message_id, client_no, phone_id, NULLIF(previous, '00000000-0000-0000-0000-000000000000'), challenge_id, key_version, digits,
			$11::smallint, created_at, created_at, expires_at, locale
		FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::uuid[], $6::bigint[], $7::smallint[], $8::bigint[], $9::bigint[], $10::text[])
			AS u(message_id, client_no, phone_id, previous, challenge_id, key_version, digits, created_at, expires_at, locale)`,
		ids, clients, phones, previous, challenges, versions, digits, created, expires, locales, int16(store.MessageQueued))
}

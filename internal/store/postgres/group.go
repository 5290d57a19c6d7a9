package postgres

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// rows is what one group sees: the rows that its operations look at, read and
// locked once, changed in memory by one operation after the other, and written
// once. It belongs to a committer.
//
// All transactions of all nodes lock in one order: sessions, idempotency keys,
// phones, limits, each ascending, so that none waits for another in a circle. A
// row that is not there cannot be locked; rows are inserted in the same order, and
// who comes second fails and is run again. Limits come last since one of them, the
// client's own, is locked by every group with a send of that client: who waits for
// it has everything else done.
type rows struct {
	sessions map[store.SessionID]*sessionRow
	keys     map[[32]byte]*keyRow
	phones   map[store.PhoneID]*phoneRow
	users    map[store.UserID]*userRow
	limits   map[string]*limitRow
	// messages are those to be added.
	messages []newMessage
	// webhooks are events of what was decided.
	webhooks []store.Webhook
	// committer names the row of padding; padded says that it has to be written.
	committer [16]byte
	padded    bool
}

// The rows in memory. stored tells that the database has the row, dirty that it
// has to be written.
type (
	sessionRow struct {
		store.Session
		client        int64
		stored, dirty bool
		// gone is for one that was revoked.
		gone bool
	}
	keyRow struct {
		body          [32]byte
		phone         store.PhoneID
		expires       time.Time
		stored, dirty bool
	}
	phoneRow struct {
		intent.Phone
		client         int64
		sent, verified time.Time
		// sealed and created are for a phone that is not stored yet, or was erased.
		sealed        []byte
		created       time.Time
		stored, dirty bool
	}
	userRow struct {
		phone         store.PhoneID
		client        int64
		stored, dirty bool
	}
	limitRow struct {
		tat           time.Time
		stored, dirty bool
	}
	newMessage struct {
		client int64
		in     *store.Start
		to     store.PhoneID
		sent   intent.Sent
	}
)

func newRows(committer [16]byte) *rows {
	return &rows{
		sessions: make(map[store.SessionID]*sessionRow), keys: make(map[[32]byte]*keyRow),
		phones: make(map[store.PhoneID]*phoneRow), users: make(map[store.UserID]*userRow),
		limits: make(map[string]*limitRow), committer: committer,
	}
}

func (r *rows) reset() {
	clear(r.sessions)
	clear(r.keys)
	clear(r.phones)
	clear(r.users)
	clear(r.limits)
	clear(r.messages)
	r.messages, r.webhooks, r.padded = r.messages[:0], nil, false
}

// want puts a row on the reading list: it is in the map, empty, until lock has been
// carried out.
func want[K comparable, V any](m map[K]*V, key K) {
	if _, ok := m[key]; !ok {
		m[key] = new(V)
	}
}

func byID[K ~[16]byte](a, b K) int { return bytes.Compare(a[:], b[:]) }

func sorted[K comparable, V any](m map[K]*V, compare func(a, b K) int) []K {
	return slices.SortedFunc(maps.Keys(m), compare)
}

func byKey(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) }

const (
	lockSession = `SELECT client_no, user_id, phone_id, amr, auth_time, created_at, expires_at, issuer, subject
		FROM sessions WHERE session_id = $1 FOR NO KEY UPDATE`
	lockKey   = `SELECT body, phone_id, expires_at FROM idempotency WHERE idempotency_key = $1 FOR NO KEY UPDATE`
	lockPhone = `SELECT client_no, opted_out_at, blocked_until, user_id, verified_at, burst_tat, day_log, failure_log, last_message, last_send_at, challenges,
			lanes, devices, octet_length(sealed) = 0
		FROM phones WHERE phone_id = $1 FOR NO KEY UPDATE`
	readUser  = `SELECT client_no, phone_id FROM users WHERE user_id = $1`
	lockLimit = `SELECT tat FROM limits WHERE limit_key = $1 FOR NO KEY UPDATE`
)

// lock queues the reading list.
func (r *rows) lock(t *tx) {
	for _, id := range sorted(r.sessions, byID) {
		s := r.sessions[id]
		t.each(func(c row) { s.scan(id, c) }, lockSession, [16]byte(id))
	}
	for _, key := range sorted(r.keys, byKey) {
		k := r.keys[key]
		t.each(func(c row) {
			k.stored = true
			copy(k.body[:], c[0])
			k.phone, k.expires = c.id(1), c.time(2)
		}, lockKey, key[:])
	}
	for _, id := range sorted(r.phones, byID) {
		p := r.phones[id]
		p.ID = id
		t.each(p.scan, lockPhone, [16]byte(id))
	}
	for id, u := range r.users {
		t.each(func(c row) { u.stored, u.client, u.phone = true, c.int(0), c.id(1) }, readUser, [16]byte(id))
	}
	for _, key := range sorted(r.limits, strings.Compare) {
		l := r.limits[key]
		t.each(func(c row) { l.stored, l.tat = true, c.time(0) }, lockLimit, []byte(key))
	}
}

func (s *sessionRow) scan(id store.SessionID, c row) {
	s.stored, s.client = true, c.int(0)
	s.Session = scanSession(id, c)
}

func (p *phoneRow) scan(c row) {
	p.stored, p.Known = true, true
	p.client = c.int(0)
	p.OptedOut = c.int(1) != 0
	p.Blocked = c.time(2)
	p.HasUser = !c.null(3)
	p.User = c.id(3)
	p.verified = c.time(4)
	p.Burst = c.time(5)
	p.Day, p.Failures, p.LastMessage = c.bytes(6), c.bytes(7), c.bytes(8)
	p.sent = c.time(9)
	p.Challenges, p.Lanes, p.Devices = c.bytes(10), c.bytes(11), store.Devices(c.bytes(12))
	if c.bool(13) {
		p.ErasedAt = p.sent
	}
}

// restore has the number of a phone that was erased stored again.
func (p *phoneRow) restore(sealed []byte, now time.Time) {
	if !p.ErasedAt.IsZero() {
		p.sealed, p.created, p.ErasedAt, p.dirty = notNull(sealed), now, time.Time{}, true
	}
}

// phone is a phone as the client sees it: another client's is not known.
func (r *rows) phone(client int64, id store.PhoneID) (*phoneRow, bool) {
	p := r.phones[id]
	return p, p.Known && !p.foreign(client)
}

// errForeign is for what cannot be: a phone's id is a digest over its client.
var errForeign = fault.New(fault.Internal, "postgres: the phone is another client's")

// foreign tells whether a phone that is known is another client's.
func (p *phoneRow) foreign(client int64) bool { return p.Known && p.client != client }

// write queues everything that changed.
func (r *rows) write(t *tx) {
	r.writeSessions(t)
	for _, key := range sorted(r.keys, byKey) {
		r.keys[key].write(t, key)
	}
	for _, id := range sorted(r.phones, byID) {
		r.phones[id].write(t)
	}
	for _, id := range sorted(r.users, byID) {
		if u := r.users[id]; u.dirty && u.stored {
			t.exec(`UPDATE users SET client_no = $2, phone_id = $3 WHERE user_id = $1`, [16]byte(id), u.client, [16]byte(u.phone))
		} else if u.dirty {
			t.exec(`INSERT INTO users (user_id, client_no, phone_id) VALUES ($1, $2, $3)`, [16]byte(id), u.client, [16]byte(u.phone))
		}
	}
	for _, key := range sorted(r.limits, strings.Compare) {
		if l := r.limits[key]; l.dirty && l.stored {
			t.exec(`UPDATE limits SET tat = $2 WHERE limit_key = $1`, []byte(key), micros(l.tat))
		} else if l.dirty {
			t.exec(`INSERT INTO limits (limit_key, tat) VALUES ($1, $2)`, []byte(key), micros(l.tat))
		}
	}
	for i := range r.messages {
		r.messages[i].write(t)
	}
	for i := range r.webhooks {
		t.queueWebhook(&r.webhooks[i])
	}
	if r.padded {
		t.exec(`INSERT INTO padding (committer, n) VALUES ($1, 1) ON CONFLICT (committer) DO UPDATE SET n = padding.n + 1`, r.committer)
	}
}

func (r *rows) writeSessions(t *tx) {
	for _, id := range sorted(r.sessions, byID) {
		switch s := r.sessions[id]; {
		case !s.dirty:
		case s.gone:
			t.exec(`DELETE FROM sessions WHERE session_id = $1`, [16]byte(id))
		case s.stored:
			t.exec(`UPDATE sessions SET phone_id = $2, amr = $3, auth_time = $4, expires_at = $5 WHERE session_id = $1`,
				[16]byte(id), [16]byte(s.Phone), strings.Join(s.AMR, " "), micros(s.AuthTime), micros(s.ExpiresAt))
		default:
			t.exec(`INSERT INTO sessions
				(session_id, client_no, user_id, phone_id, amr, auth_time, created_at, expires_at, issuer, subject) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
				[16]byte(id), s.client, [16]byte(s.User), [16]byte(s.Phone), strings.Join(s.AMR, " "),
				micros(s.AuthTime), micros(s.CreatedAt), micros(s.ExpiresAt), []byte(s.Issuer), []byte(s.Subject))
		}
	}
}

func (k *keyRow) write(t *tx, key [32]byte) {
	switch {
	case !k.dirty:
	case k.stored: // and expired
		t.exec(`UPDATE idempotency SET body = $2, phone_id = $3, expires_at = $4 WHERE idempotency_key = $1`,
			key[:], k.body[:], [16]byte(k.phone), micros(k.expires))
	default:
		t.exec(`INSERT INTO idempotency (idempotency_key, body, phone_id, expires_at) VALUES ($1, $2, $3, $4)`,
			key[:], k.body[:], [16]byte(k.phone), micros(k.expires))
	}
}

func (p *phoneRow) write(t *tx) {
	var user any
	if p.HasUser {
		user = [16]byte(p.User)
	}
	switch {
	case !p.dirty:
	case p.stored:
		if p.sealed != nil {
			t.exec(`UPDATE phones SET sealed = $2, created_at = $3 WHERE phone_id = $1`, [16]byte(p.ID), p.sealed, micros(p.created))
		}
		t.exec(`UPDATE phones SET user_id = $2, verified_at = $3, burst_tat = $4, day_log = $5, failure_log = $6, last_message = $7,
				last_send_at = $8, challenges = $9, challenges_until = $10, lanes = $11, devices = $12 WHERE phone_id = $1`,
			[16]byte(p.ID), user, micros(p.verified), micros(p.Burst), bytesOrNull(p.Day), bytesOrNull(p.Failures), idOrNull(p.LastMessage),
			micros(p.sent), bytesOrNull(p.Challenges), micros(p.Challenges.Until()), bytesOrNull(p.Lanes), bytesOrNull([]byte(p.Devices)))
	default:
		t.exec(`INSERT INTO phones (phone_id, user_id, verified_at, burst_tat, day_log, failure_log, last_message,
				last_send_at, challenges, challenges_until, lanes, devices, client_no, sealed, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
			[16]byte(p.ID), user, micros(p.verified), micros(p.Burst), bytesOrNull(p.Day), bytesOrNull(p.Failures), idOrNull(p.LastMessage),
			micros(p.sent), bytesOrNull(p.Challenges), micros(p.Challenges.Until()), bytesOrNull(p.Lanes), bytesOrNull([]byte(p.Devices)),
			p.client, p.sealed, micros(p.created))
	}
}

func (m *newMessage) write(t *tx) {
	ch, now := &m.sent.Challenge, micros(m.in.Now)
	t.exec(`INSERT INTO messages
		(message_id, client_no, phone_id, previous, challenge_id, key_version, digits, status, due_at, created_at, expires_at, locale)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10, $11)`,
		[16]byte(m.in.Message), m.client, [16]byte(m.to), idOrNull(m.sent.Previous), [16]byte(ch.ID), int64(ch.KeyVersion), int64(ch.Digits),
		int64(store.MessageQueued), now, micros(ch.ExpiresAt), m.in.Locale)
}

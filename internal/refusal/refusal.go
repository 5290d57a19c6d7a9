// Package refusal remembers for some days which sends were refused and why, so that
// whoever is asked why a person got no code finds the answer. It is a help for people and
// no ledger: of each phone it keeps the last refusal for each reason, and under a flood
// only some.
package refusal

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"codeword/internal/store"
)

// Life is how long a refusal is kept.
const Life = 3 * 24 * time.Hour

// maxDetail bounds a refusal's detail, in bytes.
const maxDetail = 256

// Notes are the store's part.
type Notes interface {
	PutNotes(ctx context.Context, now time.Time, notes []store.Note) error
	Notes(ctx context.Context, now time.Time, topic string, since time.Time) ([]store.Note, error)
}

// Keys seal what is told of a refusal: it can name an end user's network.
type Keys interface {
	Seal(plain, ad []byte) ([]byte, error)
	Open(sealed, ad []byte) ([]byte, error)
}

// Book is where refusals are kept. All of it is required.
type Book struct {
	Notes Notes
	Keys  Keys
	Now   func() time.Time
}

// Refusal is that sends to a phone were refused for a reason.
type Refusal struct {
	// At is the last time, to within half a minute.
	At time.Time
	// Code is what the caller was told, and Limit which limit was meant, if one was.
	Code, Limit string
	// Detail is what the log says of it; empty when it cannot be opened. It names no phone.
	Detail string
}

// Of lists what is remembered of the phone that has these ids within a client, newest
// first. What was noted under several ids for the same reason is told once.
func (b *Book) Of(ctx context.Context, client string, ids []store.PhoneID) ([]Refusal, error) {
	rows, err := b.rows(ctx, client, ids)
	if err != nil {
		return nil, err
	}
	out := make([]Refusal, len(rows))
	for i := range rows {
		out[i] = b.read(&rows[i])
	}
	byReason := func(a, b Refusal) int { return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Limit, b.Limit)) }
	newest := func(a, b Refusal) int { return b.At.Compare(a.At) }
	slices.SortFunc(out, func(a, b Refusal) int { return cmp.Or(byReason(a, b), newest(a, b)) })
	out = slices.CompactFunc(out, func(a, b Refusal) bool { return byReason(a, b) == 0 })
	slices.SortStableFunc(out, newest)
	return out, nil
}

// Forget forgets what is remembered of the phone that has these ids within a client, and
// counts it.
func (b *Book) Forget(ctx context.Context, client string, ids []store.PhoneID) (int, error) {
	rows, err := b.rows(ctx, client, ids)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	for i := range rows {
		// Long ago, so that they have ended by every clock.
		rows[i].Until, rows[i].Body = time.Unix(0, 0), nil
	}
	return len(rows), b.Notes.PutNotes(ctx, b.Now(), rows)
}

func (b *Book) rows(ctx context.Context, client string, ids []store.PhoneID) (rows []store.Note, err error) {
	for _, id := range ids {
		more, err := b.Notes.Notes(ctx, b.Now(), topic(client, id), time.Time{})
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// topic is the topic of the notes of a client's phone.
func topic(client string, id store.PhoneID) string { return "refused/" + client + "/" + id.String() }

// write makes the note of a refusal. The next one for the same reason takes its place.
func (b *Book) write(client string, id store.PhoneID, r *Refusal) (n store.Note, err error) {
	n = store.Note{Topic: topic(client, id), Key: r.Code + "/" + r.Limit, At: r.At, Until: r.At.Add(Life)}
	n.Body, err = b.Keys.Seal([]byte(r.Detail), place(&n))
	return n, err
}

// read reads a note. One whose body another node sealed, under a key that this one does
// not have yet, still tells what is in clear.
func (b *Book) read(n *store.Note) Refusal {
	r := Refusal{At: n.At}
	r.Code, r.Limit, _ = strings.Cut(n.Key, "/")
	if detail, err := b.Keys.Open(n.Body, place(n)); err == nil {
		r.Detail = string(detail)
	}
	return r
}

// place is what a note's body is bound to.
func place(n *store.Note) []byte { return []byte(n.Topic + "\x00" + n.Key) }

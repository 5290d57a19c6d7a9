// Package refusal remembers for some days which sends were refused and why, so that
// whoever is asked why a person got no code finds the answer. It is a help for people and
// no ledger: of each phone it keeps the last refusal for each reason, and under a flood
// only some.
package refusal

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
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
	At time.Time `json:"-"`
	// Code is what the caller was told, and Limit which limit was meant, if one was.
	Code  string `json:"code"`
	Limit string `json:"limit,omitempty"`
	// Detail is what the log says of it. It names no phone.
	Detail string `json:"detail,omitempty"`
}

// Of lists what is remembered of the phone that has these ids within a client, newest
// first.
func (b *Book) Of(ctx context.Context, client string, ids []store.PhoneID) ([]Refusal, error) {
	rows, err := b.rows(ctx, client, ids)
	if err != nil {
		return nil, err
	}
	out := make([]Refusal, len(rows))
	for i := range rows {
		if out[i], err = b.read(&rows[i]); err != nil {
			return nil, fmt.Errorf("refusal: a note cannot be read: %w", err)
		}
	}
	slices.SortStableFunc(out, func(a, b Refusal) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Limit, b.Limit))
	})
	return out, nil
}

// Forget forgets what is remembered of the phone that has these ids within a client, and
// counts it.
func (b *Book) Forget(ctx context.Context, client string, ids []store.PhoneID) (int, error) {
	rows, err := b.rows(ctx, client, ids)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	now := b.Now()
	for i := range rows {
		rows[i].Until, rows[i].Body = now, nil
	}
	return len(rows), b.Notes.PutNotes(ctx, now, rows)
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
func (b *Book) write(client string, id store.PhoneID, r *Refusal) (store.Note, error) {
	n := store.Note{Topic: topic(client, id), Key: r.Code + "/" + r.Limit, At: r.At, Until: r.At.Add(Life)}
	plain, err := json.Marshal(r)
	if err == nil {
		n.Body, err = b.Keys.Seal(plain, place(&n))
	}
	return n, err
}

func (b *Book) read(n *store.Note) (r Refusal, err error) {
	plain, err := b.Keys.Open(n.Body, place(n))
	if err == nil {
		err = json.Unmarshal(plain, &r)
	}
	r.At = n.At
	return r, err
}

// place is what a note's body is bound to.
func place(n *store.Note) []byte { return []byte(n.Topic + "\x00" + n.Key) }

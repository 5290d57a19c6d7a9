package console

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/url"
	"slices"
	"time"
)

// These letters mark the cursors of the lists, each of one list.
const (
	clientList   = 'c'
	deliveryList = 'd'
	eventList    = 'e'
	holdList     = 'h'
	inboxList    = 'i'
	messageList  = 'm'
	spendingList = 's'
	webhookList  = 'w'
)

// place is where an item stands in its list: by its time, and by its key among those of
// one time. A cursor is the place of the last item that was given, so that items that
// come or go meanwhile move no other. Whoever makes a cursor up begins elsewhere in what
// he may see anyway.
type place struct {
	at  int64 // ms since 1970
	key string
}

func placed(at time.Time, key string) place { return place{at.UnixMilli(), key} }

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.at, q.at), cmp.Compare(p.key, q.key))
}

// maxCursor bounds cursors in bytes: no key is longer than 512.
const maxCursor = 1024

// cursor writes a place in a list of that kind, one letter.
func (p place) cursor(kind byte) string {
	raw := append([]byte{kind}, binary.BigEndian.AppendUint64(nil, uint64(p.at))...)
	return base64.RawURLEncoding.EncodeToString(append(raw, p.key...))
}

// readPlace reads a cursor of a list of that kind.
func readPlace(kind byte, cursor string) (p place, ok bool) {
	if len(cursor) > maxCursor {
		return p, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	const head = 9
	if err != nil || len(raw) <= head || raw[0] != kind {
		return p, false
	}
	p = place{int64(binary.BigEndian.Uint64(raw[1:head])), string(raw[head:])}
	return p, p.cursor(kind) == cursor
}

// readID reads a cursor of a list of that kind whose places are ids alone.
func readID[ID comparable](kind byte, cursor string, parse func(string) (ID, bool)) (id ID, ok bool) {
	p, ok := readPlace(kind, cursor)
	if !ok || p.at != 0 {
		return id, false
	}
	var none ID
	id, ok = parse(p.key)
	return id, ok && id != none
}

// cursorOf is the cursor of an id in a list of that kind.
func cursorOf(kind byte, id fmt.Stringer) string { return place{key: id.String()}.cursor(kind) }

// paging says which part of a list is wanted.
type paging struct {
	kind  byte
	limit int
	after place
	begun bool
}

// readPaging reads limit and cursor, the only parameters, as readFilters does.
func readPaging(u *url.URL, kind byte) (paging, string) {
	p := paging{kind: kind, limit: defaultLimit}
	wrong := readFilters(u, []string{"limit", "cursor"}, func(name, value string) (want string, ok bool) {
		switch name {
		case "limit":
			p.limit, ok = parseLimit(value)
			want = wantLimit
		case "cursor":
			p.after, ok = readPlace(kind, value)
			p.begun, want = true, wantCursor
		}
		return want, ok
	})
	return p, wrong
}

// pageOf cuts a page out of a list, sorted from the lowest place, or with newest first
// from the highest. next is the cursor of the page after it; empty for none.
func pageOf[T any](items []T, p paging, newest bool, where func(*T) place) (page []T, next string) {
	compare := func(a, b place) int {
		if newest {
			return b.compare(a)
		}
		return a.compare(b)
	}
	items = slices.Clone(items)
	slices.SortFunc(items, func(a, b T) int { return compare(where(&a), where(&b)) })
	if p.begun {
		i, found := slices.BinarySearchFunc(items, p.after, func(item T, at place) int { return compare(where(&item), at) })
		if found {
			i++
		}
		items = items[i:]
	}
	if len(items) > p.limit {
		items = items[:p.limit]
		next = where(&items[p.limit-1]).cursor(p.kind)
	}
	return items, next
}

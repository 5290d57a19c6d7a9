package inbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"codeword/internal/carrier/inbox"
	"codeword/internal/fault"
	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

// world is a message log in memory. Numbers are "sealed" by spelling them out.
type world struct {
	clients  []*tenant.Client
	messages []store.Message // oldest first
	queries  int
	err      error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := new(world)
	for _, row := range []store.Client{
		{ID: "client-test"},
		{ID: "client-two"},
		{ID: "client-live", Live: true},
	} {
		c, err := tenant.Parse(row)
		if err != nil {
			t.Fatal(err)
		}
		w.clients = append(w.clients, c)
	}
	return w
}

func phoneID(client, number string) (id store.PhoneID) {
	copy(id[:], client[7:]+number[len(number)-8:])
	return id
}

// add appends a message; its code is 100000 plus its place.
func (w *world) add(client, number string, change func(*store.Message)) store.Message {
	m := store.Message{
		Client:    client,
		Phone:     phoneID(client, number),
		Sealed:    []byte(number),
		Status:    store.MessageQueued,
		CreatedAt: t0.Add(time.Duration(len(w.messages)) * time.Second),
		ExpiresAt: t0.Add(10 * time.Minute),
	}
	m.ID[0], m.ID[1] = byte((len(w.messages)+1)>>8), byte(len(w.messages)+1)
	if change != nil {
		change(&m)
	}
	w.messages = append(w.messages, m)
	return m
}

func (w *world) query(_ context.Context, q store.MessageQuery) (store.MessagePage, error) {
	w.queries++
	var page store.MessagePage
	for _, m := range slices.Backward(w.messages) {
		if q.Before != (store.MessageID{}) && slices.Compare(m.ID[:], q.Before[:]) >= 0 ||
			!slices.Contains(q.Clients, m.Client) || q.Phones != nil && !slices.Contains(q.Phones, m.Phone) {
			continue
		}
		if page.Messages = append(page.Messages, m); len(page.Messages) == q.Limit {
			page.Next = m.ID
			break
		}
	}
	return page, w.err
}

func (w *world) view() *inbox.View {
	return inbox.NewView(inbox.Config{
		Clients:  func(context.Context) ([]*tenant.Client, error) { return w.clients, nil },
		Messages: w.query,
		Shown:    func(c *tenant.Client) bool { return !c.Live },
		Open: func(m store.Message) (phone.Number, error) {
			if string(m.Sealed) == "retired" {
				return phone.Number{}, errors.New("no such key")
			}
			return phone.Parse(string(m.Sealed))
		},
		Code: func(_ *tenant.Client, m store.Message) (string, error) {
			if m.KeyVersion == 99 {
				return "", errors.New("no such key")
			}
			return fmt.Sprint(100000 + int(m.ID[0])<<8 + int(m.ID[1])), nil
		},
		PhoneIDs: func(c *tenant.Client, n phone.Number) ([]store.PhoneID, error) {
			return []store.PhoneID{{1, 2, 3}, phoneID(c.ID, n.E164())}, nil
		},
	})
}

func list(t *testing.T, w *world, q inbox.Query) []inbox.Entry {
	t.Helper()
	page, err := w.view().List(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return page.Messages
}

func texts(entries []inbox.Entry) (out []string) {
	for _, e := range entries {
		out = append(out, e.To+" "+e.Text[:6])
	}
	return out
}

func TestListShowsWhatWouldArrive(t *testing.T) {
	w := newWorld(t)
	w.add("client-test", "+16502530000", nil)
	w.add("client-two", "+16502530001", func(m *store.Message) { m.Status = store.MessageDelivered; m.Route = "inbox" })
	w.add("client-live", "+16502530002", nil)
	w.add("client-gone", "+16502530002", nil)
	w.add("client-test", "+15005550005", nil) // rejected, though still queued
	w.add("client-test", "+15005550006", func(m *store.Message) { m.Status = store.MessageSent })
	w.add("client-test", "+15005550007", func(m *store.Message) { m.ExpiresAt = t0.Add(-time.Minute) })
	w.add("client-test", "+16502530003", func(m *store.Message) { m.Status = store.MessageFailed })
	w.add("client-test", "+16502530003", func(m *store.Message) { m.Status = store.MessageExpired })
	w.add("client-test", "+16502530004", func(m *store.Message) { m.Route = "smpp"; m.Status = store.MessageSent })
	w.add("client-test", "+16502530005", func(m *store.Message) { m.Sealed = nil })
	w.add("client-test", "+16502530006", func(m *store.Message) { m.KeyVersion = 99 })
	w.add("client-test", "retired-", func(m *store.Message) { m.Sealed = []byte("retired") })

	got := texts(list(t, w, inbox.Query{}))
	want := []string{
		"[unavailable] [unava",
		"+16502530006 [unava",
		"+15005550007 100007",
		"+16502530001 100002",
		"+16502530000 100001",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestListByNumber(t *testing.T) {
	w := newWorld(t)
	w.add("client-test", "+16502530000", nil)
	w.add("client-two", "+16502530000", nil)
	w.add("client-two", "+16502530001", nil)
	got := texts(list(t, w, inbox.Query{To: "+16502530000"}))
	if want := []string{"+16502530000 100002", "+16502530000 100001"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := list(t, w, inbox.Query{To: "+16502539999"}); got == nil || len(got) != 0 {
		t.Errorf("unknown number: got %v, want an empty list", got)
	}
	for _, to := range []string{" 16502530000", "16502530000", "+", "+1650253000x", "+4930123456", strings.Repeat("+1", 1<<16)} {
		if _, err := w.view().List(t.Context(), inbox.Query{To: to}); !fault.Is(err, fault.InvalidPhone) {
			t.Errorf("to of %d bytes: got %v, want InvalidPhone", len(to), err)
		}
	}
}

func TestListLimits(t *testing.T) {
	w := newWorld(t)
	for range 600 {
		w.add("client-test", "+16502530000", nil)
	}
	for limit, want := range map[int]int{0: 50, -1: 50, 1: 1, 500: 500, 501: 500, 1 << 30: 500} {
		if got := len(list(t, w, inbox.Query{Limit: limit})); got != want {
			t.Errorf("limit %d: got %d messages, want %d", limit, got, want)
		}
	}
	var pages []string
	q := inbox.Query{Limit: 250}
	for range 3 {
		page := list(t, w, q)
		pages = append(pages, texts(page)...)
		copy(q.Before[:], []byte{byte((600 - len(pages) + 1) >> 8), byte(600 - len(pages) + 1)})
	}
	if len(pages) != 600 || pages[0] != "+16502530000 100600" || pages[599] != "+16502530000 100001" {
		t.Errorf("%d messages over three pages, from %s to %s", len(pages), pages[0], pages[len(pages)-1])
	}
}

// TestListPastHidden: messages that are not shown do not make a page short, and
// any number of them does not make List run long.
func TestListPastHidden(t *testing.T) {
	w := newWorld(t)
	w.add("client-test", "+16502530000", nil)
	for range 30 {
		w.add("client-test", inbox.UndeliveredNumber, nil)
	}
	if got := list(t, w, inbox.Query{Limit: 10}); len(got) != 1 {
		t.Errorf("got %d messages behind hidden ones, want 1", len(got))
	}
	w.queries = 0
	if list(t, w, inbox.Query{Limit: 1}); w.queries > 20 {
		t.Errorf("%d queries for one page", w.queries)
	}
}

func TestListNoInboxClient(t *testing.T) {
	w := newWorld(t)
	w.clients = w.clients[2:]
	w.add("client-test", "+16502530000", nil)
	if got := list(t, w, inbox.Query{To: "+16502530000"}); got == nil || len(got) != 0 || w.queries != 0 {
		t.Errorf("got %d messages in %d queries, want none at all", len(got), w.queries)
	}
}

func TestListPages(t *testing.T) {
	w := newWorld(t)
	for i := range 7 {
		w.add("client-test", fmt.Sprintf("+1650253000%d", i), func(m *store.Message) {
			if i%3 == 1 { // hidden
				m.Status = store.MessageFailed
			}
		})
	}
	var got []string
	var q inbox.Query
	for q.Limit = 2; ; {
		page, err := w.view().List(t.Context(), q)
		if err != nil || len(page.Messages) > 2 {
			t.Fatal(page, err)
		}
		got = append(got, texts(page.Messages)...)
		if q.Before = page.Next; q.Before == (store.MessageID{}) {
			break
		}
	}
	want := []string{"+16502530006 100007", "+16502530005 100006", "+16502530003 100004", "+16502530002 100003", "+16502530000 100001"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestListStoreDown(t *testing.T) {
	w := newWorld(t)
	w.err = fault.New(fault.Unavailable, "down")
	if _, err := w.view().List(t.Context(), inbox.Query{}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want Unavailable", err)
	}
}

func TestEntryJSON(t *testing.T) {
	w := newWorld(t)
	w.add("client-test", "+16502530000", nil)
	entries := list(t, w, inbox.Query{})
	raw, err := json.Marshal(inbox.Page{Messages: entries})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"messages":[{"id":"00010000-0000-0000-0000-000000000000","to":"+16502530000","from":"Codeword",` +
		`"text":"100001 is your Codeword verification code. Don't share it.","createTime":"2026-03-01T12:00:00.123Z"}]}`
	if got := strings.ReplaceAll(string(raw), `\u0027`, "'"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var out strings.Builder
	timeless := func(_ []string, a slog.Attr) slog.Attr { // digits of the time are no leak
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: timeless})).Info("x", "entry", entries[0])
	fmt.Fprintf(&out, "%v %+v %#v %s", entries[0], entries, entries[0], inbox.Page{Messages: entries})
	if s := out.String(); strings.Contains(s, "650") || strings.Contains(s, "100001") {
		t.Errorf("number or code leaked: %s", s)
	}
}

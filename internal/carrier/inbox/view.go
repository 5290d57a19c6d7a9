package inbox

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"codeword/internal/fault"
	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// Page sizes of View.List.
const (
	DefaultLimit = 50
	MaxLimit     = 500
)

// scanPages bounds how many pages of the log one List reads to fill its own,
// since messages that the inbox hides may stand in between.
const scanPages = 20

// Unavailable stands for a text or number that cannot be shown any more,
// because its key was retired.
const Unavailable = "[unavailable]"

// Config is what a View looks through. All fields are required.
type Config struct {
	// Clients lists all clients; the view picks those of the inbox.
	Clients func(context.Context) ([]*tenant.Client, error)
	// Messages reads the message log, newest first.
	Messages func(context.Context, store.MessageQuery) (store.MessagePage, error)
	// Open decrypts the number of a message whose Sealed is not empty.
	Open func(store.Message) (phone.Number, error)
	// Code derives the code of a message.
	Code func(*tenant.Client, store.Message) (string, error)
	// PhoneIDs tells under which ids, one per index key, the number may be
	// known to the client.
	PhoneIDs func(*tenant.Client, phone.Number) ([]store.PhoneID, error)
	// Shown tells whether the client's messages go to the inbox.
	Shown func(*tenant.Client) bool
}

// View shows the messages of all clients whose messages go to the inbox. It is safe
// for concurrent use.
type View struct {
	cfg Config
}

// NewView returns a View.
func NewView(cfg Config) *View {
	return &View{cfg: cfg}
}

// Query selects messages.
type Query struct {
	// To is a number in E.164, or empty for all.
	To string
	// Limit is how many at most; DefaultLimit if not positive, never over
	// MaxLimit.
	Limit int
	// Before, when not zero, continues after that message.
	Before store.MessageID
}

// Page is a part of the inbox.
type Page struct {
	Messages []Entry `json:"messages"`
	// Next, when not zero, is the Before of the next page.
	Next store.MessageID `json:"-"`
}

// Entry is one message as the recipient would see it. Number and text are in
// its JSON and nowhere else: printed or logged, it shows its id.
type Entry struct {
	ID string `json:"id"`
	// Client is whose message it is.
	Client string `json:"-"`
	To     string `json:"to"`
	// From is the client's brand.
	From       string    `json:"from"`
	Text       string    `json:"text"`
	CreateTime time.Time `json:"createTime"`
}

// Format implements [fmt.Formatter] with the id alone.
func (e Entry) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "message "+e.ID) // a Formatter has nowhere to report to
}

// LogValue implements [slog.LogValuer] with the id alone.
func (e Entry) LogValue() slog.Value { return slog.StringValue(e.ID) }

// List returns a page of messages, newest first; they are never nil without an error. A message
// is there as soon as it was accepted, whether or not the delivery loop has
// seen it, and never if it was not, or would not be, delivered. Those of a
// phone that was erased are gone.
//
// It refuses a To that is no North American number with fault.InvalidPhone.
func (v *View) List(ctx context.Context, q Query) (Page, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	limit = min(limit, MaxLimit)
	query := store.MessageQuery{Limit: limit, Before: q.Before}
	clients, err := v.clients(ctx, &query)
	if err != nil {
		return Page{}, err
	}
	if q.To != "" {
		if err := v.filter(&query, clients, q.To); err != nil {
			return Page{}, err
		}
	}
	out := Page{Messages: make([]Entry, 0, min(limit, DefaultLimit))}
	if len(clients) == 0 || (query.Phones != nil && len(query.Phones) == 0) {
		return out, nil
	}
	for range scanPages {
		page, err := v.cfg.Messages(ctx, query)
		if err != nil {
			return Page{}, err
		}
		for i, m := range page.Messages {
			e, ok := v.entry(m, clients[m.Client])
			if !ok {
				continue
			}
			out.Messages = append(out.Messages, e)
			if len(out.Messages) == limit {
				if i+1 < len(page.Messages) || page.Next != (store.MessageID{}) {
					out.Next = m.ID
				}
				return out, nil
			}
		}
		query.Before, out.Next = page.Next, page.Next
		if page.Next == (store.MessageID{}) {
			break
		}
	}
	return out, nil
}

// clients returns those of the inbox by id and names them in the query.
func (v *View) clients(ctx context.Context, query *store.MessageQuery) (map[string]*tenant.Client, error) {
	all, err := v.cfg.Clients(ctx)
	if err != nil {
		return nil, err
	}
	clients := make(map[string]*tenant.Client, len(all))
	for _, c := range all {
		if v.cfg.Shown(c) {
			clients[c.ID] = c
			query.Clients = append(query.Clients, c.ID)
		}
	}
	return clients, nil
}

// filter limits the query to a number. Its ids differ from client to client.
func (v *View) filter(query *store.MessageQuery, clients map[string]*tenant.Client, to string) error {
	n, err := phone.Parse(to)
	if err != nil {
		return fault.Wrap(fault.InvalidPhone, "inbox filter", err)
	}
	query.Phones = []store.PhoneID{}
	for _, id := range query.Clients {
		ids, err := v.cfg.PhoneIDs(clients[id], n)
		if err != nil {
			return err
		}
		query.Phones = append(query.Phones, ids...)
	}
	return nil
}

// entry renders one message, or says that the inbox does not show it.
func (v *View) entry(m store.Message, c *tenant.Client) (Entry, bool) {
	switch {
	case c == nil, len(m.Sealed) == 0:
		return Entry{}, false
	case m.Status == store.MessageFailed, m.Status == store.MessageExpired:
		return Entry{}, false
	case m.Route != "" && m.Route != tenant.RouteInbox:
		// It went to a phone before the client moved to the inbox, so its code
		// is nobody's business here.
		return Entry{}, false
	}
	e := Entry{
		ID:         m.ID.String(),
		Client:     c.ID,
		To:         Unavailable,
		From:       c.Settings.Brand,
		Text:       Unavailable,
		CreateTime: m.CreatedAt.UTC().Truncate(time.Millisecond),
	}
	to, err := v.cfg.Open(m)
	if err != nil {
		return e, true
	}
	if fateOf(to) != delivered {
		return Entry{}, false
	}
	e.To = to.E164()
	if code, err := v.cfg.Code(c, m); err == nil {
		e.Text = string(c.Texts.Render(m.Locale, code))
	}
	return e, true
}

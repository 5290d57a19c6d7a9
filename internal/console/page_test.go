package console_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"golang.org/x/net/html"

	"codeword/api"
	"codeword/internal/audit"
	"codeword/internal/console"
	"codeword/internal/fault"
	"codeword/internal/guard/fraud"
	"codeword/internal/guard/spend"
	"codeword/internal/keyring"
	"codeword/internal/rollup"
	"codeword/internal/screening"
	"codeword/internal/session"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// hostile is what somebody would write where he can to do harm.
const hostile = `"'><script>alert(1)</script><img src=x onerror=alert(2)>` + "\x1b[2J\u202eevil\x00{{.}}"

// memory keeps clients and events.
type memory struct {
	mu      sync.Mutex
	clients []store.Client
	events  []store.Event
	err     error
}

func (m *memory) Clients(context.Context) ([]store.Client, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.clients), m.err
}

func (m *memory) CreateClient(_ context.Context, c store.Client) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(m.clients, func(o store.Client) bool { return o.ID == c.ID }) {
		return fault.New(fault.Conflict, "taken")
	}
	m.clients = append(m.clients, c)
	return m.err
}

func (m *memory) UpdateClient(_ context.Context, c store.Client) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.clients {
		if m.clients[i].ID == c.ID {
			if m.clients[i].Revision != c.Revision {
				return fault.New(fault.Conflict, "changed")
			}
			c.Revision++
			m.clients[i] = c
			return m.err
		}
	}
	return fault.New(fault.NotFound, "none")
}

func (*memory) RecordSecretUse(context.Context, []store.SecretUse) error { return nil }

func (m *memory) AppendEvents(_ context.Context, events []store.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.events = append(m.events, events...)
	}
	return m.err
}

func (m *memory) Events(_ context.Context, q store.EventQuery) ([]store.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []store.Event
	for _, e := range slices.Backward(m.events) {
		fits := (q.Client == "" || q.Client == e.Client) && (q.Kind == "" || q.Kind == e.Kind || strings.HasSuffix(q.Kind, ".") && strings.HasPrefix(e.Kind, q.Kind))
		if fits && len(out) < q.Limit && (q.Before == (store.EventID{}) || string(e.ID[:]) < string(q.Before[:])) {
			out = append(out, e)
		}
	}
	return out, m.err
}

// kinds are the kinds of the events, with who did it.
func (m *memory) kinds() (out []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.events {
		out = append(out, e.Actor+" "+e.Kind)
	}
	return out
}

type fakeGuard struct {
	holds    []screening.Hold
	spent    spend.State
	err      error
	released []string
}

func (g *fakeGuard) Holds(context.Context) ([]screening.Hold, error) { return g.holds, g.err }

func (g *fakeGuard) Release(_ context.Context, actor, key string) error {
	if !slices.ContainsFunc(g.holds, func(h screening.Hold) bool { return h.Key == key }) {
		return fault.New(fault.NotFound, "none")
	}
	g.released = append(g.released, actor+" "+key)
	return g.err
}
func (g *fakeGuard) Spent(string) spend.State { return g.spent }

type fakeKeys struct {
	keys    []session.KeyInfo
	err     error
	rotated []string
}

func (k *fakeKeys) ListKeys(context.Context) ([]session.KeyInfo, error) { return k.keys, k.err }

func (k *fakeKeys) RotateNow(_ context.Context, actor string, immediate bool) (session.KeyInfo, error) {
	if k.err == nil {
		k.rotated = append(k.rotated, fmt.Sprint(actor, " ", immediate))
	}
	return session.KeyInfo{KID: "next", State: session.KeyNext}, k.err
}

// whole is a console that has everything.
type whole struct {
	*fixture

	memory   *memory
	messages *fakeMessages
	guard    *fakeGuard
	keys     *fakeKeys
	rollups  *fakeRollups
	hooks    *hookStore
	tests    *fakeTests
	phones   *fakePhones
	routes   []console.RouteView
	queue    store.QueueStats
	clients  *tenant.Registry
	browser  *http.Client
	console  *console.Console
	// made are the settings of the console.
	made console.Config
}

func newWhole(t *testing.T) *whole {
	t.Helper()
	w := &whole{
		fixture: newFixture(t), memory: &memory{}, messages: &fakeMessages{}, guard: &fakeGuard{}, keys: &fakeKeys{},
		hooks: newHookStore(t), rollups: &fakeRollups{}, phones: &fakePhones{},
		tests: &fakeTests{out: console.TestOutcome{Route: "main", PhoneMask: "0000", Status: "sent"}},
	}
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	w.clients = tenant.NewRegistry(tenant.Config{
		Store: w.memory, Keys: ring, Now: w.cfg.Now, Log: slog.New(slog.DiscardHandler),
		Audit: &audit.Trail{Store: w.memory, Now: w.cfg.Now},
	})
	cfg := w.cfg
	cfg.Messages, cfg.Events, cfg.Guard, cfg.Clients, cfg.Keys = w.messages, w.memory, w.guard, w.clients, w.keys
	cfg.MasterKeys, cfg.Webhooks = ring.List, w.hooks.registry(w.memory, ring, w.cfg.Now)
	cfg.Phones, cfg.TestSends = w.phones, w.tests
	cfg.Rollups = w.rollups
	cfg.Routes = func() []console.RouteView { return w.routes }
	cfg.Queue = func(context.Context) (store.QueueStats, error) { return w.queue, w.memory.err }
	w.made = cfg
	c, err := console.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewServer(c.Handler())
	t.Cleanup(ts.Close)
	w.url, w.console, w.described = ts.URL, c, true
	w.browser = w.fixture.browser()
	w.do(w.browser, "POST", "/login", url.Values{"token": {token}})
	return w
}

// client makes a client and returns its id.
func (w *whole) client(name, settings string) string {
	w.t.Helper()
	row, _, err := w.clients.Create(w.t.Context(), "test", "", name, true, []byte(settings))
	if err != nil {
		w.t.Fatal(err)
	}
	return row.ID
}

func (w *whole) get(path string) answer { w.t.Helper(); return w.do(w.browser, "GET", path, nil) }

func (w *whole) post(path string, form url.Values) answer {
	w.t.Helper()
	return w.do(w.browser, "POST", path, form)
}

func (w *whole) fail(err error) {
	w.memory.err, w.messages.err, w.guard.err, w.keys.err, w.inbox.err, w.hooks.err = err, err, err, err, err, err
	w.rollups.err, w.phones.err = err, err
}

// pages are all pages of a client and a message.
func pages(client string) []string {
	return []string{
		"/", "/?range=7d", "/?range=30d&client=" + client, "/?range=90d&route=main", "/?areaCode=212", "/?client=test", "/?client=all&range=7d", "/messages", "/messages/" + messageID.String(), "/phones", "/inbox", "/routes", "/guard", "/clients", "/clients/new",
		"/clients/" + client, "/webhooks", "/webhooks?client=" + client, "/webhooks/new", "/keys", "/audit", "/audit?client=" + client + "&kind=client.",
	}
}

func hold(key, client, scope, name, mode string) screening.Hold {
	return screening.Hold{Key: key, Client: client, HoldData: screening.HoldData{
		Scope: scope, Name: name, ID: 1, At: at(1), Until: at(50), Strikes: 2, Mode: mode,
		Reasons: []fraud.Reason{fraud.ReasonUnverified, fraud.ReasonVolume, "<b>new"},
		Numbers: fraud.Numbers{Seconds: 300, Sends: 90, Fresh: 80, Again: 10, Different: 78, Verified: 1, Expected: 2.5, Share: 0.7, Evidence: 40, Surprise: 30},
	}}
}

// fill puts n of everything into the console; every name is text.
func (w *whole) fill(client string, n int, text string) {
	m := aMessage()
	m.ClientID, m.PhoneMask, m.Route, m.Error, m.Locale, m.PhoneID = client, "0000", text, text, text, "phone-number-live-1"
	w.messages.detail = console.MessageDetail{
		MessageView: m,
		Dispatches: []console.DispatchView{{
			Time: api.NewTime(at(6)), Route: text, Status: "sent", CarrierRef: text, Error: text, Segments: 2, PriceMicros: 7900,
			Decision: []console.VerdictView{{Route: text, Verdict: "breaker_open"}, {Route: "backup", Verdict: "chosen"}, {Route: "third", Verdict: text}},
		}},
		Receipts: []console.ReceiptView{{Route: text, CarrierRef: text, Status: "delivered", Error: text, ReceiveTime: api.NewTime(at(7)), CarrierTime: api.NewTime(at(6))}},
	}
	w.messages.detail.Challenge = &console.ChallengeView{State: console.ChallengeExhausted, Attempts: new(5), MaxAttempts: 5}
	w.queue = store.QueueStats{Depth: n, Oldest: at(1)}
	w.hooks.fill(w.t, w.memory, client, n, text)
	w.guard.spent = spend.State{Hour: 1_500_000, Day: 2_500_000}
	w.messages.page = console.MessagePage{Next: messageID}
	w.phones.fill(client, n, text, m)
	for i := range n {
		w.messages.page.Messages = append(w.messages.page.Messages, m)
		w.inbox.entries = append(w.inbox.entries, entry(fmt.Sprint("entry-", i), text))
		w.inbox.entries[i].ClientID = client
		w.guard.holds = append(w.guard.holds, hold(fmt.Sprint(client, "/block/", i), client, "block", text, "enforce"),
			hold(fmt.Sprint(client, "/address/", i), client, "address", text, "shadow"))
		w.routes = append(w.routes, console.RouteView{
			Name: text, Carrier: text, Priority: 1, Weight: 1, Breaker: "open", OpenUntil: api.NewTime(at(9)), Stalled: true, Unhealthy: true,
			PausedUntil: api.NewTime(at(9)), Health: 0.5, Samples: 12, InFlight: 3, Sent: 5, Rate: 10, Failures: map[string]uint64{text: 4, "filtered": 1},
		})
		w.keys.keys = append(w.keys.keys, session.KeyInfo{KID: text, Algorithm: "ES256", State: session.KeyActive, CreatedAt: at(1), ActiveAt: at(2), RetireAt: at(9)})
		raw := fmt.Sprintf(`{"changes": {"brand": {"from": %q, "to": null}, "safeNumbers": {"from": 1, "to": 2, "added": ["x"]}}, "mode": "shadow", "name": %q}`, "<b>", "<script>\u202e")
		w.rollups.happened(w.t, client, w.cfg.Now().Add(-time.Duration(i)*time.Hour), rollup.Event{
			Route: text + strings.Repeat("!", i), Area: 200 + i, Messages: true, Sent: true, Delivered: true, DeliveredAfter: time.Second,
			Verified: i%2 == 0, VerifiedAfter: time.Minute, Reason: text, Micros: 7900,
		})
		w.memory.events = append(w.memory.events,
			store.Event{ID: store.NewEventID(), At: at(3), Client: client, Kind: "guard.hold", Actor: text, Data: []byte(raw)},
			store.Event{ID: store.NewEventID(), At: at(3), Client: client, Kind: "spend.stop", Actor: text, Data: []byte(text)})
	}
	w.guard.holds = append(w.guard.holds, hold(client+"/alarm", client, "client", text, "enforce"))
	for i := range n {
		w.memory.clients = append(w.memory.clients, store.Client{ID: fmt.Sprint("client-test-", i), Name: text, Settings: []byte(`{"spendPerHour": 2, "spendPerDay": 2.5}`), Revision: 1, CreatedAt: at(1)})
	}
	w.memory.clients = append(w.memory.clients, store.Client{ID: "client-broken", Name: text, Settings: []byte(`{"brand": "` + strings.ToValidUTF8(text, "") + `"}`), Revision: 1, CreatedAt: at(1), DisabledAt: at(2)})
}

func TestPagesInEveryState(t *testing.T) {
	for _, c := range []struct {
		name string
		n    int
		text string
		err  error
		want int
	}{
		{"empty", -1, "", nil, 200},
		{"one", 1, "main", nil, 200},
		{"many", 40, "a rather long name that does not end soon", nil, 200},
		{"hostile", 2, hostile, nil, 200},
		{"right to left", 1, "مرحبا \u2067 abc", nil, 200},
		{"store down", -1, "", fault.New(fault.Unavailable, "secret"), 503},
		{"broken", 1, "main", errors.New("secret"), 500},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWhole(t)
			id := w.client("shop", `{"spendPerDay": 5, "safeNumbers": ["+12065550100"], "templates": {"en": "{code} is your {brand} code."}}`)
			w.messages.detail = console.MessageDetail{MessageView: aMessage()}
			w.messages.detail.ClientID = id
			if c.n >= 0 {
				w.fill(id, c.n, c.text)
			}
			w.fail(c.err)
			for _, path := range append(append(pages(id), "/clients/client-broken"), w.hooks.pages()...) {
				got := w.get(path)
				want := c.want
				if path == "/clients/new" || path == "/webhooks/new" || path == "/routes" || path == "/phones" {
					want = 200
				} else if path == "/clients/client-broken" && c.n < 0 && c.err == nil {
					want = 404
				}
				if got.status != want {
					t.Fatalf("%s: %d, want %d: %s", path, got.status, want, got.body)
				}
				if strings.Contains(got.body, "secret\"") && c.err != nil || strings.Contains(got.body, token) {
					t.Errorf("%s tells what it must not", path)
				}
				w.checkPage(path, got, c.err == nil && c.n < 2)
			}
			got := w.post("/phones", url.Values{"phone": {"+16502187777"}, "client": {c.text}})
			if got.status != c.want || strings.Contains(got.body, "6502187777") {
				t.Errorf("a phone: %d, want %d: %s", got.status, c.want, got.body)
			}
			w.checkPage("/phones", got, c.err == nil && c.n < 2)
		})
	}
}

// checkPage checks what holds for every page. With follow its links have to lead
// somewhere.
func (w *whole) checkPage(path string, got answer, follow bool) {
	w.t.Helper()
	if csp := got.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		w.t.Errorf("%s: Content-Security-Policy %q", path, csp)
	}
	doc, err := html.Parse(strings.NewReader(got.body))
	if err != nil {
		w.t.Fatal(err)
	}
	p := newParsed(doc)
	for _, wrong := range p.wrong() {
		w.t.Errorf("%s: %s", path, wrong)
	}
	if !follow {
		return
	}
	for _, href := range p.links {
		if fragment, ok := strings.CutPrefix(href, "#"); ok {
			if p.ids[fragment] == 0 {
				w.t.Errorf("%s: nothing has the id %q", path, fragment)
			}
		} else if strings.HasPrefix(href, "/debug") {
			continue // they take long
		} else if to := w.get(href); to.status >= 400 {
			w.t.Errorf("%s: the link %s leads to %d", path, href, to.status)
		}
	}
}

// parsed is what matters of a page.
type parsed struct {
	ids, labels map[string]int
	links       []string
	found       []string
	h1          int
	level       int
	refers      []string
	controls    []*html.Node
}

func newParsed(doc *html.Node) *parsed {
	p := &parsed{ids: map[string]int{}, labels: map[string]int{}}
	for n := range doc.Descendants() {
		switch n.Type {
		case html.ElementNode:
			p.element(n)
		case html.TextNode:
			if n.Parent.Data != "textarea" && strings.ContainsFunc(n.Data, func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' }) {
				p.found = append(p.found, fmt.Sprintf("text that cannot be seen: %q", n.Data))
			}
		}
	}
	return p
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func (p *parsed) element(n *html.Node) {
	for _, a := range n.Attr {
		switch {
		case strings.HasPrefix(a.Key, "on"), a.Key == "style":
			p.found = append(p.found, "an inline "+a.Key)
		case a.Key == "id":
			p.ids[a.Val]++
		case a.Key == "aria-labelledby", a.Key == "aria-describedby":
			p.refers = append(p.refers, strings.Fields(a.Val)...)
		}
	}
	switch n.Data {
	case "svg":
		if attr(n, "role") != "img" || attr(n, "aria-labelledby") == "" {
			p.found = append(p.found, "a chart without a name")
		}
	case "style", "img", "iframe", "b":
		p.found = append(p.found, "an element "+n.Data)
	case "script":
		if !strings.HasPrefix(attr(n, "src"), "/assets/") || n.FirstChild != nil {
			p.found = append(p.found, "an inline script")
		}
	case "a":
		p.links = append(p.links, attr(n, "href"))
	case "label":
		p.labels[attr(n, "for")]++
	case "input", "select", "textarea":
		if attr(n, "type") != "hidden" {
			p.controls = append(p.controls, n)
		}
	case "h1", "h2", "h3", "h4":
		level := int(n.Data[1] - '0')
		if level > p.level+1 {
			p.found = append(p.found, "a heading skips a level at "+n.Data)
		}
		p.level = level
		if level == 1 {
			p.h1++
		}
	case "table":
		if n.FirstChild == nil || !slices.ContainsFunc(slices.Collect(n.ChildNodes()), func(c *html.Node) bool { return c.Data == "caption" }) {
			p.found = append(p.found, "a table without a caption")
		}
	case "form":
		if attr(n, "action") == "" || attr(n, "method") != "post" && attr(n, "method") != "get" {
			p.found = append(p.found, "a form that goes nowhere")
		}
	}
}

func (p *parsed) wrong() []string {
	found := p.found
	if p.h1 != 1 {
		found = append(found, fmt.Sprint(p.h1, " headings of the first level"))
	}
	for id, n := range p.ids {
		if n > 1 || id == "" {
			found = append(found, fmt.Sprintf("the id %q is there %d times", id, n))
		}
	}
	for _, id := range p.refers {
		if p.ids[id] == 0 {
			found = append(found, fmt.Sprintf("nothing has the id %q that something refers to", id))
		}
	}
	for _, n := range p.controls {
		if p.labels[attr(n, "id")] != 1 {
			found = append(found, fmt.Sprintf("%s %s has %d labels", n.Data, attr(n, "name"), p.labels[attr(n, "id")]))
		}
	}
	return found
}

package webhook

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"codeword/internal/audit"
	"codeword/internal/audit/audittest"
	"codeword/internal/keyring"
	"codeword/internal/store"
	"codeword/internal/store/sqlite/sqlitetest"
	"codeword/internal/tenant"
	"codeword/internal/waittest"
)

const client = "client-live-a"

// ledger is what a bed stands on.
type ledger interface {
	Documents
	Queue
	audit.Store
}

// bed is a registry, an emitter and a loop on a real store.
type bed struct {
	t        *testing.T
	store    ledger
	ring     *keyring.Ring
	trail    *audittest.Log
	registry *Registry
	emitter  *Emitter
	loop     *Loop
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func newBed(t *testing.T, st ledger, now func() time.Time, change ...func(*Config)) *bed {
	t.Helper()
	if st == nil {
		st = sqlitetest.New(t)
	}
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{t: t, store: st, ring: ring, trail: &audittest.Log{}}
	b.registry = NewRegistry(RegistryConfig{Documents: st, Queue: st, Keys: ring, Now: now, Audit: &audit.Trail{Store: b.trail, Now: now}})
	cfg := Config{Registry: b.registry, Queue: st, Keys: ring, Now: now, Allow: loopback}
	for _, f := range change {
		f(&cfg)
	}
	if b.loop, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	b.emitter, err = NewEmitter(EmitterConfig{
		Registry: b.registry, Queue: st, Now: now, Queued: b.loop.Wake,
		Client:  func(id string) *tenant.Client { return &tenant.Client{ID: id} },
		PhoneID: func(_ *tenant.Client, id store.PhoneID) string { return "phone-number-test-" + id.String() },
		Mask:    func(*store.Message) string { return "+1•••••••0100" },
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// run runs the loop until the test, or the function that it returns, ends it.
func (b *bed) run() (stop func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := b.loop.Run(ctx); err != nil {
			b.t.Errorf("Run: %v", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	b.t.Cleanup(stop)
	return stop
}

func (b *bed) create(url string, kinds ...string) (Endpoint, string) {
	b.t.Helper()
	e, secret, err := b.registry.Create(b.t.Context(), audittest.Operator, client, url, kinds)
	if err != nil {
		b.t.Fatal(err)
	}
	return e, secret
}

// emit queues an event of a kind.
func (b *bed) emit(kind string) store.EventID {
	b.t.Helper()
	return b.emitAll(kind, 1)[0]
}

// emitAll queues n events of a kind at once.
func (b *bed) emitAll(kind string, n int) (ids []store.EventID) {
	b.t.Helper()
	var webhooks []store.Webhook
	for range n {
		w, ok := b.emitter.webhook(store.EventID{}, kind, b.emitter.cfg.Now(), &Data{ClientID: client, Reason: "test"})
		if !ok {
			b.t.Fatalf("nobody wants %s", kind)
		}
		webhooks, ids = append(webhooks, w), append(ids, w.ID)
	}
	if err := b.emitter.queue(b.t.Context(), webhooks); err != nil {
		b.t.Fatal(err)
	}
	return ids
}

// delivery is how an event's way to an endpoint stands.
func (b *bed) delivery(e *Endpoint, id store.EventID) store.WebhookDelivery {
	b.t.Helper()
	all, err := b.store.Webhooks(b.t.Context(), store.WebhookQuery{Endpoint: e.ID, Limit: 1000})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, d := range all {
		if d.Event == id {
			return d
		}
	}
	b.t.Fatalf("no delivery of %s", id)
	return store.WebhookDelivery{}
}

func (b *bed) eventually(what string, f func() bool) {
	b.t.Helper()
	waittest.Until(b.t, what, f)
}

// receiver notes what it gets, counts it by id, and answers with status. It needs no
// network where it is the transport itself, so that time can be the test's.
type receiver struct {
	status   func(*request) int
	mu       sync.Mutex
	got      map[string]int
	requests []request
}

type request struct {
	header http.Header
	body   []byte
	at     time.Time
}

func newReceiver(status func(*request) int) *receiver {
	return &receiver{status: status, got: make(map[string]int)}
}

// newServer serves a receiver.
func newServer(tb testing.TB, status func(*request) int) (*receiver, string) {
	tb.Helper()
	r := newReceiver(status)
	s := httptest.NewServer(r)
	tb.Cleanup(s.Close)
	return r, s.URL
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return
	}
	got := request{in.Header, body, time.Now()}
	r.mu.Lock()
	r.got[in.Header.Get("webhook-id")]++
	r.requests = append(r.requests, got)
	r.mu.Unlock()
	w.WriteHeader(r.status(&got))
}

func (r *receiver) RoundTrip(in *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r.ServeHTTP(w, in)
	return w.Result(), nil
}

// instead has a loop's requests go to r.
func instead(r http.RoundTripper) func(*Config) { return func(c *Config) { c.Transport = r } }

func always(status int) func(*request) int { return func(*request) int { return status } }

func (r *receiver) count(id store.EventID) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[id.String()]
}

func (r *receiver) all() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]request(nil), r.requests...)
}

// verified checks a request with the official library.
func verified(t *testing.T, secret string, r request) bool {
	t.Helper()
	wh, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	return wh.Verify(r.body, r.header) == nil
}

func decoded(t *testing.T, body []byte) payload {
	t.Helper()
	var p payload
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return p
}

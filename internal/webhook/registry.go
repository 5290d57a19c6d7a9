package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"codeword/internal/audit"
	"codeword/internal/fault"
	"codeword/internal/store"
)

// Documents keeps the endpoints; see store.Document.
type Documents interface {
	Document(ctx context.Context, name string, known int64) (store.Document, error)
	PutDocument(ctx context.Context, d store.Document) error
}

// document names the one that all endpoints are in: they are few, and every node asks
// once a second whether they have changed.
const document = "webhook-endpoints"

// The kinds of entries about endpoints.
const (
	EventCreate       = "webhook.create"
	EventUpdate       = "webhook.update"
	EventDisable      = "webhook.disable"
	EventEnable       = "webhook.enable"
	EventDelete       = "webhook.delete"
	EventSecretStart  = "webhook.secret.start"
	EventSecretFinish = "webhook.secret.finish"
	EventSecretCancel = "webhook.secret.cancel"
	EventReplay       = "webhook.replay"
	EventTest         = "webhook.test"
	// EventDisabled: the service disabled an endpoint by itself.
	EventDisabled = "webhook.disabled"
)

// Errors of the rotation of a secret.
var (
	ErrRotating    = errors.New("a rotation is under way: finish or cancel it first")
	ErrNotRotating = errors.New("no rotation is under way")
	// ErrDisabled: a test would wait for good.
	ErrDisabled = errors.New("the endpoint is disabled: enable it first")
)

// RegistryConfig is what a Registry needs.
type RegistryConfig struct {
	Documents Documents
	Queue     Queue
	Keys      Keys
	Now       func() time.Time
	// Audit records changes.
	Audit *audit.Trail
}

// Registry is the façade of endpoints: the command line and the console change them
// here, nodes read them from its memory. It is safe for concurrent use.
type Registry struct {
	cfg  RegistryConfig
	view atomic.Pointer[endpoints]
}

// endpoints are those of one revision; never changed.
type endpoints struct {
	revision int64
	all      []Endpoint
	// enabled are those of each client, and under an empty name those of all clients;
	// kinds are what any of them wants. An event is looked for in these alone.
	enabled map[string][]*Endpoint
	kinds   map[string]bool
}

func (v *endpoints) index() {
	v.enabled, v.kinds = make(map[string][]*Endpoint), make(map[string]bool)
	for i := range v.all {
		e := &v.all[i]
		if !e.Enabled() {
			continue
		}
		v.enabled[e.Client] = append(v.enabled[e.Client], e)
		for _, kind := range Kinds() {
			if e.Wants(e.Client, kind) {
				v.kinds[kind] = true
			}
		}
	}
}

// NewRegistry returns a Registry that knows nothing yet; see Load.
func NewRegistry(cfg RegistryConfig) *Registry {
	r := &Registry{cfg: cfg}
	r.view.Store(&endpoints{})
	return r
}

// Load reads the endpoints if they have changed.
func (r *Registry) Load(ctx context.Context) error {
	_, err := r.read(ctx)
	return err
}

func (r *Registry) read(ctx context.Context) (*endpoints, error) {
	known := r.view.Load()
	d, err := r.cfg.Documents.Document(ctx, document, known.revision)
	if err != nil {
		return nil, err
	}
	if d.Revision == known.revision {
		return known, nil
	}
	next := &endpoints{revision: d.Revision}
	if len(d.Body) > 0 {
		if err := json.Unmarshal(d.Body, &next.all); err != nil {
			return nil, fault.Wrap(fault.Internal, "webhook: the stored endpoints cannot be read", err)
		}
	}
	for i := range next.all {
		// Earlier versions, which may write beside this one, know of none.
		if next.all[i].Revision == 0 {
			next.all[i].Revision = d.Revision
		}
	}
	next.index()
	r.view.Store(next)
	return next, nil
}

// wanting returns the endpoints that an event of a client goes to.
func (r *Registry) wanting(client, kind string) (out []store.EndpointID) {
	enabled := r.view.Load().enabled
	for _, e := range enabled[""] {
		if e.Wants(client, kind) {
			out = append(out, e.ID)
		}
	}
	if client == "" {
		return out
	}
	for _, e := range enabled[client] {
		if e.Wants(client, kind) {
			out = append(out, e.ID)
		}
	}
	return out
}

// wantedByAny reports whether anybody wants an event of that kind, whichever client's.
func (r *Registry) wantedByAny(kind string) bool { return r.view.Load().kinds[kind] }

// List returns the endpoints of a client, oldest first; all for an empty name.
func (r *Registry) List(ctx context.Context, client string) ([]Endpoint, error) {
	view, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	var out []Endpoint
	for i := range view.all {
		if client == "" || view.all[i].Client == client {
			out = append(out, view.all[i])
		}
	}
	return out, nil
}

// Find returns one endpoint; fault.NotFound.
func (r *Registry) Find(ctx context.Context, id store.EndpointID) (Endpoint, error) {
	view, err := r.read(ctx)
	if err != nil {
		return Endpoint{}, err
	}
	for i := range view.all {
		if view.all[i].ID == id {
			return view.all[i], nil
		}
	}
	return Endpoint{}, notFound(id)
}

func notFound(id store.EndpointID) error {
	return fault.New(fault.NotFound, "no webhook endpoint "+id.String())
}

// The changes below are recorded with the name of their actor, and not made when that
// fails; see audit.Trail. Of a URL the trail tells the host alone.

type endpointData struct {
	Endpoint string   `json:"endpoint"`
	Host     string   `json:"host,omitempty"`
	Kinds    []string `json:"kinds,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	Replayed string   `json:"state,omitempty"`
	EventID  string   `json:"eventId,omitempty"`
	// Changes tell what was before and what is now. Of a URL they tell the host: what
	// follows it may be a secret.
	Changes map[string]delta `json:"changes,omitempty"`
}

// delta is a change of one thing.
type delta struct {
	From any `json:"from"`
	To   any `json:"to"`
}

// Create adds an endpoint and returns it with its secret, which is shown this once. The
// caller has made sure that there is such a client.
func (r *Registry) Create(ctx context.Context, actor, client, url string, kinds []string) (Endpoint, string, error) {
	if err := errors.Join(checkURL(url), checkKinds(kinds)); err != nil {
		return Endpoint{}, "", err
	}
	now := r.cfg.Now()
	e := Endpoint{ID: store.NewEndpointID(), Revision: 1, Client: client, URL: url, Kinds: kinds, CreatedAt: now.UTC()}
	clear, sealed, err := newSecret(r.cfg.Keys, e.ID, e.CreatedAt)
	if err != nil {
		return Endpoint{}, "", err
	}
	e.Secrets = []SealedSecret{sealed}
	entry := audit.Entry{Actor: actor, Client: client, Kind: EventCreate, Data: endpointData{Endpoint: e.ID.String(), Host: host(url), Kinds: kinds}}
	err = r.write(ctx, func(all []Endpoint) ([]Endpoint, audit.Entry, error) {
		have := 0
		for i := range all {
			if all[i].Client == client {
				have++
			}
		}
		if have >= maxEndpoints {
			return nil, entry, Invalid(fmt.Sprintf("there are %d endpoints already, and no more than that", maxEndpoints))
		}
		return append(all, e), entry, nil
	})
	return e, clear, err
}

// Deliveries lists what was queued for an endpoint, newest first.
func (r *Registry) Deliveries(ctx context.Context, q store.WebhookQuery) ([]store.WebhookDelivery, error) {
	return r.cfg.Queue.Webhooks(ctx, q)
}

// Replay makes deliveries due again and tells how many those were. in.Now and in.Until
// are filled here.
func (r *Registry) Replay(ctx context.Context, actor string, in store.WebhookReplay) (n int, err error) {
	e, err := r.Find(ctx, in.Endpoint)
	if err != nil {
		return 0, err
	}
	in.Now = r.cfg.Now()
	in.Until = in.Now.Add(GiveUpAfter)
	data := endpointData{Endpoint: e.ID.String()}
	if in.Event != (store.EventID{}) {
		data.EventID = in.Event.String()
	}
	if in.State != 0 {
		data.Replayed = in.State.String()
	}
	err = r.cfg.Audit.Record(ctx, audit.Entry{Actor: actor, Client: e.Client, Kind: EventReplay, Data: data}, func() error {
		n, err = r.replay(ctx, in)
		return err
	})
	return n, err
}

// replayStep is how many deliveries a replay looks at in one transaction.
const replayStep = 500

func (r *Registry) replay(ctx context.Context, in store.WebhookReplay) (n int, err error) {
	for in.Limit = replayStep; ; {
		step, err := r.cfg.Queue.ReplayWebhooks(ctx, in)
		n += step.Count
		if err != nil || step.Next == (store.EventID{}) {
			return n, err
		}
		in.After = step.Next
	}
}

// Test queues a webhook that tells nothing, for one endpoint alone, and returns its id.
func (r *Registry) Test(ctx context.Context, actor string, id store.EndpointID) (store.EventID, error) {
	e, err := r.Find(ctx, id)
	if err != nil {
		return store.EventID{}, err
	}
	if !e.Enabled() {
		return store.EventID{}, ErrDisabled
	}
	now := r.cfg.Now()
	body, err := json.Marshal(payload{Type: KindTest, Timestamp: now.UTC().Truncate(time.Millisecond), Data: &Data{ClientID: e.Client}})
	if err != nil {
		return store.EventID{}, fault.Wrap(fault.Internal, "webhook: a test", err)
	}
	w := store.Webhook{
		ID: store.NewEventID(), Client: e.Client, Kind: KindTest, At: now, Until: now.Add(GiveUpAfter), Body: body, Endpoints: []store.EndpointID{id},
	}
	data := endpointData{Endpoint: id.String(), EventID: w.ID.String()}
	err = r.cfg.Audit.Record(ctx, audit.Entry{Actor: actor, Client: e.Client, Kind: EventTest, Data: data}, func() error {
		return r.cfg.Queue.QueueWebhooks(ctx, []store.Webhook{w})
	})
	return w.ID, err
}

// write changes the endpoints, once more from the start when somebody else was faster.
func (r *Registry) write(ctx context.Context, f func([]Endpoint) ([]Endpoint, audit.Entry, error)) error {
	const tries = 5
	for i := 0; ; i++ {
		view, err := r.read(ctx)
		if err != nil {
			return err
		}
		all, entry, err := f(slices.Clone(view.all))
		if err != nil {
			return err
		}
		body, err := json.Marshal(all)
		if err != nil {
			return fault.Wrap(fault.Internal, "webhook: endpoints", err)
		}
		if len(body) > maxDocument {
			return Invalid("there are too many endpoints")
		}
		err = r.cfg.Audit.Record(ctx, entry, func() error {
			return r.cfg.Documents.PutDocument(ctx, store.Document{Name: document, Revision: view.revision + 1, UpdatedAt: r.cfg.Now(), Body: body})
		})
		if err == nil {
			return r.Load(ctx)
		}
		if !fault.Is(err, fault.Conflict) || i == tries {
			return err
		}
	}
}

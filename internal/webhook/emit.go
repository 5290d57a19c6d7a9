package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"codeword/internal/store"
	"codeword/internal/tenant"
)

// EmitterConfig is what an Emitter needs. Registry, Queue and Now are required; the
// rest only where messages and challenges are told of.
type EmitterConfig struct {
	Registry *Registry
	Queue    Queue
	Messages Messages
	Now      func() time.Time
	// Client returns a client by id; nil if there is none.
	Client func(id string) *tenant.Client
	// PhoneID writes a phone's id as the client sees it.
	PhoneID func(c *tenant.Client, id store.PhoneID) string
	// Mask tells what may be told of a message's number; empty when it is not known.
	Mask func(m *store.Message) string
	// Queued is called after webhooks were queued. It must not block.
	Queued func()
	// Dropped is told of events that were lost: a hand-over was full, or the store was
	// down for long.
	Dropped func(kind string)
	Log     *slog.Logger
}

// Messages is the message log.
type Messages interface {
	Message(ctx context.Context, id store.MessageID) (store.MessageDetail, error)
	Messages(ctx context.Context, q store.MessageQuery) (store.MessagePage, error)
}

// Emitter turns what happens into webhooks, for those clients that have an endpoint
// which wants the kind; it costs the others one look into memory. It is safe for
// concurrent use.
type Emitter struct {
	cfg EmitterConfig
	// later are handed over by the request path and by delivery, and told by Run.
	later chan store.MessageID

	mu sync.Mutex
	// outcomes are events of outcomes that are not recorded yet.
	outcomes map[store.MessageID]pending
}

// NewEmitter returns an Emitter, or an error that names what is missing.
func NewEmitter(cfg EmitterConfig) (*Emitter, error) {
	if cfg.Registry == nil || cfg.Queue == nil || cfg.Now == nil {
		return nil, errors.New("webhook: Registry, Queue and Now are required")
	}
	if cfg.Queued == nil {
		cfg.Queued = func() {}
	}
	if cfg.Dropped == nil {
		cfg.Dropped = func(string) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Emitter{cfg: cfg, later: make(chan store.MessageID, maxLater), outcomes: make(map[store.MessageID]pending)}, nil
}

// Data is what a payload tells; every kind fills what it knows.
type Data struct {
	ClientID  string `json:"clientId"`
	PhoneID   string `json:"phoneId,omitempty"`
	PhoneMask string `json:"phoneMask,omitempty"`
	MessageID string `json:"messageId,omitempty"`
	Route     string `json:"route,omitempty"`
	Reason    string `json:"reason,omitempty"`
	// Of the guard: what is held back, until when, and whether sends are refused
	// ("enforce") or only counted ("shadow").
	Scope string     `json:"scope,omitempty"`
	Name  string     `json:"name,omitempty"`
	Mode  string     `json:"mode,omitempty"`
	Until *time.Time `json:"until,omitempty"`
	// Of a budget.
	Period   string   `json:"period,omitempty"`
	SpentUSD *float64 `json:"spentUsd,omitempty"`
	LimitUSD *float64 `json:"limitUsd,omitempty"`
	// Of a change: the kind of the entry in the trail, and the names of settings.
	Change   string   `json:"change,omitempty"`
	Settings []string `json:"settings,omitempty"`
}

// payload is what is posted.
type payload struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      *Data     `json:"data"`
}

// webhook makes a webhook; false when nobody wants it. id is zero for a fresh one.
func (e *Emitter) webhook(id store.EventID, kind string, at time.Time, data *Data) (store.Webhook, bool) {
	to := e.cfg.Registry.wanting(data.ClientID, kind)
	if len(to) == 0 {
		return store.Webhook{}, false
	}
	if id == (store.EventID{}) {
		id = store.NewEventID()
	}
	body, err := json.Marshal(payload{Type: kind, Timestamp: at.UTC().Truncate(time.Millisecond), Data: data})
	if err != nil {
		return store.Webhook{}, false // plain data can be written
	}
	now := e.cfg.Now()
	return store.Webhook{
		ID: id, Client: data.ClientID, Kind: kind, At: now, Until: now.Add(GiveUpAfter), Body: body, Endpoints: to,
	}, true
}

// derivedID is the id of what happens to a message once, however often it is told. It
// sorts by the message's time.
func derivedID(m store.MessageID, kind string) (id store.EventID) {
	sum := sha256.Sum256(append(append([]byte("webhook\x00"), m[:]...), kind...))
	copy(id[:], sum[:])
	copy(id[:6], m[:6])       // the milliseconds of a UUIDv7
	id[6] = id[6]&0x0f | 0x80 // version 8
	id[8] = id[8]&0x3f | 0x80 // variant of RFC 9562
	return id
}

// queue stores webhooks durably.
func (e *Emitter) queue(ctx context.Context, webhooks []store.Webhook) error {
	if len(webhooks) == 0 {
		return nil
	}
	if err := e.cfg.Queue.QueueWebhooks(ctx, webhooks); err != nil {
		return err
	}
	e.cfg.Queued()
	return nil
}

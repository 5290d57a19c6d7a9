package webhook

import (
	"context"
	"slices"
	"sync"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// memory is a ledger without goroutines, for tests whose time is their own.
type memory struct {
	mu         sync.Mutex
	doc        store.Document
	deliveries []*store.WebhookDelivery
}

func newMemory() *memory { return &memory{} }

func (m *memory) Document(context.Context, string, int64) (store.Document, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.doc, nil
}

func (m *memory) PutDocument(_ context.Context, d store.Document) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.Revision != m.doc.Revision+1 {
		return fault.New(fault.Conflict, "overtaken")
	}
	m.doc = d
	return nil
}

func (*memory) AppendEvents(context.Context, []store.Event) error { return nil }

func (m *memory) QueueWebhooks(_ context.Context, webhooks []store.Webhook) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range webhooks {
		w := &webhooks[i]
		if slices.ContainsFunc(m.deliveries, func(d *store.WebhookDelivery) bool { return d.Event == w.ID }) {
			continue // of one id the first counts
		}
		for _, to := range w.Endpoints {
			m.deliveries = append(m.deliveries, &store.WebhookDelivery{
				Event: w.ID, Endpoint: to, Client: w.Client, Kind: w.Kind, Body: w.Body, State: store.DeliveryPending,
				QueuedAt: w.At, DueAt: w.At, Until: w.Until,
			})
		}
	}
	return nil
}

func (m *memory) ClaimWebhooks(_ context.Context, in store.WebhookClaim) (out []store.WebhookDelivery, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, room := range in.Rooms {
		n := 0
		for _, d := range m.deliveries {
			if d.Endpoint == room.Endpoint && d.State == store.DeliveryPending && !d.DueAt.After(in.Now) && n < room.Limit {
				d.Claims++
				d.DueAt = in.Now.Add(in.Lease)
				out = append(out, *d)
				n++
			}
		}
	}
	return out, nil
}

func (m *memory) RecordWebhooks(_ context.Context, now time.Time, outcomes []store.WebhookOutcome) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range outcomes {
		for _, d := range m.deliveries {
			if d.Event == o.Event && d.Endpoint == o.Endpoint && d.Claims == o.Claims {
				d.State, d.DueAt, d.Attempts, d.Status, d.Error, d.DoneAt = o.State, o.DueAt, o.Attempts, o.Status, o.Error, now
			}
		}
	}
	return nil
}

func (m *memory) ReplayWebhooks(_ context.Context, in store.WebhookReplay) (out store.WebhookReplayed, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.deliveries { // in one step
		if d.Endpoint == in.Endpoint && (in.Event == (store.EventID{}) || d.Event == in.Event) && (in.State == 0 || d.State == in.State) {
			d.State, d.Attempts, d.DueAt, d.Until, d.DoneAt = store.DeliveryPending, 0, in.Now, in.Until, time.Time{}
			d.Claims++
			out.Count++
		}
	}
	return out, nil
}

func (m *memory) Webhooks(_ context.Context, q store.WebhookQuery) (out []store.WebhookDelivery, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.deliveries {
		if d.Endpoint == q.Endpoint && (q.State == 0 || d.State == q.State) {
			out = append(out, *d)
		}
	}
	return out, nil
}

func (m *memory) TookSince(_ context.Context, endpoint store.EndpointID, since time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.deliveries, func(d *store.WebhookDelivery) bool {
		return d.Endpoint == endpoint && d.State == store.DeliveryDone && !d.DoneAt.Before(since)
	}), nil
}

func (m *memory) EraseWebhooks(_ context.Context, events []store.EventID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deliveries = slices.DeleteFunc(m.deliveries, func(d *store.WebhookDelivery) bool { return slices.Contains(events, d.Event) })
	return nil
}

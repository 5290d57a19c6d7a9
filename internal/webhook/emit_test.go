package webhook

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"codeword/internal/audit/audittest"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// recorder is a delivery queue and a message log.
type recorder struct {
	err      error
	recorded []store.Outcome
	messages map[store.MessageID]store.Message
	applied  []store.Applied
}

func (*recorder) ClaimMessages(context.Context, store.Claim) ([]store.Message, error) {
	return nil, nil
}

func (*recorder) QueueStats(context.Context) (store.QueueStats, error) {
	return store.QueueStats{}, nil
}

func (r *recorder) RecordOutcomes(_ context.Context, _ time.Time, o []store.Outcome) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	r.recorded = append(r.recorded, o...)
	return len(o), nil
}

func (r *recorder) ApplyReceipts(context.Context, time.Time, []store.Receipt) ([]store.Applied, error) {
	return r.applied, nil
}

func (r *recorder) Message(_ context.Context, id store.MessageID) (store.MessageDetail, error) {
	return store.MessageDetail{Message: r.messages[id]}, nil
}

func (r *recorder) Messages(context.Context, store.MessageQuery) (store.MessagePage, error) {
	for _, m := range r.messages {
		return store.MessagePage{Messages: []store.Message{m}}, nil
	}
	return store.MessagePage{}, nil
}

// queued claims all that an endpoint is to get.
func (b *bed) queued(e *Endpoint) []payload {
	b.t.Helper()
	claimed, err := b.store.ClaimWebhooks(b.t.Context(), store.WebhookClaim{
		Now: time.Now(), Lease: time.Hour, Rooms: []store.EndpointRoom{{Endpoint: e.ID, Limit: 100}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	out := make([]payload, len(claimed))
	for i := range claimed {
		out[i] = decoded(b.t, claimed[i].Body)
	}
	return out
}

func TestOutcomesAreQueuedBeforeTheyAreRecorded(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, time.Now)
	e, _ := b.create("https://example.com", KindMessageSent, KindMessageFailed)
	inner := &recorder{err: errors.New("down")}
	q := b.emitter.Outcomes(inner)
	record := func(m *store.Message, o store.Outcome) error {
		b.emitter.Outcome(m, &o)
		_, err := q.RecordOutcomes(t.Context(), time.Now(), []store.Outcome{o})
		return err
	}
	m := &store.Message{ID: store.NewMessageID(), Client: client}
	sent := store.Outcome{ID: m.ID, Status: store.MessageSent, Route: "main"}
	if record(m, sent) == nil {
		t.Fatal("recorded in a store that is down")
	}
	got := b.queued(&e)
	if len(got) != 1 || got[0].Type != KindMessageSent || got[0].Data.Route != "main" || got[0].Data.MessageID != m.ID.String() || got[0].Data.PhoneMask == "" {
		t.Fatalf("queued %+v", got)
	}
	// As after a crash: the message is sent once more, and nobody hears of it twice.
	inner.err = nil
	if err := record(m, sent); err != nil || len(inner.recorded) != 1 {
		t.Fatalf("recorded %d, %v", len(inner.recorded), err)
	}
	if again := b.queued(&e); len(again) != 0 {
		t.Errorf("queued twice: %+v", again)
	}
	expired := &store.Message{ID: store.NewMessageID(), Client: client}
	if err := record(expired, store.Outcome{ID: expired.ID, Status: store.MessageExpired}); err != nil {
		t.Fatal(err)
	}
	if got := b.queued(&e); len(got) != 1 || got[0].Type != KindMessageFailed || got[0].Data.Reason != "expired" {
		t.Errorf("queued %+v", got)
	}
	// Others pay nothing.
	other := &store.Message{ID: store.NewMessageID(), Client: "client-b"}
	if err := record(other, store.Outcome{ID: other.ID, Status: store.MessageSent}); err != nil || len(b.emitter.outcomes) != 0 {
		t.Errorf("%d kept, %v", len(b.emitter.outcomes), err)
	}
}

// TestGivenUpOutcome: the store was down for a whole lease, and delivery gave the outcome
// up. What becomes of the message under the next claim is told, and nothing else.
func TestGivenUpOutcome(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		kinds []string
		next  store.Outcome
		want  []string
	}{
		"queued again":         {[]string{KindMessageFailed}, store.Outcome{Status: store.MessageQueued, RetryAt: now, Error: "throttled"}, nil},
		"nobody knows":         {[]string{KindMessageFailed}, store.Outcome{Status: store.MessageUnknown}, nil},
		"sent, as nobody asks": {[]string{KindChallengeVerified}, store.Outcome{Status: store.MessageSent}, nil},
		"sent":                 {Kinds(), store.Outcome{Status: store.MessageSent}, []string{KindMessageSent}},
		"failed":               {Kinds(), store.Outcome{Status: store.MessageFailed, Error: "rejected"}, []string{KindMessageFailed}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem := newMemory()
			b := newBed(t, mem, time.Now)
			e, _ := b.create("https://example.com/", KindMessageFailed)
			m := store.Message{ID: store.NewMessageID(), Client: client}
			b.emitter.Outcome(&m, &store.Outcome{ID: m.ID, Claims: 1, Status: store.MessageFailed, Error: "rejected"})
			if _, err := b.registry.Update(t.Context(), audittest.Operator, e.ID, "", c.kinds); err != nil {
				t.Fatal(err)
			}
			c.next.ID, c.next.Claims = m.ID, 2
			b.emitter.Outcome(&m, &c.next)
			if _, err := b.emitter.Outcomes(&recorder{}).RecordOutcomes(t.Context(), now, []store.Outcome{c.next}); err != nil {
				t.Fatal(err)
			}
			var told []string
			for _, d := range mem.deliveries {
				told = append(told, d.Kind)
			}
			if !slices.Equal(told, c.want) {
				t.Errorf("told %v, want %v", told, c.want)
			}
		})
	}
}

func TestReceipts(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, time.Now)
	e, _ := b.create("https://example.com", KindMessageDelivered)
	id := store.NewMessageID()
	inner := &recorder{
		messages: map[store.MessageID]store.Message{id: {ID: id, Client: client, Status: store.MessageDelivered, Route: "main"}},
		applied:  []store.Applied{{Message: id, Effect: store.ReceiptChanged}, {Effect: store.ReceiptUnmatched}},
	}
	b.emitter.cfg.Messages = inner
	r := b.emitter.Receipts(inner)
	// Once more, as a carrier does that got no answer.
	for range 2 {
		if _, err := r.ApplyReceipts(t.Context(), time.Now(), nil); err != nil {
			t.Fatal(err)
		}
		inner.applied[0].Effect = store.ReceiptDuplicate
	}
	if got := b.queued(&e); len(got) != 1 || got[0].Type != KindMessageDelivered || got[0].Data.Route != "main" {
		t.Errorf("queued %+v", got)
	}
}

// unqueued is a queue that takes no webhooks.
type unqueued struct{ Queue }

func (unqueued) QueueWebhooks(context.Context, []store.Webhook) error { return errors.New("down") }

// TestReceiptUntold: a receipt counted, and its event could not be queued. The carrier
// gets no answer, and the event is told when it repeats what is a duplicate by then.
func TestReceiptUntold(t *testing.T) {
	t.Parallel()
	mem := newMemory()
	b := newBed(t, mem, time.Now)
	b.create("https://example.com", KindMessageDelivered)
	id := store.NewMessageID()
	inner := &recorder{
		messages: map[store.MessageID]store.Message{id: {ID: id, Client: client, Status: store.MessageDelivered}},
		applied:  []store.Applied{{Message: id, Effect: store.ReceiptChanged}},
	}
	b.emitter.cfg.Messages, b.emitter.cfg.Queue = inner, unqueued{mem}
	r := b.emitter.Receipts(inner)
	if _, err := r.ApplyReceipts(t.Context(), time.Now(), nil); err == nil {
		t.Fatal("the carrier got its answer")
	}
	b.emitter.cfg.Queue = mem
	inner.applied[0].Effect = store.ReceiptDuplicate
	if _, err := r.ApplyReceipts(t.Context(), time.Now(), nil); err != nil {
		t.Fatal(err)
	}
	if len(mem.deliveries) != 1 || mem.deliveries[0].Event != derivedID(id, KindMessageDelivered) {
		t.Errorf("told %d events, want one", len(mem.deliveries))
	}
}

func TestEntries(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, time.Now)
	e, _ := b.create("https://example.com")
	entries := []store.Event{
		{Kind: "guard.hold", Data: []byte(`{"scope":"block","name":"+1206555","mode":"enforce","until":"2026-11-26T12:00:00Z"}`)},
		{Kind: "guard.release", Data: []byte(`{"scope":"exchange","name":"+1206555","mode":"shadow"}`)},
		{Kind: "spend.warning", Data: []byte(`{"period":"spend_day","spentUsd":40.5,"limitUsd":50}`)},
		{Kind: "client.update", Data: []byte(`{"changes":{"brand":{"from":"a","to":"b"},"safeNumbers":{"from":1}}}`)},
		{Kind: "guard.alarm", Data: []byte(`{}`)},
		{Kind: "keys.rotate", Data: []byte(`{}`)},
	}
	for i := range entries {
		entries[i].ID, entries[i].Client, entries[i].At = store.NewEventID(), client, time.Now()
	}
	log := &audittest.Log{}
	kept := b.emitter.Events(log)
	for range 2 { // it may be repeated
		if err := kept.AppendEvents(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
	}
	got := make(map[string]*Data)
	for _, p := range b.queued(&e) {
		if got[p.Type] != nil {
			t.Errorf("%s twice", p.Type)
		}
		got[p.Type] = p.Data
	}
	if d := got[KindGuardBlocked]; d == nil || d.Scope != "block" || d.Name != "" || d.Mode != "enforce" || d.Until == nil {
		t.Errorf("blocked %+v", d)
	}
	if d := got[KindGuardReleased]; d == nil || d.Name != "+1206555" || d.Mode != "shadow" {
		t.Errorf("released %+v", d)
	}
	if d := got[KindLimitWarned]; d == nil || d.Reason != "warning" || d.Period != "spend_day" || *d.SpentUSD != 40.5 {
		t.Errorf("warned %+v", d)
	}
	if d := got[KindClientChanged]; d == nil || d.Change != "client.update" || strings.Join(d.Settings, ",") != "brand,safeNumbers" {
		t.Errorf("changed %+v", d)
	}
	if len(got) != 4 {
		t.Errorf("%d kinds", len(got))
	}
}

func TestChallenges(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, time.Now)
	e, _ := b.create("https://example.com", KindChallengeVerified, KindChallengeExhausted)
	id := store.NewMessageID()
	b.emitter.cfg.Messages = &recorder{messages: map[store.MessageID]store.Message{id: {ID: id, Client: client, Route: "main"}}}
	verified, exhausted := b.emitter.Challenge(t.Context(), client, store.PhoneID{1})
	if len(verified) != 1 || len(exhausted) != 1 || verified[0].Kind != KindChallengeVerified || exhausted[0].Kind != KindChallengeExhausted ||
		verified[0].ID == exhausted[0].ID || !slices.Equal(verified[0].Endpoints, []store.EndpointID{e.ID}) {
		t.Fatalf("%+v and %+v", verified, exhausted)
	}
	for _, w := range [][]byte{verified[0].Body, exhausted[0].Body} {
		if got := decoded(t, w); got.Data.MessageID != id.String() || got.Data.Route != "main" || got.Data.ClientID != client {
			t.Errorf("tells %s", w)
		}
	}
	// Nobody else's, and nothing is read for those who want nothing.
	b.emitter.cfg.Messages = nil
	if v, x := b.emitter.Challenge(t.Context(), "client-b", store.PhoneID{1}); v != nil || x != nil {
		t.Errorf("%+v and %+v", v, x)
	}
	// The log cannot be read: what is known is told.
	b.emitter.cfg.Messages = &failing{}
	if v, _ := b.emitter.Challenge(t.Context(), client, store.PhoneID{1}); len(v) != 1 || decoded(t, v[0].Body).Data.MessageID != "" {
		t.Errorf("%+v", v)
	}
}

// failing is a message log that is down.
type failing struct{ recorder }

func (*failing) Messages(context.Context, store.MessageQuery) (store.MessagePage, error) {
	return store.MessagePage{}, errors.New("down")
}

// TestNoMaskWithoutAnID: an erasure finds what tells of a phone by its id alone.
func TestNoMaskWithoutAnID(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, time.Now)
	e, _ := b.create("https://example.com")
	m := store.Message{ID: store.NewMessageID(), Client: client, Phone: store.PhoneID{1}}
	b.emitter.cfg.Messages = &recorder{messages: map[store.MessageID]store.Message{m.ID: m}}
	q := b.emitter.Outcomes(&recorder{})
	known := b.emitter.cfg.Client
	for unknown, status := range map[bool]store.MessageStatus{false: store.MessageSent, true: store.MessageExpired} {
		b.emitter.cfg.Client = known
		if unknown { // its settings are those of a later release
			b.emitter.cfg.Client = func(string) *tenant.Client { return nil }
		}
		o := store.Outcome{ID: m.ID, Status: status}
		b.emitter.Outcome(&m, &o)
		if _, err := q.RecordOutcomes(t.Context(), time.Now(), []store.Outcome{o}); err != nil {
			t.Fatal(err)
		}
		verified, _ := b.emitter.Challenge(t.Context(), client, m.Phone)
		if err := b.emitter.queue(t.Context(), verified); err != nil {
			t.Fatal(err)
		}
		got := b.queued(&e)
		for _, p := range got {
			if (p.Data.PhoneID == "") != unknown || (p.Data.PhoneMask == "") != unknown {
				t.Errorf("unknown %t: %+v", unknown, p.Data)
			}
		}
		if len(got) != 2 {
			t.Errorf("queued %d", len(got))
		}
	}
}

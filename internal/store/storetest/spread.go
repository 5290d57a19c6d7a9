package storetest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"codeword/internal/store"
)

// Spread makes one store of several nodes on one database: each call goes to
// the next node, as behind a load balancer. Only the sweep, which one node does
// at a time, stays with the first.
func Spread(nodes ...Store) Store { return &spread{nodes: nodes} }

type spread struct {
	nodes []Store
	calls atomic.Uint64
}

func (s *spread) next() Store { return s.nodes[s.calls.Add(1)%uint64(len(s.nodes))] }

func (s *spread) StartChallenge(ctx context.Context, in store.Start) (store.Started, error) {
	return s.next().StartChallenge(ctx, in)
}

func (s *spread) Attempt(ctx context.Context, in store.Attempt) (store.Session, error) {
	return s.next().Attempt(ctx, in)
}

func (s *spread) MarkPhone(ctx context.Context, in store.PhoneMark) error {
	return s.next().MarkPhone(ctx, in)
}

func (s *spread) ErasePhone(ctx context.Context, in store.Erase) (store.Erased, error) {
	return s.next().ErasePhone(ctx, in)
}

func (s *spread) PhoneRecord(ctx context.Context, in store.PhoneQuery) (store.PhoneRecord, error) {
	return s.next().PhoneRecord(ctx, in)
}

func (s *spread) Session(ctx context.Context, now time.Time, id store.SessionID) (store.Session, error) {
	return s.next().Session(ctx, now, id)
}

func (s *spread) TouchSession(ctx context.Context, now time.Time, id store.SessionID, expires time.Time) error {
	return s.next().TouchSession(ctx, now, id, expires)
}

func (s *spread) RevokeSession(ctx context.Context, now time.Time, id store.SessionID) error {
	return s.next().RevokeSession(ctx, now, id)
}

func (s *spread) SigningKeys(ctx context.Context) ([]store.SigningKey, error) {
	return s.next().SigningKeys(ctx)
}

func (s *spread) AddSigningKey(ctx context.Context, key store.SigningKey, after string) error {
	return s.next().AddSigningKey(ctx, key, after)
}

func (s *spread) RetireSigningKey(ctx context.Context, kid string, at time.Time) error {
	return s.next().RetireSigningKey(ctx, kid, at)
}

func (s *spread) DeleteSigningKey(ctx context.Context, kid string) error {
	return s.next().DeleteSigningKey(ctx, kid)
}

func (s *spread) Clients(ctx context.Context) ([]store.Client, error) { return s.next().Clients(ctx) }

func (s *spread) CreateClient(ctx context.Context, c store.Client) error {
	return s.next().CreateClient(ctx, c)
}

func (s *spread) UpdateClient(ctx context.Context, c store.Client) error {
	return s.next().UpdateClient(ctx, c)
}

func (s *spread) RecordSecretUse(ctx context.Context, uses []store.SecretUse) error {
	return s.next().RecordSecretUse(ctx, uses)
}

func (s *spread) ClaimMessages(ctx context.Context, in store.Claim) ([]store.Message, error) {
	return s.next().ClaimMessages(ctx, in)
}

func (s *spread) RecordOutcomes(ctx context.Context, now time.Time, outcomes []store.Outcome) (int, error) {
	return s.next().RecordOutcomes(ctx, now, outcomes)
}

func (s *spread) QueueStats(ctx context.Context) (store.QueueStats, error) {
	return s.next().QueueStats(ctx)
}

func (s *spread) ApplyReceipts(ctx context.Context, now time.Time, receipts []store.Receipt) ([]store.Applied, error) {
	return s.next().ApplyReceipts(ctx, now, receipts)
}

func (s *spread) RecordVerified(ctx context.Context, now time.Time, phones []store.PhoneID) ([]store.Verified, error) {
	return s.next().RecordVerified(ctx, now, phones)
}

func (s *spread) Messages(ctx context.Context, in store.MessageQuery) (store.MessagePage, error) {
	return s.next().Messages(ctx, in)
}

func (s *spread) Message(ctx context.Context, id store.MessageID) (store.MessageDetail, error) {
	return s.next().Message(ctx, id)
}

func (s *spread) PutNotes(ctx context.Context, now time.Time, notes []store.Note) error {
	return s.next().PutNotes(ctx, now, notes)
}

func (s *spread) Notes(ctx context.Context, now time.Time, topic string, since time.Time) ([]store.Note, error) {
	return s.next().Notes(ctx, now, topic, since)
}

func (s *spread) EachNote(ctx context.Context, now time.Time, topic string, since time.Time, each func(*store.Note)) error {
	return s.next().EachNote(ctx, now, topic, since, each)
}

func (s *spread) PutLineFacts(ctx context.Context, now time.Time, facts []store.LineFact) error {
	return s.next().PutLineFacts(ctx, now, facts)
}

func (s *spread) LineFact(ctx context.Context, now time.Time, phone [16]byte) (store.LineFact, bool, error) {
	return s.next().LineFact(ctx, now, phone)
}

func (s *spread) Document(ctx context.Context, name string, known int64) (store.Document, error) {
	return s.next().Document(ctx, name, known)
}

func (s *spread) PutDocument(ctx context.Context, d store.Document) error {
	return s.next().PutDocument(ctx, d)
}

func (s *spread) AppendEvents(ctx context.Context, events []store.Event) error {
	return s.next().AppendEvents(ctx, events)
}

func (s *spread) Events(ctx context.Context, q store.EventQuery) ([]store.Event, error) {
	return s.next().Events(ctx, q)
}

func (s *spread) FoldRollups(ctx context.Context, limit int) (int, error) {
	return s.next().FoldRollups(ctx, limit)
}

func (s *spread) Rollups(ctx context.Context, q store.RollupQuery, each func(*store.Rollup) error) error {
	return s.next().Rollups(ctx, q, each)
}

func (s *spread) QueueWebhooks(ctx context.Context, webhooks []store.Webhook) error {
	return s.next().QueueWebhooks(ctx, webhooks)
}

func (s *spread) ClaimWebhooks(ctx context.Context, in store.WebhookClaim) ([]store.WebhookDelivery, error) {
	return s.next().ClaimWebhooks(ctx, in)
}

func (s *spread) RecordWebhooks(ctx context.Context, now time.Time, outcomes []store.WebhookOutcome) error {
	return s.next().RecordWebhooks(ctx, now, outcomes)
}

func (s *spread) ReplayWebhooks(ctx context.Context, in store.WebhookReplay) (store.WebhookReplayed, error) {
	return s.next().ReplayWebhooks(ctx, in)
}

func (s *spread) TookSince(ctx context.Context, endpoint store.EndpointID, since time.Time) (bool, error) {
	return s.next().TookSince(ctx, endpoint, since)
}

func (s *spread) EraseWebhooks(ctx context.Context, events []store.EventID) error {
	return s.next().EraseWebhooks(ctx, events)
}

func (s *spread) Webhooks(ctx context.Context, in store.WebhookQuery) ([]store.WebhookDelivery, error) {
	return s.next().Webhooks(ctx, in)
}

func (s *spread) SweepExpired(ctx context.Context, in store.Sweep) (store.Swept, error) {
	return s.nodes[0].SweepExpired(ctx, in)
}

func (s *spread) Ping(ctx context.Context) error { return s.next().Ping(ctx) }

func (s *spread) Close() error {
	var errs []error
	for _, n := range s.nodes {
		errs = append(errs, n.Close())
	}
	return errors.Join(errs...)
}

// Package redis is the engine of what expires, on Redis or Valkey: challenges,
// limits, idempotency keys, sessions, notes, line types, and the messages that were
// accepted a moment ago. It stands in front of a ledger, the engine that keeps the rest.
//
// Every step is one function of library.lua on one primary, and touches one key or
// the keys of one phone, which share a slot. A step whose outcome is unknown is
// fault.Unavailable and is never repeated.
//
// A primary may lose what it acknowledged: when it restarts, or when a replica takes
// its place. Challenges and sessions carry the fence of the primary's life that wrote
// them, and count in no other one: a code that was used, and a session that was
// revoked, stay so.
package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"codeword/internal/store"
	"codeword/internal/store/group"
)

// engine begins the detail of what goes wrong here.
const engine = "redis"

// Ledger is the engine behind: it keeps clients, signing keys, phones, users, the
// message log, documents and events.
type Ledger interface {
	PhoneFacts(ctx context.Context, client string, primary store.PhoneID, former []store.PhoneID) (store.PhoneFacts, error)
	OwnPhone(ctx context.Context, in store.Own) (store.UserID, error)
	QueueMessages(ctx context.Context, accepted []store.Accepted) error
	MarkPhone(ctx context.Context, in store.PhoneMark) error
	ErasePhone(ctx context.Context, in store.Erase) (store.Erased, error)
	PhoneRecord(ctx context.Context, in store.PhoneQuery) (store.PhoneRecord, error)

	SigningKeys(ctx context.Context) ([]store.SigningKey, error)
	AddSigningKey(ctx context.Context, key store.SigningKey, after string) error
	RetireSigningKey(ctx context.Context, kid string, at time.Time) error
	DeleteSigningKey(ctx context.Context, kid string) error

	Clients(ctx context.Context) ([]store.Client, error)
	CreateClient(ctx context.Context, c store.Client) error
	UpdateClient(ctx context.Context, c store.Client) error
	RecordSecretUse(ctx context.Context, uses []store.SecretUse) error

	ClaimMessages(ctx context.Context, in store.Claim) ([]store.Message, error)
	RecordOutcomes(ctx context.Context, now time.Time, outcomes []store.Outcome) (int, error)
	QueueStats(ctx context.Context) (store.QueueStats, error)
	ApplyReceipts(ctx context.Context, now time.Time, receipts []store.Receipt) ([]store.Applied, error)
	RecordVerified(ctx context.Context, now time.Time, phones []store.PhoneID) ([]store.Verified, error)
	Messages(ctx context.Context, in store.MessageQuery) (store.MessagePage, error)
	Message(ctx context.Context, id store.MessageID) (store.MessageDetail, error)
	NewestMessage(ctx context.Context) (time.Time, error)
	CodeKeyUses(ctx context.Context, now time.Time, version uint32) (int, error)

	Document(ctx context.Context, name string, known int64) (store.Document, error)
	PutDocument(ctx context.Context, d store.Document) error
	AppendEvents(ctx context.Context, events []store.Event) error
	Events(ctx context.Context, in store.EventQuery) ([]store.Event, error)

	FoldRollups(ctx context.Context, limit int) (int, error)
	Rollups(ctx context.Context, in store.RollupQuery, each func(*store.Rollup) error) error

	QueueWebhooks(ctx context.Context, webhooks []store.Webhook) error
	ClaimWebhooks(ctx context.Context, in store.WebhookClaim) ([]store.WebhookDelivery, error)
	RecordWebhooks(ctx context.Context, now time.Time, outcomes []store.WebhookOutcome) error
	ReplayWebhooks(ctx context.Context, in store.WebhookReplay) (store.WebhookReplayed, error)
	Webhooks(ctx context.Context, in store.WebhookQuery) ([]store.WebhookDelivery, error)
	TookSince(ctx context.Context, endpoint store.EndpointID, since time.Time) (bool, error)
	EraseWebhooks(ctx context.Context, events []store.EventID) error

	SweepExpired(ctx context.Context, in store.Sweep) (store.Swept, error)
	Ping(ctx context.Context) error
	Close() error
}

// Store is an open server with the ledger behind it. It is safe for concurrent use.
// What it does not do itself the ledger does.
type Store struct {
	Ledger

	cfg      Config
	settings settings
	client   rueidis.Client
	mover    *mover
	// clients are those that the ledger knows.
	clients sync.Map
	closing sync.Once
	closed  error
}

// Open connects, refuses a server that may drop what is alive, and starts to move
// accepted messages into the ledger.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	set, err := parse(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.Moved == nil {
		cfg.Moved = func() {}
	}
	// A function may have been carried out although its answer was lost.
	set.client.DisableRetry = true
	set.client.DisableCache = true
	set.client.ClientName = "codeword"
	if set.client.Sentinel.MasterSet != "" {
		set.client.Sentinel.TopologyRefreshInterval = 5 * time.Second
	}
	// Replicas that came later have to be known when the primaries go.
	set.client.ClusterOption.ShardsRefreshInterval = 10 * time.Second
	client, err := rueidis.NewClient(set.client)
	if err != nil {
		return nil, fmt.Errorf("redis: connect: %w", err)
	}
	s := &Store{Ledger: cfg.Ledger, cfg: cfg, settings: set, client: client}
	if err := errors.Join(s.checkPolicy(ctx), s.loadLibrary(ctx)); err != nil {
		client.Close()
		return nil, fmt.Errorf("redis: %w", err)
	}
	s.mover = newMover(s)
	return s, nil
}

// Ping says whether both engines can write right now.
func (s *Store) Ping(ctx context.Context) error {
	if _, err := s.call(ctx, "pad", s.padKey(0)); err != nil {
		return err
	}
	return s.Ledger.Ping(ctx)
}

// Close moves nothing any more, and closes the connections and the ledger. Messages
// that are on their way to the ledger stay in the server, for any node.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.mover.close()
		s.client.Close()
		s.closed = s.Ledger.Close()
	})
	return s.closed
}

// wantedPolicy lets no live session or limit go when the memory is full.
const wantedPolicy = "noeviction"

// checkPolicy refuses servers that drop live keys when their memory is full.
func (s *Store) checkPolicy(ctx context.Context) error {
	return s.eachPrimary(ctx, func(addr string, c rueidis.Client) error {
		got, err := c.Do(ctx, c.B().Info().Section("memory").Build()).ToString()
		if err != nil {
			return fmt.Errorf("%s: %w", addr, err)
		}
		if policy := infoField(got, "maxmemory_policy"); policy != "" && policy != wantedPolicy {
			return fmt.Errorf("%s: its maxmemory-policy is %s, so that it drops sessions and limits when its memory is full: set it to %s",
				addr, policy, wantedPolicy)
		}
		return nil
	})
}

// eachPrimary calls f for every primary that answers.
func (s *Store) eachPrimary(ctx context.Context, f func(addr string, c rueidis.Client) error) error {
	var errs []error
	for addr, c := range s.client.Nodes() {
		role, err := c.Do(ctx, c.B().Role().Build()).ToArray()
		if err == nil && len(role) > 0 {
			if name, _ := role[0].ToString(); name != "master" {
				continue
			}
			err = f(addr, c)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// infoField reads one field of an answer to INFO; empty for none.
func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func unavailable(detail string, cause error) error { return group.Unavailable(engine, detail, cause) }

package tenant

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"codeword/internal/audit"
	"codeword/internal/fault"
	"codeword/internal/store"
)

// MaxAge is how old a node's view of the clients may be: a disabled client or a
// canceled secret is refused everywhere within this time.
const MaxAge = time.Second

// reloadEvery keeps the view younger than MaxAge.
const reloadEvery = MaxAge / 2

// useFlushEvery is how often last-used times of secrets are written.
const useFlushEvery = 10 * time.Second

// maxSecret bounds what is hashed for a presented secret, in bytes.
const maxSecret = 256

// Store is the part of the ledger that keeps clients.
type Store interface {
	Clients(ctx context.Context) ([]store.Client, error)
	CreateClient(ctx context.Context, c store.Client) error
	UpdateClient(ctx context.Context, c store.Client) error
	RecordSecretUse(ctx context.Context, uses []store.SecretUse) error
}

// Keys hashes secrets with a versioned key.
type Keys interface {
	Index(version uint32, input []byte) ([32]byte, error)
	IndexVersion() uint32
}

// Config is what a Registry needs.
type Config struct {
	Store Store
	Keys  Keys
	Now   func() time.Time
	Log   *slog.Logger
	// Audit records each change of a client; nil where none is to be made.
	Audit *audit.Trail
}

// Registry answers who a caller is from memory, and refreshes that memory.
type Registry struct {
	store Store
	keys  Keys
	now   func() time.Time
	log   *slog.Logger
	audit *audit.Trail
	view  atomic.Pointer[view]
	// decoy stands for every secret that is not there; see match.
	decoy store.Secret
	// uses maps client and secret to the last use not yet written.
	useMu sync.Mutex
	uses  map[[2]string]int64
}

// view is what one Load found. But for what it remembers of good credentials it
// is never changed.
type view struct {
	// good maps a digest of credentials that were right to the index of their
	// secret. It goes with the view, so it is never older than MaxAge; wrong
	// credentials, of known and unknown clients alike, never enter it.
	good    sync.Map
	clients map[string]*Client
	// refused are the clients that could not be read.
	refused map[string]*Client
	// versions are the key versions under which any secret is kept: one, and
	// while an index key is being replaced two.
	versions []uint32
}

// NewRegistry returns an empty registry; call Load before serving.
func NewRegistry(cfg Config) *Registry {
	r := &Registry{store: cfg.Store, keys: cfg.Keys, now: cfg.Now, log: cfg.Log, audit: cfg.Audit, uses: make(map[[2]string]int64)}
	var hash [32]byte
	_, _ = rand.Read(hash[:]) // never fails, see crypto/rand.Read
	r.decoy = store.Secret{KeyVersion: cfg.Keys.IndexVersion(), Hash: hash[:]}
	r.view.Store(&view{versions: []uint32{r.decoy.KeyVersion}})
	return r
}

// Load reads all clients. A client whose settings this version cannot read is
// left out and logged, once: refusing one beats refusing all.
func (r *Registry) Load(ctx context.Context) error {
	rows, err := r.store.Clients(ctx)
	if err != nil {
		return err
	}
	old := r.view.Load()
	next := &view{clients: make(map[string]*Client, len(rows)), refused: make(map[string]*Client)}
	for _, row := range rows {
		c := old.clients[row.ID]
		if c == nil || c.Revision != row.Revision {
			if c, err = Parse(row); err != nil {
				if was := old.refused[row.ID]; was == nil || was.Revision != row.Revision {
					r.log.ErrorContext(ctx, "client has settings that cannot be read and is refused", "client", row.ID, "wrong", wrongSettings(err))
				}
				next.refused[row.ID] = &Client{ID: row.ID, Name: row.Name, Live: row.Live, Revision: row.Revision, Unread: true}
				continue
			}
		}
		next.clients[row.ID] = c
		for _, s := range c.secrets {
			if !slices.Contains(next.versions, s.KeyVersion) {
				next.versions = append(next.versions, s.KeyVersion)
			}
		}
	}
	if len(next.versions) == 0 {
		next.versions = []uint32{r.decoy.KeyVersion}
	}
	r.view.Store(next)
	return nil
}

// Run keeps the registry fresh until ctx ends, then writes the last-used times
// once more.
func (r *Registry) Run(ctx context.Context) error {
	reload := time.NewTicker(reloadEvery)
	defer reload.Stop()
	flush := time.NewTicker(useFlushEvery)
	defer flush.Stop()
	for {
		select {
		case <-reload.C:
			if err := r.Load(ctx); err != nil && ctx.Err() == nil {
				r.log.WarnContext(ctx, "clients could not be refreshed", "error", err)
			}
		case <-flush.C:
			r.flushUses(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			r.flushUses(last)
			return nil
		}
	}
}

// Client returns a client by id, disabled ones included, or nil.
func (r *Registry) Client(id string) *Client { return r.view.Load().clients[id] }

// Clients lists all readable clients in no order.
func (r *Registry) Clients() []*Client {
	all := r.view.Load().clients
	out := make([]*Client, 0, len(all))
	for _, c := range all {
		out = append(out, c)
	}
	return out
}

// Known returns a client by id, also one that is Unread, or nil.
func (r *Registry) Known(id string) *Client {
	v := r.view.Load()
	if c := v.clients[id]; c != nil {
		return c
	}
	return v.refused[id]
}

// All lists all clients in no order, also those that are Unread: what is kept of their
// phones and messages is there nevertheless.
func (r *Registry) All() []*Client {
	v := r.view.Load()
	return slices.AppendSeq(slices.Collect(maps.Values(v.clients)), maps.Values(v.refused))
}

// Authenticate returns the client that the credentials belong to. An unknown
// client, a disabled one and a wrong secret are one answer and take one time:
// fault.InvalidCredentials.
func (r *Registry) Authenticate(id, secret string) (*Client, error) {
	v := r.view.Load()
	c := v.clients[id]
	known := c != nil && !c.Disabled
	var secrets []store.Secret
	if known {
		secrets = c.secrets
	}
	var space [128]byte
	digest := sha256.Sum256(append(append(append(space[:0], id...), 0), secret...))
	matched, ok := -1, false
	if remembered, found := v.good.Load(digest); found && known {
		matched, ok = remembered.(int)
	}
	if !ok {
		matched = r.match(v.versions, id, secrets, secret)
		if matched < 0 {
			return nil, fault.New(fault.InvalidCredentials, "client is unknown or disabled, or the secret is wrong")
		}
		v.good.Store(digest, matched)
	}
	r.noteUse(id, secrets[matched].ID)
	return c, nil
}

// match returns the index of the secret that was presented, or -1. Whether
// there are no secrets, one or two, and whatever it finds, it computes one hash
// for each key version in use and compares maxSecrets times with each, so that
// time does not tell which clients exist.
func (r *Registry) match(versions []uint32, id string, secrets []store.Secret, presented string) int {
	if len(presented) > maxSecret {
		presented = presented[:maxSecret] // no stored secret is that long
	}
	found := -1
	for _, version := range versions {
		hash, err := r.hash(version, id, presented)
		if err != nil {
			continue // its key was retired; the secrets under it are dead
		}
		for i := range maxSecrets {
			candidate := &r.decoy
			if i < len(secrets) && secrets[i].KeyVersion == version {
				candidate = &secrets[i]
			}
			if subtle.ConstantTimeCompare(hash[:], candidate.Hash) == 1 && candidate != &r.decoy {
				found = i
			}
		}
	}
	return found
}

// hash is the keyed hash of a secret. The id is part of it, so that equal
// secrets of two clients do not meet.
func (r *Registry) hash(version uint32, id, secret string) ([32]byte, error) {
	var space [128]byte
	in := append(space[:0], "client-secret\x00"...)
	in = append(in, id...)
	in = append(in, 0)
	in = append(in, secret...)
	return r.keys.Index(version, in)
}

func (r *Registry) noteUse(client, secret string) {
	now := r.now().Unix()
	key := [2]string{client, secret}
	r.useMu.Lock()
	r.uses[key] = max(r.uses[key], now)
	r.useMu.Unlock()
}

func (r *Registry) flushUses(ctx context.Context) {
	r.useMu.Lock()
	uses := make([]store.SecretUse, 0, len(r.uses))
	for key, at := range r.uses {
		uses = append(uses, store.SecretUse{Client: key[0], Secret: key[1], At: time.Unix(at, 0)})
	}
	clear(r.uses)
	r.useMu.Unlock()
	if len(uses) == 0 {
		return
	}
	if err := r.store.RecordSecretUse(ctx, uses); err != nil {
		r.log.WarnContext(ctx, "last-used times of secrets were not written and will be tried again", "error", err)
		r.useMu.Lock()
		for _, u := range uses {
			key := [2]string{u.Client, u.Secret}
			r.uses[key] = max(r.uses[key], u.At.Unix())
		}
		r.useMu.Unlock()
	}
}

// NewSecret returns a fresh 256-bit secret and the form in which it is kept.
// The clear text exists only in what is returned.
func (r *Registry) NewSecret(clientID string) (clear string, kept store.Secret, err error) {
	var raw [32 + 6]byte
	// None begins with a dash, which a command line would take for a flag.
	for clear == "" || clear[0] == '-' {
		_, _ = rand.Read(raw[:]) // never fails, see crypto/rand.Read
		clear = base64.RawURLEncoding.EncodeToString(raw[:32])
	}
	kept, err = r.Keep(clientID, "secret-"+base64.RawURLEncoding.EncodeToString(raw[32:]), clear)
	return clear, kept, err
}

// Keep returns the form in which a given secret is kept.
func (r *Registry) Keep(clientID, secretID, clear string) (store.Secret, error) {
	version := r.keys.IndexVersion()
	hash, err := r.hash(version, clientID, clear)
	if err != nil {
		return store.Secret{}, fmt.Errorf("hash secret: %w", err)
	}
	return store.Secret{ID: secretID, KeyVersion: version, Hash: hash[:], CreatedAt: r.now()}, nil
}

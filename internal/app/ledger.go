package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"codeword/internal/audit"
	"codeword/internal/keyring"
	"codeword/internal/session"
	"codeword/internal/store"
	"codeword/internal/tenant"
	"codeword/internal/webhook"
)

// ledger is what a command line tool needs to work on the data directly, beside
// a running server or without one.
type ledger struct {
	store   engine
	ring    *keyring.Ring
	clients *tenant.Registry
	// audit records what the actor, who runs the command, changes.
	audit *audit.Trail
	actor string
	// webhooks are where events go.
	webhooks *webhook.Registry
}

// exists refuses what st names unless it is a database of ours already: a mistyped
// name must not become an empty one.
func (st storage) exists(ctx context.Context) error {
	if st.File != "" {
		return fileExists(st.File)
	}
	return schemaExists(ctx, st.Postgres)
}

func openLedger(ctx context.Context, st storage, keyset string, log *slog.Logger) (*ledger, error) {
	ring, err := keyring.Load(keyset)
	if err != nil {
		return nil, asUsage(err)
	}
	e, err := openEngine(ctx, st, nil, observers{})
	if err != nil {
		return nil, err
	}
	l, err := newLedger(ctx, e, ring, log)
	if err = errors.Join(err, copied(ctx, e)); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return l, nil
}

// newLedger fails when ring is not the keyset that e was written with.
func newLedger(ctx context.Context, e engine, ring *keyring.Ring, log *slog.Logger) (*ledger, error) {
	l := &ledger{store: e, ring: ring, audit: &audit.Trail{Store: e, Now: time.Now}, actor: operator()}
	l.webhooks = webhook.NewRegistry(webhook.RegistryConfig{Documents: e, Queue: e, Keys: ring, Now: time.Now, Audit: l.audit})
	emitter, err := webhook.NewEmitter(webhook.EmitterConfig{Registry: l.webhooks, Queue: e, Now: time.Now, Log: log})
	if err != nil {
		return nil, err
	}
	l.audit.Made = func(ctx context.Context, entry *store.Event) {
		if err := l.webhooks.Load(ctx); err != nil {
			log.WarnContext(ctx, "a webhook of the change was not queued", "error", err)
			return
		}
		emitter.Changed(ctx, entry)
	}
	l.clients = tenant.NewRegistry(tenant.Config{Store: e, Keys: ring, Now: time.Now, Log: log, Audit: l.audit})
	return l, errors.Join(l.clients.Load(ctx), belongs(ctx, e, ring))
}

// belongs refuses a keyset that knows none of the keys that the database was
// written with: what is written under it would be lost to the right one.
func belongs(ctx context.Context, st tenant.Store, ring *keyring.Ring) error {
	rows, err := st.Clients(ctx)
	if err != nil {
		return err
	}
	kept := 0
	for _, row := range rows {
		for _, s := range row.Secrets {
			if slices.Contains(ring.IndexVersions(), s.KeyVersion) {
				return nil
			}
			kept++
		}
	}
	if kept > 0 {
		return asUsage(errors.New("keyset: it is not the one of this database"))
	}
	return nil
}

func (l *ledger) close() error { return l.store.Close() }

// toolKeyLife keeps a tool from finding that a rotation is due: that is for the
// servers, which know the configured life.
const toolKeyLife = 100 * 365 * 24 * time.Hour

// sessions manages signing keys; it neither mints nor verifies here. A key that
// it adds has the algorithm of the newest one, which the servers chose.
func (l *ledger) sessions(ctx context.Context, log *slog.Logger) (*session.Manager, error) {
	keys, err := l.store.SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	algorithm := session.ES256
	if len(keys) > 0 {
		algorithm = keys[len(keys)-1].Algorithm
	}
	return session.New(session.Config{
		Store: l.store, KeyStore: l.store, Keys: l.ring,
		Issuer: "https://localhost", Algorithm: algorithm, KeyLifetime: toolKeyLife,
		PhoneID: noPhoneID, Now: time.Now, Log: log, Audit: l.audit,
	})
}

// with opens the data, runs do and closes again.
func (f *ledgerFlags) with(ctx context.Context, s streams, do func(*ledger, *slog.Logger) error) error {
	st, err := f.resolve()
	if err != nil {
		return err
	}
	return withLedger(ctx, st, f.Keyset, s, do)
}

// with opens the data and what expires, runs do and closes again.
func (f *storeFlags) with(ctx context.Context, s streams, do func(*ledger, *slog.Logger) error) error {
	st, err := f.resolve()
	if err != nil {
		return err
	}
	return withLedger(ctx, st, f.Keyset, s, do)
}

func withLedger(ctx context.Context, st storage, keyset string, s streams, do func(*ledger, *slog.Logger) error) error {
	if err := st.exists(ctx); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(s.err, nil))
	l, err := openLedger(ctx, st, keyset, log)
	if err != nil {
		return err
	}
	return errors.Join(do(l, log), l.close())
}

package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"codeword/internal/keyring"
	"codeword/internal/session"
	"codeword/internal/store/sqlite"
	"codeword/internal/tenant"
)

// ledger is what a command line tool needs to work on the data directly, beside
// a running server or without one.
type ledger struct {
	store   *sqlite.Store
	ring    *keyring.Ring
	clients *tenant.Registry
}

// open opens the data that the flags name. It creates nothing: a mistyped path
// must not become an empty database.
func (f *ledgerFlags) open(ctx context.Context, log *slog.Logger) (*ledger, error) {
	path, err := f.resolve()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, asUsage(fmt.Errorf("database: %s does not exist; 'codeword migrate' creates it", path))
	}
	return openLedger(ctx, path, f.Keyset, log)
}

func openLedger(ctx context.Context, path, keyset string, log *slog.Logger) (*ledger, error) {
	ring, err := keyring.Load(keyset)
	if err != nil {
		return nil, asUsage(err)
	}
	st, err := sqlite.Open(ctx, sqlite.Config{Path: path})
	if err != nil {
		return nil, err
	}
	l := &ledger{store: st, ring: ring}
	l.clients = tenant.NewRegistry(tenant.Config{Store: st, Keys: ring, Now: time.Now, Log: log})
	if err := errors.Join(l.clients.Load(ctx), belongs(ctx, st, ring)); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return l, nil
}

// belongs refuses a keyset that knows none of the keys that the database was
// written with: what is written under it would be lost to the right one.
func belongs(ctx context.Context, st *sqlite.Store, ring *keyring.Ring) error {
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
		PhoneID: noPhoneID, Now: time.Now, Log: log,
	})
}

// with opens the data, runs f and closes again.
func (f *ledgerFlags) with(ctx context.Context, s streams, do func(*ledger, *slog.Logger) error) error {
	log := slog.New(slog.NewTextHandler(s.err, nil))
	l, err := f.open(ctx, log)
	if err != nil {
		return err
	}
	return errors.Join(do(l, log), l.close())
}

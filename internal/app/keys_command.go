package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"codeword/internal/audit"
	"codeword/internal/keyring"
	"codeword/internal/session"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

func noPhoneID(*tenant.Client, store.PhoneID) string { return "" }

type keysCommand struct {
	Init   keysInit   `cmd:"" help:"Write a new master keyset to a file that does not exist yet."`
	List   keysList   `cmd:"" help:"List master keys and signing keys."`
	Rotate keysRotate `cmd:"" help:"Add a key and make it the one for new values."`
	Retire keysRetire `cmd:"" help:"Remove an old key."`
}

type keysInit struct {
	Keyset string `required:"" help:"File to write (mode 0600)." placeholder:"FILE"`
}

// Run writes the keyset.
func (c *keysInit) Run(s streams) error {
	ring, err := keyring.Generate()
	if err != nil {
		return err
	}
	if err := keyring.Create(c.Keyset, ring); err != nil {
		return asUsage(err)
	}
	_, err = fmt.Fprintf(s.out, "wrote %s\n\nKeep a copy in a safe place: without it no stored number can be read.\n", c.Keyset)
	return err
}

type keysList struct{ ledgerFlags }

// Run lists the keys.
func (c *keysList) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, log *slog.Logger) error {
		manager, err := l.sessions(ctx, log)
		if err != nil {
			return err
		}
		signing, err := manager.ListKeys(ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "PURPOSE\tKEY\tSTATE\tSINCE")
		for _, k := range l.ring.List() {
			state := "old"
			if k.Primary {
				state = "primary"
			}
			_, _ = fmt.Fprintf(w, "%s\t%d\t%s\t\n", k.Purpose, k.Version, state)
		}
		for _, k := range signing {
			_, _ = fmt.Fprintf(w, "signing\t%s\t%s %s\t%s\n", k.KID, k.Algorithm, k.State, k.ActiveAt.Format(time.RFC3339))
		}
		return w.Flush()
	})
}

type keysRotate struct {
	ledgerFlags
	Purpose string `arg:"" enum:"code,index,seal,signing" help:"code, index, seal or signing."`
	Now     bool   `help:"signing: use the new key at once. Verifiers that cache the key set fail until they fetch it again; for a compromised key."`
}

// Run rotates. A running server takes a new signing key by itself, and a new
// master key when it is restarted.
func (c *keysRotate) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, log *slog.Logger) error {
		if c.Purpose == "signing" {
			manager, err := l.sessions(ctx, log)
			if err != nil {
				return err
			}
			key, err := manager.RotateNow(ctx, l.actor, c.Now)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.out, "added %s, signs from %s\n", key.KID, key.ActiveAt.Format(time.RFC3339))
			return err
		}
		ring, err := l.ring.Rotate(keyring.Purpose(c.Purpose))
		if err != nil {
			return err
		}
		data := session.KeyData{Purpose: c.Purpose, Key: primary(ring, keyring.Purpose(c.Purpose))}
		if err := l.replaceKeyset(ctx, c.Keyset, ring, session.EventRotate, data); err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.out, "added a %s key; restart every server to use it\n", c.Purpose)
		return err
	})
}

// replaceKeyset writes a changed ring over its file, and records that in the ledger.
func (l *ledger) replaceKeyset(ctx context.Context, path string, ring *keyring.Ring, kind string, data session.KeyData) error {
	return l.audit.Record(ctx, audit.Entry{Actor: l.actor, Kind: kind, Data: data}, func() error {
		return keyring.Replace(path, ring)
	})
}

// primary is the key for new values, as 'keys list' shows it.
func primary(ring *keyring.Ring, p keyring.Purpose) string {
	for _, k := range ring.List() {
		if k.Purpose == p && k.Primary {
			return strconv.FormatUint(uint64(k.Version), 10)
		}
	}
	return ""
}

type keysRetire struct {
	storeFlags
	Purpose string `arg:"" enum:"code,index,seal,signing" help:"code, index, seal or signing."`
	Key     string `arg:"" help:"Key as 'keys list' shows it."`
}

// Run retires a key unless something still depends on it.
func (c *keysRetire) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, log *slog.Logger) error {
		if c.Purpose == "signing" {
			manager, err := l.sessions(ctx, log)
			if err != nil {
				return err
			}
			return done(s, manager.Retire(ctx, l.actor, c.Key), "retired signing key %s\n", c.Key)
		}
		version, err := strconv.ParseUint(c.Key, 10, 32)
		if err != nil || !slices.ContainsFunc(l.ring.List(), func(k keyring.Key) bool {
			return k.Purpose == keyring.Purpose(c.Purpose) && uint64(k.Version) == version
		}) {
			return asUsage(fmt.Errorf("%q is no %s key of 'keys list'", c.Key, c.Purpose))
		}
		if err := c.retirable(ctx, l, uint32(version)); err != nil {
			return usageUnlessStore(err)
		}
		ring, err := l.ring.Retire(keyring.Purpose(c.Purpose), uint32(version))
		if err != nil {
			return asUsage(err)
		}
		data := session.KeyData{Purpose: c.Purpose, Key: strconv.FormatUint(version, 10)}
		if err := l.replaceKeyset(ctx, c.Keyset, ring, session.EventRetire, data); err != nil {
			return err
		}
		return done(s, nil, "retired %s key %d; restart every server to forget it\n", c.Purpose, version)
	})
}

// retirable refuses while stored values still need the key.
func (c *keysRetire) retirable(ctx context.Context, l *ledger, version uint32) error {
	switch keyring.Purpose(c.Purpose) {
	case keyring.Code:
		n, err := l.store.CodeKeyUses(ctx, time.Now(), version)
		if err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%d live challenges or queued messages still use the key; wait until they have expired", n)
		}
		return nil
	default:
		return errors.New("stored phones still use the key: index and seal keys stay readable for as long as the database lives")
	}
}

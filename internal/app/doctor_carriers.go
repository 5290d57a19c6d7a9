package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// carrierCheckTimeout bounds the check of one carrier; all are checked at once.
const carrierCheckTimeout = 15 * time.Second

// checkCarriers tells of each route whether its carrier lets us in, and why not; and
// the same of the services that tell line types.
func checkCarriers(ctx context.Context, path, publicURL string, s streams) []store.Finding {
	file, err := loadCarriers(path, publicURL)
	if err != nil {
		return []store.Finding{{What: "carriers file", Err: err}}
	}
	services, err := file.Online.Lookups.build(time.Now)
	if err != nil {
		return []store.Finding{{What: "carriers file", Err: err}}
	}
	cfg := carrierConfig{Out: io.Discard, Now: time.Now, Log: slog.New(slog.NewTextHandler(s.err, nil))}
	checks := make([]func() store.Finding, 0, len(file.Routes)+len(services))
	for i := range file.Routes {
		checks = append(checks, func() store.Finding { return checkCarrier(ctx, &cfg, &file.Routes[i]) })
	}
	for _, p := range services {
		checks = append(checks, func() store.Finding { return checkAccess(ctx, "line look-ups", p.Name(), p) })
	}
	out := make([]store.Finding, 1+len(checks))
	out[0] = store.Finding{What: "carriers file", Note: path}
	var all sync.WaitGroup
	for i, check := range checks {
		all.Go(func() { out[1+i] = check() })
	}
	all.Wait()
	return out
}

func checkCarrier(ctx context.Context, cfg *carrierConfig, r *routeSettings) store.Finding {
	what := "route " + r.Name
	c, err := cfg.build(r)
	if err != nil {
		return store.Finding{What: what, Err: err}
	}
	return checkAccess(ctx, what, r.kinds()[0], c)
}

// checkAccess tells whether a provider lets us in, if there is a way to ask it.
func checkAccess(ctx context.Context, what, kind string, provider any) store.Finding {
	f := store.Finding{What: what}
	checker, ok := provider.(carrier.Checker)
	if !ok {
		f.Note = kind + ": nothing to check"
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, carrierCheckTimeout)
	defer cancel()
	began := time.Now()
	if err := checker.Check(ctx); err != nil {
		f.Err = errors.New(kind + ": " + strings.TrimPrefix(err.Error(), kind+": ")) // most name themselves
		return f
	}
	f.Note = fmt.Sprintf("%s: lets us in (%d ms)", kind, time.Since(began).Milliseconds())
	return f
}

// checkOnline warns of clients whose settings want what the carriers file does not have.
func checkOnline(ctx context.Context, l *ledger, path string) []store.Finding {
	file, err := loadCarriers(path, "")
	if err != nil {
		return nil // told elsewhere
	}
	rows, err := l.store.Clients(ctx)
	if err != nil {
		return nil // told elsewhere
	}
	var secrets, lookups []string
	for _, row := range rows {
		c, err := tenant.Parse(row)
		if err != nil || c.Disabled {
			continue
		}
		if p := c.Settings.BotProof; p != nil && file.Online.ProofSecrets[p.SecretName] == "" {
			secrets = append(secrets, c.ID+" wants "+p.SecretName)
		}
		if c.Lookup.Mode != phone.LookupOff && file.Online.Lookups.Provider == nil {
			lookups = append(lookups, c.ID)
		}
	}
	var out []store.Finding
	if len(secrets) > 0 {
		out = append(out, store.Finding{
			What: "bot proof", Warning: true,
			Note: "secrets that are not in the carriers file: " + strings.Join(secrets, ", "),
		})
	}
	if len(lookups) > 0 {
		out = append(out, store.Finding{
			What: "line look-ups", Warning: true,
			Note: "no service is in the carriers file for " + strings.Join(lookups, ", "),
		})
	}
	return out
}

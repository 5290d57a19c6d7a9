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
	"codeword/internal/store"
)

// carrierCheckTimeout bounds the check of one carrier; all are checked at once.
const carrierCheckTimeout = 15 * time.Second

// checkCarriers tells of each route whether its carrier lets us in, and why not.
func checkCarriers(ctx context.Context, path, publicURL string, s streams) []store.Finding {
	routes, err := loadRoutes(path, publicURL)
	if err != nil {
		return []store.Finding{{What: "carriers file", Err: err}}
	}
	cfg := carrierConfig{Out: io.Discard, Now: time.Now, Log: slog.New(slog.NewTextHandler(s.err, nil))}
	out := make([]store.Finding, 1+len(routes))
	out[0] = store.Finding{What: "carriers file", Note: path}
	var all sync.WaitGroup
	for i := range routes {
		all.Go(func() { out[1+i] = checkCarrier(ctx, &cfg, &routes[i]) })
	}
	all.Wait()
	return out
}

func checkCarrier(ctx context.Context, cfg *carrierConfig, r *routeSettings) store.Finding {
	f := store.Finding{What: "route " + r.Name}
	c, err := cfg.build(r)
	if err != nil {
		f.Err = err
		return f
	}
	checker, ok := c.(carrier.Checker)
	if !ok {
		f.Note = r.kinds()[0] + ": nothing to check"
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, carrierCheckTimeout)
	defer cancel()
	began := time.Now()
	if err := checker.Check(ctx); err != nil {
		kind := r.kinds()[0]
		f.Err = errors.New(kind + ": " + strings.TrimPrefix(err.Error(), kind+": ")) // most carriers name themselves
		return f
	}
	f.Note = fmt.Sprintf("%s: lets us in (%d ms)", r.kinds()[0], time.Since(began).Milliseconds())
	return f
}

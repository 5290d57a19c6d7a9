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
)

// carrierCheckTimeout bounds the check of one carrier; all are checked at once.
const carrierCheckTimeout = 15 * time.Second

// checkCarriers tells of each route whether its carrier lets us in, and why not.
func checkCarriers(ctx context.Context, path, publicURL string, s streams) []finding {
	routes, err := loadRoutes(path, publicURL)
	if err != nil {
		return []finding{{what: "carriers file", err: err}}
	}
	cfg := carrierConfig{Out: io.Discard, Now: time.Now, Log: slog.New(slog.NewTextHandler(s.err, nil))}
	out := make([]finding, 1+len(routes))
	out[0] = finding{what: "carriers file", note: path}
	var all sync.WaitGroup
	for i := range routes {
		all.Go(func() { out[1+i] = checkCarrier(ctx, &cfg, &routes[i]) })
	}
	all.Wait()
	return out
}

func checkCarrier(ctx context.Context, cfg *carrierConfig, r *routeSettings) finding {
	f := finding{what: "route " + r.Name}
	c, err := cfg.build(r)
	if err != nil {
		f.err = err
		return f
	}
	checker, ok := c.(carrier.Checker)
	if !ok {
		f.note = r.kinds()[0] + ": nothing to check"
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, carrierCheckTimeout)
	defer cancel()
	began := time.Now()
	if err := checker.Check(ctx); err != nil {
		kind := r.kinds()[0]
		f.err = errors.New(kind + ": " + strings.TrimPrefix(err.Error(), kind+": ")) // most carriers name themselves
		return f
	}
	f.note = fmt.Sprintf("%s: lets us in (%d ms)", r.kinds()[0], time.Since(began).Milliseconds())
	return f
}

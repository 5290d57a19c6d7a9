package app

import (
	"context"
	"net/http"
	"time"

	"codeword/internal/server"
)

// storeHealth tells readiness from a durable write.
type storeHealth struct {
	store interface{ Ping(context.Context) error }
}

// Ready implements server.Health.
func (h storeHealth) Ready(ctx context.Context) error { return h.store.Ping(ctx) }

func (n *node) wirePublic() (err error) {
	proxies, err := n.cfg.Flags.proxies()
	if err != nil {
		return err
	}
	n.handler, err = server.New(n.tracedPublic(server.Config{
		Clients:        n.clients,
		OTP:            n.otp,
		Sessions:       n.sessions,
		Health:         storeHealth{n.store},
		Callbacks:      n.carriers,
		Intake:         n.intake,
		Demo:           n.cfg.Demo,
		TrustedProxies: proxies,
		MaxInFlight:    n.cfg.Flags.MaxInFlight,
		Registry:       n.metrics,
		Log:            n.log,
		Now:            n.cfg.Now,
	}))
	if err != nil {
		return err
	}
	if n.cfg.TLSCert != "" {
		if n.certs, err = server.LoadCertificates(n.cfg.TLSCert, n.cfg.TLSKey); err != nil {
			return err
		}
	}
	n.public, err = server.NewListener(server.ListenConfig{
		Handler:        n.handler.Handler(),
		Certificates:   n.certs,
		MaxConnections: n.cfg.Flags.MaxConnections,
		Log:            n.log,
	})
	return err
}

// probe asks a URL of this server and wants 200.
func probe(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	client.CloseIdleConnections()
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errNotReady
	}
	return nil
}

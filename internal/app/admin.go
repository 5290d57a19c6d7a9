package app

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"codeword/api"
	"codeword/internal/carrier/inbox"
	"codeword/internal/console"
	"codeword/internal/guard/spend"
	"codeword/internal/screening"
	"codeword/internal/tenant"
)

// inboxView shows the inbox to the console, which must not know carriers.
type inboxView struct{ view *inbox.View }

// List implements console.Inbox.
func (v inboxView) List(ctx context.Context, q console.Query) (console.InboxPage, error) {
	found, err := v.view.List(ctx, inbox.Query{To: q.To, Limit: q.Limit, Before: q.Before})
	if err != nil {
		return console.InboxPage{}, err
	}
	out := console.InboxPage{Messages: make([]console.Entry, 0, len(found.Messages)), Next: found.Next}
	for _, e := range found.Messages {
		out.Messages = append(out.Messages, console.Entry{
			ID: e.ID, ClientID: e.Client, To: e.To, From: e.From, Text: e.Text, CreateTime: api.NewTime(e.CreateTime),
		})
	}
	return out, nil
}

// guardView shows the guard to the console.
type guardView struct{ n *node }

// Holds implements console.Guard.
func (g guardView) Holds(ctx context.Context) ([]screening.Hold, error) {
	return screening.ListHolds(ctx, g.n.store, g.n.cfg.Now())
}

// Release implements console.Guard.
func (g guardView) Release(ctx context.Context, actor, key string) error {
	return screening.ReleaseHold(ctx, g.n.store, g.n.audit, g.n.cfg.Now(), key, actor)
}

// Spent implements console.Guard.
func (g guardView) Spent(client string) spend.State {
	return g.n.screen.Spent(client, g.n.cfg.Now())
}

// maxAdminConnections bounds the connections of the admin listener: whoever reaches it,
// known or not, must not take the files of the process, which the sends need. More wait in
// the backlog of the system.
const maxAdminConnections = 512

// Time limits of the admin listener. A CPU profile takes longer than any page;
// pprof extends the write deadline by itself.
const (
	adminReadTimeout  = 10 * time.Second
	adminWriteTimeout = 30 * time.Second
	adminIdleTimeout  = 2 * time.Minute
)

func (n *node) wireAdmin() error {
	view := inbox.NewView(inbox.Config{
		Clients:  func(context.Context) ([]*tenant.Client, error) { return n.clients.Clients(), nil },
		Messages: n.store.Messages,
		Open:     n.otp.Number,
		Code:     n.messageCode,
		PhoneIDs: n.otp.PhoneIDs,
		Shown:    n.router.UsesInbox,
	})
	logins, err := n.logins()
	if err != nil {
		return err
	}
	pages, err := console.New(console.Config{
		Token:    console.Token(n.cfg.AdminToken),
		Login:    logins,
		Inbox:    inboxView{view},
		Messages: &messageLog{store: n.store, phones: n.store, clients: n.clients, otp: n.otp, audit: n.audit, now: n.cfg.Now},
		Events:   n.store,
		Rollups:  n.store,
		Phones: &phoneKeeper{
			store: n.store, clients: n.clients, otp: n.otp, ring: n.cfg.Ring, now: n.cfg.Now, audit: n.audit,
			refused: refusalBook(n.store, n.cfg.Ring, n.cfg.Now),
		},
		Routes:    n.routeViews,
		TestSends: n.testSends(),
		Guard:     guardView{n},
		Clients:   n.clients, Webhooks: n.hooks.registry,
		Keys: n.sessions, MasterKeys: n.cfg.Ring.List,
		Queue:   n.store.QueueStats,
		Metrics: n.metrics,
		Log:     n.log,
		Now:     n.cfg.Now,
	})
	if err != nil {
		return err
	}
	n.admin = &http.Server{
		Handler:           pages.Handler(),
		ReadHeaderTimeout: adminReadTimeout,
		ReadTimeout:       adminReadTimeout,
		WriteTimeout:      adminWriteTimeout,
		IdleTimeout:       adminIdleTimeout,
		ErrorLog:          slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
	n.admin.RegisterOnShutdown(pages.EndStreams)
	return nil
}

package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

type clientCommand struct {
	Create       clientCreate  `cmd:"" help:"Create a client and print its secret, once."`
	List         clientList    `cmd:"" help:"List clients."`
	Show         clientShow    `cmd:"" help:"Show one client with its settings."`
	Update       clientUpdate  `cmd:"" help:"Rename a client or change its settings."`
	Disable      clientDisable `cmd:"" help:"Refuse a client's calls."`
	Enable       clientEnable  `cmd:"" help:"Accept a disabled client's calls again."`
	RotateSecret rotateSecret  `cmd:"" help:"Replace a client's secret without an interruption."`
}

type clientCreate struct {
	ledgerFlags
	Name     string `required:"" help:"Name for operators."`
	Live     bool   `help:"A live client; without it a test client, whose messages only reach the inbox."`
	Settings string `help:"Settings as a JSON object; what is left out has its default." placeholder:"JSON"`
	JSON     bool   `name:"json" help:"Print JSON."`
}

// settingsHelp shows what settings look like.
const settingsHelp = `Examples of --settings:

  {"brand": "Acme", "codeLength": 8, "codeLifetime": "5m"}

  {"routes": ["main", "backup"]}

  {"templates": {"en": "{code} is your {brand} code.", "es-MX": "{code} es tu clave de {brand}."}}

  {"locale": "es", "locales": ["es", "en", "vi"], "maxSegments": 2}

  {"webOtpDomain": "login.example.com"}

  {"androidAppHash": "FA+9qCX9VSu"}

What works, but perhaps not as meant, is printed as a warning: characters that halve the room of a text, and languages that do not fit.`

// Help shows examples.
func (clientCreate) Help() string { return settingsHelp }

// Run creates the client.
func (c *clientCreate) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		row, secret, err := l.clients.Create(ctx, l.actor, "", c.Name, c.Live, []byte(c.Settings))
		if err != nil {
			return usageUnlessStore(err)
		}
		warnings := viewClient(row).Warnings
		if c.JSON {
			return printJSON(s.out, createdView{ID: row.ID, Secret: secret, Warnings: warnings})
		}
		for _, w := range warnings {
			_, _ = fmt.Fprintln(s.err, "warning:", w)
		}
		_, err = fmt.Fprintf(s.out, "id      %s\nsecret  %s\n\nThe secret is not shown again.\n", row.ID, secret)
		return err
	})
}

// usageUnlessStore marks what is neither the store's fault nor another
// writer's as the caller's.
func usageUnlessStore(err error) error {
	for _, kind := range []fault.Kind{fault.Unavailable, fault.Internal, fault.Conflict} {
		if fault.Is(err, kind) {
			return err
		}
	}
	return asUsage(err)
}

type clientList struct {
	ledgerFlags
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists the clients, oldest first.
func (c *clientList) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		rows, err := l.store.Clients(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			views := make([]clientView, 0, len(rows))
			for _, row := range rows {
				views = append(views, viewClient(row))
			}
			return printJSON(s.out, views)
		}
		w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "ID\tNAME\tSTATE\tSECRETS\tCREATED")
		for _, row := range rows {
			state := "enabled"
			if !row.DisabledAt.IsZero() {
				state = "disabled"
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", row.ID, row.Name, state, len(row.Secrets), row.CreatedAt.Format(time.RFC3339))
		}
		return w.Flush()
	})
}

type clientShow struct {
	ledgerFlags
	ID string `arg:"" help:"Client id."`
}

// Run prints the client as JSON.
func (c *clientShow) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		row, err := l.clients.Find(ctx, c.ID)
		if err != nil {
			return usageUnlessStore(err)
		}
		return printJSON(s.out, viewClient(row))
	})
}

type clientUpdate struct {
	ledgerFlags
	ID       string `arg:"" help:"Client id."`
	Name     string `help:"New name."`
	Settings string `help:"Settings to change, as a JSON object; null resets one to its default." placeholder:"JSON"`
}

// Help shows examples.
func (clientUpdate) Help() string { return settingsHelp }

// Run changes the client and prints it.
func (c *clientUpdate) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		row, err := l.clients.Update(ctx, l.actor, c.ID, c.Name, []byte(c.Settings))
		if err != nil {
			return usageUnlessStore(err)
		}
		return printJSON(s.out, viewClient(row))
	})
}

type clientDisable struct {
	ledgerFlags
	ID string `arg:"" help:"Client id."`
}

// Run disables the client; servers refuse it within a second.
func (c *clientDisable) Run(ctx context.Context, s streams) error {
	return setDisabled(ctx, s, &c.ledgerFlags, c.ID, true)
}

type clientEnable struct {
	ledgerFlags
	ID string `arg:"" help:"Client id."`
}

// Run enables the client again.
func (c *clientEnable) Run(ctx context.Context, s streams) error {
	return setDisabled(ctx, s, &c.ledgerFlags, c.ID, false)
}

func setDisabled(ctx context.Context, s streams, f *ledgerFlags, id string, disabled bool) error {
	return f.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		state := "enabled"
		if disabled {
			state = "disabled"
		}
		_, err := l.clients.SetDisabled(ctx, l.actor, id, disabled)
		return done(s, err, "%s is %s; servers follow within a second\n", id, state)
	})
}

// done prints what was done, or returns why it was not.
func done(s streams, err error, format string, args ...any) error {
	if err != nil {
		return usageUnlessStore(err)
	}
	_, err = fmt.Fprintf(s.out, format, args...)
	return err
}

type rotateSecret struct {
	Start  rotateStart  `cmd:"" help:"Add a second secret and print it, once; both work."`
	Finish rotateFinish `cmd:"" help:"End the old secret."`
	Cancel rotateCancel `cmd:"" help:"End the new secret."`
}

type rotateStart struct {
	ledgerFlags
	ID   string `arg:"" help:"Client id."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run starts the rotation.
func (c *rotateStart) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		secret, err := l.clients.StartRotation(ctx, l.actor, c.ID)
		if err != nil {
			return usageUnlessStore(err)
		}
		if c.JSON {
			return printJSON(s.out, map[string]string{"id": c.ID, "secret": secret})
		}
		_, err = fmt.Fprintf(s.out, "secret  %s\n\nThe secret is not shown again. The old one works until 'rotate-secret finish'.\n", secret)
		return err
	})
}

type rotateFinish struct {
	ledgerFlags
	ID string `arg:"" help:"Client id."`
}

// Run ends the old secret.
func (c *rotateFinish) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		return done(s, l.clients.FinishRotation(ctx, l.actor, c.ID), "the old secret of %s has ended\n", c.ID)
	})
}

type rotateCancel struct {
	ledgerFlags
	ID string `arg:"" help:"Client id."`
}

// Run ends the new secret.
func (c *rotateCancel) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		return done(s, l.clients.CancelRotation(ctx, l.actor, c.ID), "the new secret of %s has ended\n", c.ID)
	})
}

// createdView is a new client, with its secret.
type createdView struct {
	ID       string   `json:"id"`
	Secret   string   `json:"secret"`
	Warnings []string `json:"warnings,omitempty"`
}

// clientView is a client as operators see it: settings in full, secrets by
// their times alone.
type clientView struct {
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	Env        string          `json:"env"`
	CreateTime time.Time       `json:"createTime"`
	Disabled   *time.Time      `json:"disableTime,omitempty"`
	Secrets    []secretView    `json:"secrets"`
	Settings   tenant.Settings `json:"settings"`
	// Problem says why the stored settings cannot be used.
	Problem string `json:"problem,omitempty"`
	// Warnings say what works, but perhaps not as meant.
	Warnings []string `json:"warnings,omitempty"`
}

type secretView struct {
	ID         string     `json:"id"`
	CreateTime time.Time  `json:"createTime"`
	LastUsed   *time.Time `json:"lastUseTime,omitempty"`
}

func viewClient(row store.Client) clientView {
	v := clientView{ID: row.ID, Name: row.Name, Env: tenant.Env(row.Live), CreateTime: row.CreatedAt, Secrets: []secretView{}}
	v.Disabled = timeOrNil(row.DisabledAt)
	for _, sec := range row.Secrets {
		v.Secrets = append(v.Secrets, secretView{ID: sec.ID, CreateTime: sec.CreatedAt, LastUsed: timeOrNil(sec.LastUsedAt)})
	}
	settings, err := tenant.ParseSettings(row.Settings)
	v.Settings = settings
	if err != nil {
		v.Problem = err.Error()
		return v
	}
	_, v.Warnings, _ = settings.Texts() // checked above
	return v
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"codeword/internal/store"
	"codeword/internal/webhook"
)

type webhookCommand struct {
	Create       webhookCreate     `cmd:"" help:"Have events posted to a URL, and print the secret that signs them, once."`
	List         webhookList       `cmd:"" help:"List endpoints."`
	Show         webhookShow       `cmd:"" help:"Show one endpoint."`
	Update       webhookUpdate     `cmd:"" help:"Change an endpoint's URL or kinds."`
	RotateSecret webhookRotate     `cmd:"" help:"Replace an endpoint's secret without an interruption."`
	Disable      webhookDisable    `cmd:"" help:"Post nothing to an endpoint any more; what is queued waits."`
	Enable       webhookEnable     `cmd:"" help:"Post to an endpoint again."`
	Delete       webhookDelete     `cmd:"" help:"Remove an endpoint; what is queued for it is not posted."`
	Deliveries   webhookDeliveries `cmd:"" help:"List what was, or is to be, posted to an endpoint, newest first."`
	Test         webhookTest       `cmd:"" help:"Post an event that tells nothing, to see whether it arrives."`
	Replay       webhookReplay     `cmd:"" help:"Post again what was given up, or one event."`
}

// endpointFlags name an endpoint.
type endpointFlags struct {
	ledgerFlags
	ID string `arg:"" help:"Endpoint id."`
}

// with opens the data and reads the id.
func (f *endpointFlags) with(ctx context.Context, s streams, do func(*ledger, store.EndpointID) error) error {
	id, ok := store.ParseEndpointID(f.ID)
	if !ok {
		return asUsage(errors.New("not the id of an endpoint"))
	}
	return f.ledgerFlags.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		return usageUnlessNil(do(l, id))
	})
}

func usageUnlessNil(err error) error {
	if err == nil {
		return nil
	}
	return usageUnlessStore(err)
}

type webhookCreate struct {
	ledgerFlags
	Client string   `help:"Client whose events are posted." placeholder:"ID" xor:"whose"`
	All    bool     `help:"Post the events of all clients." xor:"whose"`
	URL    string   `name:"url" env:"CODEWORD_WEBHOOK_URL" required:"" help:"Where to: https, or http to this machine." placeholder:"URL"`
	Kinds  []string `help:"Kinds of events; all without it." placeholder:"KIND"`
	JSON   bool     `name:"json" help:"Print JSON."`
}

// Help tells what the flags cannot.
func (webhookCreate) Help() string {
	return "One of --client and --all is required. Kinds: " + strings.Join(webhook.Kinds(), ", ") + "."
}

// Run creates the endpoint.
func (c *webhookCreate) Run(ctx context.Context, s streams) error {
	if c.Client == "" && !c.All {
		return asUsage(errors.New("one of --client and --all is required"))
	}
	return c.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		if c.Client != "" {
			if _, err := l.clients.Find(ctx, c.Client); err != nil {
				return usageUnlessStore(err)
			}
		}
		e, secret, err := l.webhooks.Create(ctx, l.actor, c.Client, c.URL, c.Kinds)
		if err != nil {
			return usageUnlessStore(err)
		}
		if c.JSON {
			return printJSON(s.out, map[string]string{"id": e.ID.String(), "secret": secret})
		}
		_, err = fmt.Fprintf(s.out, "id      %s\nsecret  %s\n\nThe secret is not shown again.\n", e.ID, secret)
		return err
	})
}

type webhookList struct {
	ledgerFlags
	Client string `help:"Only those of that client." placeholder:"ID"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Run lists the endpoints, oldest first.
func (c *webhookList) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		all, err := l.webhooks.List(ctx, c.Client)
		if err != nil {
			return err
		}
		views := make([]webhook.View, len(all))
		for i := range all {
			views[i] = all[i].View()
		}
		if c.JSON {
			return printJSON(s.out, views)
		}
		w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "ID\tCLIENT\tSTATE\tKINDS\tURL")
		for _, v := range views {
			state, client, kinds := v.State, v.ClientID, strings.Join(v.Kinds, ",")
			if v.Reason != "" {
				state += " (" + v.Reason + ")"
			}
			if client == "" {
				client = "all"
			}
			if kinds == "" {
				kinds = "all"
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", v.ID, escaped(client, ""), state, kinds, escaped(v.URL, ""))
		}
		return w.Flush()
	})
}

type webhookShow struct{ endpointFlags }

// Run prints the endpoint as JSON.
func (c *webhookShow) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, id store.EndpointID) error {
		e, err := l.webhooks.Find(ctx, id)
		if err != nil {
			return err
		}
		return printJSON(s.out, e.View())
	})
}

type webhookUpdate struct {
	endpointFlags
	URL   string   `name:"url" env:"CODEWORD_WEBHOOK_URL" help:"New URL." placeholder:"URL"`
	Kinds []string `help:"New kinds." placeholder:"KIND" xor:"kinds"`
	All   bool     `name:"all-kinds" help:"All kinds." xor:"kinds"`
}

// Run changes the endpoint and prints it.
func (c *webhookUpdate) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, id store.EndpointID) error {
		kinds := c.Kinds
		if c.All {
			kinds = []string{}
		}
		e, err := l.webhooks.Update(ctx, l.actor, id, c.URL, kinds)
		if err != nil {
			return err
		}
		return printJSON(s.out, e.View())
	})
}

type webhookRotate struct {
	Start  webhookRotateStart  `cmd:"" help:"Add a second secret and print it, once; both sign."`
	Finish webhookRotateFinish `cmd:"" help:"End the old secret."`
	Cancel webhookRotateCancel `cmd:"" help:"End the new secret."`
}

type webhookRotateStart struct {
	endpointFlags
	JSON bool `name:"json" help:"Print JSON."`
}

// Run starts the rotation.
func (c *webhookRotateStart) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, id store.EndpointID) error {
		secret, err := l.webhooks.StartRotation(ctx, l.actor, id)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, map[string]string{"id": c.ID, "secret": secret})
		}
		_, err = fmt.Fprintf(s.out, "secret  %s\n\nThe secret is not shown again. The old one signs, too, until 'rotate-secret finish'.\n", secret)
		return err
	})
}

type webhookRotateFinish struct{ endpointFlags }

// Run ends the old secret.
func (c *webhookRotateFinish) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, id store.EndpointID) error {
		return done(s, l.webhooks.FinishRotation(ctx, l.actor, id), "the old secret of %s has ended\n", id)
	})
}

type webhookRotateCancel struct{ endpointFlags }

// Run ends the new secret.
func (c *webhookRotateCancel) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, id store.EndpointID) error {
		return done(s, l.webhooks.CancelRotation(ctx, l.actor, id), "the new secret of %s has ended\n", id)
	})
}

type webhookDisable struct{ endpointFlags }

// Run disables the endpoint.
func (c *webhookDisable) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, id store.EndpointID) error {
		_, err := l.webhooks.Disable(ctx, l.actor, id, webhook.ReasonOperator)
		return done(s, err, "%s is disabled; servers follow within a second\n", id)
	})
}

type webhookEnable struct{ endpointFlags }

// Run enables the endpoint.
func (c *webhookEnable) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, id store.EndpointID) error {
		_, err := l.webhooks.Enable(ctx, l.actor, id)
		return done(s, err, "%s is enabled; servers follow within a second\n", id)
	})
}

type webhookTest struct{ endpointFlags }

// Run queues a test.
func (c *webhookTest) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, id store.EndpointID) error {
		event, err := l.webhooks.Test(ctx, l.actor, id)
		return done(s, err, "event %s is posted; see 'webhook deliveries'\n", event)
	})
}

type webhookDelete struct{ endpointFlags }

// Run removes the endpoint.
func (c *webhookDelete) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, id store.EndpointID) error {
		return done(s, l.webhooks.Delete(ctx, l.actor, id), "%s is deleted\n", id)
	})
}

type webhookDeliveries struct {
	endpointFlags
	State  string `help:"Only those in that state: pending, delivered or failed." enum:",pending,delivered,failed" default:""`
	Limit  int    `help:"How many at most, from 1 to 500." default:"50"`
	Before string `help:"Only those of older events than that one." placeholder:"ID"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Run lists the deliveries.
func (c *webhookDeliveries) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, id store.EndpointID) error {
		q := store.WebhookQuery{Endpoint: id, Limit: c.Limit}
		q.State, _ = store.ParseDeliveryState(c.State) // none, for all, of an empty one
		if c.Limit < 1 || c.Limit > maxEvents {
			return fmt.Errorf("limit: not within 1 to %d", maxEvents)
		}
		if c.Before != "" {
			var ok bool
			if q.Before, ok = store.ParseEventID(c.Before); !ok {
				return errors.New("before: not the id of an event")
			}
		}
		all, err := l.webhooks.Deliveries(ctx, q)
		if err != nil {
			return err
		}
		views := make([]webhook.DeliveryView, len(all))
		for i := range all {
			views[i] = webhook.ViewDelivery(&all[i])
		}
		if c.JSON {
			return printJSON(s.out, views)
		}
		w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "EVENT\tQUEUED\tKIND\tSTATE\tATTEMPTS\tSTATUS\tERROR")
		for _, v := range views {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s\n", v.EventID, v.QueueTime.Format(time.RFC3339), v.Kind, v.State, v.Attempts, v.Status, v.Error)
		}
		return w.Flush()
	})
}

type webhookReplay struct {
	endpointFlags
	Event string        `help:"That event, whatever became of it." placeholder:"ID" xor:"what"`
	Since time.Duration `help:"What was given up of the events of so long; 168h without it." placeholder:"DURATION" xor:"what"`
	All   bool          `help:"With --since: also what was delivered."`
}

// Run makes deliveries due again.
func (c *webhookReplay) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, id store.EndpointID) error {
		in := store.WebhookReplay{Endpoint: id}
		if c.Since == 0 {
			c.Since = store.KeepWebhooks
		}
		switch {
		case c.Event != "":
			var ok bool
			if in.Event, ok = store.ParseEventID(c.Event); !ok {
				return errors.New("event: not the id of an event")
			}
		case c.Since <= 0:
			return errors.New("since: not positive")
		default:
			in.Since = time.Now().Add(-c.Since)
			if !c.All {
				in.State = store.DeliveryFailed
			}
		}
		n, err := l.webhooks.Replay(ctx, l.actor, in)
		return done(s, err, "%d are posted again\n", n)
	})
}

package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"codeword/api"
	"codeword/internal/console"
	"codeword/internal/otp"
	"codeword/internal/store"
)

type phoneCommand struct {
	OptOut  phoneOptOut  `cmd:"" help:"Refuse sends to a number whose owner wants no messages from the client."`
	OptIn   phoneOptIn   `cmd:"" help:"Accept sends to a number that had opted out."`
	Block   phoneBlock   `cmd:"" help:"Refuse sends to a number for a time."`
	Unblock phoneUnblock `cmd:"" help:"End a block early."`
	Find    phoneFind    `cmd:"" help:"Print what clients know of a number, as JSON: opt-out, block, codes, limits, messages, refused sends."`
	Export  phoneExport  `cmd:"" help:"Print everything that is kept of a number, as JSON: for its owner."`
	Erase   phoneErase   `cmd:"" help:"Erase what is kept of a number; an opt-out stays."`
}

// phoneFlags name one number of one client.
type phoneFlags struct {
	ledgerFlags
	Client string `required:"" help:"Id of the client that the number is to be marked for." placeholder:"ID"`
	Number string `arg:"" help:"Number in E.164."`
}

// mark notes something about the number, beside a running server or without
// one, and tells what holds from now on.
func (f *phoneFlags) mark(ctx context.Context, s streams, mark store.Mark, format string, args ...any) error {
	return f.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		client, err := anyClient(ctx, l.clients, f.Client)
		if err != nil {
			return usageUnlessStore(err)
		}
		phones := otp.New(otp.Config{Store: l.store, Keys: l.ring, Now: time.Now, Audit: l.audit})
		mask, err := phones.MarkPhone(ctx, l.actor, client, f.Number, mark)
		return done(s, err, "%s: the number ending in %s %s\n", f.Client, mask, fmt.Sprintf(format, args...))
	})
}

type phoneOptOut struct{ phoneFlags }

// Run opts the number out.
func (c *phoneOptOut) Run(ctx context.Context, s streams) error {
	return c.mark(ctx, s, store.Mark{OptedOut: new(true)}, "has opted out; sends get %s", api.CodePhoneOptedOut)
}

type phoneOptIn struct{ phoneFlags }

// Run takes the opt-out back.
func (c *phoneOptIn) Run(ctx context.Context, s streams) error {
	return c.mark(ctx, s, store.Mark{OptedOut: new(false)}, "is not opted out any more")
}

type phoneBlock struct {
	phoneFlags
	For time.Duration `help:"How long sends are refused." default:"24h"`
}

// Run blocks the number.
func (c *phoneBlock) Run(ctx context.Context, s streams) error {
	if c.For <= 0 {
		return asUsage(errors.New("for: must be more than nothing"))
	}
	until := time.Now().Add(c.For)
	return c.mark(ctx, s, store.Mark{BlockedUntil: &until}, "is blocked until %s; sends get %s",
		until.UTC().Format(time.RFC3339), api.CodeBlockedPhone)
}

type phoneUnblock struct{ phoneFlags }

// Run ends the block.
func (c *phoneUnblock) Run(ctx context.Context, s streams) error {
	return c.mark(ctx, s, store.Mark{BlockedUntil: new(time.Time{})}, "is not blocked any more")
}

// withKeeper opens the data, beside a running server or without one.
func (f *storeFlags) withKeeper(ctx context.Context, s streams, do func(*phoneKeeper, *ledger) error) error {
	return f.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		keeper := &phoneKeeper{
			store: l.store, clients: l.clients, ring: l.ring, audit: l.audit, now: time.Now,
			otp:     otp.New(otp.Config{Store: l.store, Keys: l.ring, Now: time.Now}),
			refused: refusalBook(l.store, l.ring, time.Now),
		}
		err := do(keeper, l)
		if errors.Is(err, console.ErrNoClient) || errors.Is(err, console.ErrNoPhone) {
			return asUsage(err)
		}
		return usageUnlessStore(err)
	})
}

type phoneFind struct {
	storeFlags
	Client string `help:"Id of the client to ask; all are asked without it." placeholder:"ID"`
	Phone  string `arg:"" help:"Number in E.164, or the phone's id." name:"number-or-id"`
}

// Run prints what is known, for whoever is asked why a person got no code.
func (c *phoneFind) Run(ctx context.Context, s streams) error {
	return c.withKeeper(ctx, s, func(k *phoneKeeper, l *ledger) error {
		found, err := k.Find(ctx, l.actor, c.Client, c.Phone)
		if err != nil {
			return err
		}
		return printJSON(s.out, map[string]any{"phones": found})
	})
}

// keptFlags name one number of one client, to read or erase what is kept of it.
type keptFlags struct {
	storeFlags
	Client string `required:"" help:"Id of the client whose phone it is." placeholder:"ID"`
	Phone  string `arg:"" help:"Number in E.164, or the phone's id." name:"number-or-id"`
}

type phoneExport struct{ keptFlags }

// Run prints what is kept.
func (c *phoneExport) Run(ctx context.Context, s streams) error {
	return c.withKeeper(ctx, s, func(k *phoneKeeper, l *ledger) error {
		doc, err := k.Export(ctx, l.actor, c.Client, c.Phone)
		if err != nil {
			return err
		}
		return printJSON(s.out, doc)
	})
}

type phoneErase struct{ keptFlags }

// Run erases what is kept, and prints what that was.
func (c *phoneErase) Run(ctx context.Context, s streams) error {
	return c.withKeeper(ctx, s, func(k *phoneKeeper, l *ledger) error {
		done, err := k.Erase(ctx, l.actor, c.Client, c.Phone)
		if err != nil {
			return err
		}
		return printJSON(s.out, done)
	})
}

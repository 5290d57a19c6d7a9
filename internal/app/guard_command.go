package app

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"text/tabwriter"
	"time"

	"codeword/internal/otp"
	"codeword/internal/phone"
	"codeword/internal/screening"
	"codeword/internal/store"
)

type guardCommand struct {
	Holds    guardHolds    `cmd:"" help:"List what is held back now."`
	Release  guardRelease  `cmd:"" help:"End a hold."`
	Record   guardRecord   `cmd:"" help:"Write a client's past traffic as CSV, for simulate: no whole number is in it."`
	Simulate guardSimulate `cmd:"" help:"Replay recorded or synthetic traffic and tell what would have been held back, when, and what was saved."`
}

type guardHolds struct {
	storeFlags
	JSON bool `name:"json" help:"Print JSON."`
}

// holdView is a hold as JSON.
type holdView struct {
	Key    string `json:"key"`
	Client string `json:"client"`
	screening.HoldData
}

// Run lists the holds, the latest first.
func (c *guardHolds) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		holds, err := screening.ListHolds(ctx, l.store, time.Now())
		if err != nil {
			return err
		}
		if c.JSON {
			views := make([]holdView, 0, len(holds))
			for _, h := range holds {
				views = append(views, holdView{h.Key, h.Client, h.HoldData})
			}
			return printJSON(s.out, views)
		}
		w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "KEY\tWHAT\tUNTIL\tMODE\tWHY")
		for i := range holds {
			h := &holds[i]
			d := h.Decision(h.Client)
			_, _ = fmt.Fprintf(w, "%s\t%s %s\t%s\t%s\t%s\n", h.Key, h.Scope, h.Name, h.Until.Format(time.RFC3339), h.Mode, describe(&d))
		}
		return w.Flush()
	})
}

type guardRelease struct {
	storeFlags
	Key string `arg:"" help:"Its key, as holds prints it."`
}

// Run ends the hold.
func (c *guardRelease) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		err := screening.ReleaseHold(ctx, l.store, l.audit, time.Now(), c.Key, l.actor)
		return done(s, err, "%s is free; servers follow within two seconds\n", c.Key)
	})
}

type guardRecord struct {
	ledgerFlags
	ID    string        `arg:"" help:"Client id."`
	Since time.Duration `help:"How far back." default:"168h"`
}

// recordPage is how many messages are read at once.
const recordPage = 500

// Run writes the traffic, newest first; simulate puts it in order.
func (c *guardRecord) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		if _, err := l.clients.Find(ctx, c.ID); err != nil {
			return usageUnlessStore(err)
		}
		service := otp.New(otp.Config{Keys: l.ring, Now: time.Now})
		buffered := bufio.NewWriter(s.out)
		w := csv.NewWriter(buffered)
		_ = w.Write(recordColumns) // Flush tells
		r := recording{open: service.Number, last: make(map[store.PhoneID]int)}
		q := store.MessageQuery{Clients: []string{c.ID}, Limit: recordPage, Since: time.Now().Add(-c.Since)}
		for {
			page, err := l.store.Messages(ctx, q)
			if err != nil {
				return err
			}
			for i := range page.Messages {
				if fields, ok := r.line(&page.Messages[i]); ok {
					_ = w.Write(fields) // Flush tells
				}
			}
			if q.Before = page.Next; q.Before == (store.MessageID{}) {
				break
			}
		}
		w.Flush()
		return errors.Join(w.Error(), buffered.Flush())
	})
}

// recording turns messages into lines without whole numbers: of a phone only its
// thousands-block is told, and a number that stands for it within that.
type recording struct {
	open func(store.Message) (phone.Number, error)
	last map[store.PhoneID]int
}

func (r *recording) line(m *store.Message) ([]string, bool) {
	n, err := r.open(*m)
	if err != nil {
		return nil, false // it was erased
	}
	stand, ok := r.last[m.Phone]
	if !ok {
		stand = len(r.last) % 1000
		r.last[m.Phone] = stand
	}
	used := ""
	if !m.VerifiedAt.IsZero() {
		used = strconv.FormatFloat(min(m.VerifiedAt.Sub(m.CreatedAt).Seconds(), 3600), 'f', 1, 64)
	}
	return []string{
		m.CreatedAt.UTC().Format(time.RFC3339Nano), fmt.Sprintf("+1%07d%03d", n.Block(), stand), "", used, "false", "",
	}, true
}

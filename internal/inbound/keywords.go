package inbound

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/fault"
	"codeword/internal/message"
	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// maxStartAge is how old a START may be. Carriers repeat what they could not
// bring, and one that comes late could undo a STOP that was written after it;
// whoever meant it writes it again. A STOP is obeyed whenever it comes.
const maxStartAge = 5 * time.Minute

// obey does what phones asked for, in the order in which they did.
func (i *Intake) obey(ctx context.Context, route string, inbound []carrier.Inbound) error {
	for _, in := range inbound {
		if !in.From.IsValid() {
			i.cfg.Metrics.Dropped(route, "number")
			continue
		}
		wish := message.Keyword(in.Text)
		if wish == message.KeywordStart && !in.At.IsZero() && i.cfg.Now().Sub(in.At) > maxStartAge {
			i.cfg.Metrics.Dropped(route, "start")
			continue
		}
		if err := i.grant(ctx, route, in, wish); err != nil {
			return err
		}
		i.cfg.Metrics.Inbound(route, wish)
	}
	return nil
}

// grant carries out one wish. The sender that a phone writes to serves all
// clients of the route, and the phone's owner knows nothing of clients, so STOP
// and START are meant for each of them that ever wrote to the phone.
func (i *Intake) grant(ctx context.Context, route string, in carrier.Inbound, wish message.KeywordKind) error {
	var mark store.Mark
	switch wish {
	case message.KeywordStop:
		mark.OptedOut = new(true)
	case message.KeywordStart:
		mark.OptedOut = new(false)
	case message.KeywordHelp: // an empty mark, which only tells who knows the phone
		if i.cfg.Replier(route) == nil {
			return nil
		}
	case message.KeywordNone:
		return nil
	default:
		return nil
	}
	known, err := i.mark(ctx, in.From, i.clientsOf(route, wish), mark)
	if err != nil {
		return err
	}
	i.answer(route, in, wish, known)
	return nil
}

// clientsOf lists the clients whose messages may leave by a route, by id. Test
// clients' messages never leave. One whose settings cannot be read may be of any route:
// for a STOP it counts, for all else it does not.
func (i *Intake) clientsOf(route string, wish message.KeywordKind) []*tenant.Client {
	var out []*tenant.Client
	for _, c := range i.cfg.Clients() {
		mine := len(c.Settings.Routes) == 0 || slices.Contains(c.Settings.Routes, route)
		if c.Unread {
			mine = wish == message.KeywordStop
		}
		if c.Live && mine {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *tenant.Client) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// parallelMarks is how many clients are marked at once; the store commits marks
// that come together in one go.
const parallelMarks = 32

// mark notes a mark for all clients that know the number and returns those. It
// goes on after a failure: what was noted until then holds.
func (i *Intake) mark(ctx context.Context, n phone.Number, clients []*tenant.Client, mark store.Mark) ([]*tenant.Client, error) {
	results := make([]error, len(clients))
	places := make(chan struct{}, parallelMarks)
	var wg sync.WaitGroup
	for k, c := range clients {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			results[k] = i.cfg.Mark(ctx, c, n, mark)
		})
	}
	wg.Wait()
	var known []*tenant.Client
	var errs []error
	for k, err := range results {
		switch {
		case err == nil:
			known = append(known, clients[k])
		case !fault.Is(err, fault.NotFound):
			errs = append(errs, err)
		}
	}
	return known, errors.Join(errs...)
}

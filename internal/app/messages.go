package app

import (
	"context"
	"time"

	"codeword/api"
	"codeword/internal/console"
	"codeword/internal/fault"
	"codeword/internal/otp"
	"codeword/internal/phone"
	"codeword/internal/routing"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// messageLog shows the message log to the console, which must not know how
// numbers are kept.
type messageLog struct {
	store   messageStore
	clients *tenant.Registry
	otp     *otp.Service
}

// List implements console.Messages.
func (l *messageLog) List(ctx context.Context, q console.MessageQuery) (console.MessagePage, error) {
	query := store.MessageQuery{
		Limit: q.Limit, Before: q.Before, Status: q.Status, Route: q.Route, Since: q.Since, Until: q.Until,
	}
	clients := l.clients.Clients()
	for _, c := range clients {
		query.Clients = append(query.Clients, c.ID)
	}
	if q.To != "" {
		number, err := phone.Parse(q.To)
		if err != nil {
			return console.MessagePage{}, fault.Wrap(fault.InvalidPhone, "messages filter", err)
		}
		query.Phones = []store.PhoneID{} // not nil, which would list all
		for _, c := range clients {
			ids, err := l.otp.PhoneIDs(c, number)
			if err != nil {
				return console.MessagePage{}, fault.Wrap(fault.Internal, "phone id", err)
			}
			query.Phones = append(query.Phones, ids...)
		}
	}
	found, err := l.store.Messages(ctx, query)
	if err != nil {
		return console.MessagePage{}, err
	}
	page := console.MessagePage{Next: found.Next, Messages: make([]console.MessageView, len(found.Messages))}
	for i := range found.Messages {
		page.Messages[i] = l.view(&found.Messages[i])
	}
	return page, nil
}

// Find implements console.Messages.
func (l *messageLog) Find(ctx context.Context, id store.MessageID) (console.MessageDetail, error) {
	found, err := l.store.Message(ctx, id)
	if err != nil {
		return console.MessageDetail{}, err
	}
	out := console.MessageDetail{
		MessageView: l.view(&found.Message),
		Dispatches:  make([]console.DispatchView, len(found.Dispatches)),
		Receipts:    make([]console.ReceiptView, len(found.Receipts)),
	}
	for i, d := range found.Dispatches {
		out.Dispatches[i] = console.DispatchView{
			Time: api.NewTime(d.At), Route: d.Route, Decision: verdicts(d.Decision), Status: d.Status.String(),
			CarrierRef: d.CarrierRef, Error: d.Error, Segments: d.Segments, PriceMicros: d.PriceMicros,
		}
	}
	for i, r := range found.Receipts {
		out.Receipts[i] = console.ReceiptView{
			Route: r.Route, CarrierRef: r.CarrierRef, Status: r.Status.String(), Error: r.Error,
			CarrierTime: optionalTime(r.At), ReceiveTime: api.NewTime(r.ReceivedAt),
		}
	}
	return out, nil
}

// view is a message without what operators need not see. A number whose key was
// retired, or that was erased, has no mask.
func (l *messageLog) view(m *store.Message) console.MessageView {
	v := console.MessageView{
		ID: m.ID.String(), ClientID: m.Client, Status: m.Status.String(), Route: m.Route, Error: m.Error,
		Locale: m.Locale, Claims: m.Claims,
		CreateTime: api.NewTime(m.CreatedAt), UpdateTime: api.NewTime(latest(m.CreatedAt, m.UpdatedAt)),
		ExpireTime: api.NewTime(m.ExpiresAt), VerifyTime: optionalTime(m.VerifiedAt),
	}
	if c := l.clients.Client(m.Client); c != nil {
		v.PhoneID = l.otp.PhoneID(c, m.Phone)
	}
	if len(m.Sealed) > 0 {
		if number, err := l.otp.Number(*m); err == nil {
			v.PhoneMask = number.Mask()
		}
	}
	return v
}

// verdicts reads why a route was taken; nothing of what another release wrote in
// words that this one does not know.
func verdicts(decision string) []console.VerdictView {
	decisions, err := routing.ParseDecision(decision)
	if err != nil {
		return nil
	}
	out := make([]console.VerdictView, len(decisions))
	for i, d := range decisions {
		out[i] = console.VerdictView{Route: d.Route, Verdict: string(d.Reason)}
	}
	return out
}

// optionalTime keeps the zero time, which the console leaves out.
func optionalTime(t time.Time) api.Time {
	if t.IsZero() {
		return api.Time{}
	}
	return api.NewTime(t)
}

// latest returns the later of two times.
func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

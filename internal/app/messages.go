package app

import (
	"context"
	"strings"
	"time"

	"codeword/api"
	"codeword/internal/audit"
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
	phones  phoneReader
	clients *tenant.Registry
	otp     *otp.Service
	audit   *audit.Trail
	now     func() time.Time
}

// eventReveal is the kind of the entry of somebody who looked at a whole number.
const eventReveal = "phone.reveal"

// revealData is what that entry tells.
type revealData struct {
	MessageID string `json:"messageId"`
	PhoneID   string `json:"phoneId,omitempty"`
}

// Reveal implements console.Messages.
func (l *messageLog) Reveal(ctx context.Context, actor string, id store.MessageID) (string, error) {
	found, err := l.store.Message(ctx, id)
	if err != nil {
		return "", err
	}
	m := &found.Message
	number, err := l.otp.Number(*m)
	if err != nil { // it was erased, or its key was retired
		return "", fault.Wrap(fault.NotFound, "the number is not kept", err)
	}
	data := revealData{MessageID: id.String()}
	if c := l.clients.Known(m.Client); c != nil {
		data.PhoneID = l.otp.PhoneID(c, m.Phone)
	}
	told := func() error { return nil } // the entry comes before the number is told
	if err := l.audit.Record(ctx, audit.Entry{Actor: actor, Client: m.Client, Kind: eventReveal, Data: data}, told); err != nil {
		return "", err
	}
	return number.E164(), nil
}

// List implements console.Messages.
func (l *messageLog) List(ctx context.Context, q console.MessageQuery) (console.MessagePage, error) {
	query := store.MessageQuery{
		Limit: q.Limit, Before: q.Before, Status: q.Status, Route: q.Route, Since: q.Since, Until: q.Until,
	}
	clients := l.clients.All()
	for _, c := range clients {
		if q.Client == "" || q.Client == c.ID {
			query.Clients = append(query.Clients, c.ID)
		}
	}
	if q.To != "" {
		var err error
		if query.Phones, err = l.phoneIDs(clients, q.To); err != nil {
			return console.MessagePage{}, err
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

// phoneIDs lists the ids that a number, or a phone's id as a client knows it, can have
// within the clients; never nil, which would list all.
func (l *messageLog) phoneIDs(clients []*tenant.Client, to string) ([]store.PhoneID, error) {
	out := []store.PhoneID{}
	if strings.HasPrefix(to, "phone-number-") {
		for _, c := range clients {
			if id := l.otp.ParsePhoneID(c, to); id != (store.PhoneID{}) {
				out = append(out, id)
			}
		}
		return out, nil
	}
	number, err := phone.Parse(to)
	if err != nil {
		return nil, fault.Wrap(fault.InvalidPhone, "messages filter", err)
	}
	for _, c := range clients {
		ids, err := l.otp.PhoneIDs(c, number)
		if err != nil {
			return nil, fault.Wrap(fault.Internal, "phone id", err)
		}
		out = append(out, ids...)
	}
	return out, nil
}

// Find implements console.Messages.
func (l *messageLog) Find(ctx context.Context, id store.MessageID) (console.MessageDetail, error) {
	found, err := l.store.Message(ctx, id)
	if err != nil {
		return console.MessageDetail{}, err
	}
	out := l.detail(&found)
	out.Challenge = l.challenge(ctx, &found.Message)
	return out, nil
}

// detail is a message with its history.
func (l *messageLog) detail(found *store.MessageDetail) console.MessageDetail {
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
	return out
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
	if c := l.clients.Known(m.Client); c != nil {
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

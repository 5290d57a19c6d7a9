package app

import (
	"bytes"
	"context"
	"encoding/hex"
	"time"

	"codeword/api"
	"codeword/internal/console"
	"codeword/internal/fault"
	"codeword/internal/store"
)

// Export implements console.Phones.
func (k *phoneKeeper) Export(ctx context.Context, actor, client, name string) (console.PhoneExport, error) {
	s, err := k.subject(ctx, client, name)
	if err != nil {
		return console.PhoneExport{}, err
	}
	now := k.now()
	record, err := k.store.PhoneRecord(ctx, store.PhoneQuery{Now: now, Client: client, Phones: s.ids})
	if err != nil {
		return console.PhoneExport{}, err
	}
	refusals, err := k.refusals(ctx, &s)
	if err != nil {
		return console.PhoneExport{}, err
	}
	if !record.Known && len(record.Sessions)+len(record.Keys)+len(refusals) == 0 {
		return console.PhoneExport{}, console.ErrNoPhone
	}
	var out console.PhoneExport
	err = k.audit.Record(ctx, k.entry(eventExport, actor, &s), func() (err error) {
		out, err = k.export(ctx, &s, &record, now)
		out.Refusals = refusals
		return err
	})
	if err != nil {
		return console.PhoneExport{}, err
	}
	return out, nil
}

func (k *phoneKeeper) export(ctx context.Context, s *subject, r *store.PhoneRecord, now time.Time) (console.PhoneExport, error) {
	out := console.PhoneExport{
		ExportTime: api.NewTime(now), ClientID: s.client.ID, PhoneID: k.otp.PhoneID(s.client, s.ids[0]),
		VerifyTime: optionalTime(r.VerifiedAt), OptOutTime: optionalTime(r.OptedOutAt), BlockEndTime: optionalTime(r.BlockedUntil),
		Challenges: []console.ChallengeExport{}, Limits: []console.LimitExport{}, Devices: []string{}, Sessions: []console.SessionExport{},
		IdempotencyKeys: []api.Time{}, Messages: []console.MessageDetail{}, Events: []console.EventView{},
	}
	if r.Known {
		out.PhoneID = k.otp.PhoneID(s.client, r.ID)
	}
	if len(r.Sealed) > 0 {
		number, err := k.otp.Number(store.Message{Phone: r.ID, Sealed: r.Sealed})
		if err != nil {
			return out, err
		}
		out.PhoneNumber, out.CreateTime, out.LastSendTime = number.E164(), optionalTime(r.CreatedAt), optionalTime(r.LastSendAt)
	} else {
		out.EraseTime = optionalTime(r.LastSendAt)
	}
	if r.User != (store.UserID{}) {
		out.UserID = k.userID(s, r.User)
	}
	k.exportLive(s, r, &out)
	if err := k.exportLine(ctx, s, now, &out); err != nil {
		return out, err
	}
	if err := k.exportMessages(ctx, s, &out); err != nil {
		return out, err
	}
	return out, k.exportEvents(ctx, s, &out)
}

func (*phoneKeeper) userID(s *subject, id store.UserID) string {
	return "user-" + s.client.Env() + "-" + id.String()
}

// exportLive tells what expires.
func (k *phoneKeeper) exportLive(s *subject, r *store.PhoneRecord, out *console.PhoneExport) {
	for i := range r.Challenges {
		ch := &r.Challenges[i]
		out.Challenges = append(out.Challenges, console.ChallengeExport{
			CreateTime: api.NewTime(ch.CreatedAt), ExpireTime: api.NewTime(ch.ExpiresAt), Attempts: ch.Attempts, Bound: ch.Binding != "",
		})
	}
	for i := range r.Lanes {
		l := &r.Lanes[i]
		out.Limits = append(out.Limits, console.LimitExport{
			Lane: l.Lane, BurstEndTime: optionalTime(l.BurstUntil), Sends: timesView(l.Sends), WrongCodes: timesView(l.Failures),
		})
	}
	for _, d := range r.Devices {
		out.Devices = append(out.Devices, hex.EncodeToString(d[:]))
	}
	for i := range r.Sessions {
		sess := &r.Sessions[i]
		out.Sessions = append(out.Sessions, console.SessionExport{
			ID: sess.ID.String(), UserID: k.userID(s, sess.User), AMR: sess.AMR, AuthTime: api.NewTime(sess.AuthTime),
			CreateTime: api.NewTime(sess.CreatedAt), ExpireTime: api.NewTime(sess.ExpiresAt), Issuer: sess.Issuer, Subject: sess.Subject,
		})
	}
	out.IdempotencyKeys = append(out.IdempotencyKeys, timesView(r.Keys)...)
}

func timesView(times []time.Time) []api.Time {
	out := make([]api.Time, len(times))
	for i, t := range times {
		out[i] = api.NewTime(t)
	}
	return out
}

// exportLine tells what is known of the number's line for all clients.
func (k *phoneKeeper) exportLine(ctx context.Context, s *subject, now time.Time, out *console.PhoneExport) error {
	for _, digest := range s.lines {
		fact, found, err := k.store.LineFact(ctx, now, digest)
		if err != nil {
			return err
		}
		if found {
			out.LineType = &console.LineExport{Type: fact.Type, Source: fact.Source, ExpireTime: api.NewTime(fact.Until)}
		}
	}
	if !s.number.IsValid() {
		return nil
	}
	form, err := readOverrides(ctx, k.store)
	if err != nil {
		return err
	}
	same, err := sameNumber(k.ring, s.number)
	if err != nil {
		return err
	}
	for _, o := range form.Overrides {
		if same(o) {
			out.LineOverride = &console.LineExport{Type: o.Type, CreateTime: api.NewTime(o.At)}
		}
	}
	return nil
}

// exportPage is how many messages or events are read at once.
const exportPage = 500

func (k *phoneKeeper) exportMessages(ctx context.Context, s *subject, out *console.PhoneExport) error {
	log := messageLog{store: k.store, clients: k.clients, otp: k.otp}
	q := store.MessageQuery{Clients: []string{s.client.ID}, Phones: s.ids, Limit: exportPage}
	for {
		page, err := k.store.Messages(ctx, q)
		if err != nil {
			return err
		}
		for i := range page.Messages {
			found, err := k.store.Message(ctx, page.Messages[i].ID)
			if fault.Is(err, fault.NotFound) {
				continue // its retention has ended meanwhile
			}
			if err != nil {
				return err
			}
			out.Messages = append(out.Messages, log.detail(&found))
		}
		if page.Next == (store.MessageID{}) {
			return nil
		}
		q.Before = page.Next
	}
}

// exportEvents tells the events about phones that name one of the ids.
func (k *phoneKeeper) exportEvents(ctx context.Context, s *subject, out *console.PhoneExport) error {
	names := make([][]byte, len(s.ids))
	for i, id := range s.ids {
		names[i] = []byte(`"` + k.otp.PhoneID(s.client, id) + `"`)
	}
	q := store.EventQuery{Client: s.client.ID, Kind: "phone.", Limit: exportPage}
	for {
		events, err := k.store.Events(ctx, q)
		if err != nil {
			return err
		}
		for i := range events {
			for _, name := range names {
				if bytes.Contains(events[i].Data, name) {
					out.Events = append(out.Events, console.ViewEvent(&events[i]))
					break
				}
			}
		}
		if len(events) < exportPage {
			return nil
		}
		q.Before = events[len(events)-1].ID
	}
}

package app

import (
	"context"
	"encoding/binary"
	"strings"
	"time"

	"codeword/api"
	"codeword/internal/audit"
	"codeword/internal/console"
	"codeword/internal/fault"
	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// eventFind is the kind of the entries of somebody who looked a phone up.
const eventFind = "phone.find"

// foundMessages is how many messages are told of a phone.
const foundMessages = 5

// soughtData is what the entry tells of a phone that no client knows.
type soughtData struct {
	// PhoneMask is the last four digits of a number, PhoneID the id that was named.
	PhoneMask string `json:"phoneMask,omitempty"`
	PhoneID   string `json:"phoneId,omitempty"`
}

// Find implements console.Phones.
func (k *phoneKeeper) Find(ctx context.Context, actor, client, name string) ([]console.PhoneView, error) {
	var number phone.Number
	if !strings.HasPrefix(name, "phone-number-") {
		var err error
		if number, err = phone.Parse(name); err != nil {
			return nil, fault.Wrap(fault.InvalidPhone, "phone", err)
		}
	}
	rows, err := k.asked(ctx, client)
	if err != nil {
		return nil, err
	}
	out, entries := []console.PhoneView{}, []audit.Entry{}
	for i := range rows {
		s := &subject{client: bareClient(&rows[i]), number: number}
		view, err := k.found(ctx, &rows[i], s, name)
		if err != nil {
			return nil, err
		}
		if view != nil {
			out, entries = append(out, *view), append(entries, k.entry(eventFind, actor, s))
		}
	}
	if len(entries) == 0 {
		data := soughtData{PhoneMask: number.Mask()}
		if id, ok := store.ParsePhoneID(strings.TrimPrefix(strings.TrimPrefix(name, "phone-number-live-"), "phone-number-test-")); ok && id != (store.PhoneID{}) {
			data.PhoneID = name // and nothing that only looks like one
		}
		entries = append(entries, audit.Entry{Actor: actor, Client: client, Kind: eventFind, Data: data})
	}
	for _, e := range entries {
		// The entries come before anything is told.
		if err := k.audit.Record(ctx, e, func() error { return nil }); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// asked are the clients that are asked: one, or all.
func (k *phoneKeeper) asked(ctx context.Context, client string) ([]store.Client, error) {
	if client == "" {
		return k.clients.List(ctx)
	}
	row, err := k.clients.Find(ctx, client)
	if fault.Is(err, fault.NotFound) {
		return nil, console.ErrNoClient
	}
	return []store.Client{row}, err
}

// found is what is known of a client's phone, by its number if that is valid, else by its
// name; nil for nothing. It fills in the ids of the subject.
func (k *phoneKeeper) found(ctx context.Context, row *store.Client, s *subject, name string) (*console.PhoneView, error) {
	if s.number.IsValid() {
		var err error
		if s.ids, err = k.otp.PhoneIDs(s.client, s.number); err != nil {
			return nil, fault.Wrap(fault.Internal, "phone id", err)
		}
	} else {
		id, ok := k.named(s.client, name)
		if !ok {
			return nil, nil // of another kind of client
		}
		s.ids = []store.PhoneID{id}
	}
	now := k.now()
	r, err := k.store.PhoneRecord(ctx, store.PhoneQuery{Now: now, Client: row.ID, Phones: s.ids, RowOnly: true})
	if err != nil {
		return nil, err
	}
	mask := s.number.Mask()
	if r.Known {
		if mask, err = k.opened(s, &r); err != nil {
			return nil, err
		}
	} else {
		r.ID = s.ids[0] // which it would get
	}
	refusals, err := k.refusals(ctx, s)
	if err != nil || !r.Known && len(refusals) == 0 {
		return nil, err
	}
	// Without settings that can be read nobody knows what is allowed.
	settings := tenant.Settings{}
	if c, err := tenant.Parse(*row); err == nil {
		settings = c.Settings
	}
	out := phoneView(&r, &settings, row.Live, now)
	out.ClientID, out.PhoneID, out.PhoneMask, out.Refusals = row.ID, k.otp.PhoneID(s.client, r.ID), mask, refusals
	page, err := k.store.Messages(ctx, store.MessageQuery{Clients: []string{row.ID}, Phones: s.ids, Limit: foundMessages})
	if err != nil {
		return nil, err
	}
	log := messageLog{clients: k.clients, otp: k.otp}
	for i := range page.Messages {
		out.Messages = append(out.Messages, log.view(&page.Messages[i]))
	}
	return &out, nil
}

// opened are the last digits of a phone whose number is kept and can be read. A subject
// that was named by its id gets the others that follow from the number.
func (k *phoneKeeper) opened(s *subject, r *store.PhoneRecord) (mask string, err error) {
	if len(r.Sealed) == 0 {
		return "", nil
	}
	if n, err := k.otp.Number(store.Message{Phone: r.ID, Sealed: r.Sealed}); err == nil {
		mask = n.Mask()
		if !s.number.IsValid() {
			s.number = n
			return mask, k.complete(s)
		}
	}
	return mask, nil
}

// phoneView is what a record tells, by the settings of the phone's client.
func phoneView(r *store.PhoneRecord, settings *tenant.Settings, live bool, now time.Time) console.PhoneView {
	out := console.PhoneView{
		VerifyTime: optionalTime(r.VerifiedAt), OptOutTime: optionalTime(r.OptedOutAt),
		Challenges: []console.PhoneChallenge{}, Limits: []console.PhoneLimit{}, Messages: []console.MessageView{},
	}
	if len(r.Sealed) > 0 {
		out.CreateTime, out.LastSendTime = optionalTime(r.CreatedAt), optionalTime(r.LastSendAt)
	} else {
		out.EraseTime = optionalTime(r.LastSendAt)
	}
	if r.BlockedUntil.After(now) {
		out.BlockEndTime = api.NewTime(r.BlockedUntil)
	}
	for i := range r.Challenges {
		ch := &r.Challenges[i]
		out.Challenges = append(out.Challenges, console.PhoneChallenge{
			ChallengeView: challengeView(ch, settings.MaxAttempts, now),
			CreateTime:    api.NewTime(ch.CreatedAt), ExpireTime: api.NewTime(ch.ExpiresAt), Bound: ch.Binding != "",
		})
	}
	if !live { // nothing limits phones of test clients
		return out
	}
	for i := range r.Lanes {
		if l := limitView(&r.Lanes[i], settings, now); l.Sends+l.WrongCodes > 0 {
			out.Limits = append(out.Limits, l)
		}
	}
	return out
}

// limitView is what a lane's limits have counted, and until when they refuse more.
func limitView(l *store.LaneRecord, settings *tenant.Settings, now time.Time) console.PhoneLimit {
	day, failures := settings.PhoneDay.Window(), settings.PhoneFailures.Window()
	out := console.PhoneLimit{
		Lane: l.Lane, Sends: within(l.Sends, now, day.Period), MaxSends: day.Max,
		WrongCodes: within(l.Failures, now, failures.Period), MaxWrongCodes: failures.Max,
	}
	refused := failures.Admit(now, stamps(l.Failures))
	until := func(wait time.Duration) api.Time { return api.NewTime(now.Add(wait)) }
	if !refused.Allowed {
		out.LockEndTime = until(refused.RetryAfter)
	}
	wait := max(refused.RetryAfter, day.Admit(now, stamps(l.Sends)).RetryAfter, settings.PhoneBurst.Bucket().Take(now, l.BurstUntil).RetryAfter)
	if wait > 0 {
		out.SendRetryTime = until(wait)
	}
	return out
}

// within counts the times of a window; all of them when it has no end.
func within(times []time.Time, now time.Time, period time.Duration) (n int) {
	for _, at := range times {
		if period <= 0 || at.After(now.Add(-period)) {
			n++
		}
	}
	return n
}

// stamps packs times as package guard does.
func stamps(times []time.Time) (log []byte) {
	for _, at := range times {
		log = binary.BigEndian.AppendUint64(log, uint64(at.UnixMilli()))
	}
	return log
}

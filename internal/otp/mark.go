package otp

import (
	"context"
	"time"

	"codeword/internal/audit"
	"codeword/internal/fault"
	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// The kinds of entries about phones.
const (
	EventOptOut  = "phone.opt_out"
	EventOptIn   = "phone.opt_in"
	EventBlock   = "phone.block"
	EventUnblock = "phone.unblock"
)

// markData is what an entry about a phone tells: never the number.
type markData struct {
	// PhoneID is the id that the phone gets when it is new. FormerIDs, under older
	// index keys, are those of which it keeps one that it has.
	PhoneID   string    `json:"phoneId"`
	FormerIDs []string  `json:"formerPhoneIds,omitempty"`
	Until     time.Time `json:"until,omitzero"`
}

// MarkPhone notes something about a number for one client and returns the
// number's mask. The number must be E.164 but may be one that the client could
// not send to: what is noted holds whatever the client's rules become. It is
// recorded for the actor, and not done when that fails.
// Refusals: fault.InvalidPhone, NotFound for a client that is not stored,
// Unavailable.
func (s *Service) MarkPhone(ctx context.Context, actor string, c *tenant.Client, phoneNumber string, mark store.Mark) (mask string, err error) {
	number, err := phone.Parse(phoneNumber)
	if err != nil {
		return "", fault.Wrap(fault.InvalidPhone, "number", err)
	}
	ids, err := s.PhoneIDs(c, number)
	if err != nil {
		return "", fault.Wrap(fault.Internal, "phone id", err)
	}
	e := s.markEntry(c, ids, mark)
	e.Actor = actor
	err = s.audit.Record(ctx, e, func() error { return s.mark(ctx, c, number, mark, false) })
	if err != nil {
		return "", err
	}
	return number.Mask(), nil
}

func (s *Service) markEntry(c *tenant.Client, ids []store.PhoneID, mark store.Mark) audit.Entry {
	data := markData{PhoneID: s.PhoneID(c, ids[0])}
	for _, id := range ids[1:] {
		data.FormerIDs = append(data.FormerIDs, s.PhoneID(c, id))
	}
	e := audit.Entry{Client: c.ID}
	switch {
	case mark.OptedOut != nil && *mark.OptedOut:
		e.Kind = EventOptOut
	case mark.OptedOut != nil:
		e.Kind = EventOptIn
	case mark.BlockedUntil != nil && !mark.BlockedUntil.IsZero():
		e.Kind = EventBlock
	default:
		e.Kind = EventUnblock
	}
	if mark.BlockedUntil != nil {
		data.Until = mark.BlockedUntil.UTC()
	}
	e.Data = data
	return e
}

// MarkKnown is MarkPhone for a number that the client knows: one to which it
// never sent is refused with fault.NotFound, and stays unknown.
func (s *Service) MarkKnown(ctx context.Context, c *tenant.Client, number phone.Number, mark store.Mark) error {
	return s.mark(ctx, c, number, mark, true)
}

func (s *Service) mark(ctx context.Context, c *tenant.Client, number phone.Number, mark store.Mark, knownOnly bool) error {
	ids, err := s.PhoneIDs(c, number)
	if err != nil {
		return fault.Wrap(fault.Internal, "phone id", err)
	}
	var sealed []byte
	if !knownOnly {
		if sealed, err = s.sealNumber(number, ids[0]); err != nil {
			return fault.Wrap(fault.Internal, "seal number", err)
		}
	}
	return s.store.MarkPhone(ctx, store.PhoneMark{
		Now: s.now(), Client: c.ID, Phone: ids[0], Former: ids[1:], Sealed: sealed, Mark: mark, KnownOnly: knownOnly,
	})
}

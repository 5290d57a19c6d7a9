package otp

import (
	"context"

	"codeword/internal/fault"
	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// MarkPhone notes something about a number for one client and returns the
// number's mask. The number must be E.164 but may be one that the client could
// not send to: what is noted holds whatever the client's rules become.
// Refusals: fault.InvalidPhone, NotFound for a client that is not stored,
// Unavailable.
func (s *Service) MarkPhone(ctx context.Context, c *tenant.Client, phoneNumber string, mark store.Mark) (mask string, err error) {
	number, err := phone.Parse(phoneNumber)
	if err != nil {
		return "", fault.Wrap(fault.InvalidPhone, "number", err)
	}
	if err := s.mark(ctx, c, number, mark, false); err != nil {
		return "", err
	}
	return number.Mask(), nil
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

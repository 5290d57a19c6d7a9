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
	ids, err := s.PhoneIDs(c, number)
	if err != nil {
		return "", fault.Wrap(fault.Internal, "phone id", err)
	}
	sealed, err := s.sealNumber(number, ids[0])
	if err != nil {
		return "", fault.Wrap(fault.Internal, "seal number", err)
	}
	err = s.store.MarkPhone(ctx, store.PhoneMark{
		Now: s.now(), Client: c.ID, Phone: ids[0], Former: ids[1:], Sealed: sealed, Mark: mark,
	})
	if err != nil {
		return "", err
	}
	return number.Mask(), nil
}

package otp

import (
	"crypto/sha256"
	"strings"

	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// derivedID makes a UUIDv8 (RFC 9562 section 5.8) of a keyed digest.
func derivedID(digest [32]byte) (id [16]byte) {
	copy(id[:], digest[:])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// phoneID is the blind index of a number within a client under one key version.
func (s *Service) phoneID(version uint32, client string, n phone.Number) (store.PhoneID, error) {
	var space [128]byte
	in := append(space[:0], "phone\x00"...)
	in = append(in, client...)
	in = append(in, 0)
	in = n.AppendE164(in)
	digest, err := s.keys.Index(version, in)
	return derivedID(digest), err
}

// PhoneIDs lists the ids that a number can have within a client: the one under
// the primary index key first, then those under older keys.
func (s *Service) PhoneIDs(c *tenant.Client, n phone.Number) ([]store.PhoneID, error) {
	var space [16]byte
	if !c.Live && string(n.AppendE164(space[:0])) == sampleNumber {
		return []store.PhoneID{samplePhone(c.ID)}, nil
	}
	versions := s.keys.IndexVersions()
	ids := make([]store.PhoneID, 0, len(versions))
	for _, v := range versions {
		id, err := s.phoneID(v, c.ID, n)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// PhoneID writes an id as callers see it: phone-number-<test|live>-<uuid>, and
// the documentation's own id for its number on a test client.
func (*Service) PhoneID(c *tenant.Client, id store.PhoneID) string {
	if isSample(c, id) {
		return sampleID
	}
	return "phone-number-" + c.Env() + "-" + id.String()
}

// ParsePhoneID reads what PhoneID wrote, for an operator's search; zero for anything
// else.
func (*Service) ParsePhoneID(c *tenant.Client, external string) store.PhoneID {
	return parsePhoneID(c, external)
}

// parsePhoneID reads what PhoneID wrote. Whatever else it gets is an id that
// nobody has: the zero id, so that unknown ids take the path of known ones.
func parsePhoneID(c *tenant.Client, external string) store.PhoneID {
	if !c.Live && external == sampleID {
		return samplePhone(c.ID)
	}
	text, ok := strings.CutPrefix(external, "phone-number-"+c.Env()+"-")
	if !ok {
		return store.PhoneID{}
	}
	id, _ := store.ParsePhoneID(text)
	return id
}

// device is the digest of a device within a client, under the primary index key: when
// that key is rotated, phones know no device until one has verified them again.
func (s *Service) device(c *tenant.Client, name string) (id store.DeviceID, err error) {
	if name == "" {
		return id, nil
	}
	digest, err := s.digest("device", c.ID, []byte(name))
	copy(id[:], digest[:])
	return id, err
}

// The documentation's own number, id and code.
const (
	sampleNumber = "+14165551234"
	sampleID     = "phone-number-test-01234abc-0000-0000-0000-0123456789"
	sampleCode   = "1234567890"
)

// samplePhone is the id of the documentation's number within a test client. The
// number is public, so no key is involved and the documented id goes on naming
// the same phone when the index key is rotated.
func samplePhone(client string) store.PhoneID {
	return derivedID(sha256.Sum256([]byte("documented-phone\x00" + client)))
}

// isSample tells the documentation's number on a test client by its id.
func isSample(c *tenant.Client, id store.PhoneID) bool { return !c.Live && id == samplePhone(c.ID) }

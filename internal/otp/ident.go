package otp

import (
	"strings"
	"sync"

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
func (s *Service) PhoneID(c *tenant.Client, id store.PhoneID) string {
	if !c.Live && s.magic.isSample(s, c, id) {
		return sampleID
	}
	return "phone-number-" + c.Env() + "-" + id.String()
}

// parsePhoneID reads what PhoneID wrote. Whatever else it gets is an id that
// nobody has: the zero id, so that unknown ids take the path of known ones.
func (s *Service) parsePhoneID(c *tenant.Client, external string) store.PhoneID {
	if !c.Live && external == sampleID {
		if ids := s.magic.sampleIDs(s, c); len(ids) > 0 {
			return ids[0]
		}
	}
	text, ok := strings.CutPrefix(external, "phone-number-"+c.Env()+"-")
	if !ok {
		return store.PhoneID{}
	}
	id, _ := store.ParsePhoneID(text)
	return id
}

// The documentation's own number, id and code.
const (
	sampleNumber = "+14165551234"
	sampleID     = "phone-number-test-01234abc-0000-0000-0000-0123456789"
	sampleCode   = "1234567890"
)

// magicIDs remembers, per test client, which ids the documentation's number has.
type magicIDs struct{ byClient sync.Map }

func (m *magicIDs) sampleIDs(s *Service, c *tenant.Client) []store.PhoneID {
	if ids, ok := m.byClient.Load(c.ID); ok {
		return ids.([]store.PhoneID) //nolint:forcetypeassert // only this type is stored
	}
	n, err := phone.Parse(sampleNumber)
	if err != nil {
		return nil
	}
	ids, err := s.PhoneIDs(c, n)
	if err != nil {
		return nil
	}
	m.byClient.Store(c.ID, ids)
	return ids
}

func (m *magicIDs) isSample(s *Service, c *tenant.Client, id store.PhoneID) bool {
	for _, sample := range m.sampleIDs(s, c) {
		if sample == id {
			return true
		}
	}
	return false
}

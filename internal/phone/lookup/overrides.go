package lookup

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"codeword/internal/phone"
)

// MaxOverrides is how many numbers can have an override.
const MaxOverrides = 10_000

// overrideLabel separates the digests of these numbers from what else the key is for.
const overrideLabel = "line-override\x00"

// Digester computes a keyed digest under a version of its key; package keyring has one.
type Digester interface {
	Index(version uint32, input []byte) ([32]byte, error)
}

// Override is what an operator says of a single number. The number itself is not kept.
type Override struct {
	// Key is the version of the key that Digest was made with.
	Key    uint32
	Digest [16]byte
	// Last are the last four digits, by which people know the number again.
	Last string
	Line phone.LineType
	At   time.Time
}

// OverrideDigest is how a number stands in an [Override] under a version of the key.
func OverrideDigest(keys Digester, version uint32, n phone.Number) (out [16]byte, err error) {
	var space [64]byte
	long, err := keys.Index(version, n.AppendE164(append(space[:0], overrideLabel...)))
	copy(out[:], long[:])
	return out, err
}

// Overrides are the overrides of all numbers. They are immutable; nil has none.
type Overrides struct {
	keys    Digester
	entries map[overrideKey]phone.LineType
	// versions are those that entries were made under: one, and more after the key
	// was replaced.
	versions []uint32
	// last has a bit for each ending that some entry has, so that next to no other
	// number costs a digest.
	last [10_000/64 + 1]uint64
}

type overrideKey struct {
	version uint32
	digest  [16]byte
}

// NewOverrides returns the overrides in list. Every key version in it has to be one that
// keys knows.
func NewOverrides(keys Digester, list []Override) (*Overrides, error) {
	if len(list) > MaxOverrides {
		return nil, fmt.Errorf("lookup: %d overrides, at most %d", len(list), MaxOverrides)
	}
	o := &Overrides{keys: keys, entries: make(map[overrideKey]phone.LineType, len(list))}
	for _, e := range list {
		ending, err := ending(e.Last)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(o.versions, e.Key) {
			if _, err := keys.Index(e.Key, nil); err != nil {
				return nil, fmt.Errorf("lookup: an override under key %d: %w", e.Key, err)
			}
			o.versions = append(o.versions, e.Key)
		}
		o.entries[overrideKey{e.Key, e.Digest}] = e.Line
		o.last[ending/64] |= 1 << (ending % 64)
	}
	return o, nil
}

// ending reads four digits.
func ending(digits string) (n int, err error) {
	if len(digits) != 4 {
		return 0, errors.New("lookup: an override does not have four last digits")
	}
	for _, d := range []byte(digits) {
		if d < '0' || d > '9' {
			return 0, errors.New("lookup: an override's last digits are none")
		}
		n = n*10 + int(d-'0')
	}
	return n, nil
}

// Line returns what is said of a number, and whether anything is.
func (o *Overrides) Line(n phone.Number) (line phone.LineType, said bool, err error) {
	if o == nil || len(o.entries) == 0 {
		return phone.LineUnknown, false, nil
	}
	if end := n.Ending(); o.last[end/64]&(1<<(end%64)) == 0 {
		return phone.LineUnknown, false, nil
	}
	for _, version := range o.versions {
		digest, err := OverrideDigest(o.keys, version, n)
		if err != nil {
			return phone.LineUnknown, false, err
		}
		if line, ok := o.entries[overrideKey{version, digest}]; ok {
			return line, true, nil
		}
	}
	return phone.LineUnknown, false, nil
}

package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"codeword/internal/fault"
	"codeword/internal/keyring"
	"codeword/internal/phone"
	"codeword/internal/phone/lookup"
	"codeword/internal/store"
)

// overridesVersion is that of the stored form.
const overridesVersion = 1

// overridesForm is how overrides are stored: no number can be read from it.
type overridesForm struct {
	Version   int            `json:"version"`
	Overrides []overrideForm `json:"overrides"`
}

type overrideForm struct {
	// Key is the version of the index key that Digest was made with.
	Key    uint32    `json:"key"`
	Digest []byte    `json:"digest"`
	Last   string    `json:"last"`
	Type   string    `json:"type"`
	At     time.Time `json:"at"`
}

// errOverrides means a document that does not hold overrides.
var errOverrides = errors.New("overrides: not a list of overrides, or damaged")

// readForm reads the stored form. An entry that is not understood makes the whole
// unusable: who changes it would lose the entry.
func readForm(d store.Document) (form overridesForm, err error) {
	if d.Revision == 0 {
		return overridesForm{Version: overridesVersion}, nil
	}
	if err := json.Unmarshal(d.Body, &form); err != nil {
		return form, fmt.Errorf("%w: %w", errOverrides, err)
	}
	switch {
	case form.Version > overridesVersion:
		return form, fmt.Errorf("overrides: stored by a newer version of codeword (format %d, this one reads %d)", form.Version, overridesVersion)
	case form.Version < 1:
		return form, errOverrides
	}
	return form, nil
}

// parseOverrides reads the stored overrides.
func parseOverrides(d store.Document) ([]lookup.Override, error) {
	form, err := readForm(d)
	if err != nil {
		return nil, err
	}
	list := make([]lookup.Override, len(form.Overrides))
	for i, e := range form.Overrides {
		line, err := phone.ParseLineType(e.Type)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errOverrides, err)
		}
		list[i] = lookup.Override{Key: e.Key, Last: e.Last, Line: line, At: e.At}
		if copy(list[i].Digest[:], e.Digest) != len(list[i].Digest) || len(e.Digest) != len(list[i].Digest) {
			return nil, errOverrides
		}
	}
	return list, nil
}

// withKey leaves out what was made with a key that ring does not have.
func withKey(ring *keyring.Ring, list []lookup.Override) []lookup.Override {
	return slices.DeleteFunc(slices.Clone(list), func(o lookup.Override) bool {
		return !slices.Contains(ring.IndexVersions(), o.Key)
	})
}

// readOverrides reads the stored form, checked.
func readOverrides(ctx context.Context, docs documentStore) (overridesForm, error) {
	d, err := docs.Document(ctx, overridesDocument, 0)
	if err != nil {
		return overridesForm{}, err
	}
	if _, err := parseOverrides(d); err != nil {
		return overridesForm{}, err
	}
	return readForm(d)
}

// sameNumber tells which entries are of a number, under whichever key.
func sameNumber(ring *keyring.Ring, n phone.Number) (func(overrideForm) bool, error) {
	digests := make(map[uint32][16]byte)
	for _, version := range ring.IndexVersions() {
		digest, err := lookup.OverrideDigest(ring, version, n)
		if err != nil {
			return nil, err
		}
		digests[version] = digest
	}
	return func(e overrideForm) bool {
		digest, ok := digests[e.Key]
		return ok && slices.Equal(e.Digest, digest[:])
	}, nil
}

// override says the type of a number from now on.
func override(ctx context.Context, docs documentStore, ring *keyring.Ring, n phone.Number, line phone.LineType, now time.Time) error {
	same, err := sameNumber(ring, n)
	if err != nil {
		return err
	}
	digest, err := lookup.OverrideDigest(ring, ring.IndexVersion(), n)
	if err != nil {
		return err
	}
	return changeOverrides(ctx, docs, now, func(list []overrideForm) ([]overrideForm, error) {
		list = slices.DeleteFunc(list, same)
		if len(list) >= lookup.MaxOverrides {
			return nil, asUsage(fmt.Errorf("there are %d overrides, and can be no more: remove some, or let clients send to more types with allowedLineTypes", len(list)))
		}
		return append(list, overrideForm{Key: ring.IndexVersion(), Digest: digest[:], Last: n.Mask(), Type: line.String(), At: now.UTC().Truncate(time.Second)}), nil
	})
}

// removeOverride takes back what was said of a number.
func removeOverride(ctx context.Context, docs documentStore, ring *keyring.Ring, n phone.Number, now time.Time) error {
	same, err := sameNumber(ring, n)
	if err != nil {
		return err
	}
	return changeOverrides(ctx, docs, now, func(list []overrideForm) ([]overrideForm, error) {
		left := slices.DeleteFunc(slices.Clone(list), same)
		if len(left) == len(list) {
			return nil, asUsage(errors.New("the number has no override"))
		}
		return left, nil
	})
}

// changeOverrides stores what change makes of the overrides. Where another command was
// faster it looks again.
func changeOverrides(ctx context.Context, docs documentStore, now time.Time, change func([]overrideForm) ([]overrideForm, error)) error {
	const tries = 5
	for range tries {
		d, err := docs.Document(ctx, overridesDocument, 0)
		if err != nil {
			return err
		}
		if _, err := parseOverrides(d); err != nil {
			return err
		}
		form, err := readForm(d)
		if err != nil {
			return err
		}
		if form.Overrides, err = change(form.Overrides); err != nil {
			return err
		}
		body, err := json.Marshal(form)
		if err != nil {
			return err
		}
		err = docs.PutDocument(ctx, store.Document{Name: overridesDocument, Revision: d.Revision + 1, UpdatedAt: now, Body: body})
		if !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return errors.New("other commands change the overrides at the same time: try again")
}

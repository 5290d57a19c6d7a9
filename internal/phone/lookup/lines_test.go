package lookup_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"codeword/internal/phone"
	"codeword/internal/phone/lookup"
)

// keys digest under the versions 1 and 2, and count how often.
type keys struct{ asked int }

var errKey = errors.New("no key")

func (k *keys) Index(version uint32, input []byte) ([32]byte, error) {
	k.asked++
	if version != 1 && version != 2 {
		return [32]byte{}, errKey
	}
	return sha256.Sum256(binary.BigEndian.AppendUint32(bytes.Clone(input), version)), nil
}

func number(tb testing.TB, text string) phone.Number {
	tb.Helper()
	n, err := phone.Parse(text)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func override(tb testing.TB, k *keys, version uint32, text string, line phone.LineType) lookup.Override {
	tb.Helper()
	n := number(tb, text)
	digest, err := lookup.OverrideDigest(k, version, n)
	if err != nil {
		tb.Fatal(err)
	}
	return lookup.Override{Key: version, Digest: digest, Last: n.Mask(), Line: line}
}

// wired is of a landline's block in the embedded table.
const wired = "+16502530000"

func TestLines(t *testing.T) {
	t.Parallel()
	var lines lookup.Lines
	expect := func(why, to string, want phone.LineType) {
		t.Helper()
		if got, err := lines.LineType(t.Context(), number(t, to)); err != nil || got != want {
			t.Errorf("%s: %s is %s, %v; want %s", why, to, got, err, want)
		}
	}
	expect("at first", wired, phone.LineLandline)
	var b lookup.Builder
	if err := b.Set(650, 253, 0, phone.LineMobile); err != nil {
		t.Fatal(err)
	}
	raw, err := b.Encode(time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	table, err := lookup.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	lines.Use(table)
	if lines.Table() != table {
		t.Error("another table is in use")
	}
	expect("after an import", wired, phone.LineMobile)
	expect("after an import", "+12063050000", phone.LineUnknown)

	k := &keys{}
	said, err := lookup.NewOverrides(k, []lookup.Override{
		override(t, k, 2, wired, phone.LineLandline), override(t, k, 1, "+12063051111", phone.LineNonFixedVoIP),
	})
	if err != nil {
		t.Fatal(err)
	}
	lines.Override(said)
	k.asked = 0
	expect("another ending", "+12063050001", phone.LineUnknown)
	if k.asked != 0 {
		t.Error("a number that has nobody's ending cost a digest")
	}
	expect("said", wired, phone.LineLandline)
	expect("said under an older key", "+12063051111", phone.LineNonFixedVoIP)
	expect("the ending of another", "+12063050000", phone.LineUnknown)
	lines.Override(nil)
	expect("not said any more", wired, phone.LineMobile)
	lines.Use(nil)
	expect("after a reset", wired, phone.LineLandline)
}

func TestOverridesRefused(t *testing.T) {
	t.Parallel()
	k := &keys{}
	for name, list := range map[string][]lookup.Override{
		"too many":      make([]lookup.Override, lookup.MaxOverrides+1),
		"no digits":     {{Key: 1}},
		"letters":       {{Key: 1, Last: "12a4"}},
		"a foreign key": {{Key: 3, Last: "1234"}},
	} {
		if _, err := lookup.NewOverrides(k, list); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := lookup.NewOverrides(k, []lookup.Override{{Key: 3, Last: "1234"}}); !errors.Is(err, errKey) {
		t.Errorf("a foreign key: %v", err)
	}
}

func TestBuilderRefuses(t *testing.T) {
	t.Parallel()
	var b lookup.Builder
	for _, c := range [][3]int{{199, 200, 0}, {1000, 200, 0}, {650, 199, 0}, {650, 1000, 0}, {650, 200, -1}, {650, 200, 10}} {
		if b.Set(c[0], c[1], c[2], phone.LineMobile) == nil {
			t.Errorf("there is a block %v", c)
		}
	}
	if b.Set(650, 253, 0, phone.LinePager) == nil {
		t.Error("a block of pagers")
	}
}

// BenchmarkLines is what the table, and overrides of other numbers, cost a send.
func BenchmarkLines(b *testing.B) {
	k := &keys{}
	said, err := lookup.NewOverrides(k, []lookup.Override{override(b, k, 1, "+12063051111", phone.LineMobile)})
	if err != nil {
		b.Fatal(err)
	}
	var lines lookup.Lines
	lines.Override(said)
	n := number(b, wired)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := lines.LineType(b.Context(), n); err != nil {
			b.Fatal(err)
		}
	}
}

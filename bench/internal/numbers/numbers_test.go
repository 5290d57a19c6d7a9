package numbers_test

import (
	"math"
	"regexp"
	"testing"

	"codeword/bench/internal/numbers"
)

func TestNumbersAreDistinctValidAndSpread(t *testing.T) {
	t.Parallel()
	const n = 20_000
	valid := regexp.MustCompile(`^\+1[2-9][0-8][0-9][2-9][0-9]{6}$`)
	never := regexp.MustCompile(`^\+1...(?:[2-9]11|555|950|958|959|976)|^\+1(?:[2-9]11|[2-9]00|[2-9]9.|37.|96.|500|700|710|800|888|900)`)
	for _, seed := range []uint64{0, 1, 42, math.MaxUint64} {
		g := numbers.New(seed)
		seen := make(map[string]struct{}, n)
		exchanges := map[string]struct{}{}
		for i := range uint64(n) {
			number := string(g.Append(nil, i))
			if !valid.MatchString(number) || never.MatchString(number) {
				t.Fatalf("seed %d index %d: %q is not a subscriber's number", seed, i, number)
			}
			if _, twice := seen[number]; twice {
				t.Fatalf("seed %d index %d: %q came twice", seed, i, number)
			}
			seen[number] = struct{}{}
			exchanges[number[2:8]] = struct{}{}
		}
		if len(exchanges) < 10_000 {
			t.Errorf("seed %d: only %d area code and exchange pairs in %d numbers", seed, len(exchanges), n)
		}
	}
}

func TestSequenceIsAPermutation(t *testing.T) {
	t.Parallel()
	g := numbers.New(7)
	if g.Size() < 10_000_000 {
		t.Fatalf("Size() = %d, too few for a run with five million phones", g.Size())
	}
	first := string(g.Append(nil, 0))
	if again := string(g.Append(nil, g.Size())); again != first {
		t.Errorf("index Size() gives %q, want the first number %q again", again, first)
	}
	if last := string(g.Append(nil, g.Size()-1)); last == first {
		t.Errorf("last and first number are both %q", first)
	}
	if huge := string(g.Append(nil, math.MaxUint64)); len(huge) != 12 {
		t.Errorf("index 2^64-1 gives %q", huge)
	}
}

func TestSeedsStartElsewhere(t *testing.T) {
	t.Parallel()
	a, b := numbers.New(1), numbers.New(500_000_000)
	seen := map[string]bool{}
	for i := range uint64(10_000) {
		seen[string(a.Append(nil, i))] = true
	}
	for i := range uint64(10_000) {
		if number := string(b.Append(nil, i)); seen[number] {
			t.Fatalf("two seeds both gave %q", number)
		}
	}
}

func TestAppendKeepsWhatWasThere(t *testing.T) {
	t.Parallel()
	got := string(numbers.New(0).Append([]byte("to="), 0))
	if len(got) != len("to=+1")+10 || got[:5] != "to=+1" {
		t.Errorf("Append gave %q", got)
	}
}

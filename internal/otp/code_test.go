package otp_test

import (
	"crypto/rand"
	"encoding/binary"
	"math"
	"testing"

	"codeword/internal/keyring"
	"codeword/internal/otp"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// maker derives the codes of challenges as the service does for messages. keys
// may put something in the place of a new key ring.
func maker(t *testing.T, keys func(*keyring.Ring) otp.Keys) func(id store.ChallengeID, digits int) string {
	t.Helper()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	cfg := otp.Config{Keys: ring}
	if keys != nil {
		cfg.Keys = keys(ring)
	}
	s := otp.New(cfg)
	c := &tenant.Client{ID: "client-live-1", Live: true}
	return func(id store.ChallengeID, digits int) string {
		code, err := s.MessageCode(c, store.Message{Challenge: id, KeyVersion: ring.CodeVersion(), Digits: digits})
		if err != nil {
			t.Fatal(err)
		}
		return code.Reveal()
	}
}

// chiSquare returns the statistic of counts against equal chances, as its
// distance from the mean in standard deviations (mean df, variance 2·df). For
// few degrees of freedom that overstates the tail a little, on the safe side.
func chiSquare(counts []int) float64 {
	total := 0
	for _, n := range counts {
		total += n
	}
	want := float64(total) / float64(len(counts))
	x := 0.0
	for _, n := range counts {
		d := float64(n) - want
		x += d * d / want
	}
	df := float64(len(counts) - 1)
	return (x - df) / math.Sqrt(2*df)
}

// TestCodesAreUniform draws a million codes: each digit in each position, each
// pair of neighbors and each block of a thousand codes must be equally likely.
func TestCodesAreUniform(t *testing.T) {
	const codes, digits = 1_000_000, 6
	derive := maker(t, nil)
	var position [digits][10]int
	var pair [digits - 1][100]int
	whole := make([]int, 1_000_000)
	var random [16 * 1024]byte
	for i := range codes {
		if i%1024 == 0 {
			_, _ = rand.Read(random[:]) // never fails
		}
		code := derive(store.ChallengeID(random[i%1024*16:]), digits)
		if len(code) != digits {
			t.Fatalf("a code of %d digits", len(code))
		}
		value := 0
		for p := range digits {
			d := int(code[p] - '0')
			position[p][d]++
			if p > 0 {
				pair[p-1][int(code[p-1]-'0')*10+d]++
			}
			value = value*10 + d
		}
		whole[value]++
	}
	worst := 0.0
	check := func(what string, counts []int) {
		z := chiSquare(counts)
		worst = max(worst, math.Abs(z))
		// A million tries of an honest generator do not get this far; a digit
		// that is 1 % too likely is at 20 or beyond.
		if z > 9 {
			t.Errorf("%s: chi-square is %.1f standard deviations from uniform", what, z)
		}
	}
	for p := range digits {
		check("position "+string(rune('1'+p)), position[p][:])
	}
	for p := range digits - 1 {
		check("pair at "+string(rune('1'+p)), pair[p][:])
	}
	blocks := make([]int, 1000)
	distinct := 0
	for value, n := range whole {
		blocks[value/1000] += n
		if n > 0 {
			distinct++
		}
	}
	check("blocks of 1,000", blocks)
	check("single codes", whole)
	// Of a million equally likely codes, a million draws miss 1/e.
	expect := (1 - 1/math.E) * 1_000_000
	t.Logf("attack uniformity: a million codes counted by digit, pair, block and whole → chi-square at most %.1f standard deviations off, %d distinct codes (%.0f expected)",
		worst, distinct, expect)
	if math.Abs(float64(distinct)-expect) > 3000 { // 10 standard deviations
		t.Errorf("%d distinct codes, want about %.0f", distinct, expect)
	}
}

// TestEveryCodeIsReachable looks for each code of four digits: nothing is cut
// off at the ends, as with an alphabet without 9 or without leading zeros.
func TestEveryCodeIsReachable(t *testing.T) {
	derive := maker(t, nil)
	seen := make(map[string]bool)
	for range 250_000 { // misses one of the 10,000 once in seven million runs
		var id store.ChallengeID
		_, _ = rand.Read(id[:]) // never fails
		seen[derive(id, 4)] = true
	}
	t.Logf("attack ends-of-the-range: every code of four digits among 250,000 challenges → %d of 10,000 seen, 0000 %v, 9999 %v",
		len(seen), seen["0000"], seen["9999"])
	if len(seen) != 10_000 || !seen["0000"] || !seen["9999"] {
		t.Errorf("%d of 10,000 codes of four digits were seen", len(seen))
	}
}

// scriptedPRF puts chosen blocks in the place of the code key's output.
type scriptedPRF struct {
	*keyring.Ring
	blocks [4]uint64
}

func (s scriptedPRF) CodePRF(uint32, []byte) (out [32]byte, err error) {
	for i, b := range s.blocks {
		binary.BigEndian.PutUint64(out[8*i:], b)
	}
	return out, nil
}

// TestEndsOfTheRange: both ends can be said at every length, and what would
// favor low codes is skipped.
func TestEndsOfTheRange(t *testing.T) {
	const top uint64 = math.MaxUint64
	skipped := top - top%1_000_000 // the first block beyond the last whole million
	for _, tc := range []struct {
		name   string
		blocks [4]uint64
		digits int
		want   string
	}{
		{"lowest", [4]uint64{0}, 6, "000000"},
		{"highest", [4]uint64{999_999}, 6, "999999"},
		{"next", [4]uint64{1_000_000}, 6, "000000"},
		{"leading zeros", [4]uint64{42}, 6, "000042"},
		{"last whole million", [4]uint64{skipped - 1}, 6, "999999"},
		{"beyond it", [4]uint64{skipped, 7}, 6, "000007"},
		{"three beyond it", [4]uint64{top, top, skipped, 8}, 6, "000008"},
		{"four digits, highest", [4]uint64{9_999}, 4, "9999"},
		{"ten digits, lowest", [4]uint64{0}, 10, "0000000000"},
		{"ten digits, highest", [4]uint64{9_999_999_999}, 10, "9999999999"},
	} {
		derive := maker(t, func(r *keyring.Ring) otp.Keys { return scriptedPRF{r, tc.blocks} })
		if got := derive(store.ChallengeID{1}, tc.digits); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

// TestCodesFollowFromTheirChallenge: the same challenge has one code, whoever
// asks, and another key another one.
func TestCodesFollowFromTheirChallenge(t *testing.T) {
	derive, stranger := maker(t, nil), maker(t, nil)
	same := 0
	for i := range 100 {
		id := store.ChallengeID{byte(i)}
		code := derive(id, 10)
		if again := derive(id, 10); again != code {
			t.Fatal("two codes of one challenge")
		}
		if code == stranger(id, 10) {
			same++
		}
	}
	if same > 0 {
		t.Errorf("%d of 100 codes are the same under another key", same)
	}
}

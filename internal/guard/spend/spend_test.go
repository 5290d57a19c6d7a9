package spend_test

import (
	"sync"
	"testing"
	"time"

	"codeword/internal/guard/spend"
)

var noon = time.Date(2026, 3, 4, 12, 30, 0, 0, time.UTC)

func TestReserve(t *testing.T) {
	t.Parallel()
	const price = 10
	b := spend.Budget{Hour: 50, Day: 80}
	m := spend.New()
	reserve := func(at time.Time) spend.State { return m.Reserve("c", at, b, price) }
	for i, want := range []spend.Period{"", "", "", spend.PeriodHour, spend.PeriodHour} {
		if s := reserve(noon); s.Over != "" || s.Warn != want {
			t.Fatalf("message %d: over %q, warning %q; want none and %q", i+1, s.Over, s.Warn, want)
		}
	}
	if s := reserve(noon); s.Over != spend.PeriodHour || s.RetryAfter != 30*time.Minute || s.Hour != 50 {
		t.Errorf("message 6: %+v; want the hour's budget used up for 30 minutes", s)
	}
	next := noon.Add(time.Hour)
	for range 3 {
		if s := reserve(next); s.Over != "" {
			t.Fatalf("next hour: %+v", s)
		}
	}
	if s := reserve(next); s.Over != spend.PeriodDay || s.RetryAfter != 10*time.Hour+30*time.Minute {
		t.Errorf("day: %+v; want its budget used up for 10.5 h", s)
	}
	if s := reserve(noon.Add(12 * time.Hour)); s.Over != "" || s.Day != 0 {
		t.Errorf("next day: %+v", s)
	}
	if s := m.Reserve("other", next, b, price); s.Over != "" {
		t.Errorf("another client: %+v", s)
	}
	m.Add("c", next, -10)
	if s := reserve(next); s.Over != "" {
		t.Errorf("after one was taken back: %+v", s)
	}
}

func TestRace(t *testing.T) {
	t.Parallel()
	m := spend.New()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 50 {
				m.Reserve("c", noon, spend.Budget{Day: 1000}, 10)
			}
		})
	}
	wg.Wait()
	if s := m.Spent("c", noon); s.Day != 1000 {
		t.Errorf("spent %d; want exactly the budget", s.Day)
	}
}

func TestNodes(t *testing.T) {
	t.Parallel()
	a, b := spend.New(), spend.New()
	a.Add("c", noon, 30)
	tell := func() {
		for client, raw := range a.Report(noon) {
			if err := b.Learn("a", client, raw); err != nil {
				t.Fatal(err)
			}
		}
	}
	tell()
	tell() // nothing new
	a.Add("c", noon, 5)
	tell() // in the place of the first
	b.Add("c", noon, 7)
	if s := b.Spent("c", noon); s.Hour != 42 {
		t.Errorf("spent %d; want 42", s.Hour)
	}
	if err := b.Learn("a", "c", []byte("{")); err == nil {
		t.Error("a torn report was taken")
	}
	if s := b.Spent("c", noon.Add(49*time.Hour)); s.Day != 0 {
		t.Errorf("two days later: %+v", s)
	}
}

// TestTakenBackElsewhere: what one node spent another one takes back, as it does when it
// delivers what that one accepted.
func TestTakenBackElsewhere(t *testing.T) {
	t.Parallel()
	taker, giver := spend.New(), spend.New()
	told := make(map[string][]byte) // as the store keeps it, by node
	learn := func(by *spend.Meter, self string) {
		t.Helper()
		for node, raw := range told {
			if node == self {
				continue
			}
			if err := by.Learn(node, "c", raw); err != nil {
				t.Fatal(err)
			}
		}
	}
	exchange := func() {
		t.Helper()
		for name, m := range map[string]*spend.Meter{"taker": taker, "giver": giver} {
			if raw := m.Report(noon)["c"]; raw != nil {
				told[name] = raw
			}
		}
		learn(taker, "taker")
		learn(giver, "giver")
	}
	const price = 10
	taker.Add("c", noon, 4*price) // reserved
	giver.Add("c", noon, -4*price)
	giver.Add("c", noon, price) // what it cost
	exchange()
	for name, m := range map[string]*spend.Meter{"taker": taker, "giver": giver} {
		if s := m.Spent("c", noon); s.Hour != price || s.Day != price {
			t.Errorf("%s: %+v; want %d", name, s, price)
		}
	}
	again := spend.New()
	learn(again, "again")
	if s := again.Spent("c", noon); s.Hour != price {
		t.Errorf("after a restart: %+v; want %d", s, price)
	}
	// What the taker reserved but never told is taken back all the same: that buys
	// nothing, neither in that hour nor in another one.
	before := noon.Add(-time.Hour)
	giver.Add("c", before, -price)
	if s := giver.Spent("c", before); s.Hour != 0 {
		t.Errorf("the hour before: %+v; want nothing", s)
	}
	if s := giver.Spent("c", noon); s.Day != price {
		t.Errorf("the day: %+v; want %d", s, price)
	}
}

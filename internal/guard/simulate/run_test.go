package simulate_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"codeword/internal/guard/simulate"
)

var start = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func small() *simulate.Scenario {
	return &simulate.Scenario{
		Name: "small", Start: start, Warmup: 2 * time.Hour, Length: 30 * time.Minute, Seed: 1, PriceMicros: 10_000,
		Honest:  simulate.Honest{PerSecond: 0.5, Swing: 0.5, Blocks: 1000, Known: 0.5, Verified: 0.8, Shared: 0.5, Gateways: 100},
		Attacks: []simulate.Attack{{Name: "a", After: time.Minute, Length: 10 * time.Minute, PerSecond: 5, Blocks: 1, AreaCodes: 1}},
	}
}

func TestRunRepeats(t *testing.T) {
	t.Parallel()
	a, b := simulate.Run(small()), simulate.Run(small())
	if !reflect.DeepEqual(a, b) {
		t.Error("the same scenario gave two reports")
	}
	o := a.Attacks[0]
	if o.Sends == 0 || o.Through >= o.Sends || o.Saved != int64(o.Sends-o.Through)*10_000 || o.Spent != int64(o.Through)*10_000 {
		t.Errorf("attack %+v", o)
	}
	if total := int64(a.Honest.Sends+a.Honest.WarmupSends+o.Sends) * 10_000; a.Spent+a.Saved != total {
		t.Errorf("spent %d and saved %d of %d", a.Spent, a.Saved, total)
	}
	if len(a.Decisions) == 0 || a.Decisions[0].At.Before(start.Add(2*time.Hour)) {
		t.Errorf("decisions %+v", a.Decisions)
	}
	other := small()
	other.Seed = 2
	if reflect.DeepEqual(a, simulate.Run(other)) {
		t.Error("another seed gave the same report")
	}
}

// TestRecords: recorded sends are put in order, and who is known passes.
func TestRecords(t *testing.T) {
	t.Parallel()
	s := &simulate.Scenario{Name: "recorded", Start: start, Attacks: []simulate.Attack{{Name: "bad"}}}
	for i := range 200 {
		s.Records = append(s.Records, simulate.Record{
			At: start.Add(time.Duration(200-i) * 100 * time.Millisecond), Number: 2_125_551_000 + uint64(i), VerifiedAfter: -1, Attack: "bad",
		})
	}
	s.Records = append(s.Records, simulate.Record{At: start.Add(time.Minute), Number: 2_125_551_999, VerifiedAfter: -1, Known: true})
	r := simulate.Run(s)
	if o := r.Attacks[0]; o.Sends != 200 || o.Through > 100 || o.FirstHold <= 0 {
		t.Errorf("attack %+v", o)
	}
	if r.Honest.Sends != 1 || r.Honest.Refused != 0 {
		t.Errorf("honest %+v; who is known passes", r.Honest)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	if err := small().Validate(); err != nil {
		t.Errorf("a good one: %v", err)
	}
	for want, change := range map[string]func(*simulate.Scenario){
		"start: required":                             func(s *simulate.Scenario) { s.Start = time.Time{} },
		"warmup and length:":                          func(s *simulate.Scenario) { s.Length = 61 * 24 * time.Hour },
		"honest.per-second:":                          func(s *simulate.Scenario) { s.Honest.PerSecond = -1 },
		"honest.blocks:":                              func(s *simulate.Scenario) { s.Honest.Blocks = 0 },
		"honest.verified: 2 is not within 0 to 1":     func(s *simulate.Scenario) { s.Honest.Verified = 2 },
		"honest.gateways: required with shared":       func(s *simulate.Scenario) { s.Honest.Gateways = 0 },
		"attacks[0].name: required":                   func(s *simulate.Scenario) { s.Attacks[0].Name = "" },
		"attacks[0]: blocks:":                         func(s *simulate.Scenario) { s.Attacks[0].AreaCodes = 5 },
		"attacks[0].verified: -1 is not within":       func(s *simulate.Scenario) { s.Attacks[0].Verified = -1 },
		"surges[0].times: not within 0 to 1000":       func(s *simulate.Scenario) { s.Surges = []simulate.Surge{{Length: time.Hour}} },
		"attacks[0].per-second: not within 0 to 1000": func(s *simulate.Scenario) { s.Attacks[0].PerSecond = 0 },
	} {
		s := small()
		change(s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

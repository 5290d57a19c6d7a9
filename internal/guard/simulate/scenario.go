// Package simulate replays traffic, synthetic or recorded, through the fraud guard
// and tells what would have been held back, when, and what that saved. It is as pure
// as the guard: the same scenario gives the same report.
package simulate

import (
	"errors"
	"fmt"
	"time"

	"codeword/internal/guard/fraud"
)

// Scenario is the traffic of one client.
type Scenario struct {
	Name string
	// Start is when the warm-up begins, in which there is honest traffic alone, from
	// which the guard learns.
	Start  time.Time
	Warmup time.Duration
	// Length is how long it goes on afterwards.
	Length time.Duration
	// Seed of everything that is random.
	Seed uint64
	// PriceMicros is what a message costs, in millionths of a US dollar.
	PriceMicros int64
	Honest      Honest
	Surges      []Surge
	Attacks     []Attack
	// Records are real traffic, in the place of all that is synthetic.
	Records []Record
	// Guard holds the figures of the guard; its zero value is what servers use.
	Guard fraud.Config
}

// Honest is what the people do whom the service is for.
type Honest struct {
	// PerSecond is the average over a week.
	PerSecond float64 `yaml:"per-second"`
	// Swing is how much the day goes up and down, 0 to 1: at 0.8 the evening has nine
	// times as much as the early morning. Weekends have a quarter less.
	Swing float64 `yaml:"swing"`
	// Blocks is over how many thousands-blocks the people are spread, the first ones
	// more than the last.
	Blocks int `yaml:"blocks"`
	// Known is the share of those who have used a code before.
	Known float64 `yaml:"known"`
	// Verified is the share of codes that are used.
	Verified float64 `yaml:"verified"`
	// Shared is the share of people behind one of Gateways addresses, as mobile
	// operators have them for thousands.
	Shared   float64 `yaml:"shared"`
	Gateways int     `yaml:"gateways"`
}

// Surge is a time in which honest people behave otherwise: a sale, or a carrier that
// loses or delays messages.
type Surge struct {
	// After is when it begins, after the warm-up.
	After  time.Duration `yaml:"after"`
	Length time.Duration `yaml:"length"`
	// Times is how many times as many people there are.
	Times float64 `yaml:"times"`
	// Verified is the share of codes that are used then, and Late how much later.
	Verified float64       `yaml:"verified"`
	Late     time.Duration `yaml:"late"`
}

// Attack is what somebody does who wants messages to be sent.
type Attack struct {
	Name string `yaml:"name"`
	// After is when it begins, after the warm-up; Length how long it lasts.
	After     time.Duration `yaml:"after"`
	Length    time.Duration `yaml:"length"`
	PerSecond float64       `yaml:"per-second"`
	// Blocks and AreaCodes are over how many it is spread.
	Blocks    int `yaml:"blocks"`
	AreaCodes int `yaml:"area-codes"`
	// Addresses is how many there are; 0: another one for each send.
	Addresses int `yaml:"addresses"`
	// Verified is the share of codes that are used all the same.
	Verified float64 `yaml:"verified"`
}

// Record is a send as a log tells it.
type Record struct {
	At time.Time
	// Number is the ten digits of the number, or its first seven with zeros.
	Number  uint64
	Address string
	// VerifiedAfter is how long it took until the code was used; negative: it was not.
	VerifiedAfter time.Duration
	// Known: the phone was verified before.
	Known bool
	// Attack names the attack that it belongs to, where somebody knows; empty: none.
	Attack string
}

// Validate reports what is wrong with the scenario, joined.
func (s *Scenario) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	share := func(name string, v float64) { check(v >= 0 && v <= 1, "%s: %g is not within 0 to 1", name, v) }
	if len(s.Records) > 0 {
		return nil
	}
	check(!s.Start.IsZero(), "start: required")
	check(s.Length > 0 && s.Warmup >= 0 && s.Warmup+s.Length <= 60*24*time.Hour, "warmup and length: more than 0 and at most 60 days")
	h := &s.Honest
	check(h.PerSecond >= 0 && h.PerSecond <= 1000, "honest.per-second: not within 0 to 1000")
	check(h.Blocks > 0 && h.Blocks <= maxBlocks, "honest.blocks: not within 1 to %d", maxBlocks)
	check(h.Gateways >= 0 && h.Gateways <= 1_000_000, "honest.gateways: not within 0 to 1000000")
	check(h.Shared == 0 || h.Gateways > 0, "honest.gateways: required with shared")
	share("honest.swing", h.Swing)
	share("honest.known", h.Known)
	share("honest.verified", h.Verified)
	share("honest.shared", h.Shared)
	for i := range s.Surges {
		u := &s.Surges[i]
		at := fmt.Sprintf("surges[%d]", i)
		check(u.After >= 0 && u.Length > 0, "%s: after and length: required", at)
		check(u.Times > 0 && u.Times <= 1000, "%s.times: not within 0 to 1000", at)
		check(u.Late >= 0, "%s.late: negative", at)
		share(at+".verified", u.Verified)
	}
	for i := range s.Attacks {
		a := &s.Attacks[i]
		at := fmt.Sprintf("attacks[%d]", i)
		check(a.Name != "", "%s.name: required", at)
		check(a.After >= 0 && a.Length > 0, "%s: after and length: required", at)
		check(a.PerSecond > 0 && a.PerSecond <= 1000, "%s.per-second: not within 0 to 1000", at)
		check(a.AreaCodes > 0 && a.Blocks >= a.AreaCodes && a.Blocks <= 10_000, "%s: blocks: not within area-codes to 10000", at)
		check(a.Addresses >= 0, "%s.addresses: negative", at)
		share(at+".verified", a.Verified)
	}
	return errors.Join(errs...)
}

// maxBlocks is how many thousands-blocks there are to speak of.
const maxBlocks = 900_000

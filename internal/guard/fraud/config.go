package fraud

import "time"

// Config holds the figures by which sends are judged. The zero value of each field
// stands for its default.
type Config struct {
	// Hash digests what must not be readable, under a key that all nodes share.
	Hash func([]byte) uint64

	// Slot is the grain of time, Window how far back evidence goes.
	Slot   time.Duration // 5 s
	Window time.Duration // 1 h

	// HonestShare is how many of 1 codes are used as long as a client's own history
	// does not tell; AttackShare is how many at most of those that a pumper asks for.
	HonestShare float64 // 0.7
	AttackShare float64 // 0.1

	// A code that will be used is used after Delay plus, on average, Lag.
	Delay time.Duration // 10 s
	Lag   time.Duration // 30 s

	// History is the time constant with which the past fades.
	History time.Duration // 14 days

	// Evidence is the natural logarithm of how many times better pumping explains
	// what was seen than honest use does, before anything is held back.
	Evidence float64 // 14: a million times
	// Alert is the same while the client is under attack, and Relapse for who was
	// held back not long ago.
	Alert   float64 // 1
	Relapse float64 // 5

	// Surprise is the negative natural logarithm of the chance that the volume is
	// within its history, and Ratio how many times the volume that it tells must
	// be reached.
	Surprise float64 // 12
	Ratio    float64 // 3

	// Floor is how many challenges are judged at all, FloorAlert while the client
	// is under attack. FloorClient is the same for the client as a whole.
	Floor       int // 8
	FloorAlert  int // 4
	FloorClient int // 100

	// Enumeration is how many different numbers of one thousands-block within
	// 90 seconds are no coincidence, unless their codes are used.
	Enumeration int // 60

	// A hold lasts HoldMin at first and twice as long each time, up to HoldMax; it
	// starts anew after Forget without one.
	HoldMin time.Duration // 30 min
	HoldMax time.Duration // 12 h
	Forget  time.Duration // 24 h

	// AlarmFor is how long a client counts as under attack after the last sign.
	AlarmFor time.Duration // 10 min

	// MaxKeys bounds the addresses and devices that are remembered per client, and
	// MaxTraces the challenges whose use is waited for.
	MaxKeys   int // 500,000
	MaxTraces int // 500,000
	// MaxSlots is how many slots of all keys of a client there is room for; beyond it
	// evidence goes back a quarter as far.
	MaxSlots int // 2,000,000
}

func (c Config) withDefaults() Config {
	if c.Hash == nil {
		c.Hash = fnv
	}
	or(&c.Slot, 5*time.Second)
	or(&c.Window, time.Hour)
	or(&c.HonestShare, 0.7)
	or(&c.AttackShare, 0.1)
	or(&c.Delay, 10*time.Second)
	or(&c.Lag, 30*time.Second)
	or(&c.History, 14*24*time.Hour)
	or(&c.Evidence, 14)
	or(&c.Alert, 1)
	or(&c.Relapse, 5)
	or(&c.Surprise, 12)
	or(&c.Ratio, 3)
	or(&c.Floor, 8)
	or(&c.FloorAlert, 4)
	or(&c.FloorClient, 100)
	or(&c.Enumeration, 60)
	or(&c.HoldMin, 30*time.Minute)
	or(&c.HoldMax, 12*time.Hour)
	or(&c.Forget, 24*time.Hour)
	or(&c.AlarmFor, 10*time.Minute)
	or(&c.MaxKeys, 500_000)
	or(&c.MaxTraces, 500_000)
	or(&c.MaxSlots, 2_000_000)
	return c
}

// or gives v its default.
func or[T comparable](v *T, fallback T) {
	var zero T
	if *v == zero {
		*v = fallback
	}
}

// fnv is for those who have nothing to hide: simulations.
func fnv(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// slot numbers the slots of time from the epoch; second is where one begins.
func (c *Config) slot(t time.Time) int32  { return int32(t.Unix() / int64(c.Slot/time.Second)) }
func (c *Config) second(slot int32) int64 { return int64(slot) * int64(c.Slot/time.Second) }
func (c *Config) slots() int32            { return int32(c.Window / c.Slot) }

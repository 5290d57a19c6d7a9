package fraud_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"codeword/internal/guard/fraud"
)

const client = "c"

var t0 = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// bed plays traffic to a guard on a clock of its own.
type bed struct {
	t   testing.TB
	g   *fraud.Guard
	now time.Time
	n   uint64
}

func newBed(tb testing.TB, cfg fraud.Config) *bed {
	tb.Helper()
	return &bed{t: tb, g: fraud.New(cfg), now: t0}
}

// newNode is a bed that tells others.
func newNode(tb testing.TB) *bed {
	tb.Helper()
	b := newBed(tb, fraud.Config{})
	b.g.Share(true)
	return b
}

// pass lets time pass, ticking as a server does.
func (b *bed) pass(d time.Duration) (made []fraud.Decision) {
	for end := b.now.Add(d); b.now.Before(end); {
		b.now = b.now.Add(min(time.Second, end.Sub(b.now)))
		made = append(made, b.g.Tick(b.now)...)
	}
	return made
}

// send asks for a code for another phone of a block, and says whether it was held
// back and what was decided.
func (b *bed) send(block uint32, change ...func(*fraud.Send)) (uint64, bool, []fraud.Decision) {
	b.n++
	s := fraud.Send{At: b.now, Client: client, Block: block, Phone: b.n * 0x9E3779B97F4A7C15}
	for _, c := range change {
		c(&s)
	}
	if _, held, _ := b.g.Check(&s); held {
		return s.Phone, true, nil
	}
	return s.Phone, false, b.g.Sent(&s, true)
}

// pump sends to a block, one every step, until it is held back, n times at most.
func (b *bed) pump(block uint32, n int, step time.Duration, change ...func(*fraud.Send)) (through int, made []fraud.Decision) {
	for range n {
		_, held, decided := b.send(block, change...)
		if held {
			return through, made
		}
		through++
		made = append(made, decided...)
		b.pass(step)
	}
	return through, made
}

// honest lets people sign in for a while: each uses the code after ten seconds.
func (b *bed) honest(block func(i int) uint32, n int, every time.Duration) {
	for i := range n {
		phone, held, made := b.send(block(i))
		if held || len(made) > 0 {
			b.t.Fatalf("honest send %d: held %t, decided %v", i, held, made)
		}
		b.pass(10 * time.Second)
		b.g.Note(client, phone, fraud.Verified)
		if made := b.pass(max(0, every-10*time.Second)); len(made) > 0 {
			b.t.Fatalf("honest send %d: %v", i, made)
		}
	}
}

// TestEnumeratedBlock: however fast somebody goes through the numbers of one block, some
// sixty get through.
func TestEnumeratedBlock(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{1, 4, 8, 12, 20, 50} {
		t.Run(fmt.Sprint(rate, " a second"), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(20) {
				b, rnd := newBed(t, fraud.Config{}), rand.New(rand.NewPCG(seed, uint64(rate)))
				b.now = b.now.Add(time.Duration(rnd.IntN(10_000)) * time.Millisecond) // anywhere within a slot
				through, made := b.pump(2125551, 1000, time.Second/time.Duration(rate), func(s *fraud.Send) { s.Phone = rnd.Uint64() })
				if through > 90 || len(made) == 0 {
					t.Errorf("seed %d: %d came through, decided %v", seed, through, made)
				}
			}
		})
	}
}

// TestBusyBlock: a hundred people of one block within two minutes are no enumeration
// when their codes are used.
func TestBusyBlock(t *testing.T) {
	t.Parallel()
	b, rnd := newBed(t, fraud.Config{}), rand.New(rand.NewPCG(1, 2))
	var asked []uint64
	for i := range 100 {
		phone, held, made := b.send(2125551, func(s *fraud.Send) { s.Phone = rnd.Uint64() })
		if held || len(made) > 0 {
			t.Fatalf("send %d: held %t, %v", i, held, made)
		}
		asked = append(asked, phone)
		b.pass(1200 * time.Millisecond)
		if i >= 15 {
			b.g.Note(client, asked[i-15], fraud.Verified)
		}
	}
}

func TestUnverifiedBlock(t *testing.T) {
	t.Parallel()
	b := newBed(t, fraud.Config{})
	b.honest(func(i int) uint32 { return 2065550 + uint32(i) }, 200, 30*time.Second)
	through, made := b.pump(2125551, 100, 20*time.Second)
	if through > 15 || len(made) != 1 {
		t.Fatalf("%d came through, %d decisions; want at most 15, and one", through, len(made))
	}
	d := made[0]
	if d.Key != (fraud.Key{Scope: fraud.Block, ID: 2125551}) || d.Name != "+12125551" || d.Strikes != 1 {
		t.Errorf("decision %+v", d)
	}
	if d.Until.Sub(d.At) != 30*time.Minute || d.Numbers.Verified != 0 || int(d.Numbers.Fresh) != through || d.Numbers.Evidence < 14 {
		t.Errorf("decision %+v", d)
	}
	if _, held, _ := b.send(2125552); held {
		t.Error("the block next to it is held back, too")
	}
	b.pass(30 * time.Minute)
	if _, held, _ := b.send(2125551); held {
		t.Error("it does not end by itself")
	}
}

func TestHoldsDouble(t *testing.T) {
	t.Parallel()
	b := newBed(t, fraud.Config{})
	for strike, want := range []time.Duration{
		30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 12 * time.Hour, 12 * time.Hour,
	} {
		through, made := b.pump(2125551, 200, 100*time.Millisecond)
		if len(made) != 1 {
			t.Fatalf("strike %d: %d decisions after %d sends", strike+1, len(made), through)
		}
		if got := made[0].Until.Sub(made[0].At); got != want || made[0].Strikes != strike+1 {
			t.Errorf("strike %d is of %s and number %d; want %s", strike+1, got, made[0].Strikes, want)
		}
		b.now = made[0].Until
	}
	b.pass(25 * time.Hour)
	if _, made := b.pump(2125551, 200, 100*time.Millisecond); len(made) != 1 || made[0].Strikes != 1 {
		t.Errorf("after a day: %+v; want a first strike", made)
	}
}

func TestHonestIsLeftAlone(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 1))
	for _, share := range []float64{0.5, 0.7, 0.95} {
		b := newBed(t, fraud.Config{HonestShare: share})
		var waiting []uint64
		for range 2500 {
			phone, held, made := b.send(2065550+uint32(rnd.IntN(3)), func(s *fraud.Send) {
				s.Address = netip.AddrFrom4([4]byte{198, 51, 100, byte(rnd.IntN(2))})
			})
			if held || len(made) > 0 {
				t.Fatalf("share %g: held %t, %+v", share, held, made)
			}
			if rnd.Float64() < share {
				waiting = append(waiting, phone)
			}
			if made := b.pass(5 * time.Second); len(made) > 0 {
				t.Fatalf("share %g: %+v", share, made)
			}
			if len(waiting) > 3 { // after 15 s
				b.g.Note(client, waiting[0], fraud.Verified)
				waiting = waiting[1:]
			}
		}
	}
}

func TestWhatIsNoEvidence(t *testing.T) {
	t.Parallel()
	for name, play := range map[string]func(b *bed) []fraud.Decision{
		"one phone again and again": func(b *bed) (all []fraud.Decision) {
			for range 40 {
				_, _, made := b.send(2125551, func(s *fraud.Send) { s.Phone = 7 })
				all = append(all, made...)
				b.pass(time.Minute)
			}
			return all
		},
		"messages that no carrier took": func(b *bed) (all []fraud.Decision) {
			for range 40 {
				phone, _, made := b.send(2125551)
				all = append(all, made...)
				b.g.Note(client, phone, fraud.Failed)
				b.pass(time.Minute)
			}
			return all
		},
		"safe ones": func(b *bed) []fraud.Decision {
			_, made := b.pump(2125551, 300, time.Second, func(s *fraud.Send) { s.Safe = true })
			return made
		},
		"few": func(b *bed) []fraud.Decision {
			_, made := b.pump(2125551, 5, time.Minute)
			return made
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if made := play(newBed(t, fraud.Config{})); len(made) > 0 {
				t.Errorf("decided %+v", made)
			}
		})
	}
}

// TestScopes: an attack is held back where it is, as narrowly as it shows.
func TestScopes(t *testing.T) {
	t.Parallel()
	n := uint32(0)
	other := func() uint32 { n++; return 2000000 + n*7919%6000000 }
	for _, tt := range []struct {
		name string
		want fraud.Scope
		as   string
		send func(s *fraud.Send)
	}{
		{"address", fraud.Address, "203.0.113.7", func(s *fraud.Send) {
			s.Block, s.Address = other(), netip.MustParseAddr("203.0.113.7")
		}},
		{"network", fraud.Network, "203.0.113.0/24", func(s *fraud.Send) {
			s.Block, s.Address = other(), netip.AddrFrom4([4]byte{203, 0, 113, byte(n * 7)})
		}},
		{"network of IPv6", fraud.Network, "2001:db8:1:2::/64", func(s *fraud.Send) {
			s.Block, s.Address = other(), netip.MustParseAddr(fmt.Sprintf("2001:db8:1:2::%x", n))
		}},
		{"device", fraud.Device, "", func(s *fraud.Send) { s.Block, s.Device = other(), 99 }},
		{"exchange", fraud.Exchange, "+1212555", func(s *fraud.Send) { n++; s.Block = 2125550 + n%10 }},
	} {
		b := newBed(t, fraud.Config{})
		through, made := b.pump(0, 200, 2*time.Second, tt.send)
		if len(made) != 1 || made[0].Key.Scope != tt.want || made[0].Name != tt.as {
			t.Errorf("%s: %d came through, decided %+v; want %s %q", tt.name, through, made, tt.want, tt.as)
		}
	}
}

// TestAlarm: a client under attack is judged more strictly, and only then.
func TestAlarm(t *testing.T) {
	t.Parallel()
	b := newBed(t, fraud.Config{})
	var alarms, holds int
	for i := range 3000 {
		_, held, made := b.send(2000000 + uint32(i%300)*19991)
		holds += len(made)
		if held && alarms == 0 {
			t.Fatal("held back without an alarm")
		}
		for _, d := range b.pass(20 * time.Millisecond) {
			if d.Key.Scope != fraud.Client || d.Until.Sub(d.At) != 10*time.Minute {
				t.Errorf("alarm %+v", d)
			}
			alarms++
		}
	}
	if alarms != 1 || holds < 250 {
		t.Errorf("%d alarms and %d holds; want one, and one for nearly each of 300 blocks", alarms, holds)
	}
}

func TestRelease(t *testing.T) {
	t.Parallel()
	b := newBed(t, fraud.Config{})
	_, made := b.pump(2125551, 200, 100*time.Millisecond)
	d := made[0]
	if b.g.Release(client, d.Key, d.At.Add(-time.Second)) {
		t.Error("a release from before the hold ended it")
	}
	if holds := b.g.Holds(b.now); len(holds) != 1 || holds[0].Refused != 1 {
		t.Errorf("holds %+v; want one that has held back one", holds)
	}
	if !b.g.Release(client, d.Key, b.now) || len(b.g.Holds(b.now)) != 0 {
		t.Error("not released")
	}
	if _, held, _ := b.send(2125551); held {
		t.Error("held back after the release")
	}
	b.g.Hold(d) // another node tells of it late; it has not ended
	later := d
	later.At, later.Until = d.At.Add(time.Minute), d.Until.Add(time.Minute)
	b.g.Hold(later)
	b.g.Hold(d)
	if holds := b.g.Holds(b.now); len(holds) != 1 || !holds[0].Until.Equal(later.Until) {
		t.Errorf("holds %+v; want the later one", holds)
	}
}

// TestClock: a clock that jumps makes no nonsense.
func TestClock(t *testing.T) {
	t.Parallel()
	b := newBed(t, fraud.Config{})
	for _, jump := range []time.Duration{0, 48 * time.Hour, -96 * time.Hour, 24 * 365 * time.Hour, -24 * 365 * time.Hour} {
		b.now = b.now.Add(jump)
		phone, _, _ := b.send(2065550)
		b.g.Note(client, phone, fraud.Verified)
		for _, d := range b.pass(3 * time.Second) {
			t.Errorf("jump of %s: %+v", jump, d)
		}
	}
	if through, made := b.pump(2125551, 300, 100*time.Millisecond); len(made) != 1 {
		t.Errorf("%d came through, %d decisions; an attack is still seen", through, len(made))
	}
}

func BenchmarkSend(b *testing.B) {
	for _, tt := range []struct {
		name string
		held bool
	}{{"quiet", false}, {"with holds", true}} {
		b.Run(tt.name, func(b *testing.B) {
			bed := newBed(b, fraud.Config{})
			if tt.held {
				bed.pump(2125551, 200, 100*time.Millisecond)
			}
			rnd := rand.New(rand.NewPCG(1, 1))
			b.ReportAllocs()
			for b.Loop() {
				bed.n++
				s := fraud.Send{
					At: bed.now, Client: client, Block: 2000000 + rnd.Uint32N(50_000), Phone: bed.n * 0x9E3779B97F4A7C15,
					Address: netip.AddrFrom4([4]byte{10, byte(bed.n >> 16), byte(bed.n >> 8), byte(bed.n)}), Device: bed.n,
				}
				if _, held, _ := bed.g.Check(&s); !held {
					bed.g.Sent(&s, true)
				}
				if bed.n%10 != 0 {
					bed.g.Note(client, s.Phone, fraud.Verified)
				}
				if bed.n%200 == 0 {
					bed.now = bed.now.Add(time.Second)
					bed.g.Tick(bed.now)
				}
			}
		})
	}
}

// TestResends: messages that repeat a challenge are evidence as well.
func TestResends(t *testing.T) {
	t.Parallel()
	b := newBed(t, fraud.Config{})
	messages := 0
	for i := range 1200 { // three challenges a block, each repeated
		s := fraud.Send{At: b.now, Client: client, Block: 3000000 + uint32(i/3)*1009, Phone: uint64(i+1) * 0x9E3779B97F4A7C15}
		for n := range 8 {
			if _, held, _ := b.g.Check(&s); held {
				break
			}
			b.g.Sent(&s, n == 0)
			messages++
		}
		b.pass(500 * time.Millisecond)
	}
	// The first three phones of a block are too few to be judged.
	if messages > 7_200 {
		t.Errorf("%d of 9600 messages came through", messages)
	}
}

// TestFailedRepetition: a challenge whose repetition failed is evidence; one of which
// all messages failed is none.
func TestFailedRepetition(t *testing.T) {
	t.Parallel()
	for _, delivered := range []bool{true, false} {
		b := newBed(t, fraud.Config{})
		held := false
		for range 60 {
			s := fraud.Send{At: b.now, Client: client, Block: 2125551, Phone: (b.n + 1) * 0x9E3779B97F4A7C15}
			b.n++
			_, stop, _ := b.g.Check(&s)
			held = held || stop
			made := b.g.Sent(&s, true)
			if delivered {
				b.g.Note(client, s.Phone, fraud.Delivered)
				made = append(made, b.g.Sent(&s, false)...)
			}
			b.g.Note(client, s.Phone, fraud.Failed)
			held = held || len(made) > 0
			b.pass(20 * time.Second)
		}
		if held != delivered {
			t.Errorf("delivered before the failure %t: held back %t", delivered, held)
		}
	}
}

// TestUsualPasses: with many honest people behind a key, as many as usual get through
// while it is held back.
func TestUsualPasses(t *testing.T) {
	t.Parallel()
	gateway := func(s *fraud.Send) { s.Address = netip.MustParseAddr("203.0.113.7") }
	b := newBed(t, fraud.Config{})
	i := uint32(0)
	for range 1000 { // one a minute
		i++
		phone, held, made := b.send(2065550+i*97, gateway)
		if held || len(made) > 0 {
			t.Fatalf("honest: %v", made)
		}
		b.pass(20 * time.Second)
		b.g.Note(client, phone, fraud.Verified)
		b.pass(40 * time.Second)
	}
	for range 600 { // one a second
		i++
		b.send(2065550+i*97, gateway)
		b.pass(time.Second)
	}
	if len(b.g.Holds(b.now)) == 0 {
		t.Fatal("not held back; the test shows nothing")
	}
	passed := 0
	for range 20 {
		i++
		if _, held, _ := b.send(2065550+i*97, gateway); !held {
			passed++
		}
		b.pass(time.Minute)
	}
	if passed < 12 {
		t.Errorf("%d of 20 honest sends passed, at the usual one a minute", passed)
	}
}

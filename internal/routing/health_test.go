package routing_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/routing"
	"codeword/internal/store"
)

// traffic sends messages over a bench for a time, perSecond of them. Codes that
// a route brings are verified within half a minute with the route's
// probability. It returns how many went over each route.
func (b *bench) traffic(d time.Duration, perSecond int, verifies map[string]float64) map[string]int {
	b.t.Helper()
	random := rand.New(rand.NewPCG(3, 4))
	type proof struct {
		at time.Time
		v  store.Verified
	}
	var due []proof
	took := make(map[string]int)
	for end := time.Now().Add(d); time.Now().Before(end); <-time.After(time.Second) {
		for range perSecond {
			m := b.message()
			p := b.plan(m)
			leg := b.next(p)
			p.Done(leg, nil)
			took[leg.Route]++
			if random.Float64() < verifies[leg.Route] {
				at := time.Now().Add(time.Duration(5+random.IntN(25)) * time.Second)
				due = append(due, proof{at, store.Verified{Route: leg.Route, CreatedAt: m.CreatedAt}})
			}
		}
		var later []proof
		for _, p := range due {
			if p.at.After(time.Now()) {
				later = append(later, p)
				continue
			}
			b.Verified([]store.Verified{p.v})
		}
		due = later
	}
	return took
}

func share(took map[string]int, route string) float64 {
	total := 0
	for _, n := range took {
		total += n
	}
	return float64(took[route]) / float64(total)
}

// TestFakeReceipts: a route that takes everything and delivers nothing loses
// its traffic within minutes, and gets it back once it has recovered.
func TestFakeReceipts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil, via("main", 0), via("backup", 1))
		good := map[string]float64{"main": 0.7, "backup": 0.7}
		bad := map[string]float64{"main": 0, "backup": 0.7}
		if took := b.traffic(30*time.Minute, 20, good); took["backup"] != 0 {
			t.Errorf("with a good main %v", took)
		}
		b.traffic(15*time.Minute, 20, bad)
		took := b.traffic(10*time.Minute, 20, bad)
		if s := share(took, "main"); s > 0.03 || s < 0.01 {
			t.Errorf("a bad main still has %.3f of the traffic", s)
		}
		if s := b.status("main"); !s.Unhealthy || s.Health > 0.1 || s.Samples < 20 {
			t.Errorf("main %+v", s)
		}
		b.traffic(15*time.Minute, 20, good)
		if s := share(b.traffic(5*time.Minute, 20, good), "main"); s < 0.99 {
			t.Errorf("recovered, main has %.3f of the traffic", s)
		}
	})
}

// TestNoFlapping: with little traffic, too, a bad route gets no more than is
// spent on exploring it, and gets its traffic back once it has recovered.
func TestNoFlapping(t *testing.T) {
	for _, perSecond := range []int{1, 2, 5} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, nil, via("main", 0), via("backup", 1))
			good := map[string]float64{"main": 0.7, "backup": 0.7}
			bad := map[string]float64{"main": 0, "backup": 0.7}
			b.traffic(30*time.Minute, perSecond, good)
			b.traffic(20*time.Minute, perSecond, bad)
			if s := share(b.traffic(2*time.Hour, perSecond, bad), "main"); s > 0.03 || s < 0.01 {
				t.Errorf("with %d messages a second a bad main has %.3f of the traffic", perSecond, s)
			}
			b.traffic(40*time.Minute, perSecond, good)
			if s := share(b.traffic(20*time.Minute, perSecond, good), "main"); s < 0.95 {
				t.Errorf("with %d messages a second, recovered, main has %.3f of the traffic", perSecond, s)
			}
		})
	}
}

// TestLowVerification: where few people use their codes, that is no fault of
// the route, and traffic stays where the operator wants it.
func TestLowVerification(t *testing.T) {
	for _, low := range []float64{0, 0.02, 0.1, 0.3} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, nil, via("main", 0), via("backup", 1))
			took := b.traffic(time.Hour, 5, map[string]float64{"main": low, "backup": low})
			if s := share(took, "main"); s < 0.95 {
				t.Errorf("with %.2f verified main has %.3f of the traffic", low, s)
			}
			if took["backup"] > 0 && low >= 0.3 {
				t.Errorf("with %.2f verified %d messages explore backup", low, took["backup"])
			}
		})
	}
}

// TestHealthWithinPriority: of equals the healthier gets more.
func TestHealthWithinPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil, via("good", 0), via("fair", 0))
		verifies := map[string]float64{"good": 0.8, "fair": 0.5}
		b.traffic(10*time.Minute, 10, verifies)
		took := b.traffic(20*time.Minute, 10, verifies)
		if s := share(took, "good"); s < 0.57 || s > 0.67 { // 0.8 / 1.3
			t.Errorf("good has %.3f of the traffic", s)
		}
	})
}

// TestUnhealthyBeatsNone: a bad route is still better than a broken one.
func TestUnhealthyBeatsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil, via("main", 0), via("backup", 1))
		b.traffic(20*time.Minute, 20, map[string]float64{"main": 0, "backup": 0.7})
		p := b.plan(b.message())
		leg := b.next(p)
		if leg.Route == "main" { // explored
			p = b.plan(b.message())
			leg = b.next(p)
		}
		if leg.Decision != "main=unhealthy backup=chosen" {
			t.Errorf("decision %q", leg.Decision)
		}
		p.Done(leg, down())
		if leg := b.next(p); leg.Route != "main" || leg.Decision != "main=chosen backup=tried" {
			t.Errorf("then %q: %s", leg.Route, leg.Decision)
		}
	})
}

// TestNoExploring: an operator may switch it off.
func TestNoExploring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(cfg *routing.Config) { cfg.Explore = -1 }, via("main", 0), via("backup", 1))
		if took := b.traffic(20*time.Minute, 10, map[string]float64{"backup": 0.7}); took["backup"] != 0 {
			t.Errorf("%v", took)
		}
	})
}

// TestForgedProofs: more proofs than messages, proofs for other times and other
// routes make nothing look better than perfect.
func TestForgedProofs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil, via("main", 0))
		now := time.Now()
		for range 10 {
			b.one(nil)
		}
		for _, at := range []time.Time{
			now, now.Add(-time.Hour), now.Add(time.Hour),
			{},
			time.Unix(-1<<40, 0), time.Unix(1<<40, 0),
			now.Add(-5 * time.Minute), now.Add(time.Minute),
		} {
			for range 1000 {
				b.Verified([]store.Verified{{Route: "main", CreatedAt: at}, {Route: "gone", CreatedAt: at}, {Route: "inbox", CreatedAt: at}})
			}
		}
		<-time.After(3 * time.Minute)
		s := b.status("main")
		if s.Samples > 10 || s.Samples < 5 || s.Health > 0.75 || s.Health < 0.5 {
			t.Errorf("10 messages, all verified, became %+v", s)
		}
	})
}

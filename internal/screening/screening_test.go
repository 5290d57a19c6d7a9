package screening_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"codeword/internal/audit"
	"codeword/internal/fault"
	"codeword/internal/phone"
	"codeword/internal/screening"
	"codeword/internal/store"
	"codeword/internal/store/sqlite"
	"codeword/internal/store/sqlite/sqlitetest"
	"codeword/internal/tenant"
)

var t0 = time.Date(2026, 3, 4, 12, 30, 0, 0, time.UTC)

// price is what a message costs, in millionths of a US dollar.
const price = 10_000

// shelf is the store, which can be down.
type shelf struct {
	*sqlite.Store
	mu   sync.Mutex
	down error
}

func (s *shelf) fail(err error) { s.mu.Lock(); s.down = err; s.mu.Unlock() }

func (s *shelf) failing() error { s.mu.Lock(); defer s.mu.Unlock(); return s.down }

func (s *shelf) PutNotes(ctx context.Context, now time.Time, notes []store.Note) error {
	if err := s.failing(); err != nil {
		return err
	}
	return s.Store.PutNotes(ctx, now, notes)
}

func (s *shelf) AppendEvents(ctx context.Context, events []store.Event) error {
	if err := s.failing(); err != nil {
		return err
	}
	return s.Store.AppendEvents(ctx, events)
}

// service is what the nodes of one service share.
type service struct {
	t      *testing.T
	shelf  *shelf
	client *tenant.Client
	free   bool
	price  int64
	now    time.Time
	sends  uint64
}

func newService(t *testing.T, settings string) *service {
	t.Helper()
	c, err := tenant.Parse(store.Client{ID: "c", Live: true, Settings: []byte(settings)})
	if err != nil {
		t.Fatal(err)
	}
	return &service{t: t, shelf: &shelf{Store: sqlitetest.New(t)}, client: c, price: price, now: t0}
}

func (s *service) node(name string) *screening.Screen {
	s.t.Helper()
	n, err := screening.New(screening.Config{
		Notes: s.shelf, Events: s.shelf, Node: name, Shared: true,
		Free:   func(*tenant.Client) bool { return s.free },
		Price:  func(*tenant.Client) int64 { return s.price },
		Client: func(string) *tenant.Client { return s.client },
		Now:    func() time.Time { return s.now },
	})
	if err == nil {
		err = n.Load(s.t.Context())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// number is one of a block.
func number(t *testing.T, text string) phone.Number {
	t.Helper()
	n, err := phone.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// send asks for a code for a number; the phone is always another one.
func (s *service) send(n *screening.Screen, to string) (screening.Verdict, store.PhoneID) {
	s.t.Helper()
	s.sends++
	id := store.PhoneID{byte(s.sends), byte(s.sends >> 8), byte(s.sends * 37), 4, 5, 6, 7, byte(s.sends * 11)}
	v := n.Screen(&screening.Send{Client: s.client, Number: number(s.t, to), EndUser: netip.Addr{}, At: s.now})
	switch {
	case v.ProvenOnly || v.OverBudget != nil:
		n.Refused(s.client, &v, s.now)
	default:
		n.Accepted(&v, id, true)
	}
	return v, id
}

func (s *service) exchange(nodes ...*screening.Screen) {
	for range 2 { // the second hears what the first told after it
		for _, n := range nodes {
			n.Exchange(s.t.Context())
		}
	}
}

// pump sends to a block until it is held back.
func (s *service) pump(n *screening.Screen) (sends int) {
	s.t.Helper()
	for sends < 200 {
		v, _ := s.send(n, "+12065550000")
		if v.Why != "" {
			return sends
		}
		sends++
		s.now = s.now.Add(100 * time.Millisecond)
	}
	s.t.Fatal("never held back")
	return 0
}

func (s *service) events(kind string) []store.Event {
	s.t.Helper()
	found, err := s.shelf.Events(s.t.Context(), store.EventQuery{Kind: kind, Limit: 100})
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

func TestModes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, settings string
		free           bool
		decides, acts  bool
	}{
		{"enforce is the default", `{}`, false, true, true},
		{"shadow", `{"fraudGuard": "shadow"}`, false, true, false},
		{"off", `{"fraudGuard": "off"}`, false, false, false},
		{"messages that cost nothing", `{}`, true, true, false},
		{"a safe block", `{"safeNumbers": ["+12065550"]}`, false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, tt.settings)
			s.free = tt.free
			n := s.node("a")
			acted := false
			for range 200 {
				v, _ := s.send(n, "+12065550000")
				acted = acted || v.ProvenOnly
				s.now = s.now.Add(100 * time.Millisecond)
			}
			s.exchange(n)
			if decided := len(s.events("guard.hold")) > 0; decided != tt.decides || acted != tt.acts {
				t.Errorf("decided %t, acted %t; want %t, %t", decided, acted, tt.decides, tt.acts)
			}
		})
	}
}

// TestWhyNamesNoDigits: why a send is held back stands where the last four digits of its
// number may stand as well. With the exchange they would be the whole number.
func TestWhyNamesNoDigits(t *testing.T) {
	t.Parallel()
	s := newService(t, `{}`)
	n := s.node("a")
	s.pump(n)
	v, _ := s.send(n, "+12065550000")
	if v.Why != "the guard holds back the block of the number" {
		t.Errorf("%q", v.Why)
	}
}

// TestHoldsTravel: a hold counts on all nodes, after a restart, and until an operator
// ends it.
func TestHoldsTravel(t *testing.T) {
	t.Parallel()
	s := newService(t, `{}`)
	a, b := s.node("a"), s.node("b")
	s.pump(a)
	if v, _ := s.send(b, "+12065550000"); v.ProvenOnly {
		t.Fatal("the other node knows already; the test shows nothing")
	}
	s.exchange(a, b)
	for name, n := range map[string]*screening.Screen{"the other node": b, "a node that starts": s.node("c")} {
		if v, _ := s.send(n, "+12065550000"); !v.ProvenOnly {
			t.Errorf("%s does not hold the block back", name)
		}
		if v, _ := s.send(n, "+12065560000"); v.ProvenOnly {
			t.Errorf("%s holds another exchange back", name)
		}
	}
	holds, err := screening.ListHolds(t.Context(), s.shelf, s.now)
	if err != nil || len(holds) != 1 || holds[0].Name != "+12065550" || holds[0].Client != "c" || holds[0].Mode != "enforce" {
		t.Fatalf("holds %+v, %v", holds, err)
	}
	s.now = s.now.Add(time.Second)
	trail := &audit.Trail{Store: s.shelf, Now: func() time.Time { return s.now }}
	s.shelf.fail(fault.New(fault.Unavailable, "down"))
	if err := screening.ReleaseHold(t.Context(), s.shelf.Store, trail, s.now, holds[0].Key, "cli:test"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("not recorded: %v", err)
	}
	s.shelf.fail(nil)
	if again, err := screening.ListHolds(t.Context(), s.shelf, s.now); err != nil || len(again) != 1 {
		t.Errorf("released, and not recorded: %+v, %v", again, err)
	}
	if err := screening.ReleaseHold(t.Context(), s.shelf, trail, s.now, holds[0].Key, "cli:test"); err != nil {
		t.Fatal(err)
	}
	if err := screening.ReleaseHold(t.Context(), s.shelf, trail, s.now, holds[0].Key, "cli:test"); !fault.Is(err, fault.NotFound) {
		t.Errorf("released twice: %v", err)
	}
	s.exchange(a, b)
	for name, n := range map[string]*screening.Screen{"first": a, "second": b, "fresh": s.node("d")} {
		if v, _ := s.send(n, "+12065550000"); v.ProvenOnly {
			t.Errorf("the %s node still holds it back", name)
		}
	}
	if e := s.events("guard.release"); len(e) != 1 || e[0].Actor != "cli:test" || e[0].Client != "c" {
		t.Errorf("events %+v", e)
	}
}

// TestCountsTravel: an attack that is spread over nodes is seen as one.
func TestCountsTravel(t *testing.T) {
	t.Parallel()
	s := newService(t, `{}`)
	nodes := []*screening.Screen{s.node("a"), s.node("b"), s.node("c")}
	sends := 0
	for ; sends < 200; sends++ {
		v, _ := s.send(nodes[sends%3], "+12065550000")
		if v.ProvenOnly {
			break
		}
		s.now = s.now.Add(10 * time.Second)
		s.exchange(nodes...)
	}
	if sends > 25 {
		t.Errorf("%d sends came through; one node alone sees a third, and takes three times as many", sends)
	}
}

func TestStoreDown(t *testing.T) {
	t.Parallel()
	s := newService(t, `{"spendPerDay": 100}`)
	a, b := s.node("a"), s.node("b")
	s.shelf.fail(errors.New("down"))
	s.pump(a)
	for range 5 {
		s.exchange(a)
		s.now = s.now.Add(time.Second)
	}
	s.shelf.fail(nil)
	s.exchange(a, b)
	if v, _ := s.send(b, "+12065550000"); !v.ProvenOnly {
		t.Error("the hold was lost")
	}
	if len(s.events("guard.hold")) != 1 {
		t.Errorf("events %+v; want the hold", s.events("guard."))
	}
	if x, y := a.Spent("c", s.now), b.Spent("c", s.now); x.Day == 0 || x.Day != y.Day {
		t.Errorf("spent %d on one and %d on the other", x.Day, y.Day)
	}
}

// TestUsualVolume: a busy block that is held back lets its usual volume through, and a
// send that is refused for something else takes nothing of it.
func TestUsualVolume(t *testing.T) {
	t.Parallel()
	s := newService(t, `{}`)
	n := s.node("a")
	for range 600 { // ten hours of a code a minute, all of them used
		_, id := s.send(n, "+12065550000")
		n.Verified("c", id)
		s.now = s.now.Add(time.Minute)
	}
	held := 0
	for range 500 {
		if v, _ := s.send(n, "+12065550000"); v.ProvenOnly {
			held++
		}
		s.now = s.now.Add(100 * time.Millisecond)
	}
	if held == 0 {
		t.Fatal("never held back")
	}
	s.now = s.now.Add(4 * time.Minute)
	ask := func() (screening.Verdict, bool) {
		v := n.Screen(&screening.Send{Client: s.client, Number: number(t, "+12065550000"), At: s.now})
		return v, !v.ProvenOnly
	}
	for i := range 50 {
		v, passed := ask()
		if !passed {
			t.Fatalf("send %d is held back, though those before it were refused", i+1)
		}
		n.Refused(s.client, &v, s.now)
	}
	passed := 0
	for range 50 {
		if _, ok := ask(); ok {
			passed++
		}
	}
	if passed == 0 || passed > 10 {
		t.Errorf("%d passed within the usual volume of some minutes", passed)
	}
}

// TestStoreDownForLong: what waits to be told stays bounded.
func TestStoreDownForLong(t *testing.T) {
	t.Parallel()
	const most = 10_000
	s := newService(t, `{}`)
	n := s.node("a")
	s.shelf.fail(errors.New("down"))
	for i := range 200 {
		s.send(n, fmt.Sprintf("+1305%d0000", 220+i*3%600))
		s.now = s.now.Add(time.Second)
	}
	s.exchange(n) // finds that the client is under attack, so that little is needed from now on
	for exchange := 200; exchange < 1000; exchange++ {
		if exchange%100 == 11 {
			continue // no exchanges
		}
		for block := range 13 {
			for range 5 {
				s.send(n, fmt.Sprintf("+1%d%d%d000", 206+block/10, exchange, block%10))
			}
		}
	}
	if made := len(n.Holds()); made <= most {
		t.Fatalf("%d holds; the test shows nothing", made)
	}
	s.shelf.fail(nil)
	s.exchange(n)
	if holds, err := screening.ListHolds(t.Context(), s.shelf, s.now); err != nil || len(holds) > most || len(holds) < most/2 {
		t.Errorf("%d holds were told, %v", len(holds), err)
	}
}

// TestUsedCodes: codes that are used keep a busy block free.
func TestUsedCodes(t *testing.T) {
	t.Parallel()
	s := newService(t, `{}`)
	a, b := s.node("a"), s.node("b")
	for i := range 100 {
		v, id := s.send(a, "+12065550000")
		if v.Why != "" {
			t.Fatalf("send %d is held back: %s", i, v.Why)
		}
		s.exchange(a, b)
		s.now = s.now.Add(15 * time.Second)
		b.Verified("c", id) // on the other node
		s.exchange(a, b)
		s.now = s.now.Add(15 * time.Second)
	}
}

// TestEventsAreDiscreet: what is kept for long names neither a block nor an address.
func TestEventsAreDiscreet(t *testing.T) {
	t.Parallel()
	s := newService(t, `{}`)
	n := s.node("a")
	s.pump(n)
	s.exchange(n)
	holds, err := screening.ListHolds(t.Context(), s.shelf, s.now)
	if err != nil || len(holds) != 1 {
		t.Fatalf("holds %+v, %v", holds, err)
	}
	s.now = s.now.Add(-time.Minute) // the operator's clock is behind
	if err := screening.ReleaseHold(t.Context(), s.shelf, &audit.Trail{Store: s.shelf, Now: func() time.Time { return s.now }}, s.now, holds[0].Key, "cli:test"); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(time.Minute + 15*time.Second)
	s.exchange(n)
	if v, _ := s.send(n, "+12065550000"); v.ProvenOnly {
		t.Error("released by a clock that is behind, and still held back")
	}
	for _, e := range s.events("guard.") {
		if bytes.Contains(e.Data, []byte("2065550")) {
			t.Errorf("%s tells the block: %s", e.Kind, e.Data)
		}
	}
}

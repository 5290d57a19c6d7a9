package screening_test

import (
	"bytes"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/guard/spend"
	"codeword/internal/screening"
	"codeword/internal/store"
)

func TestBudget(t *testing.T) {
	t.Parallel()
	s := newService(t, `{"spendPerHour": 0.1, "fraudGuard": "off"}`) // ten messages
	n := s.node("a")
	for i := range 10 {
		if v, _ := s.send(n, "+12065550000"); v.OverBudget != nil {
			t.Fatalf("message %d: %v", i+1, v.OverBudget)
		}
	}
	v, _ := s.send(n, "+12065550000")
	if over := v.OverBudget; over == nil || over.Kind != fault.LimitClient || over.Limit != string(spend.PeriodHour) || over.RetryAfter != 30*time.Minute {
		t.Fatalf("message 11: %+v", v.OverBudget)
	}
	s.send(n, "+12065550000")
	s.exchange(n)
	if w, e := s.events("spend.warning"), s.events("spend.stop"); len(w) != 1 || len(e) != 1 || e[0].Client != "c" {
		t.Errorf("%d warnings and %d stops; want one of each", len(w), len(e))
	}
	s.client.Settings.SpendPerHour, s.client.Settings.SpendPerDay = 0, 0.1
	for range 3 { // in three hours: the day is told of once
		if v, _ := s.send(n, "+12065550000"); v.OverBudget == nil || v.OverBudget.Limit != string(spend.PeriodDay) {
			t.Errorf("over the day's budget: %+v", v.OverBudget)
		}
		s.now = s.now.Add(time.Hour)
	}
	s.exchange(n)
	if e := s.events("spend.stop"); len(e) != 2 || !bytes.Contains(e[0].Data, []byte(`"period":"spend_day"`)) {
		t.Errorf("stops %s", e)
	}
	s.now = s.now.Add(-3 * time.Hour)
	s.client.Settings.SpendPerHour, s.client.Settings.SpendPerDay = 0.2, 0
	if v, _ := s.send(n, "+12065550000"); v.OverBudget != nil {
		t.Errorf("after it was raised: %v", v.OverBudget)
	}
	again := s.node("b")
	if got := again.Spent("c", s.now).Hour; got != 10*price {
		t.Errorf("a node that starts knows of %d; want what was told, %d", got, 10*price)
	}
}

// TestOutcomes: what was reserved becomes what was spent.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	took := func(route string, cost int64) store.Dispatch {
		return store.Dispatch{Route: route, Status: store.MessageSent, PriceMicros: cost}
	}
	refused := store.Dispatch{Route: "a", Status: store.MessageQueued, PriceMicros: price}
	for _, tt := range []struct {
		name     string
		outcomes []store.Outcome
		want     int64
	}{
		{"as expected", []store.Outcome{{Status: store.MessageSent, Dispatches: []store.Dispatch{took("a", price)}}}, price},
		{"two segments", []store.Outcome{{Status: store.MessageSent, Dispatches: []store.Dispatch{took("a", 2*price)}}}, 2 * price},
		{"not taken, then by a dearer route", []store.Outcome{
			{Status: store.MessageSent, Dispatches: []store.Dispatch{refused, took("b", 3*price)}},
		}, 3 * price},
		{"not taken, later taken", []store.Outcome{
			{Status: store.MessageQueued, Dispatches: []store.Dispatch{refused}},
			{Status: store.MessageSent, Dispatches: []store.Dispatch{took("b", price)}},
		}, price},
		{"waits for its turn, then taken", []store.Outcome{
			{Status: store.MessageQueued},
			{Status: store.MessageSent, Dispatches: []store.Dispatch{took("b", price)}},
		}, price},
		{"taken by two", []store.Outcome{
			{Status: store.MessageSent, Dispatches: []store.Dispatch{took("a", price)}},
			{Status: store.MessageSent, Dispatches: []store.Dispatch{took("b", price)}},
		}, 2 * price},
		{"rejected", []store.Outcome{{Status: store.MessageFailed, Dispatches: []store.Dispatch{{Route: "a", Status: store.MessageFailed, PriceMicros: price}}}}, 0},
		{"expired before any route", []store.Outcome{{Status: store.MessageExpired}}, 0},
	} {
		s := newService(t, `{}`)
		n := s.node("a")
		_, id := s.send(n, "+12065550000")
		m := store.Message{Client: "c", Phone: id, Status: store.MessageQueued, CreatedAt: s.now}
		for i := range tt.outcomes {
			n.Recorded(&m, &tt.outcomes[i])
			m.Status = tt.outcomes[i].Status
			for _, d := range tt.outcomes[i].Dispatches {
				if m.Tried = append(m.Tried, d.Route); d.Status == store.MessageSent {
					m.Taken = append(m.Taken, d.Route)
				}
			}
		}
		if got := n.Spent("c", s.now).Day; got != tt.want {
			t.Errorf("%s: spent %d; want %d", tt.name, got, tt.want)
		}
	}
}

// TestDeliveredElsewhere: what one node accepted and another one delivered costs what
// it costs, on both and on one that starts later.
func TestDeliveredElsewhere(t *testing.T) {
	t.Parallel()
	sent := store.Outcome{Status: store.MessageSent, Dispatches: []store.Dispatch{{Status: store.MessageSent, PriceMicros: price}}}
	failed := store.Outcome{Status: store.MessageFailed}
	const n = 20
	for _, tt := range []struct {
		name, settings string
		outcome        store.Outcome
		want           int64
	}{
		{"sent", `{"spendPerDay": 100, "fraudGuard": "off"}`, sent, n * price},
		{"sent, of fewer segments than were reserved", `{"spendPerDay": 100, "fraudGuard": "off", "maxSegments": 4}`, sent, n * price},
		{"not sent", `{"spendPerDay": 100, "fraudGuard": "off"}`, failed, 0},
	} {
		s := newService(t, tt.settings)
		a, b := s.node("a"), s.node("b")
		for range n {
			_, id := s.send(a, "+12065550000")
			b.Recorded(&store.Message{Client: "c", Phone: id, Status: store.MessageQueued, CreatedAt: s.now}, &tt.outcome)
		}
		s.exchange(a, b)
		for name, node := range map[string]*screening.Screen{"a": a, "b": b, "c": s.node("c")} {
			if got := node.Spent("c", s.now).Day; got != tt.want {
				t.Errorf("%s: node %s knows of %d; want %d", tt.name, name, got, tt.want)
			}
		}
	}
}

// TestGivenBack: a send that is refused after all costs nothing.
func TestGivenBack(t *testing.T) {
	t.Parallel()
	s := newService(t, `{"spendPerDay": 1}`)
	n := s.node("a")
	v := n.Screen(&screening.Send{Client: s.client, Number: number(t, "+12065550000"), At: s.now})
	if got := n.Spent("c", s.now).Day; got != price {
		t.Fatalf("reserved %d", got)
	}
	n.Refused(s.client, &v, s.now)
	if got := n.Spent("c", s.now).Day; got != 0 {
		t.Errorf("spent %d; want nothing", got)
	}
}

// TestHourOfReservation: what was reserved in one hour and not spent is given back to
// that hour, and buys nothing in the next.
func TestHourOfReservation(t *testing.T) {
	t.Parallel()
	s := newService(t, `{"spendPerHour": 0.1, "fraudGuard": "off"}`) // ten messages
	n := s.node("a")
	var waiting []store.Message
	fill := func() (accepted int) {
		for range 20 {
			v, id := s.send(n, "+12065550000")
			if v.OverBudget == nil {
				accepted++
				waiting = append(waiting, store.Message{Client: "c", Phone: id, Status: store.MessageQueued, CreatedAt: s.now})
			}
		}
		return accepted
	}
	if got := fill(); got != 10 {
		t.Fatalf("%d were accepted", got)
	}
	before := waiting
	s.now = s.now.Add(40 * time.Minute) // the next hour
	if got := fill(); got != 10 {
		t.Fatalf("%d were accepted in the next hour", got)
	}
	for i := range before {
		n.Recorded(&before[i], &store.Outcome{Status: store.MessageFailed})
	}
	if got := fill(); got != 0 {
		t.Errorf("%d more were accepted, since those of the hour before failed", got)
	}
}

// TestSegments: a text that may take two messages reserves two.
func TestSegments(t *testing.T) {
	t.Parallel()
	s := newService(t, `{"spendPerDay": 0.1, "fraudGuard": "off", "maxSegments": 2}`)
	n := s.node("a")
	accepted := 0
	for range 20 {
		if v, _ := s.send(n, "+12065550000"); v.OverBudget == nil {
			accepted++
		}
	}
	if accepted != 5 {
		t.Errorf("%d were accepted; want 5", accepted)
	}
}

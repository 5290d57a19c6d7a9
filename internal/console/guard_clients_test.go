package console_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"codeword/internal/console"
	"codeword/internal/store"
)

// TestGuardSafeLists: what is never held back is shown by client, numbers masked, and
// what is only watched stands beside what is held back.
func TestGuardSafeLists(t *testing.T) {
	w := newWhole(t)
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprintf("%q", fmt.Sprintf("+120655501%02d", i)))
	}
	id := w.client("shop", `{"safeNumbers": [`+strings.Join(many, ",")+`, "+1312555", "+14155550"], "safeAddresses": ["192.0.2.0/24", "2001:db8::1"]}`)
	w.client("plain", "")
	w.guard.holds = append(w.guard.holds, hold(id+"/block/1", id, "block", "+1650218", "enforce"), hold(id+"/block/2", id, "block", "+1650219", "shadow"),
		hold(id+"/alarm", id, "client", "", "shadow"))
	got := w.get("/guard")
	w.checkPage("/guard", got, true)
	for _, want := range []string{
		"numbers: 20 and 10 more", "…0100", "exchanges: 1", "1312555", "blocks: 1", "14155550", "addresses: 2", "192.0.2.0/24", "2001:db8::1", `href="/clients/` + id + `#guard"`,
		`data-label="Held back">1<`, `data-label="Only watched">1<`, "evidence 40.0", "surprise 30.0", "nothing",
	} {
		if !strings.Contains(got.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(got.body, "20655501") {
		t.Error("a whole number is shown")
	}
	_, after, _ := strings.Cut(got.body, `<h2 id="holds">`)
	held, watched, _ := strings.Cut(after, `<h2 id="watched">`)
	if !strings.Contains(held, "1650218") || strings.Contains(held, "1650219") || !strings.Contains(watched, "1650219") {
		t.Error("what is held back and what is watched are mixed up")
	}
}

// TestGuardManyHolds: an attack from many addresses does not make a page that nobody can
// load, again and again since it keeps itself fresh. All are counted nevertheless.
func TestGuardManyHolds(t *testing.T) {
	w := newWhole(t)
	id := w.client("shop", "")
	for i := range 2500 {
		mode := map[bool]string{true: "enforce", false: "shadow"}[i < 2000]
		w.guard.holds = append(w.guard.holds, hold(fmt.Sprint(id, "/address/", i), id, "address", fmt.Sprint("address ", i, "."), mode))
	}
	got := w.get("/guard")
	w.checkPage("/guard", got, true)
	if len(got.body) > 1<<20 {
		t.Errorf("the page has %d bytes", len(got.body))
	}
	for _, want := range []string{"address 0.", "address 99.", "And 1900 more", "address 2000.", "address 2099.", "And 400 more", `data-label="Held back">2000<`, `data-label="Only watched">500<`} {
		if !strings.Contains(got.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// askedEvents remembers which kinds it was asked for.
type askedEvents struct {
	*memory

	kinds []string
}

func (a *askedEvents) Events(ctx context.Context, q store.EventQuery) ([]store.Event, error) {
	a.kinds = append(a.kinds, q.Kind)
	return a.memory.Events(ctx, q)
}

// TestGuardFindsEventsOfBudgets by their kinds, which are rare: with the beginning of kinds
// alone a store reads everything that the guard has ever told.
func TestGuardFindsEventsOfBudgets(t *testing.T) {
	asked := &askedEvents{}
	s := newSSO(t, func(cfg *console.Config) {
		asked.memory, _ = cfg.Events.(*memory)
		cfg.Events = asked
	})
	for i, kind := range []string{"spend.warning", "guard.hold", "spend.stop", "guard.alarm"} {
		asked.events = append(asked.events, store.Event{ID: store.NewEventID(), At: at(10 + i), Kind: kind, Actor: "service"})
	}
	body := s.do(s.browser, "GET", "/guard", nil, bearer).body
	last := -1
	for _, kind := range []string{"guard.alarm", "spend.stop", "guard.hold", "spend.warning"} {
		i := strings.Index(body, "<strong>"+kind+"<")
		if i <= last {
			t.Errorf("%s is missing or out of order", kind)
		}
		last = i
	}
	if kinds := strings.Join(asked.kinds, " "); strings.Contains(kinds+" ", "spend. ") {
		t.Errorf("asked for %s", kinds)
	}
}

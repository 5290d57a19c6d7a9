package rollup_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"codeword/internal/rollup"
)

var noon = time.Date(2026, 3, 1, 12, 34, 56, 0, time.UTC)

// fold adds events up to blocks, by way of their stored forms.
func fold(t *testing.T, events ...rollup.Event) map[rollup.Key][]byte {
	t.Helper()
	var buf []byte
	for i := range events {
		buf = rollup.Append(buf, &events[i])
	}
	var f rollup.Fold
	if err := f.Take(buf); err != nil {
		t.Fatal(err)
	}
	out := make(map[rollup.Key][]byte)
	for key, b := range f.Blocks() {
		out[key] = b.Encode()
	}
	return out
}

func summary(t *testing.T, f rollup.Filter, bodies ...[]byte) *rollup.Summary {
	t.Helper()
	sum := rollup.NewSummary(f, rollup.Hourly)
	for _, body := range bodies {
		if err := sum.Add("client", noon, body); err != nil {
			t.Fatal(err)
		}
	}
	return sum
}

func TestFold(t *testing.T) {
	t.Parallel()
	taken := rollup.Event{Client: 7, At: noon, Route: "a", Area: 212, Messages: true, Sent: true, Micros: 7900}
	arrived := rollup.Event{Client: 7, At: noon, Route: "a", Area: 212, Delivered: true, DeliveredAfter: 3 * time.Second, Verified: true, VerifiedAfter: time.Minute}
	failed := rollup.Event{Client: 7, At: noon, Area: 305, Failed: 1, Reason: "expired"}
	got := fold(t, taken, arrived, failed)
	hour, day := rollup.Key{Span: rollup.Hourly, Start: noon.Truncate(time.Hour), Client: 7}, rollup.Key{Span: rollup.Daily, Start: noon.Truncate(24 * time.Hour), Client: 7}
	if len(got) != 2 || !bytes.Equal(got[hour], got[day]) {
		t.Fatalf("got %v, want the same in an hour and a day", got)
	}
	all := summary(t, rollup.Filter{}, got[hour])
	if want := (rollup.Counts{Messages: 1, Sent: 1, Delivered: 1, Verified: 1, Failed: 1, Micros: 7900}); all.Total.Counts != want {
		t.Errorf("all: %+v", all.Total.Counts)
	}
	if all.Areas[305].Failed != 1 || all.Areas[212].Sent != 1 || all.Routes["a"].Failed != 0 || all.Clients["client"].Micros != 7900 {
		t.Errorf("%+v", all)
	}
	if want := map[rollup.Failure]int64{{Reason: "expired"}: 1}; !reflect.DeepEqual(all.Failures, want) {
		t.Errorf("failures %v", all.Failures)
	}
	area := summary(t, rollup.Filter{Area: 305}, got[hour])
	if area.Total.Counts != (rollup.Counts{Failed: 1}) || area.Total.ToDelivery.Total() != 0 || len(area.Failures) != 0 {
		t.Errorf("of one area: %+v", area.Total)
	}
	route := summary(t, rollup.Filter{Route: "a"}, got[hour])
	if route.Total.Failed != 0 || len(route.Failures) != 0 || route.Total.ToVerification.Total() != 1 {
		t.Errorf("of one route: %+v", route.Total)
	}
	back := taken
	back.Failed = -1
	if sum := summary(t, rollup.Filter{}, fold(t, failed, back)[hour]); sum.Total.Failed != 0 {
		t.Errorf("not failed after all: %d", sum.Total.Failed)
	}
}

// TestAnyOrder: in whatever portions events come, the blocks are the same bytes.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	event := rapid.Custom(func(rt *rapid.T) rollup.Event {
		return rollup.Event{
			Client: rapid.Int64Range(1, 3).Draw(rt, "client"), At: noon.Add(time.Duration(rapid.IntRange(-30, 30).Draw(rt, "at")) * time.Hour),
			Route: rapid.SampledFrom([]string{"", "a", "b\xff", strings.Repeat("x", 300)}).Draw(rt, "route"), Area: rapid.IntRange(-5, 1005).Draw(rt, "area"),
			Messages: rapid.Bool().Draw(rt, "m"), Sent: rapid.Bool().Draw(rt, "s"), Delivered: rapid.Bool().Draw(rt, "d"), Verified: rapid.Bool().Draw(rt, "v"),
			Failed: rapid.IntRange(-1, 1).Draw(rt, "f"), DeliveredAfter: time.Duration(rapid.Int64().Draw(rt, "after")), VerifiedAfter: time.Minute,
			Reason: rapid.SampledFrom([]string{"", "timeout", "x"}).Draw(rt, "reason"), Micros: rapid.Int64Range(-1e6, 1e9).Draw(rt, "micros"),
		}
	})
	rapid.Check(t, func(rt *rapid.T) {
		events := rapid.SliceOfN(event, 1, 30).Draw(rt, "events")
		whole := fold(t, events...)
		portions := make(map[rollup.Key][]byte)
		for _, e := range events {
			var f rollup.Fold
			if err := f.Take(rollup.Append(nil, &e)); err != nil {
				rt.Fatal(err)
			}
			for key, b := range f.Blocks() {
				if stored, ok := portions[key]; ok {
					if err := b.Merge(stored); err != nil {
						rt.Fatal(err)
					}
				}
				portions[key] = b.Encode()
			}
		}
		if !reflect.DeepEqual(whole, portions) {
			rt.Fatalf("whole %x\nportions %x", whole, portions)
		}
	})
}

// TestBounds: hostile numbers of routes and reasons stay bounded.
func TestBounds(t *testing.T) {
	t.Parallel()
	var events []rollup.Event
	for i := range 1000 {
		events = append(events, rollup.Event{At: noon, Route: fmt.Sprint("route", i), Sent: true, Area: i}, rollup.Event{At: noon, Reason: fmt.Sprint("reason", i)})
	}
	for _, body := range fold(t, events...) {
		sum := summary(t, rollup.Filter{}, body)
		if sum.Total.Sent != 1000 || len(sum.Routes) > 257 || sum.Routes[rollup.Other].Sent < 700 {
			t.Errorf("%d routes, %d sent", len(sum.Routes), sum.Total.Sent)
		}
		if n := sum.Failures[rollup.Failure{Reason: rollup.Other}]; len(sum.Failures) > 65 || n < 900 {
			t.Errorf("%d reasons, %d under %q", len(sum.Failures), n, rollup.Other)
		}
	}
}

// TestClockOff: what a clock far off tells goes to the first hour there is.
func TestClockOff(t *testing.T) {
	t.Parallel()
	for key := range fold(t, rollup.Event{Client: 1, At: time.Date(1931, 1, 1, 0, 0, 0, 0, time.UTC), Sent: true}, rollup.Event{Client: 1, Sent: true}) {
		if key.Start.Unix() != 0 {
			t.Errorf("counted at %v", key.Start)
		}
	}
}

func TestDamaged(t *testing.T) {
	t.Parallel()
	events := rollup.Append(nil, &rollup.Event{Client: 300, At: noon, Route: "a", Area: 212, Delivered: true, Failed: 1, Reason: "x", Micros: 300})
	for n := 1; n < len(events); n++ {
		if err := new(rollup.Fold).Take(events[:n]); !errors.Is(err, rollup.ErrDamaged) {
			t.Errorf("the first %d bytes of an event: %v", n, err)
		}
	}
	for _, body := range fold(t, rollup.Event{At: noon, Route: "a", Area: 212, Delivered: true, Reason: "x", Micros: 300}) {
		for n := range len(body) {
			if err := rollup.NewBlock().Merge(body[:n]); !errors.Is(err, rollup.ErrDamaged) {
				t.Errorf("the first %d bytes of a block: %v", n, err)
			}
		}
		if err := rollup.NewBlock().Merge(append(body, 0)); !errors.Is(err, rollup.ErrDamaged) {
			t.Errorf("a block and a byte: %v", err)
		}
	}
	if err := rollup.NewBlock().Merge([]byte{2, 0}); !errors.Is(err, rollup.ErrDamaged) {
		t.Errorf("a later format: %v", err)
	}
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte{1, 1, 1, 'a', 0, 0, 0, 1, 212, 1, 2, 2, 2, 2, 2, 2})
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, body []byte) {
		b := rollup.NewBlock()
		if b.Merge(body) != nil {
			return
		}
		again := rollup.NewBlock()
		if err := again.Merge(b.Encode()); err != nil || !bytes.Equal(again.Encode(), b.Encode()) {
			t.Fatalf("%x does not come back: %v", body, err)
		}
	})
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	var none rollup.Hist
	if _, ok := none.Quantile(0.5); ok {
		t.Error("a median of nothing")
	}
	for _, d := range []time.Duration{-time.Hour, 0, time.Millisecond, 125 * time.Millisecond, time.Second, 17 * time.Second, 10 * time.Minute, time.Hour, 1000 * time.Hour} {
		for _, body := range fold(t, rollup.Event{At: noon, Delivered: true, DeliveredAfter: d}) {
			got, ok := summary(t, rollup.Filter{}, body).Total.ToDelivery.Quantile(0.95)
			want := min(max(d, 0), 100*time.Minute)
			if !ok || math.Abs(float64(got-want)) > max(0.2*float64(want), 0.125*float64(time.Second)) {
				t.Errorf("%v became %v", d, got)
			}
		}
	}
	var events []rollup.Event
	for i := range 1000 {
		events = append(events, rollup.Event{At: noon, Delivered: true, DeliveredAfter: time.Duration(i+1) * 10 * time.Millisecond})
	}
	for _, body := range fold(t, events...) {
		h := &summary(t, rollup.Filter{}, body).Total.ToDelivery
		for share, want := range map[float64]float64{0.5: 5, 0.95: 9.5} {
			if got, _ := h.Quantile(share); math.Abs(got.Seconds()-want) > 0.1*want {
				t.Errorf("%v of them within %v, want %v s", share, got, want)
			}
		}
	}
}

func busy() (events []byte) {
	for i := range 1000 {
		events = rollup.Append(events, &rollup.Event{
			Client: 1, At: noon, Route: "main", Area: 201 + i%300, Messages: true, Sent: true, Micros: 7900, Delivered: true, DeliveredAfter: 3 * time.Second,
		})
	}
	return events
}

func BenchmarkAppend(b *testing.B) {
	var buf []byte
	for b.Loop() {
		buf = rollup.Append(buf[:0], &rollup.Event{Client: 1, At: noon, Route: "main", Area: 212, Messages: true, Sent: true, Micros: 7900})
	}
}

// BenchmarkFold is of a thousand events, and of the two blocks that they come to.
func BenchmarkFold(b *testing.B) {
	events := busy()
	var body []byte
	for b.Loop() {
		var f rollup.Fold
		if err := f.Take(events); err != nil {
			b.Fatal(err)
		}
		for _, block := range f.Blocks() {
			if body != nil && block.Merge(body) != nil {
				b.Fatal("damaged")
			}
			body = block.Encode()
		}
	}
}

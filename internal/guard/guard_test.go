package guard_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"codeword/internal/guard"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestBucket(t *testing.T) {
	b := guard.Bucket{Burst: 3, Every: time.Minute}
	steps := []struct {
		at    time.Duration
		allow bool
		retry time.Duration
	}{
		{0, true, 0},
		{0, true, 0},
		{0, true, 0},
		{0, false, time.Minute},
		{59 * time.Second, false, time.Second},
		{60 * time.Second, true, 0},
		{61 * time.Second, false, 59 * time.Second},
		{120 * time.Second, true, 0},
		{10 * time.Minute, true, 0},
		{10 * time.Minute, true, 0},
		{10 * time.Minute, true, 0},
		{10 * time.Minute, false, time.Minute},
	}
	var tat time.Time
	for i, s := range steps {
		d := b.Take(t0.Add(s.at), tat)
		if d.Allowed != s.allow || d.RetryAfter != s.retry {
			t.Fatalf("step %d at %v: allowed %v retry %v, want %v %v", i, s.at, d.Allowed, d.RetryAfter, s.allow, s.retry)
		}
		if d.Allowed {
			tat = d.Next
		}
	}
}

func TestBucketClockMovedBack(t *testing.T) {
	b := guard.Bucket{Burst: 3, Every: time.Minute}
	d := b.Take(t0, t0.Add(365*24*time.Hour))
	if d.Allowed || d.RetryAfter != time.Minute {
		t.Fatalf("a TAT from the far future must count as a full bucket, got %+v", d)
	}
}

func TestZeroLimitsNothing(t *testing.T) {
	if !(guard.Bucket{}).Take(t0, t0.Add(time.Hour)).Allowed {
		t.Error("zero Bucket refused")
	}
	if !(guard.Window{}).Admit(t0, make([]byte, 800)).Allowed {
		t.Error("zero Window refused")
	}
}

func TestWindowRetryAfter(t *testing.T) {
	w := guard.Window{Max: 2, Period: 24 * time.Hour}
	log := w.Record(t0, nil)
	log = w.Record(t0.Add(time.Hour), log)
	d := w.Admit(t0.Add(2*time.Hour), log)
	if d.Allowed || d.RetryAfter != 22*time.Hour {
		t.Fatalf("got %+v, want refusal for 22h", d)
	}
	if !w.Admit(t0.Add(24*time.Hour), log).Allowed {
		t.Fatal("the oldest event left the window, but the next was refused")
	}
}

// TestWindowNeverExceedsMax checks the promise itself: whatever the arrivals,
// no span of one period holds more than Max admitted events.
func TestWindowNeverExceedsMax(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := guard.Window{Max: rapid.IntRange(1, 15).Draw(rt, "max"), Period: time.Hour}
		var log []byte
		var admitted []time.Time
		now := t0
		for range rapid.IntRange(1, 200).Draw(rt, "events") {
			now = now.Add(time.Duration(rapid.IntRange(0, 900).Draw(rt, "gap")) * time.Second)
			if !w.Admit(now, log).Allowed {
				continue
			}
			log = w.Record(now, log)
			admitted = append(admitted, now)
			if len(log) > 8*w.Max {
				rt.Fatalf("log of %d bytes for max %d", len(log), w.Max)
			}
		}
		for i := range admitted {
			if j := i + w.Max; j < len(admitted) && admitted[j].Sub(admitted[i]) < w.Period {
				rt.Fatalf("%d events within %v", w.Max+1, admitted[j].Sub(admitted[i]))
			}
		}
	})
}

func TestWindowTornLog(t *testing.T) {
	w := guard.Window{Max: 2, Period: time.Hour}
	log := append(w.Record(t0, nil), 1, 2, 3)
	if !w.Admit(t0, log).Allowed {
		t.Error("one whole event and a torn one counted as two")
	}
	if got := len(w.Record(t0, log)); got != 16 {
		t.Errorf("log of %d bytes, want 16", got)
	}
}

// TestWindowClockMovedBack: events written by a clock that ran ahead hold
// nobody longer than one period, wherever they stand in the log.
func TestWindowClockMovedBack(t *testing.T) {
	w := guard.Window{Max: 3, Period: 24 * time.Hour}
	log := w.Record(t0, nil)
	for range 2 {
		log = w.Record(t0.Add(365*24*time.Hour), log[:len(log):len(log)])
	}
	log = w.Record(t0, log)
	if d := w.Admit(t0, log); d.Allowed || d.RetryAfter > 24*time.Hour {
		t.Fatalf("just after the clock was set back: %+v", d)
	}
	log = w.Record(t0, log)
	if d := w.Admit(t0.Add(24*time.Hour), log); !d.Allowed {
		t.Fatalf("a day after the clock was set back: %+v", d)
	}
}

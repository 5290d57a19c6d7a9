package audit_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"codeword/internal/audit"
	"codeword/internal/audit/audittest"
	"codeword/internal/fault"
	"codeword/internal/store"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

func entry() audit.Entry {
	return audit.Entry{Actor: audittest.Operator, Client: "c", Kind: "thing.change", Data: map[string]int{"n": 1}}
}

func TestRecord(t *testing.T) {
	t.Parallel()
	log := &audittest.Log{}
	err := log.Trail(clock).Record(t.Context(), entry(), func() error {
		got := log.Take() // the entry stands before the change
		if len(got) != 1 || !got[0].At.Equal(now) || got[0].ID == (store.EventID{}) {
			t.Fatalf("%+v", got)
		}
		got[0].At, got[0].ID = time.Time{}, store.EventID{}
		if e := got[0]; e.Client != "c" || e.Kind != "thing.change" || e.Actor != audittest.Operator || string(e.Data) != `{"n":1}` {
			t.Errorf("%+v", e)
		}
		return nil
	})
	if err != nil || len(log.Take()) != 0 {
		t.Errorf("%v; or something was added", err)
	}
}

func TestRecordTellsFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err     error
		outcome string
	}{
		"somebody was faster": {fault.New(fault.Conflict, "secret"), audit.Failed},
		"gone":                {errors.Join(io.EOF, fault.New(fault.NotFound, "secret")), audit.Failed},
		"connection lost":     {fault.Wrap(fault.Unavailable, "secret", fault.New(fault.Conflict, "x")), audit.Unknown},
		"broken":              {fault.New(fault.Internal, "secret"), audit.Unknown},
		"a file":              {errors.New("secret"), audit.Unknown},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		log := &audittest.Log{}
		err := log.Trail(clock).Record(ctx, entry(), func() error { cancel(); return c.err })
		got := log.Take()
		if !errors.Is(err, c.err) || len(got) != 2 {
			t.Fatalf("%s: %v, %d entries", name, err, len(got))
		}
		first, second := got[0], got[1]
		if want := `{"entry":"` + first.ID.String() + `","outcome":"` + c.outcome + `"}`; string(second.Data) != want {
			t.Errorf("%s: %s, want %s", name, second.Data, want)
		}
		if second.Kind != first.Kind || second.Client != first.Client || second.Actor != first.Actor || second.ID == first.ID {
			t.Errorf("%s: %+v", name, second)
		}
	}
}

// TestNotRecorded: what cannot be recorded is not done.
func TestNotRecorded(t *testing.T) {
	t.Parallel()
	down := fault.New(fault.Unavailable, "down")
	failing := &audittest.Log{}
	failing.Fail(down, 0)
	nobody, odd := entry(), entry()
	nobody.Actor, odd.Data = "", func() {}
	for name, c := range map[string]struct {
		trail *audit.Trail
		entry audit.Entry
		kind  fault.Kind
	}{
		"store down": {failing.Trail(clock), entry(), fault.Unavailable},
		"no trail":   {nil, entry(), fault.Internal},
		"nobody":     {new(audittest.Log).Trail(clock), nobody, fault.Internal},
		"no JSON":    {new(audittest.Log).Trail(clock), odd, fault.Internal},
	} {
		err := c.trail.Record(t.Context(), c.entry, func() error { t.Errorf("%s: it was done", name); return nil })
		if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), "thing.change") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFailureNotRecorded: the first entry stands alone, and the caller is told.
func TestFailureNotRecorded(t *testing.T) {
	t.Parallel()
	log := &audittest.Log{}
	log.Fail(fault.New(fault.Unavailable, "down"), 1)
	err := log.Trail(clock).Record(t.Context(), entry(), func() error { return fault.New(fault.Conflict, "faster") })
	got := log.Take()
	if len(got) != 1 || !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), got[0].ID.String()) {
		t.Errorf("%d entries, %v", len(got), err)
	}
}

func TestCLI(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{{"ann", "", "cli:ann"}, {"ann", "ann", "cli:ann"}, {"root", "ann", "cli:root sudo:ann"}, {"1000", "", "cli:1000"}} {
		if got := audit.CLI(c[0], c[1]); got != c[2] {
			t.Errorf("%q, want %q", got, c[2])
		}
	}
}

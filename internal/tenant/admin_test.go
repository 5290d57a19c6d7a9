package tenant_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"codeword/internal/audit/audittest"
	"codeword/internal/fault"
	"codeword/internal/tenant"
)

func TestSecretRotation(t *testing.T) {
	b := newBed(t)
	id, first := b.create("one", false)
	state := func(secrets map[string]bool) {
		t.Helper()
		b.load()
		for secret, want := range secrets {
			if b.accepts(id, secret) != want {
				t.Errorf("a secret is accepted: %v, want %v", !want, want)
			}
		}
	}
	for _, end := range []func(context.Context, string, string) error{b.FinishRotation, b.CancelRotation} {
		if err := end(t.Context(), audittest.Operator, id); !errors.Is(err, tenant.ErrNotRotating) {
			t.Errorf("nothing to end: %v", err)
		}
	}
	// The clock of this registry stands: what is new is not told by the time.
	for range 4 {
		second, err := b.StartRotation(t.Context(), audittest.Operator, id)
		if err != nil {
			t.Fatal(err)
		}
		state(map[string]bool{first: true, second: true})
		if _, err := b.StartRotation(t.Context(), audittest.Operator, id); !errors.Is(err, tenant.ErrRotating) {
			t.Errorf("a third secret: %v", err)
		}
		if err := b.CancelRotation(t.Context(), audittest.Operator, id); err != nil {
			t.Fatal(err)
		}
		state(map[string]bool{first: true, second: false})
		third, err := b.StartRotation(t.Context(), audittest.Operator, id)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.FinishRotation(t.Context(), audittest.Operator, id); err != nil {
			t.Fatal(err)
		}
		state(map[string]bool{first: false, second: false, third: true})
		first = third
	}
	if _, err := b.StartRotation(t.Context(), audittest.Operator, "none"); !fault.Is(err, fault.NotFound) {
		t.Errorf("%v", err)
	}
}

func TestUpdate(t *testing.T) {
	b := newBed(t)
	id, _ := b.create("one", false)
	for _, tc := range []struct{ name, patch, want string }{
		{"", `{"codeLength":8,"phoneBurst":{"burst":5,"every":"30s"}}`, `{"codeLength":8,"phoneBurst":{"burst":5,"every":"30s"}}`},
		{"", ``, `{"codeLength":8,"phoneBurst":{"burst":5,"every":"30s"}}`},
		{"", `{}`, `{"codeLength":8,"phoneBurst":{"burst":5,"every":"30s"}}`},
		{"", `{"phoneBurst":{"burst":6}}`, `{"codeLength":8,"phoneBurst":{"burst":6,"every":"30s"}}`},
		{"", `{"codeLength":null,"brand":"B"}`, `{"brand":"B","phoneBurst":{"burst":6,"every":"30s"}}`},
		{"", `{"phoneBurst":{"every":null},"phoneDay":{"max":null}}`, `{"brand":"B","phoneBurst":{"burst":6},"phoneDay":{}}`},
		{"", `{"allowedRegions":["US","PR"]}`, `{"allowedRegions":["US","PR"],"brand":"B","phoneBurst":{"burst":6},"phoneDay":{}}`},
		{"two", `{"allowedRegions":["GU"],"phoneBurst":null,"phoneDay":null,"trustedIssuers":null}`, `{"allowedRegions":["GU"],"brand":"B"}`},
	} {
		row, err := b.Update(t.Context(), audittest.Operator, id, tc.name, []byte(tc.patch))
		if err != nil || string(row.Settings) != tc.want {
			t.Errorf("%s: %s (%v), want %s", tc.patch, row.Settings, err, tc.want)
		}
		stored, err := b.Find(t.Context(), id)
		if err != nil || string(stored.Settings) != tc.want || stored.Revision != row.Revision {
			t.Errorf("stored as revision %d, %s (%v)", stored.Revision, stored.Settings, err)
		}
	}
	before, err := b.Find(t.Context(), id)
	if err != nil || before.Name != "two" {
		t.Fatalf("%q, %v", before.Name, err)
	}
	for _, tc := range []struct{ name, patch, want string }{
		{"", `{"codeLength":99}`, "codeLength"},
		{"", `{"codeLenght":null}`, `"codeLenght"`},
		{"", `{"codeLenght":6}`, `"codeLenght"`},
		{"", `{"phoneBurst":5}`, "phoneBurst"},
		{"", `null`, "not a JSON object"},
		{"", `[]`, "not a JSON object"},
		{"", `{"brand":"a","brand":"b"}`, "duplicate"},
		{"", `{"brand":"a"`, "settings:"},
		{"new\nline", `{}`, "name"},
		{strings.Repeat("x", 65), `{}`, "name"},
	} {
		if _, err := b.Update(t.Context(), audittest.Operator, id, tc.name, []byte(tc.patch)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want an error with %q", tc.patch, err, tc.want)
		}
	}
	if after, err := b.Find(t.Context(), id); err != nil || after.Revision != before.Revision {
		t.Errorf("a refused update changed the client (%v)", err)
	}
	if _, err := b.Update(t.Context(), audittest.Operator, "none", "", nil); !fault.Is(err, fault.NotFound) {
		t.Errorf("%v", err)
	}
}

func TestCreate(t *testing.T) {
	b := newBed(t)
	for _, tc := range []struct{ name, settings, want string }{
		{"", "", "name"},
		{strings.Repeat("x", 65), "", "name"},
		{"a\x1b[2J", "", "name"},
		{"a\xff", "", "name"},
		{"a", `{"codeLength":99}`, "codeLength"},
		{"a", `{"nope":null}`, "nope"},
		{"a", `[]`, "not a JSON object"},
	} {
		if _, _, err := b.Create(t.Context(), audittest.Operator, "", tc.name, false, []byte(tc.settings)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q %s: %v, want an error with %q", tc.name, tc.settings, err, tc.want)
		}
	}
	row, _, err := b.Create(t.Context(), audittest.Operator, "client-test-x", "a", false, []byte(`{"codeLength":null,"brand":"B"}`))
	if err != nil || string(row.Settings) != `{"brand":"B"}` || row.ID != "client-test-x" {
		t.Errorf("%+v, %v", row, err)
	}
	if _, _, err := b.Create(t.Context(), audittest.Operator, "client-test-x", "b", false, nil); !fault.Is(err, fault.Conflict) {
		t.Errorf("an id that is taken: %v", err)
	}
	if rows, err := b.store.Clients(t.Context()); err != nil || len(rows) != 1 {
		t.Errorf("%d clients, %v", len(rows), err)
	}
}

// TestConcurrentUpdates: each change is applied to what the one before left.
func TestConcurrentUpdates(t *testing.T) {
	b := newBed(t)
	id, _ := b.create("one", false)
	patches := []string{`{"codeLength":8}`, `{"maxAttempts":3}`, `{"brand":"B"}`, `{"requireAuthorization":true}`}
	var wg sync.WaitGroup
	for _, p := range patches {
		wg.Go(func() {
			if _, err := b.Update(t.Context(), audittest.Operator, id, "", []byte(p)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	row, err := b.Find(t.Context(), id)
	if err != nil || string(row.Settings) != `{"brand":"B","codeLength":8,"maxAttempts":3,"requireAuthorization":true}` || row.Revision != 5 {
		t.Errorf("revision %d, %s (%v)", row.Revision, row.Settings, err)
	}
}

// TestSeen: whoever has looked at another revision changes nothing, and leaves no entry.
func TestSeen(t *testing.T) {
	b := newBed(t)
	id, _ := b.create("one", false)
	row, err := b.Seen(1).Update(t.Context(), audittest.Operator, id, "two", nil)
	if err != nil || row.Revision != 2 {
		t.Fatalf("%d %v", row.Revision, err)
	}
	for name, change := range map[string]func(s tenant.Seen) error{
		"update": func(s tenant.Seen) error {
			_, err := s.Update(t.Context(), audittest.Operator, id, "x", nil)
			return err
		},
		"disable": func(s tenant.Seen) error {
			_, err := s.SetDisabled(t.Context(), audittest.Operator, id, true)
			return err
		},
		"start":  func(s tenant.Seen) error { _, err := s.StartRotation(t.Context(), audittest.Operator, id); return err },
		"finish": func(s tenant.Seen) error { return s.FinishRotation(t.Context(), audittest.Operator, id) },
		"cancel": func(s tenant.Seen) error { return s.CancelRotation(t.Context(), audittest.Operator, id) },
	} {
		for _, revision := range []int64{1, 3, -1} {
			if err := change(b.Seen(revision)); !fault.Is(err, fault.Conflict) {
				t.Errorf("%s of revision %d: %v", name, revision, err)
			}
		}
	}
	rows, err := b.List(t.Context())
	if err != nil || len(rows) != 1 || rows[0].Name != "two" || rows[0].Revision != 2 {
		t.Errorf("%+v %v", rows, err)
	}
}

package tenant_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"codeword/internal/audit/audittest"
	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// audited is a bed with one client, whose trail ends in the store.
func audited(t *testing.T) (b *bed, id string) {
	t.Helper()
	b = newBed(t)
	b.trail.Behind = b.store
	id, _ = b.create("one", true)
	if _, err := b.Update(t.Context(), audittest.Operator, id, "", []byte(`{"spendPerDay":50,"safeNumbers":["+16502180000","+1650219"]}`)); err != nil {
		t.Fatal(err)
	}
	b.trail.Take()
	return b, id
}

func (b *bed) row(id string) store.Client {
	b.t.Helper()
	row, err := b.Find(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return row
}

type operation struct {
	name string
	// before runs unrecorded.
	before func(b *bed, id string)
	do     func(ctx context.Context, b *bed, id string) error
	kind   string
	// data has %s for the ids of secrets: those there were before, and then those
	// there are.
	data string
}

func rotating(b *bed, id string) {
	if _, err := b.StartRotation(b.t.Context(), audittest.Operator, id); err != nil {
		b.t.Fatal(err)
	}
}

func update(name, patch, want string) operation {
	return operation{"update " + name + patch, nil, func(ctx context.Context, b *bed, id string) error {
		_, err := b.Update(ctx, audittest.Operator, id, name, []byte(patch))
		return err
	}, tenant.EventUpdate, `{"changes":` + want + `}`}
}

func disabled(off bool, kind string) operation {
	return operation{kind, nil, func(ctx context.Context, b *bed, id string) error {
		_, err := b.SetDisabled(ctx, audittest.Operator, id, off)
		return err
	}, kind, `{}`}
}

// operations are the changes of a client that stands.
var operations = []operation{
	update("", `{"spendPerDay":100}`, `{"spendPerDay":{"from":50,"to":100}}`),
	update("", `{"spendPerDay":null,"codeLength":8}`, `{"codeLength":{"from":6,"to":8},"spendPerDay":{"from":50,"to":0}}`),
	update("", `{"phoneBurst":{"burst":9}}`, `{"phoneBurst":{"from":{"burst":3,"every":"1m0s"},"to":{"burst":9,"every":"1m0s"}}}`),
	update("", `{"codeLength":6}`, `{"codeLength":{"from":6,"to":6}}`), // now it is set, to what the default is
	update("", `{"routes":["main"]}`, `{"routes":{"from":null,"to":["main"]}}`),
	update("", `{"safeNumbers":["+16502190","+16502181234"]}`,
		`{"safeNumbers":{"from":2,"to":2,"added":["+16502190","…1234"],"removed":["+1650219","…0000"]}}`),
	update("", `{"safeNumbers":null}`, `{"safeNumbers":{"from":2,"to":0,"removed":["+1650219","…0000"]}}`),
	update("two", ``, `{"name":{"from":"one","to":"two"}}`),
	update("one", `{}`, `{}`),
	disabled(true, tenant.EventDisable),
	disabled(false, tenant.EventEnable),
	{"start", nil, func(ctx context.Context, b *bed, id string) error {
		_, err := b.StartRotation(ctx, audittest.Operator, id)
		return err
	}, tenant.EventSecretStart, `{"secretId":"%[2]s"}`},
	{"finish", rotating, func(ctx context.Context, b *bed, id string) error {
		return b.FinishRotation(ctx, audittest.Operator, id)
	}, tenant.EventSecretFinish, `{"secretId":"%[1]s"}`},
	{"cancel", rotating, func(ctx context.Context, b *bed, id string) error {
		return b.CancelRotation(ctx, audittest.Operator, id)
	}, tenant.EventSecretCancel, `{"secretId":"%[2]s"}`},
	{"seed", nil, func(ctx context.Context, b *bed, id string) error {
		return b.Seed(ctx, audittest.Operator, store.Client{ID: id, Secrets: []store.Secret{{ID: "secret-dev", KeyVersion: 1, Hash: make([]byte, 32)}}})
	}, tenant.EventUpdate, `{"changes":{"secrets":{"from":["%[1]s"],"to":["secret-dev"]}}}`},
}

// TestEachChangeIsRecorded, and nothing of a secret with it.
func TestEachChangeIsRecorded(t *testing.T) {
	t.Parallel()
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			b, id := audited(t)
			if op.before != nil {
				op.before(b, id)
				b.trail.Take()
			}
			ids := secretIDs(b.row(id))
			if err := op.do(t.Context(), b, id); err != nil {
				t.Fatal(err)
			}
			for _, s := range secretIDs(b.row(id)) {
				if s != ids[0] {
					ids = append(ids, s)
				}
			}
			want := op.data
			if strings.Contains(want, "%[") {
				want = fmt.Sprintf(want+"%.0[1]s", ids[0], ids[len(ids)-1])
			}
			taken := b.trail.Take()
			got, err := b.store.Events(t.Context(), store.EventQuery{Limit: 1})
			if err != nil || len(taken) != 1 || got[0].ID != taken[0].ID {
				t.Fatalf("%d entries, stored %+v, %v", len(taken), got, err)
			}
			e := got[0]
			if e.Kind != op.kind || e.Client != id || e.Actor != audittest.Operator || !e.At.Equal(t0) || !sameJSON(t, string(e.Data), want) {
				t.Errorf("%s by %s: %s, want %s", e.Kind, e.Actor, e.Data, want)
			}
		})
	}
}

func secretIDs(c store.Client) []string {
	var out []string
	for _, s := range c.Secrets {
		out = append(out, s.ID)
	}
	return out
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := errors.Join(json.Unmarshal([]byte(a), &x), json.Unmarshal([]byte(b), &y)); err != nil {
		t.Fatalf("%s, %s: %v", a, b, err)
	}
	p, errP := json.Marshal(x)
	q, errQ := json.Marshal(y)
	return errP == nil && errQ == nil && string(p) == string(q)
}

// TestNotRecordedNotChanged: without an entry there is no change.
func TestNotRecordedNotChanged(t *testing.T) {
	t.Parallel()
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			b, id := audited(t)
			if op.before != nil {
				op.before(b, id)
			}
			before := fmt.Sprintf("%+v", b.row(id))
			b.trail.Fail(fault.New(fault.Unavailable, "down"), 0)
			if err := op.do(t.Context(), b, id); !fault.Is(err, fault.Unavailable) {
				t.Errorf("%v", err)
			}
			if after := fmt.Sprintf("%+v", b.row(id)); after != before {
				t.Errorf("changed from %s to %s", before, after)
			}
		})
	}
	b := newBed(t)
	b.trail.Fail(fault.New(fault.Unavailable, "down"), 0)
	if _, secret, err := b.Create(t.Context(), audittest.Operator, "", "one", false, nil); !fault.Is(err, fault.Unavailable) || secret != "" {
		t.Errorf("created: %v", err)
	}
	if err := b.Seed(t.Context(), audittest.Operator, store.Client{ID: "x"}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("seeded: %v", err)
	}
	if rows, err := b.store.Clients(t.Context()); err != nil || len(rows) != 0 {
		t.Errorf("%d clients, %v", len(rows), err)
	}
	b.trail.Fail(nil, 0)
	if _, _, err := b.Create(t.Context(), "", "", "one", false, nil); !fault.Is(err, fault.Internal) {
		t.Errorf("created by nobody: %v", err)
	}
}

func TestCreateIsRecorded(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	row, secret, err := b.Create(t.Context(), audittest.Operator, "", "one", true, []byte(`{"spendPerDay":50}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"one","env":"live","secretIds":["` + row.Secrets[0].ID + `"],"changes":{"spendPerDay":{"from":0,"to":50}}}`
	got := b.trail.Take()
	if len(got) != 1 || got[0].Kind != tenant.EventCreate || got[0].Client != row.ID || string(got[0].Data) != want {
		t.Fatalf("%s, want %s", got[0].Data, want)
	}
	if strings.Contains(string(got[0].Data), secret) {
		t.Error("the secret is in it")
	}
	// A refusal leaves an entry that says so.
	if _, _, err := b.Create(t.Context(), audittest.Operator, row.ID, "two", true, nil); !fault.Is(err, fault.Conflict) {
		t.Fatal(err)
	}
	if got = b.trail.Take(); len(got) != 2 || string(got[1].Data) != `{"entry":"`+got[0].ID.String()+`","outcome":"failed"}` {
		t.Errorf("%+v", got)
	}
	// What is refused before it begins leaves none.
	for _, err := range []error{
		b.FinishRotation(t.Context(), audittest.Operator, row.ID),
		b.FinishRotation(t.Context(), audittest.Operator, "none"),
		b.Seed(t.Context(), audittest.Operator, store.Client{ID: "x", Settings: []byte(`[`)}),
	} {
		if got := b.trail.Take(); err == nil || len(got) != 0 {
			t.Errorf("%v leaves %+v", err, got)
		}
	}
}

// TestLongValues: an entry stays small, whatever the settings hold.
func TestLongValues(t *testing.T) {
	t.Parallel()
	b, id := audited(t)
	var numbers, issuers []string
	for i := range 1000 {
		numbers = append(numbers, fmt.Sprintf("+1650218%04d", i))
		issuers = append(issuers, fmt.Sprintf(`{"issuer":"https://%d.example","audience":"a"}`, i))
	}
	list, err := json.Marshal(numbers)
	if err != nil {
		t.Fatal(err)
	}
	patch := `{"safeNumbers":` + string(list) + `,"trustedIssuers":[` + strings.Join(issuers, ",") + `]}`
	if _, err := b.Update(t.Context(), audittest.Operator, id, "", []byte(patch)); err != nil {
		t.Fatal(err)
	}
	got := string(b.trail.Take()[0].Data)
	if len(got) > 2000 || strings.Contains(got, "+1650218") || !strings.Contains(got, `"notShown":979`) ||
		!strings.Contains(got, `"from":null,"to":{"bytes":`) {
		t.Errorf("%d bytes: %s", len(got), got)
	}
}

// TestMendingSettings: settings that this version cannot read can be changed, and what
// was stored is told.
func TestMendingSettings(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	if err := b.store.CreateClient(t.Context(), store.Client{ID: "c", Name: "c", Settings: []byte(`{"codeLength":99}`), CreatedAt: t0}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Update(t.Context(), audittest.Operator, "c", "", []byte(`{"codeLength":null}`)); err != nil {
		t.Fatal(err)
	}
	if got := string(b.trail.Take()[0].Data); got != `{"changes":{"codeLength":{"from":99,"to":6}}}` {
		t.Error(got)
	}
}

// slow is a store on which somebody else is faster, once.
type slow struct {
	tenant.Store
	faster func()
}

func (s *slow) UpdateClient(ctx context.Context, c store.Client) error {
	if f := s.faster; f != nil {
		s.faster = nil
		f()
	}
	return s.Store.UpdateClient(ctx, c)
}

// TestSomebodyWasFaster: each try tells what it would have changed, and which one did.
func TestSomebodyWasFaster(t *testing.T) {
	t.Parallel()
	b, id := audited(t)
	s := &slow{Store: b.store, faster: func() {
		if _, err := b.Update(t.Context(), "cli:other", id, "", []byte(`{"spendPerDay":70}`)); err != nil {
			t.Error(err)
		}
	}}
	r := tenant.NewRegistry(tenant.Config{Store: s, Keys: b.keys, Now: time.Now, Audit: b.trail.Trail(time.Now)})
	if _, err := r.Update(t.Context(), audittest.Operator, id, "", []byte(`{"spendPerDay":100}`)); err != nil {
		t.Fatal(err)
	}
	got := b.trail.Take()
	if len(got) != 4 {
		t.Fatalf("%d entries", len(got))
	}
	for i, want := range []string{
		`{"changes":{"spendPerDay":{"from":50,"to":100}}}`,
		`{"changes":{"spendPerDay":{"from":50,"to":70}}}`,
		`{"entry":"` + got[0].ID.String() + `","outcome":"failed"}`,
		`{"changes":{"spendPerDay":{"from":70,"to":100}}}`,
	} {
		if string(got[i].Data) != want {
			t.Errorf("entry %d: %s, want %s", i, got[i].Data, want)
		}
	}
}

package ledgercopy_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/ledgercopy"
	"codeword/internal/store"
	"codeword/internal/store/postgres/postgrestest"
)

// copyTime is when the tests copy.
var copyTime = at(2 * time.Minute)

func run(tb testing.TB, from ledgercopy.Source, to ledgercopy.Target) (ledgercopy.Report, error) {
	tb.Helper()
	return ledgercopy.Run(context.Background(), ledgercopy.Config{Source: from, Target: to, Now: copyTime, Slice: 7})
}

// pairs runs a test for each way from one engine to another.
func pairs(t *testing.T, test func(t *testing.T, from, to string)) {
	t.Helper()
	for from := range engines {
		for to := range engines {
			t.Run(from+" to "+to, func(t *testing.T) {
				t.Parallel()
				if from == "postgres" || to == "postgres" {
					postgrestest.Need(t)
				}
				test(t, from, to)
			})
		}
	}
}

func TestCopy(t *testing.T) {
	t.Parallel()
	pairs(t, func(t *testing.T, from, to string) {
		source, target := fill(t, newLedger(t, from), 60), newLedger(t, to)
		before := everything(t, source)
		report, err := run(t, source, target)
		if err != nil {
			t.Fatal(err)
		}
		rows := make(map[string]int)
		for _, table := range report.Tables {
			rows[table.Name] = table.Rows
		}
		want := map[string]int{"clients": 3, "signing keys": 2, "phones": 61, "users": 20, "messages": 120, "documents": 3, "events": 60}
		for name, n := range want {
			if rows[name] != n {
				t.Errorf("%d %s, want %d", rows[name], name, n)
			}
		}
		if rows["dispatches"] < 60 || rows["receipts"] < 20 {
			t.Errorf("the history is %v", rows)
		}
		if report.Expired != source.queued || report.Resumed {
			t.Errorf("%+v, %d were queued", report, source.queued)
		}
		if after := everything(t, source); !reflect.DeepEqual(before, after) {
			t.Error("the source was changed")
		}
		compareLedgers(t, source, target)
		phones, err := target.CopyPhones(t.Context(), store.PhoneID{}, 100)
		if lanes, devices := withLanes(phones); err != nil || lanes != 20 || devices != 20 {
			t.Errorf("%d phones have lanes and %d devices (%v), want 20 each", lanes, devices, err)
		}
		useCopy(t, source, target)
	})
}

func withLanes(phones []store.PhoneRow) (lanes, devices int) {
	for i := range phones {
		if len(phones[i].Lanes) > 0 {
			lanes++
		}
		if len(phones[i].Devices) > 0 {
			devices++
		}
	}
	return lanes, devices
}

// everything is all that a ledger keeps.
func everything(tb testing.TB, l ledger) (all [8]any) {
	tb.Helper()
	ctx := context.Background()
	var errs [8]error
	all[0], errs[0] = l.Clients(ctx)
	all[1], errs[1] = l.SigningKeys(ctx)
	all[2], errs[2] = l.CopyPhones(ctx, store.PhoneID{}, 1e6)
	all[3], errs[3] = l.CopyUsers(ctx, store.UserID{}, 1e6)
	all[4], errs[4] = l.CopyMessages(ctx, store.MessageID{}, 1e6)
	all[5], errs[5] = l.CopyDocuments(ctx, "", 1e6)
	all[6], errs[6] = l.CopyEvents(ctx, store.EventID{}, 1e6)
	all[7], errs[7] = l.CopyRollups(ctx, store.RollupKey{}, 1e6)
	if err := errors.Join(errs[:]...); err != nil {
		tb.Fatal(err)
	}
	return all
}

// compareLedgers compares both sides past the package under test.
func compareLedgers(t *testing.T, source, target ledger) {
	t.Helper()
	want, have := everything(t, source), everything(t, target)
	messages, _ := want[4].([]store.MessageRow)
	for i := range messages {
		if messages[i].Status == store.MessageQueued {
			messages[i].Status, messages[i].UpdatedAt = store.MessageExpired, copyTime
		}
		if messages[i].ExpiresAt.After(copyTime) {
			messages[i].ExpiresAt = copyTime
		}
	}
	for i, what := range []string{"clients", "signing keys", "phones", "users", "messages", "documents", "events", "rollups"} {
		if !reflect.DeepEqual(want[i], have[i]) {
			t.Errorf("%s: the copy has\n%+v\nof\n%+v", what, have[i], want[i])
		}
	}
	state, err := target.CopyState(t.Context())
	if err != nil || state.Origin == "" || !state.StartedAt.Equal(copyTime) || !state.FinishedAt.Equal(copyTime) {
		t.Errorf("state %+v, %v", state, err)
	}
}

// useCopy goes on with the copy as a server would.
func useCopy(t *testing.T, source *filled, target ledger) {
	t.Helper()
	f := &filled{ledger: target, phones: source.phones, clients: source.clients}
	now := copyTime.Add(time.Second)
	if stats, err := target.QueueStats(t.Context()); err != nil || stats.Depth != 0 {
		t.Errorf("%d messages are queued, %v", stats.Depth, err)
	}
	if got, err := target.ClaimMessages(t.Context(), store.Claim{Now: now.Add(24 * time.Hour), Lease: time.Minute, Limit: 100}); err != nil || len(got) != 0 {
		t.Errorf("%d messages are due, %v", len(got), err)
	}
	if _, err := target.Session(t.Context(), now, source.session); !fault.Is(err, fault.InvalidAuthorization) {
		t.Errorf("a session of before: %v", err)
	}
	if _, err := f.guess(f.phones[3], now, true); !fault.Is(err, fault.WrongCode) {
		t.Errorf("a code of before: %v", err)
	}
	if notes, err := target.Notes(t.Context(), now, "topic", time.Time{}); err != nil || len(notes) != 0 {
		t.Errorf("notes of before: %+v, %v", notes, err)
	}
	if _, found, err := target.LineFact(t.Context(), now, [16]byte{}); err != nil || found {
		t.Errorf("a fact of before: %t, %v", found, err)
	}
	if err := target.PutDocument(t.Context(), store.Document{Name: "b", Revision: 3, UpdatedAt: now}); err != nil {
		t.Errorf("the next revision: %v", err)
	}
	f.send(t, f.clients[0], f.phones[1], now)
	if s, err := f.guess(f.phones[1], now, true); err != nil || s.User != source.user {
		t.Errorf("the phone's user is %v, %v; want %v", s.User, err, source.user)
	}
	_, err := target.StartChallenge(t.Context(), store.Start{
		Now: now, Client: f.clients[0], Phone: f.phones[2], Message: messageAt(now), MaxAttempts: 5,
		Challenge: store.Challenge{ID: random(), CreatedAt: now, ExpiresAt: now.Add(time.Minute)},
	})
	if !fault.Is(err, fault.OptedOut) {
		t.Errorf("a send to a number that opted out: %v", err)
	}
	page, err := target.Messages(t.Context(), store.MessageQuery{Clients: f.clients, Phones: f.phones[1:2], Limit: 10})
	if err != nil || len(page.Messages) != 3 {
		t.Errorf("the phone has %d messages, %v; want 2 copied and 1 new", len(page.Messages), err)
	}
	if err := target.CreateClient(t.Context(), store.Client{ID: "client-new", Name: "new", Settings: []byte("{}"), CreatedAt: now}); err != nil {
		t.Error(err)
	}
	if err := target.AddSigningKey(t.Context(), store.SigningKey{KID: "kid-new", Public: []byte("p"), Sealed: []byte("s"), CreatedAt: now, ActiveAt: now}, "kid-m"); err != nil {
		t.Error(err)
	}
	if swept, err := target.SweepExpired(t.Context(), store.Sweep{Now: now, KeepMessages: 30 * 24 * time.Hour, Limit: 1000}); err != nil || swept.Removed > 0 {
		t.Errorf("the first sweep removes %+v, %v", swept, err)
	}
}

// TestSourceGoesOn: a server that was started again between two runs leaves a source
// that is another one by then, in every table.
func TestSourceGoesOn(t *testing.T) {
	t.Parallel()
	pairs(t, func(t *testing.T, from, to string) {
		source, target := fill(t, newLedger(t, from), 30), newLedger(t, to)
		if _, err := run(t, source, &failing{ledger: target, left: 25}); !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		f := &filled{ledger: source, clients: source.clients}
		now := at(time.Hour)
		for range 5 {
			f.send(t, f.clients[0], random(), now)
		}
		f.send(t, f.clients[0], source.phones[0], now)
		if _, err := f.guess(source.phones[0], now, true); err != nil {
			t.Fatal(err)
		}
		if err := source.TakePhones(t.Context(), nil, source.phones[5:9]); err != nil {
			t.Fatal(err)
		}
		old, err := source.CopyMessages(t.Context(), store.MessageID{}, 4)
		if err != nil {
			t.Fatal(err)
		}
		gone := []store.MessageID{old[0].ID, old[2].ID}
		if err := source.TakeMessages(t.Context(), nil, gone); err != nil {
			t.Fatal(err)
		}
		if err := changeShared(t, source, now); err != nil {
			t.Fatal(err)
		}
		err = source.AddSigningKey(t.Context(), store.SigningKey{KID: "kid-b", Algorithm: "EdDSA", Public: []byte("p"), Sealed: []byte("s"), CreatedAt: now}, "kid-m")
		if err != nil {
			t.Fatal(err)
		}
		if err := source.DeleteSigningKey(t.Context(), "kid-a"); err != nil {
			t.Fatal(err)
		}
		report, err := run(t, source, target)
		if err != nil {
			t.Fatal(err)
		}
		if !report.Resumed {
			t.Error("the run does not know that it goes on")
		}
		for i, what := range []string{"clients", "signing keys", "phones", "users", "", "documents", "events"} {
			if want, have := everything(t, source)[i], everything(t, target)[i]; what != "" && !reflect.DeepEqual(want, have) {
				t.Errorf("%s: the copy has\n%+v\nof\n%+v", what, have, want)
			}
		}
		for _, id := range gone {
			if _, err := target.Message(t.Context(), id); !fault.Is(err, fault.NotFound) {
				t.Errorf("a message that the source has no more: %v", err)
			}
		}
	})
}

// changeShared writes, changes and removes documents and events.
func changeShared(t *testing.T, l ledger, now time.Time) error {
	t.Helper()
	events, err := l.CopyEvents(t.Context(), store.EventID{}, 3)
	return errors.Join(err,
		l.TakeDocuments(t.Context(), nil, []string{"c"}),
		l.PutDocument(t.Context(), store.Document{Name: "b", Revision: 3, UpdatedAt: now, Body: []byte("changed")}),
		l.PutDocument(t.Context(), store.Document{Name: "new", Revision: 1, UpdatedAt: now}),
		l.TakeEvents(t.Context(), nil, []store.EventID{events[0].ID, events[2].ID}),
		l.AppendEvents(t.Context(), []store.Event{{ID: store.EventID(messageAt(now)), At: now, Kind: "new"}}),
		changeRollups(t, l),
	)
}

// changeRollups changes one, removes one, and adds one.
func changeRollups(t *testing.T, l ledger) error {
	t.Helper()
	rows, err := l.CopyRollups(t.Context(), store.RollupKey{}, 2)
	if err != nil || len(rows) != 2 {
		return fmt.Errorf("%d rollups: %w", len(rows), err)
	}
	added := rows[0]
	rows[0].Body, added.Start = []byte("changed"), added.Start.Add(-48*time.Hour)
	return l.TakeRollups(t.Context(), []store.Rollup{rows[0], added}, []store.RollupKey{rows[1].Key()})
}

// TestRefuses: nothing is written over.
func TestRefuses(t *testing.T) {
	t.Parallel()
	pairs(t, func(t *testing.T, from, to string) {
		source := fill(t, newLedger(t, from), 5)
		for what, put := range map[string]func(ledger) error{
			"a client": func(l ledger) error {
				return l.CreateClient(t.Context(), store.Client{ID: "x", Settings: []byte("{}"), CreatedAt: at(0)})
			},
			"a signing key": func(l ledger) error {
				return l.AddSigningKey(t.Context(), store.SigningKey{KID: "x", Public: []byte("p"), Sealed: []byte("s"), CreatedAt: at(0)}, "")
			},
			"a document": func(l ledger) error {
				return l.PutDocument(t.Context(), store.Document{Name: "x", Revision: 1, UpdatedAt: at(0)})
			},
			"an event": func(l ledger) error {
				return l.AppendEvents(t.Context(), []store.Event{{ID: store.EventID(random()), At: at(0)}})
			},
			"a copy of another": func(l ledger) error {
				return l.SetCopyState(t.Context(), store.CopyState{Origin: "another", StartedAt: at(0)})
			},
			"the same": func(l ledger) error {
				rows, err := source.Clients(t.Context())
				return errors.Join(err, l.TakeAccounts(t.Context(), rows, nil))
			},
		} {
			target := newLedger(t, to)
			if err := put(target); err != nil {
				t.Fatal(err)
			}
			before := everything(t, target)
			if _, err := run(t, source, target); !errors.Is(err, ledgercopy.ErrOther) {
				t.Errorf("a target with %s: %v", what, err)
			}
			if !reflect.DeepEqual(everything(t, target), before) {
				t.Errorf("a target with %s was written to", what)
			}
		}

		// What is finished is in use and must not become the source once more.
		target := newLedger(t, to)
		if _, err := run(t, source, target); err != nil {
			t.Fatal(err)
		}
		f := &filled{ledger: target}
		f.send(t, source.clients[0], random(), copyTime)
		before := everything(t, target)
		report, err := run(t, source, target)
		if err != nil || !report.FinishedAt.Equal(copyTime) || !reflect.DeepEqual(everything(t, target), before) {
			t.Errorf("a copy that was finished: %+v, %v", report, err)
		}
	})
}

// lying is a target that loses something.
type lying struct {
	ledger
	lose func(*store.MessageRow)
}

func (l lying) TakeMessages(ctx context.Context, put []store.MessageRow, drop []store.MessageID) error {
	for i := range put {
		l.lose(&put[i])
	}
	return l.ledger.TakeMessages(ctx, put, drop)
}

// TestVerified: what does not arrive as it was sent is noticed, and the copy stays
// unfinished.
func TestVerified(t *testing.T) {
	t.Parallel()
	source := fill(t, newLedger(t, "sqlite"), 20)
	for name, lose := range map[string]func(*store.MessageRow){
		"a text":      func(m *store.MessageRow) { m.Locale = "" },
		"a dispatch":  func(m *store.MessageRow) { m.Dispatches = nil },
		"a receipt":   func(m *store.MessageRow) { m.Receipts = nil },
		"microsecond": func(m *store.MessageRow) { m.CreatedAt = m.CreatedAt.Add(time.Microsecond) },
	} {
		target := newLedger(t, "sqlite")
		if _, err := run(t, source, lying{target, lose}); !errors.Is(err, ledgercopy.ErrDiffers) {
			t.Errorf("%s: %v", name, err)
		}
		if state, err := target.CopyState(t.Context()); err != nil || !state.FinishedAt.IsZero() {
			t.Errorf("%s: %+v, %v", name, state, err)
		}
		// An honest one puts it right.
		if _, err := run(t, source, target); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestForeignTexts: what a carrier wrote and one engine keeps as it came fits into
// the others, too.
func TestForeignTexts(t *testing.T) {
	t.Parallel()
	postgrestest.Need(t)
	source, target := newLedger(t, "sqlite"), newLedger(t, "postgres")
	f := fill(t, source, 3)
	rows, err := source.CopyMessages(t.Context(), store.MessageID{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	rows[0].CarrierRef = "nul\x00 and half \xc3"
	rows[0].Receipts = nil
	for i, text := range []string{"\xff", "\xfe", "\uFFFD", "plain"} {
		rows[0].Receipts = append(rows[0].Receipts, store.ReceiptRow{N: 1, Status: store.ReceiptFailed, Error: text, At: at(time.Duration(i))})
	}
	if err := source.TakeMessages(t.Context(), rows, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, f, target); err != nil {
		t.Fatal(err)
	}
	rows, err = target.CopyMessages(t.Context(), store.MessageID{}, 1)
	if err != nil || rows[0].CarrierRef != "nul\uFFFD and half \uFFFD" || len(rows[0].Receipts) != 2 {
		t.Errorf("%+v, %v", rows, err)
	}
}

// TestPrepare: the engine hears how far back the log goes before it gets it.
func TestPrepare(t *testing.T) {
	t.Parallel()
	source, target := fill(t, newLedger(t, "sqlite"), 3), newLedger(t, "sqlite")
	var told time.Time
	var progress []string
	_, err := ledgercopy.Run(t.Context(), ledgercopy.Config{
		Source: source, Target: target, Now: copyTime,
		Prepare: func(_ context.Context, oldest time.Time) error {
			told = oldest
			return nil
		},
		Progress: func(table string, rows int) { progress = append(progress, fmt.Sprint(table, " ", rows)) },
	})
	if err != nil || !told.Equal(at(0)) {
		t.Errorf("the oldest message is of %v, %v", told, err)
	}
	if want := []string{"clients 3", "signing keys 2", "phones 4", "users 1", "messages 6", "documents 3", "events 3", "rollups 2"}; !reflect.DeepEqual(progress, want) {
		t.Errorf("progress %q, want %q", progress, want)
	}
}

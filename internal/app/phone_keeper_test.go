package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"codeword/internal/audit"
	"codeword/internal/console"
	"codeword/internal/fault"
	"codeword/internal/keyring"
	"codeword/internal/otp"
	"codeword/internal/phone"
	"codeword/internal/phone/lookup"
	"codeword/internal/refusal"
	"codeword/internal/store"
	"codeword/internal/store/sqlite"
	"codeword/internal/store/sqlite/sqlitetest"
	"codeword/internal/tenant"
)

const keptNumber = "+16502180000"

// keeperBed is a keeper over a real store.
type keeperBed struct {
	*phoneKeeper

	t      *testing.T
	engine *sqlite.Store
	now    time.Time
}

func newKeeperBed(t *testing.T) *keeperBed {
	t.Helper()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	b := &keeperBed{t: t, engine: sqlitetest.New(t), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	for _, id := range []string{"client-live-a", "client-live-b"} {
		if err := b.engine.CreateClient(t.Context(), store.Client{ID: id, Name: id, Live: true, CreatedAt: b.now, Revision: 1}); err != nil {
			t.Fatal(err)
		}
	}
	b.use(ring)
	return b
}

// use has the keeper work with a keyset.
func (b *keeperBed) use(ring *keyring.Ring) {
	b.t.Helper()
	now := func() time.Time { return b.now }
	trail := &audit.Trail{Store: b.engine, Now: now}
	clients := tenant.NewRegistry(tenant.Config{Store: b.engine, Keys: ring, Now: now, Log: slog.New(slog.DiscardHandler)})
	if err := clients.Load(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	b.phoneKeeper = &phoneKeeper{
		store: b.engine, clients: clients, ring: ring, audit: trail, now: now,
		otp: otp.New(otp.Config{
			Store: b.engine, Keys: ring, Now: now, Queued: func() {}, Audit: trail,
			Lines: lookup.New(lookup.Config{Table: new(lookup.Lines)}),
		}),
		refused: refusal.Book{Notes: b.engine, Keys: ring, Now: now},
	}
}

func (b *keeperBed) send(client string) string {
	b.t.Helper()
	out, err := b.otp.Send(b.t.Context(), otp.SendRequest{Client: b.clients.Client(client), PhoneNumber: keptNumber})
	if err != nil {
		b.t.Fatal(err)
	}
	b.now = b.now.Add(time.Minute)
	return out.PhoneID
}

func (b *keeperBed) events(kind string) []store.Event {
	b.t.Helper()
	out, err := b.engine.Events(b.t.Context(), store.EventQuery{Kind: kind, Limit: 100})
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

func TestKeeperErases(t *testing.T) {
	b := newKeeperBed(t)
	id := b.send("client-live-a")
	other := b.send("client-live-b")
	number, err := phone.Parse(keptNumber)
	if err != nil {
		t.Fatal(err)
	}
	if err := override(t.Context(), b.engine, b.ring, number, phone.LineLandline, b.now); err != nil {
		t.Fatal(err)
	}
	digest, err := lineDigestOf(b.ring, b.ring.IndexVersion(), number)
	if err != nil {
		t.Fatal(err)
	}
	fact := store.LineFact{Phone: digest, Type: "mobile", Source: "twilio", Until: b.now.Add(time.Hour)}
	if err := b.engine.PutLineFacts(t.Context(), b.now, []store.LineFact{fact}); err != nil {
		t.Fatal(err)
	}
	doc, err := b.Export(t.Context(), "cli:ann", "client-live-a", id)
	if err != nil || doc.PhoneNumber != keptNumber || doc.PhoneID != id || len(doc.Messages) != 1 || doc.LineType == nil || doc.LineOverride == nil ||
		doc.LineType.Type != "mobile" || doc.LineOverride.Type != phone.LineLandline.String() || len(doc.Limits) != 1 || len(doc.Events) != 1 {
		t.Errorf("export: %+v, %v", doc, err)
	}
	done, err := b.Erase(t.Context(), "cli:ann", "client-live-a", id)
	want := console.ErasedCounts{Phones: 1, Challenges: 1, Messages: 1, LineTypes: 1, LineOverrides: 1}
	if err != nil || done.Erased != want || done.PhoneID != id || done.Kept != (console.KeptMarks{}) {
		t.Errorf("erase: %+v, %v", done, err)
	}
	if _, err := b.Export(t.Context(), "cli:ann", "client-live-a", keptNumber); !errors.Is(err, console.ErrNoPhone) {
		t.Errorf("export of nothing: %v", err)
	}
	if doc, err := b.Export(t.Context(), "cli:ann", "client-live-b", other); err != nil || len(doc.Messages) != 1 {
		t.Errorf("the other client's phone: %+v, %v", doc, err)
	}
	for _, name := range []string{id, keptNumber} {
		if again, err := b.Erase(t.Context(), "cli:ann", "client-live-a", name); err != nil || again.Erased != (console.ErasedCounts{}) {
			t.Errorf("again: %+v, %v", again, err)
		}
	}
	entries := b.events(eventErase)
	if len(entries) != 6 {
		t.Fatalf("%d entries", len(entries))
	}
	first, second := entries[5], entries[4]
	var told struct {
		Entry, Outcome string
		Result         console.PhoneErased
	}
	if err := json.Unmarshal(second.Data, &told); err != nil || told.Entry != first.ID.String() || told.Outcome != audit.Done || told.Result.Erased != want {
		t.Errorf("the second entry tells %s, %v", second.Data, err)
	}
	for _, e := range b.events("") {
		if strings.Contains(string(e.Data), keptNumber[1:]) {
			t.Errorf("%s tells the number: %s", e.Kind, e.Data)
		}
	}
}

func TestKeeperRefuses(t *testing.T) {
	b := newKeeperBed(t)
	id := b.send("client-live-a")
	for _, c := range []struct {
		client, name string
		want         error
	}{
		{"nobody", id, console.ErrNoClient},
		{"client-live-a", "phone-number-live-x", console.ErrNoPhone},
		{"client-live-a", strings.Replace(id, "live", "test", 1), console.ErrNoPhone},
		{"client-live-a", "", console.ErrNoPhone},
	} {
		if _, err := b.Erase(t.Context(), "cli:ann", c.client, c.name); !errors.Is(err, c.want) {
			t.Errorf("Erase(%q, %q): %v", c.client, c.name, err)
		}
		if _, err := b.Export(t.Context(), "cli:ann", c.client, c.name); !errors.Is(err, c.want) {
			t.Errorf("Export(%q, %q): %v", c.client, c.name, err)
		}
	}
	if _, err := b.Erase(t.Context(), "cli:ann", "client-live-a", "+1650"); !fault.Is(err, fault.InvalidPhone) || strings.Contains(err.Error(), "1650") {
		t.Errorf("a number that is none: %v", err)
	}
	if n := len(b.events("phone.")); n != 0 {
		t.Errorf("%d entries of what was refused", n)
	}
	b.audit = nil
	if _, err := b.Erase(t.Context(), "cli:ann", "client-live-a", id); err == nil {
		t.Error("erased without a trail")
	}
	if doc, err := b.store.PhoneRecord(t.Context(), store.PhoneQuery{Now: b.now, Client: "client-live-a", Phones: mustIDs(t, b, id)}); err != nil || !doc.Known {
		t.Errorf("the phone is gone without an entry: %+v, %v", doc, err)
	}
}

// swept is a store whose messages end after they were listed.
type swept struct{ phoneKeeperStore }

func (swept) Message(context.Context, store.MessageID) (store.MessageDetail, error) {
	return store.MessageDetail{}, fault.New(fault.NotFound, "no such message")
}

// TestKeeperExportsWhileMessagesEnd: what is not kept any more is left out.
func TestKeeperExportsWhileMessagesEnd(t *testing.T) {
	b := newKeeperBed(t)
	id := b.send("client-live-a")
	b.store = swept{b.store}
	if doc, err := b.Export(t.Context(), "cli:ann", "client-live-a", id); err != nil || doc.PhoneNumber != keptNumber || len(doc.Messages) != 0 {
		t.Errorf("export: %+v, %v", doc, err)
	}
}

// TestKeeperClientsThatCannotBeRead: what is wrong with a client's settings does not keep
// an owner of a number from what is kept of it, nor from having it erased.
func TestKeeperClientsThatCannotBeRead(t *testing.T) {
	b := newKeeperBed(t)
	id := b.send("client-live-a")
	row, err := b.clients.Find(t.Context(), "client-live-a")
	if err != nil {
		t.Fatal(err)
	}
	row.Settings = []byte(`{"codeLength": 99}`)
	if err := b.engine.UpdateClient(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	if err := b.clients.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	doc, err := b.Export(t.Context(), "cli:ann", "client-live-a", id)
	if err != nil || doc.PhoneNumber != keptNumber || doc.PhoneID != id || len(doc.Messages) != 1 || doc.Messages[0].PhoneID != id {
		t.Errorf("export: %+v, %v", doc, err)
	}
	done, err := b.Erase(t.Context(), "cli:ann", "client-live-a", keptNumber)
	if err != nil || done.PhoneID != id || done.Erased.Phones != 1 || done.Erased.Messages != 1 {
		t.Errorf("erase: %+v, %v", done, err)
	}
}

func mustIDs(t *testing.T, b *keeperBed, external string) []store.PhoneID {
	t.Helper()
	id := b.otp.ParsePhoneID(b.clients.Client("client-live-a"), external)
	if id == (store.PhoneID{}) {
		t.Fatalf("%q is no id", external)
	}
	return []store.PhoneID{id}
}

// TestKeeperOptOutAndRotation: an opt-out outlives erasure and a rotation of the index
// key, and when it is taken back the number is stored so that it can be read.
func TestKeeperOptOutAndRotation(t *testing.T) {
	b := newKeeperBed(t)
	id := b.send("client-live-a")
	client := b.clients.Client("client-live-a")
	if _, err := b.otp.MarkPhone(t.Context(), "cli:ann", client, keptNumber, store.Mark{OptedOut: new(true)}); err != nil {
		t.Fatal(err)
	}
	done, err := b.Erase(t.Context(), "cli:ann", "client-live-a", keptNumber)
	if err != nil || !done.Kept.OptOut || done.PhoneID != id {
		t.Fatalf("erase: %+v, %v", done, err)
	}
	rotated, err := b.ring.Rotate(keyring.Index)
	if err != nil {
		t.Fatal(err)
	}
	b.use(rotated)
	client = b.clients.Client("client-live-a")
	if _, err := b.otp.Send(t.Context(), otp.SendRequest{Client: client, PhoneNumber: keptNumber}); !fault.Is(err, fault.OptedOut) {
		t.Errorf("a send after the erasure: %v", err)
	}
	doc, err := b.Export(t.Context(), "cli:ann", "client-live-a", keptNumber)
	if err != nil || doc.PhoneNumber != "" || doc.OptOutTime.IsZero() || doc.EraseTime.IsZero() || doc.PhoneID != id {
		t.Errorf("export: %+v, %v", doc, err)
	}
	if _, err := b.otp.MarkPhone(t.Context(), "cli:ann", client, keptNumber, store.Mark{OptedOut: new(false)}); err != nil {
		t.Fatal(err)
	}
	if again := b.send("client-live-a"); again != id {
		t.Errorf("the phone became %s", again)
	}
	if doc, err := b.Export(t.Context(), "cli:ann", "client-live-a", id); err != nil || doc.PhoneNumber != keptNumber {
		t.Errorf("export: %+v, %v", doc, err)
	}
}

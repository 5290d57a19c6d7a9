package app

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"codeword/internal/audit"
	"codeword/internal/carrier"
	"codeword/internal/console"
	"codeword/internal/fault"
	"codeword/internal/inbound"
	"codeword/internal/keyring"
	"codeword/internal/message"
	"codeword/internal/otp"
	"codeword/internal/phone"
	"codeword/internal/phone/lookup"
	"codeword/internal/session"
	"codeword/internal/store"
	"codeword/internal/store/sqlite"
	"codeword/internal/store/sqlite/sqlitetest"
	"codeword/internal/tenant"
)

const loggedNumber = "+16502180000"

// logBed is a message log over a real store, and the intake that changes it.
type logBed struct {
	*messageLog

	t      *testing.T
	engine *sqlite.Store
	intake *inbound.Intake
	now    time.Time
}

func newLogBed(t *testing.T) *logBed {
	t.Helper()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	st := sqlitetest.New(t)
	b := &logBed{t: t, engine: st, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return b.now }
	registry := tenant.NewRegistry(tenant.Config{Store: st, Keys: ring, Now: now, Log: slog.New(slog.DiscardHandler)})
	for _, row := range []store.Client{
		{ID: "client-live-a", Name: "a", Live: true, CreatedAt: b.now, Revision: 1},
		{ID: "client-live-b", Name: "b", Live: true, CreatedAt: b.now, Revision: 1},
	} {
		if err := st.CreateClient(t.Context(), row); err != nil {
			t.Fatal(err)
		}
	}
	if err := registry.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	var service *otp.Service
	sessions, err := session.New(session.Config{
		Store: st, KeyStore: st, Keys: ring, Issuer: "https://otp.example", Now: now,
		PhoneID: func(c *tenant.Client, id store.PhoneID) string { return service.PhoneID(c, id) },
	})
	if err != nil {
		t.Fatal(err)
	}
	service = otp.New(otp.Config{Store: st, Keys: ring, Sessions: sessions, Lines: lookup.New(lookup.Config{Table: new(lookup.Lines)}), Now: now, Queued: func() {}})
	b.messageLog = &messageLog{
		store: st, phones: st, clients: registry, otp: service, audit: &audit.Trail{Store: st, Now: now}, now: now,
	}
	b.intake, err = inbound.New(inbound.Config{Receipts: st, Mark: service.MarkKnown, Clients: registry.All, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *logBed) send(client, number string) error {
	_, err := b.otp.Send(b.t.Context(), otp.SendRequest{Client: b.clients.Client(client), PhoneNumber: number})
	b.now = b.now.Add(time.Minute)
	return err
}

func (b *logBed) mustSend(client, number string) {
	b.t.Helper()
	if err := b.send(client, number); err != nil {
		b.t.Fatal(err)
	}
}

func (b *logBed) list(q console.MessageQuery) console.MessagePage {
	b.t.Helper()
	if q.Limit == 0 {
		q.Limit = 50
	}
	page, err := b.List(b.t.Context(), q)
	if err != nil {
		b.t.Fatal(err)
	}
	return page
}

func (b *logBed) says(text string) {
	b.t.Helper()
	from, err := phone.Parse(loggedNumber)
	if err != nil {
		b.t.Fatal(err)
	}
	in := carrier.Inbound{From: from, To: "+18005550199", Text: message.Text(text)}
	if err := b.intake.Handle(b.t.Context(), "main", carrier.Reports{Inbound: []carrier.Inbound{in}}); err != nil {
		b.t.Fatal(err)
	}
}

func TestMessageLogLists(t *testing.T) {
	b := newLogBed(t)
	b.mustSend("client-live-a", loggedNumber)
	b.mustSend("client-live-b", loggedNumber)
	b.mustSend("client-live-a", "+16502180001")
	all := b.list(console.MessageQuery{})
	if len(all.Messages) != 3 || all.Messages[0].PhoneMask != "0001" || all.Messages[0].Status != "queued" {
		t.Fatalf("all: %+v", all.Messages)
	}
	for i, m := range all.Messages {
		if !strings.HasPrefix(m.PhoneID, "phone-number-live-") || m.CreateTime.IsZero() || !m.VerifyTime.IsZero() {
			t.Errorf("message %d: %+v", i, m)
		}
	}
	to := b.list(console.MessageQuery{To: loggedNumber})
	if len(to.Messages) != 2 || to.Messages[0].ClientID != "client-live-b" || to.Messages[0].PhoneMask != "0000" {
		t.Errorf("to one number: %+v", to.Messages)
	}
	if none := b.list(console.MessageQuery{To: "+16502189999"}); len(none.Messages) != 0 {
		t.Errorf("to a number that nobody knows: %+v", none.Messages)
	}
	first := b.list(console.MessageQuery{Limit: 2})
	rest := b.list(console.MessageQuery{Limit: 2, Before: first.Next})
	if len(first.Messages) != 2 || len(rest.Messages) != 1 || rest.Messages[0].ID != all.Messages[2].ID {
		t.Errorf("pages of %d and %d", len(first.Messages), len(rest.Messages))
	}
	for text, kind := range map[string]fault.Kind{"6502180000": fault.InvalidPhone, "+4915112345678": fault.InvalidPhone} {
		if _, err := b.List(t.Context(), console.MessageQuery{To: text, Limit: 1}); !fault.Is(err, kind) || strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestMessageLogFinds(t *testing.T) {
	b := newLogBed(t)
	b.mustSend("client-live-a", loggedNumber)
	claimed, err := b.engine.ClaimMessages(t.Context(), store.Claim{Now: b.now, Lease: time.Minute, Limit: 1})
	if err != nil || len(claimed) != 1 {
		t.Fatal(claimed, err)
	}
	m := claimed[0]
	_, err = b.engine.RecordOutcomes(t.Context(), b.now, []store.Outcome{{
		ID: m.ID, Claims: m.Claims, Status: store.MessageSent, Route: "main", CarrierRef: "ref-1",
		Dispatches: []store.Dispatch{{
			At: b.now, Claim: m.Claims, Route: "main", Decision: "main=chosen backup=lower_priority", Status: store.MessageSent,
			CarrierRef: "ref-1", Segments: 1, PriceMicros: 7900,
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a carrier repeats itself
		err := b.intake.Handle(t.Context(), "main", carrier.Reports{Receipts: []carrier.DeliveryReceipt{
			{Ref: "ref-1", Status: carrier.ReceiptAccepted},
			{Ref: "ref-1", Status: carrier.ReceiptDelivered, At: b.now},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := b.Find(t.Context(), m.ID)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != "delivered" || len(got.Dispatches) != 1 || len(got.Receipts) != 2 {
		t.Fatalf("%s", text)
	}
	d, r := got.Dispatches[0], got.Receipts[1]
	if len(d.Decision) != 2 || d.Decision[1] != (console.VerdictView{Route: "backup", Verdict: "lower_priority"}) ||
		d.PriceMicros != 7900 || r.Status != "delivered" || r.CarrierTime.IsZero() || !got.Receipts[0].CarrierTime.IsZero() {
		t.Errorf("%s", text)
	}
	code, err := b.otp.MessageCode(b.clients.Client(m.Client), m)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), loggedNumber[2:]) || strings.Contains(string(text), `"`+code.Reveal()) {
		t.Errorf("number or code is shown: %s", text)
	}
	if _, err := b.Find(t.Context(), store.NewMessageID()); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown id: %v", err)
	}
}

// TestStopReachesWhoeverKnowsThePhone is the intake over a real store.
// spoil gives a client settings that cannot be read.
func (b *logBed) spoil(client, settings string) {
	b.t.Helper()
	row, err := b.clients.Find(b.t.Context(), client)
	if err != nil {
		b.t.Fatal(err)
	}
	row.Settings = []byte(settings)
	if err := errors.Join(b.engine.UpdateClient(b.t.Context(), row), b.clients.Load(b.t.Context())); err != nil {
		b.t.Fatal(err)
	}
}

// TestMessagesOfClientsThatCannotBeRead are there, since that is when operators look.
func TestMessagesOfClientsThatCannotBeRead(t *testing.T) {
	b := newLogBed(t)
	b.mustSend("client-live-a", loggedNumber)
	want := b.list(console.MessageQuery{}).Messages[0]
	b.spoil("client-live-a", `{"codeLength": 99}`)
	for name, q := range map[string]console.MessageQuery{"all": {}, "client": {Client: want.ClientID}, "number": {To: loggedNumber}, "phone": {To: want.PhoneID}} {
		if got := b.list(q).Messages; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	if got := b.list(console.MessageQuery{Client: "client-live-none"}).Messages; len(got) != 0 {
		t.Errorf("another client: %+v", got)
	}
}

func TestStopReachesWhoeverKnowsThePhone(t *testing.T) {
	b := newLogBed(t)
	b.mustSend("client-live-a", loggedNumber)
	b.says("STOP")
	if err := b.send("client-live-a", loggedNumber); !fault.Is(err, fault.OptedOut) {
		t.Errorf("after STOP: %v", err)
	}
	b.mustSend("client-live-b", loggedNumber) // it never wrote, so it was not meant
	b.says("START")
	b.mustSend("client-live-a", loggedNumber)
}

// TestStopOfClientsThatCannotBeRead: STOP is obeyed also for a client whose settings cannot
// be read meanwhile. A START could be of another route than its own, so it lifts nothing.
func TestStopOfClientsThatCannotBeRead(t *testing.T) {
	b := newLogBed(t)
	b.mustSend("client-live-a", loggedNumber)
	b.spoil("client-live-a", `{"codeLength": 99}`)
	b.says("STOP")
	b.says("START")
	b.spoil("client-live-a", `{}`)
	if err := b.send("client-live-a", loggedNumber); !fault.Is(err, fault.OptedOut) {
		t.Errorf("after STOP: %v", err)
	}
}

func TestVerdictsOfAnotherRelease(t *testing.T) {
	for _, text := range []string{"", "main", "main=seen_by_oracle", "=chosen", strings.Repeat("x", 1<<16)} {
		if got := verdicts(text); len(got) != 0 {
			t.Errorf("%.20q reads as %v", text, got)
		}
	}
}

// TestReveal: a number is told to whom the ledger names, and to nobody when it cannot.
func TestReveal(t *testing.T) {
	b := newLogBed(t)
	for _, client := range []string{"client-live-a", "client-live-b"} {
		if err := b.send(client, loggedNumber); err != nil {
			t.Fatal(err)
		}
	}
	list := func(q console.MessageQuery) []console.MessageView {
		t.Helper()
		q.Limit = 10
		page, err := b.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return page.Messages
	}
	of := list(console.MessageQuery{Client: "client-live-a"})
	if len(of) != 1 || of[0].ClientID != "client-live-a" {
		t.Fatalf("of one client: %v", of)
	}
	if got := list(console.MessageQuery{To: of[0].PhoneID}); len(got) != 1 || got[0].ID != of[0].ID {
		t.Errorf("by the id of the phone: %v", got)
	}
	for _, none := range []console.MessageQuery{{Client: "none"}, {To: "phone-number-live-x"}, {To: of[0].PhoneID, Client: "client-live-b"}} {
		if got := list(none); len(got) != 0 {
			t.Errorf("%+v: %v", none, got)
		}
	}
	id, _ := store.ParseMessageID(of[0].ID)
	number, err := b.Reveal(t.Context(), audit.Token, id)
	if err != nil || number != loggedNumber {
		t.Fatalf("%s %v", number, err)
	}
	events, err := b.engine.Events(t.Context(), store.EventQuery{Limit: 10})
	if err != nil || len(events) != 1 {
		t.Fatalf("%v %v", events, err)
	}
	e := events[0]
	if e.Kind != "phone.reveal" || e.Actor != "token" || e.Client != "client-live-a" || !strings.Contains(string(e.Data), of[0].PhoneID) || strings.Contains(string(e.Data), "6502180000") {
		t.Errorf("%+v %s", e, e.Data)
	}
	if _, err := b.Reveal(t.Context(), audit.Token, store.MessageID{1}); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown message: %v", err)
	}
	b.audit = nil
	if number, err := b.Reveal(t.Context(), audit.Token, id); err == nil || number != "" {
		t.Errorf("without a trail: %s %v", number, err)
	}
}

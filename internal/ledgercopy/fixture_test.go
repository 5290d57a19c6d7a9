package ledgercopy_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"codeword/internal/guard"
	"codeword/internal/ledgercopy"
	"codeword/internal/store"
	"codeword/internal/store/postgres"
	"codeword/internal/store/postgres/postgrestest"
	"codeword/internal/store/sqlite"
)

// ledger is an engine as these tests fill it, copy it and look at it.
type ledger interface {
	ledgercopy.Target
	CreateClient(ctx context.Context, c store.Client) error
	UpdateClient(ctx context.Context, c store.Client) error
	RecordSecretUse(ctx context.Context, uses []store.SecretUse) error
	AddSigningKey(ctx context.Context, key store.SigningKey, after string) error
	RetireSigningKey(ctx context.Context, kid string, at time.Time) error
	DeleteSigningKey(ctx context.Context, kid string) error
	StartChallenge(ctx context.Context, in store.Start) (store.Started, error)
	Attempt(ctx context.Context, in store.Attempt) (store.Session, error)
	Session(ctx context.Context, now time.Time, id store.SessionID) (store.Session, error)
	MarkPhone(ctx context.Context, in store.PhoneMark) error
	ClaimMessages(ctx context.Context, in store.Claim) ([]store.Message, error)
	RecordOutcomes(ctx context.Context, now time.Time, outcomes []store.Outcome) (int, error)
	ApplyReceipts(ctx context.Context, now time.Time, receipts []store.Receipt) ([]store.Applied, error)
	Messages(ctx context.Context, q store.MessageQuery) (store.MessagePage, error)
	Message(ctx context.Context, id store.MessageID) (store.MessageDetail, error)
	QueueStats(ctx context.Context) (store.QueueStats, error)
	FoldRollups(ctx context.Context, limit int) (int, error)
	PutDocument(ctx context.Context, d store.Document) error
	AppendEvents(ctx context.Context, events []store.Event) error
	PutNotes(ctx context.Context, now time.Time, notes []store.Note) error
	Notes(ctx context.Context, now time.Time, topic string, since time.Time) ([]store.Note, error)
	PutLineFacts(ctx context.Context, now time.Time, facts []store.LineFact) error
	LineFact(ctx context.Context, now time.Time, phone [16]byte) (store.LineFact, bool, error)
	SweepExpired(ctx context.Context, in store.Sweep) (store.Swept, error)
	Close() error
}

// engines open an empty ledger at a place, and again what is there.
var engines = map[string]struct {
	place func(testing.TB) string
	open  func(testing.TB, string) ledger
}{
	"sqlite": {
		func(tb testing.TB) string { tb.Helper(); return filepath.Join(tb.TempDir(), "ledger.db") },
		func(tb testing.TB, place string) ledger {
			tb.Helper()
			s, err := sqlite.Open(context.Background(), sqlite.Config{Path: place})
			return opened(tb, s, err)
		},
	},
	"postgres": {
		func(tb testing.TB) string { tb.Helper(); return postgrestest.New(tb) },
		func(tb testing.TB, place string) ledger {
			tb.Helper()
			s, err := postgres.Open(context.Background(), postgres.Config{URL: place, Pool: 2, Committers: 1})
			return opened(tb, s, err)
		},
	},
}

func opened(tb testing.TB, s ledger, err error) ledger {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func newLedger(tb testing.TB, engine string) ledger {
	tb.Helper()
	return engines[engine].open(tb, engines[engine].place(tb))
}

func at(d time.Duration) time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(d) }

func random() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

func messageAt(now time.Time) store.MessageID {
	id := random()
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(id[:6], ms[2:])
	return id
}

// filled is a ledger and what the tests know of it.
type filled struct {
	ledger
	phones  []store.PhoneID
	clients []string
	// user is who verified phones[1], in session.
	user    store.UserID
	session store.SessionID
	queued  int
}

func (f *filled) send(tb testing.TB, client string, phone store.PhoneID, now time.Time) store.MessageID {
	tb.Helper()
	return f.sendAs(tb, client, phone, now, "")
}

// sendBound is a send with a bearer.
func (f *filled) sendBound(tb testing.TB, client string, phone store.PhoneID, now time.Time) {
	tb.Helper()
	f.sendAs(tb, client, phone, now, "a session")
}

func (f *filled) sendAs(tb testing.TB, client string, phone store.PhoneID, now time.Time, binding store.Binding) store.MessageID {
	tb.Helper()
	id := messageAt(now)
	_, err := f.StartChallenge(context.Background(), store.Start{
		Now: now, Client: client, Phone: phone, Sealed: append([]byte("sealed "), phone[:]...),
		Challenge: store.Challenge{
			ID: random(), KeyVersion: 4e9, Digits: 6, Binding: binding, CreatedAt: now, ExpiresAt: now.Add(10 * time.Minute),
		},
		MaxAttempts: 5, Message: id, Locale: "es-MX",
		PhoneLimits: &store.PhoneLimits{Burst: guard.Bucket{Burst: 30, Every: time.Minute}, Day: guard.Window{Max: 100, Period: 24 * time.Hour}},
		Charges:     []store.Charge{{Name: "client", OfClient: true, Key: client, Bucket: guard.Bucket{Burst: 1000, Every: time.Hour}}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

func (f *filled) guess(phone store.PhoneID, now time.Time, right bool) (store.Session, error) {
	return f.Attempt(context.Background(), store.Attempt{
		Now: now, Client: f.clients[0], Phone: phone, MaxAttempts: 5, Failures: guard.Window{Max: 50, Period: 24 * time.Hour},
		Match:  func(store.Challenge) bool { return right },
		Device: store.DeviceID(phone),
		Grant: store.Grant{Session: store.Session{
			ID: random(), User: random(), AMR: []string{"otp", "sms"}, AuthTime: now, CreatedAt: now, ExpiresAt: now.Add(time.Hour),
		}},
	})
}

// fill writes something of everything that a ledger keeps, and of what it does not.
func fill(tb testing.TB, l ledger, phones int) *filled {
	tb.Helper()
	f := &filled{ledger: l}
	ctx := context.Background()
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	for i := range 3 {
		id := fmt.Sprintf("client-%d-%x", 9-i, random()) // not in the order of their names
		f.clients = append(f.clients, id)
		must(l.CreateClient(ctx, store.Client{
			ID: id, Name: "A client", Live: i == 1, Settings: []byte(`{"brand":"Acme"}`), CreatedAt: at(time.Duration(i) * time.Second),
			Secrets: []store.Secret{
				{ID: "secret-b", KeyVersion: 7, Hash: []byte{1, 2}, CreatedAt: at(0)}, {ID: "secret-a", KeyVersion: 8, Hash: []byte{3}, CreatedAt: at(0)},
			},
		}))
	}
	must(l.UpdateClient(ctx, store.Client{
		ID: f.clients[2], Name: "Renamed", Settings: []byte(`{}`), DisabledAt: at(time.Minute), Revision: 1,
		Secrets: []store.Secret{{ID: "secret-c", KeyVersion: 7, Hash: []byte{9}, CreatedAt: at(time.Minute)}},
	}))
	must(l.RecordSecretUse(ctx, []store.SecretUse{{Client: f.clients[0], Secret: "secret-a", At: at(time.Hour)}}))
	for i, kid := range []string{"kid-z", "kid-a", "kid-m"} {
		after := [...]string{"", "kid-z", "kid-a"}[i]
		must(l.AddSigningKey(ctx, store.SigningKey{
			KID: kid, Algorithm: "ES256", Public: []byte("public"), Sealed: []byte("sealed"), CreatedAt: at(0), ActiveAt: at(time.Hour),
		}, after))
	}
	must(l.DeleteSigningKey(ctx, "kid-z"))
	must(l.RetireSigningKey(ctx, "kid-a", at(48*time.Hour)))
	for i := range phones {
		phone := store.PhoneID(random())
		f.phones = append(f.phones, phone)
		for j := range 1 + i%3 {
			if j == 2 {
				f.sendBound(tb, f.clients[0], phone, at(time.Duration(i)*time.Millisecond+time.Duration(j)*time.Second))
				continue
			}
			f.send(tb, f.clients[0], phone, at(time.Duration(i)*time.Millisecond+time.Duration(j)*time.Second))
		}
	}
	f.deliver(tb, len(f.phones))
	for i, phone := range f.phones[:min(phones, 40)] {
		s, err := f.guess(phone, at(time.Minute), i%2 == 1)
		if i == 1 {
			must(err)
			f.user, f.session = s.User, s.ID
		}
	}
	block := at(100 * 24 * time.Hour)
	must(l.MarkPhone(ctx, store.PhoneMark{
		Now: at(0), Client: f.clients[0], Phone: f.phones[2], Sealed: []byte("x"), Mark: store.Mark{OptedOut: new(true)},
	}))
	must(l.MarkPhone(ctx, store.PhoneMark{
		Now: at(0), Client: f.clients[1], Phone: random(), Sealed: []byte("never sent to"), Mark: store.Mark{BlockedUntil: &block},
	}))
	must(share(l, phones))
	stats, err := l.QueueStats(ctx)
	must(err)
	f.queued = stats.Depth
	return f
}

// share writes three documents, an event for each phone, and a note and a fact.
func share(l ledger, events int) error {
	ctx := context.Background()
	errs := []error{
		l.PutNotes(ctx, at(0), []store.Note{{Topic: "topic", Key: "k", At: at(0), Until: at(time.Hour)}}),
		l.PutLineFacts(ctx, at(0), []store.LineFact{{Type: "mobile", Until: at(time.Hour)}}),
	}
	for _, name := range []string{"b", "a\x00\xff", "c"} { // not in the order of their names
		for r := range int64(2) {
			d := store.Document{Name: name, Revision: r + 1, UpdatedAt: at(time.Second), Body: fmt.Append(nil, name, r)}
			errs = append(errs, l.PutDocument(ctx, d))
		}
	}
	all := make([]store.Event, events)
	for i := range all {
		now := at(time.Duration(i) * time.Millisecond)
		all[i] = store.Event{ID: store.EventID(messageAt(now)), At: now, Client: "client", Kind: "a.kind", Actor: "cli", Data: []byte("{}")}
	}
	return errors.Join(append(errs, l.AppendEvents(ctx, all))...)
}

// deliver claims some messages and records what may come of them.
func (f *filled) deliver(tb testing.TB, n int) {
	tb.Helper()
	claimed, err := f.ClaimMessages(context.Background(), store.Claim{Now: at(2 * time.Second), Lease: time.Minute, Limit: n})
	if err != nil {
		tb.Fatal(err)
	}
	var outcomes []store.Outcome
	var receipts []store.Receipt
	for i, m := range claimed {
		d := store.Dispatch{
			At: at(3 * time.Second), Claim: m.Claims, Route: "main", Decision: "main=taken", Status: store.MessageSent,
			CarrierRef: fmt.Sprintf("ref-%d", i), Segments: 1, PriceMicros: 7900,
		}
		o := store.Outcome{ID: m.ID, Claims: m.Claims, Status: store.MessageSent, Route: "main", CarrierRef: d.CarrierRef, RetryAt: at(time.Minute), Area: 201 + i%99}
		failed := d
		failed.Status, failed.Error, failed.CarrierRef = store.MessageQueued, "unavailable", ""
		switch i % 4 {
		case 1:
			o.Dispatches = []store.Dispatch{failed, d}
		case 2:
			o.Status, o.RetryAt, o.Error, o.CarrierRef = store.MessageQueued, at(time.Hour), "unavailable", ""
			o.Dispatches = []store.Dispatch{failed}
		default:
			o.Dispatches = []store.Dispatch{d}
		}
		outcomes = append(outcomes, o)
		if i%3 == 0 {
			r := store.Receipt{Route: "main", CarrierRef: d.CarrierRef, Status: store.ReceiptAccepted, At: at(4 * time.Second)}
			receipts = append(receipts, r)
			r.Status, r.Error, r.At = store.ReceiptFailed, "unreachable", time.Time{}
			receipts = append(receipts, r)
		}
	}
	if _, err := f.RecordOutcomes(context.Background(), at(5*time.Second), outcomes); err != nil {
		tb.Fatal(err)
	}
	if _, err := f.ApplyReceipts(context.Background(), at(6*time.Second), receipts); err != nil {
		tb.Fatal(err)
	}
	if _, err := f.FoldRollups(context.Background(), 100); err != nil {
		tb.Fatal(err)
	}
}

package tenant_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/audit/audittest"
	"codeword/internal/fault"
	"codeword/internal/keyring"
	"codeword/internal/store"
	"codeword/internal/store/sqlite"
	"codeword/internal/store/sqlite/sqlitetest"
	"codeword/internal/tenant"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// countingKeys counts the hashes that a call costs.
type countingKeys struct {
	*keyring.Ring
	hashes int
}

func (k *countingKeys) Index(version uint32, in []byte) ([32]byte, error) {
	k.hashes++
	return k.Ring.Index(version, in)
}

// bed is a registry over a real store.
type bed struct {
	*tenant.Registry
	t     *testing.T
	store *sqlite.Store
	trail audittest.Log
	keys  *countingKeys
	log   *strings.Builder
}

func newBed(t *testing.T) *bed {
	t.Helper()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{t: t, store: sqlitetest.New(t)}
	b.use(ring)
	return b
}

func (b *bed) use(ring *keyring.Ring) {
	b.log = new(strings.Builder)
	b.keys = &countingKeys{Ring: ring}
	b.Registry = tenant.NewRegistry(tenant.Config{
		Store: b.store, Keys: b.keys, Now: func() time.Time { return t0 },
		Log:   slog.New(slog.NewTextHandler(b.log, nil)),
		Audit: b.trail.Trail(func() time.Time { return t0 }),
	})
	b.load()
}

func (b *bed) load() {
	b.t.Helper()
	if err := b.Load(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) create(name string, live bool) (id, secret string) {
	b.t.Helper()
	row, secret, err := b.Create(b.t.Context(), audittest.Operator, "", name, live, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.load()
	return row.ID, secret
}

// accepts tells whether the credentials pass, and that a refusal is the one
// answer there is.
func (b *bed) accepts(id, secret string) bool {
	b.t.Helper()
	c, err := b.Authenticate(id, secret)
	if err == nil {
		if c.ID != id || c.Disabled {
			b.t.Errorf("the answer is %+v", c)
		}
		return true
	}
	const only = "client is unknown or disabled, or the secret is wrong"
	if !fault.Is(err, fault.InvalidCredentials) || err.Error() != only || c != nil {
		b.t.Errorf("refused with %v", err)
	}
	return false
}

func TestAuthenticate(t *testing.T) {
	b := newBed(t)
	id, secret := b.create("one", false)
	other, otherSecret := b.create("two", true)
	if !strings.HasPrefix(id, "client-test-") || !strings.HasPrefix(other, "client-live-") || len(secret) != 43 || secret == otherSecret {
		t.Errorf("%s and %s with secrets of %d bytes", id, other, len(secret))
	}
	if !b.accepts(id, secret) || !b.accepts(other, otherSecret) {
		t.Error("good credentials were refused")
	}
	for _, tc := range [][2]string{
		{id, ""},
		{id, otherSecret},
		{other, secret},
		{id, secret + "x"},
		{id, secret[:42]},
		{id, strings.ToUpper(secret)},
		{id, " " + secret},
		{id, secret + "\x00"},
		{id, strings.Repeat("x", 1<<20)},
		{id, secret + strings.Repeat("x", 1<<20)},
		{"", ""},
		{"", secret},
		{"client-test-none", secret},
		{strings.ToUpper(id), secret},
		{id + "\x00", secret},
		{strings.Repeat("c", 1<<20), secret},
	} {
		if b.accepts(tc[0], tc[1]) {
			t.Errorf("%.60q with %.60q was accepted", tc[0], tc[1])
		}
	}
}

func TestSecretsAreKeptAsHashes(t *testing.T) {
	b := newBed(t)
	id, secret := b.create("one", false)
	row, err := b.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := b.Keep("client-test-other", "s", secret)
	if err != nil {
		t.Fatal(err)
	}
	if len(row.Secrets) != 1 || len(row.Secrets[0].Hash) != 32 || strings.Contains(fmt.Sprintf("%s %v", row.Secrets[0].Hash, row), secret) {
		t.Errorf("kept as %+v", row.Secrets)
	}
	if string(kept.Hash) == string(row.Secrets[0].Hash) {
		t.Error("the same secret of two clients has one hash")
	}
}

// TestWorkIsTheSame: however well the client is known, a refusal and a success
// cost the same number of hashes.
func TestWorkIsTheSame(t *testing.T) {
	b := newBed(t)
	one, oneSecret := b.create("one secret", false)
	two, _ := b.create("two secrets", false)
	off, offSecret := b.create("disabled", false)
	if _, err := b.SetDisabled(t.Context(), audittest.Operator, off, true); err != nil {
		t.Fatal(err)
	}
	check := func(want int) {
		t.Helper()
		b.load()
		for _, tc := range [][2]string{{"nobody", "x"}, {"", ""}, {one, "x"}, {one, oneSecret}, {two, "x"}, {off, offSecret}} {
			b.keys.hashes = 0
			_, _ = b.Authenticate(tc[0], tc[1]) // only what it costs matters here
			if b.keys.hashes != want {
				t.Errorf("%q cost %d hashes, want %d", tc[0], b.keys.hashes, want)
			}
		}
	}
	b.use(b.keys.Ring)
	check(1)
	next, err := b.keys.Rotate(keyring.Index)
	if err != nil {
		t.Fatal(err)
	}
	b.use(next)
	check(1) // all secrets are of the old key
	fresh, err := b.StartRotation(t.Context(), audittest.Operator, two)
	if err != nil {
		t.Fatal(err)
	}
	check(2)
	if !b.accepts(one, oneSecret) || !b.accepts(two, fresh) {
		t.Error("a secret under the old or the new key was refused")
	}
}

func TestEmptyRegistryDoesTheWork(t *testing.T) {
	b := newBed(t)
	b.keys.hashes = 0
	if b.accepts("nobody", "x") || b.keys.hashes != 1 {
		t.Errorf("%d hashes without any client", b.keys.hashes)
	}
}

func TestDisable(t *testing.T) {
	b := newBed(t)
	id, secret := b.create("one", false)
	for _, disabled := range []bool{true, true, false, false} {
		row, err := b.SetDisabled(t.Context(), audittest.Operator, id, disabled)
		if err != nil {
			t.Fatal(err)
		}
		if row.DisabledAt.IsZero() == disabled {
			t.Errorf("disabled %v at %v", disabled, row.DisabledAt)
		}
		b.load()
		if b.accepts(id, secret) == disabled {
			t.Errorf("disabled %v, and accepted", disabled)
		}
		if b.Client(id) == nil {
			t.Error("a disabled client is unknown: its sessions and messages need it")
		}
	}
	if _, err := b.SetDisabled(t.Context(), audittest.Operator, "none", true); !fault.Is(err, fault.NotFound) {
		t.Errorf("%v", err)
	}
}

// TestUnreadableClient: settings of a later release cost their client alone,
// and one line in the log.
func TestUnreadableClient(t *testing.T) {
	b := newBed(t)
	id, secret := b.create("good", false)
	bad, badSecret := b.create("later", false)
	row, err := b.Find(t.Context(), bad)
	if err != nil {
		t.Fatal(err)
	}
	row.Settings = []byte(`{"fromTheFuture":1}`)
	if err := b.store.UpdateClient(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		b.load()
	}
	if !b.accepts(id, secret) || b.accepts(bad, badSecret) || b.Client(bad) != nil || len(b.Clients()) != 1 {
		t.Error("the wrong client is refused")
	}
	if c := b.Known(bad); c == nil || !c.Unread || c.ID != bad || len(b.All()) != 2 || b.Known(id) != b.Client(id) || b.Known("nobody") != nil {
		t.Errorf("what is known of it is %+v, and %d are known", c, len(b.All()))
	}
	if n := strings.Count(b.log.String(), bad); n != 1 {
		t.Errorf("%d lines for three loads:\n%s", n, b.log)
	}
	row.Settings, row.Revision = []byte(`{}`), row.Revision+1
	if err := b.store.UpdateClient(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	b.load()
	if !b.accepts(bad, badSecret) {
		t.Error("a mended client is refused")
	}
	if c := b.Known(bad); c == nil || c.Unread || len(b.All()) != 2 {
		t.Errorf("mended it is %+v", c)
	}
}

func TestLoadKeepsTheViewWhenTheStoreFails(t *testing.T) {
	b := newBed(t)
	id, secret := b.create("one", false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.store.Close()
	if err := b.Load(ctx); err == nil {
		t.Error("a closed store was read")
	}
	if !b.accepts(id, secret) {
		t.Error("a failed load emptied the registry")
	}
}

// memory is the ledger for tests in a bubble of their own time.
type memory struct {
	mu   sync.Mutex
	rows []store.Client
	uses []store.SecretUse
	down error
}

func (m *memory) Clients(context.Context) ([]store.Client, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]store.Client(nil), m.rows...), m.down
}

func (m *memory) CreateClient(_ context.Context, c store.Client) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows = append(m.rows, c)
	return m.down
}

func (m *memory) UpdateClient(_ context.Context, c store.Client) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	c.Revision++
	m.rows[0] = c
	return m.down
}

func (m *memory) RecordSecretUse(_ context.Context, uses []store.SecretUse) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down == nil {
		m.uses = append(m.uses, uses...)
	}
	return m.down
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = err
}

func (m *memory) written() []store.SecretUse {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.uses
}

// pass lets time pass and everything happen that was due.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestFreshnessAndUse runs the registry's loop: changes are seen within MaxAge,
// last uses are written every ten seconds, once each, also after a failure and
// at the end.
func TestFreshnessAndUse(t *testing.T) {
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		r := tenant.NewRegistry(tenant.Config{Store: m, Keys: ring, Now: time.Now, Log: slog.New(slog.DiscardHandler), Audit: new(audittest.Log).Trail(time.Now)})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()

		row, secret, err := r.Create(ctx, audittest.Operator, "", "one", false, nil)
		if err != nil {
			t.Fatal(err)
		}
		pass(tenant.MaxAge)
		used := time.Now()
		for range 3 {
			if _, err := r.Authenticate(row.ID, secret); err != nil {
				t.Fatal(err)
			}
		}
		m.fail(errors.New("down"))
		pass(10 * time.Second) // the flush fails
		m.fail(nil)
		pass(10 * time.Second) // and is made up for
		uses := m.written()
		if len(uses) != 1 || uses[0].Client != row.ID || uses[0].Secret != row.Secrets[0].ID || uses[0].At.Unix() != used.Unix() {
			t.Errorf("uses %+v", uses)
		}

		if _, err := r.Authenticate(row.ID, secret); err != nil {
			t.Error(err)
		}
		if _, err := r.SetDisabled(ctx, audittest.Operator, row.ID, true); err != nil {
			t.Fatal(err)
		}
		pass(tenant.MaxAge)
		if _, err := r.Authenticate(row.ID, secret); !fault.Is(err, fault.InvalidCredentials) {
			t.Errorf("a client that was disabled %v ago: %v", tenant.MaxAge, err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if uses := m.written(); len(uses) != 2 {
			t.Errorf("the last use was not written: %+v", uses)
		}
	})
}

// TestUnreadableSettingsInTheLog: the log names the settings that are wrong, and nothing
// of what they hold.
func TestUnreadableSettingsInTheLog(t *testing.T) {
	const number = "12065550199"
	for _, tc := range []struct{ settings, want string }{
		{`{"fromTheFuture":"` + number + `"}`, "[fromTheFuture]"},
		{`{"safeNumbers":["+` + number + `0"]}`, "[safeNumbers]"},
		{`{"safeNumbers":"+` + number + `"}`, "[safeNumbers]"},
		{`{"safeNumbers":["x:` + number + `"],"codeLength":99,"routes":["` + number + `!"]}`, "[codeLength routes safeNumbers]"},
		{`{"safeNumbers":[],"safeNumbers":["` + number + `"]}`, "[safeNumbers]"},
		{`{"safeAddresses":["` + number + `"]}`, "[safeAddresses]"},
		{`{"+` + number + `":1}`, "[settings]"},
		{`"` + number + `"`, "[settings]"},
		{`{"brand":"` + number + `\n","codeLength":1}`, "[brand codeLength]"},
		{`{"templates":{"+` + number + `":"x"}}`, "[templates]"},
		{`{"templates":{"en":"` + number + `"}}`, "[templates]"},
		{`{"botProof":{"provider":"` + number + `","secretName":"x"}}`, "[botProof]"},
		{`{"lineLookup":"` + number + `"}`, "[lineLookup]"},
		{`{"allowedRegions":["` + number + `"]}`, "[allowedRegions]"},
		{`{"trustedIssuers":[{"issuer":"` + number + `","audience":"a"}]}`, "[trustedIssuers]"},
		{`{"route":"` + number + `"}`, "[route]"},
		{`{"codeLifetime":"` + number + `"}`, "[codeLifetime]"},
	} {
		b := newBed(t)
		if err := b.store.CreateClient(t.Context(), store.Client{ID: "client-x", CreatedAt: t0, Revision: 1, Settings: []byte(tc.settings)}); err != nil {
			t.Fatal(err)
		}
		b.load()
		log := b.log.String()
		if !strings.Contains(log, "wrong="+tc.want) && !strings.Contains(log, `wrong="`+tc.want+`"`) || strings.Contains(log, number) {
			t.Errorf("%s: want %s:\n%s", tc.settings, tc.want, log)
		}
	}
}

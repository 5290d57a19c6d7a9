package refusal_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/keyring"
	"codeword/internal/phone"
	"codeword/internal/refusal"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// memory keeps notes as engines do, and may be down or hang.
type memory struct {
	mu    sync.Mutex
	rows  map[[2]string]store.Note
	puts  int
	most  int // of one call
	down  error
	hangs bool
}

// with changes or reads it beside a Log that uses it.
func (m *memory) with(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *memory) PutNotes(ctx context.Context, _ time.Time, notes []store.Note) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if m.down != nil {
		return m.down
	}
	m.most = max(m.most, len(notes))
	for _, n := range notes {
		m.puts++
		m.rows[[2]string{n.Topic, n.Key}] = n
	}
	return nil
}

func (m *memory) Notes(_ context.Context, now time.Time, topic string, _ time.Time) (out []store.Note, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.rows {
		if n.Topic == topic && n.Until.After(now) {
			out = append(out, n)
		}
	}
	return out, m.down
}

// formerID is the id of every number under an older key.
var formerID = store.PhoneID{1}

func phoneIDs(c *tenant.Client, n phone.Number) ([]store.PhoneID, error) {
	if c.ID == "broken" {
		return nil, errors.New("no key")
	}
	digest := sha256.Sum256([]byte(c.ID + n.E164()))
	return []store.PhoneID{store.PhoneID(digest[:16]), formerID}, nil
}

var (
	shop   = &tenant.Client{ID: "shop", Live: true}
	bank   = &tenant.Client{ID: "bank", Live: true}
	broken = &tenant.Client{ID: "broken", Live: true}
)

// bed is a running Log.
type bed struct {
	*refusal.Log
	book  refusal.Book
	ring  *keyring.Ring
	t     *testing.T
	notes *memory
}

// run runs f beside a Log, on a clock of its own, and then ends the Log.
func run(t *testing.T, f func(b *bed)) *memory {
	t.Helper()
	m := &memory{rows: make(map[[2]string]store.Note)}
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		l, err := refusal.NewLog(refusal.Config{Book: refusal.Book{Notes: m, Keys: ring, Now: time.Now}, PhoneIDs: phoneIDs, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		f(&bed{l, refusal.Book{Notes: m, Keys: ring, Now: time.Now}, ring, t, m})
		cancel()
		begun := time.Now()
		if err := <-ended; err != nil || time.Since(begun) > 3*time.Second {
			t.Errorf("Run ended after %v: %v", time.Since(begun), err)
		}
	})
	return m
}

func number(t *testing.T, i int) phone.Number {
	t.Helper()
	n, err := phone.Parse(fmt.Sprintf("+1650218%04d", i))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// refused adds a refusal of now.
func (b *bed) refused(c *tenant.Client, i int, code, limit string) {
	b.t.Helper()
	b.Add(c, number(b.t, i), refusal.Refusal{At: time.Now(), Code: code, Limit: limit, Detail: "because of " + code})
}

// want compares what is remembered of a number, newest first, as "code/limit age".
func (b *bed) want(c *tenant.Client, i int, want ...string) {
	b.t.Helper()
	ids, err := phoneIDs(c, number(b.t, i))
	if err != nil {
		b.t.Fatal(err)
	}
	found, err := b.book.Of(b.t.Context(), c.ID, ids)
	if err != nil {
		b.t.Fatal(err)
	}
	var got []string
	for _, r := range found {
		if r.Detail != "because of "+r.Code {
			b.t.Errorf("detail %q of %s", r.Detail, r.Code)
		}
		got = append(got, fmt.Sprintf("%s/%s %v", r.Code, r.Limit, time.Since(r.At)))
	}
	if !slices.Equal(got, want) {
		b.t.Errorf("of %d at %s there is %q, want %q", i, c.ID, got, want)
	}
}

// plant puts the note of a refusal under formerID.
func (b *bed) plant(code string) {
	b.t.Helper()
	n := store.Note{Topic: "refused/shop/" + formerID.String(), Key: code + "/", At: time.Now(), Until: time.Now().Add(time.Hour)}
	var err error
	if n.Body, err = b.ring.Seal([]byte("because of "+code), []byte(n.Topic+"\x00"+n.Key)); err != nil {
		b.t.Fatal(err)
	}
	b.notes.with(func() { b.notes.rows[[2]string{n.Topic, n.Key}] = n })
}

func TestLog(t *testing.T) {
	run(t, func(b *bed) {
		b.refused(shop, 1, "BLOCKED", "")
		b.refused(shop, 1, "LIMIT", "client")
		b.refused(shop, 1, "LIMIT", "address")
		b.refused(bank, 1, "BLOCKED", "")
		b.refused(shop, 2, "TYPE", "")
		b.refused(broken, 1, "BLOCKED", "") // and takes nothing else with it
		time.Sleep(time.Second)
		b.want(shop, 1, "BLOCKED/ 1s", "LIMIT/address 1s", "LIMIT/client 1s")
		b.want(bank, 1, "BLOCKED/ 1s")
		b.want(shop, 2, "TYPE/ 1s")
		b.want(bank, 2)
		ids, _ := phoneIDs(shop, number(t, 1)) // the id of one client is none of another's
		if got, err := b.book.Of(t.Context(), bank.ID, ids); err != nil || len(got) != 0 {
			t.Errorf("%+v, %v", got, err)
		}

		// What repeats itself is stored twice a minute.
		var before, after int
		b.notes.with(func() { before = b.notes.puts })
		for range 59 {
			b.refused(shop, 1, "LIMIT", "client")
			time.Sleep(time.Second)
		}
		b.notes.with(func() { after = b.notes.puts })
		if after-before != 1 {
			t.Errorf("stored %d times within a minute of the first, want 1", after-before)
		}
		b.want(shop, 1, "LIMIT/client 30s", "BLOCKED/ 1m0s", "LIMIT/address 1m0s")

		// It ends by itself.
		time.Sleep(refusal.Life - time.Minute)
		b.want(shop, 1, "LIMIT/client 71h59m30s")
		time.Sleep(time.Minute)
		b.want(shop, 1)
	})
}

func TestForget(t *testing.T) {
	run(t, func(b *bed) {
		b.refused(shop, 1, "BLOCKED", "")
		b.refused(shop, 1, "LIMIT", "client")
		b.refused(shop, 2, "BLOCKED", "")
		time.Sleep(time.Second)
		ids, _ := phoneIDs(shop, number(t, 1))
		for _, want := range []int{2, 0} {
			if n, err := b.book.Forget(t.Context(), shop.ID, ids); err != nil || n != want {
				t.Errorf("forgot %d, want %d; %v", n, want, err)
			}
			b.want(shop, 1)
		}
		b.want(shop, 2, "BLOCKED/ 1s")
		b.notes.with(func() { b.notes.down = errors.New("down") })
		if _, err := b.book.Forget(t.Context(), shop.ID, ids); err == nil {
			t.Error("forgot without a store")
		}
		if _, err := b.book.Of(t.Context(), shop.ID, ids); err == nil {
			t.Error("remembered without a store")
		}
	})
}

// TestForgetOnAnyClock: what was forgotten is gone for nodes whose clocks are behind, too,
// and on one whose clock is set back.
func TestForgetOnAnyClock(t *testing.T) {
	run(t, func(b *bed) {
		b.refused(shop, 1, "BLOCKED", "")
		time.Sleep(time.Second)
		ids, _ := phoneIDs(shop, number(t, 1))
		if n, err := b.book.Forget(t.Context(), shop.ID, ids); err != nil || n != 1 {
			t.Errorf("forgot %d: %v", n, err)
		}
		behind := b.book
		behind.Now = func() time.Time { return time.Now().Add(-time.Minute) }
		if got, err := behind.Of(t.Context(), shop.ID, ids); err != nil || len(got) != 0 {
			t.Errorf("a minute before there is %+v, %v", got, err)
		}
	})
}

// TestUnreadable: a note that this node cannot open, as one that was sealed under a key
// that came after its start, or that is damaged, hides neither itself nor others.
func TestUnreadable(t *testing.T) {
	run(t, func(b *bed) {
		b.refused(shop, 1, "BLOCKED", "")
		b.refused(shop, 1, "LIMIT", "client")
		time.Sleep(time.Second)
		ids, _ := phoneIDs(shop, number(t, 1))
		b.notes.with(func() {
			for at, n := range b.notes.rows {
				if at[1] == "LIMIT/client" {
					n.Body = []byte("of another key")
					b.notes.rows[at] = n
				}
			}
		})
		got, err := b.book.Of(t.Context(), shop.ID, ids)
		if err != nil || len(got) != 2 || got[0].Code != "BLOCKED" || got[0].Detail == "" ||
			got[1] != (refusal.Refusal{At: got[0].At, Code: "LIMIT", Limit: "client"}) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// TestFormerIDs: what was noted under an id of an older key is found, too, unless the
// same was noted since.
func TestFormerIDs(t *testing.T) {
	run(t, func(b *bed) {
		b.plant("OLD")
		b.refused(shop, 1, "NEW", "")
		time.Sleep(time.Second)
		b.want(shop, 1, "NEW/ 1s", "OLD/ 1s")
		b.refused(shop, 1, "OLD", "")
		time.Sleep(time.Second)
		b.want(shop, 1, "OLD/ 1s", "NEW/ 2s")
	})
}

// TestFlood: a flood of one client fills neither the store nor another's place.
func TestFlood(t *testing.T) {
	m := run(t, func(b *bed) {
		for i := range 9000 {
			b.refused(shop, i, "BLOCKED", "")
		}
		b.refused(bank, 1, "BLOCKED", "")
		time.Sleep(time.Second)
		b.want(bank, 1, "BLOCKED/ 1s")
		for i := range 600 {
			b.refused(shop, i, "LIMIT", "")
			time.Sleep(100 * time.Millisecond)
		}
	})
	if m.puts < 500+60 || m.puts > 500+2*70 {
		t.Errorf("%d were stored, want 500 at once and two a second", m.puts)
	}
}

// TestManyClients: a flood at many clients at once comes to the store in parts, between
// which its writer takes others.
func TestManyClients(t *testing.T) {
	m := run(t, func(b *bed) {
		for c := range 7 {
			for i := range 300 {
				b.refused(&tenant.Client{ID: fmt.Sprint("client ", c)}, i, "A", "")
			}
		}
		time.Sleep(time.Second)
	})
	if m.puts != 2100 || m.most > 500 {
		t.Errorf("%d were stored, up to %d at once", m.puts, m.most)
	}
}

// TestSealed: what is kept tells nobody which block a number is in, and is of use in no
// other place.
func TestSealed(t *testing.T) {
	run(t, func(b *bed) {
		b.refused(shop, 1, "A", "")
		b.refused(shop, 2, "A", "")
		time.Sleep(time.Second)
		var rows []store.Note
		b.notes.with(func() {
			for at, n := range b.notes.rows {
				if bytes.Contains(n.Body, []byte("because")) {
					t.Errorf("in clear: %q", n.Body)
				}
				rows = append(rows, n)
				delete(b.notes.rows, at)
			}
			rows[0].Body = rows[1].Body
			b.notes.rows[[2]string{}] = rows[0]
		})
		for i := range 2 {
			ids, _ := phoneIDs(shop, number(t, i+1))
			if got, err := b.book.Of(t.Context(), shop.ID, ids); err != nil || slices.ContainsFunc(got, func(r refusal.Refusal) bool { return r.Detail != "" }) {
				t.Errorf("another phone's note was read: %+v, %v", got, err)
			}
		}
	})
}

func TestDetail(t *testing.T) {
	run(t, func(b *bed) {
		b.Add(shop, number(t, 1), refusal.Refusal{At: time.Now(), Code: "A", Detail: strings.Repeat("é", 1000) + "\xff"})
		time.Sleep(time.Second)
		ids, _ := phoneIDs(shop, number(t, 1))
		got, err := b.book.Of(t.Context(), shop.ID, ids)
		if err != nil || len(got) != 1 || got[0].Detail != strings.Repeat("é", 128) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestClockSetBack(t *testing.T) {
	run(t, func(b *bed) {
		b.Add(shop, number(t, 1), refusal.Refusal{At: time.Now().Add(time.Hour), Code: "A", Detail: "because of A"})
		time.Sleep(time.Second)
		b.refused(shop, 1, "A", "")
		time.Sleep(time.Second)
		b.want(shop, 1, "A/ 1s")
	})
}

// TestEnd: a stop stores what waits, and waits for no store that hangs.
func TestEnd(t *testing.T) {
	m := run(t, func(b *bed) { b.refused(shop, 1, "A", "") })
	if m.puts != 1 {
		t.Errorf("%d were stored at the end, want 1", m.puts)
	}
	m = run(t, func(b *bed) {
		b.notes.with(func() { b.notes.hangs = true })
		b.refused(shop, 1, "A", "")
		time.Sleep(time.Second)
		b.refused(shop, 2, "A", "") // which waits behind the first
	})
	if m.puts != 0 {
		t.Errorf("%d were stored", m.puts)
	}
}

func TestStoreDown(t *testing.T) {
	m := run(t, func(b *bed) {
		b.notes.with(func() { b.notes.down = errors.New("down") })
		b.refused(shop, 1, "A", "")
		time.Sleep(time.Second)
		b.notes.with(func() { b.notes.down = nil })
		b.refused(shop, 2, "A", "")
	})
	if m.puts != 1 {
		t.Errorf("%d were stored, want the second alone", m.puts)
	}
}

func TestNewLog(t *testing.T) {
	if _, err := refusal.NewLog(refusal.Config{}); err == nil {
		t.Error("a Log of nothing")
	}
}

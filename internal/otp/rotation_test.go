package otp_test

import (
	"errors"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/keyring"
	"codeword/internal/otp"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

func (b *bed) sendKeyed(c *tenant.Client, key, body string) (otp.SendResult, error) {
	return b.Send(b.t.Context(), otp.SendRequest{Client: c, PhoneNumber: number, IdempotencyKey: key, Body: []byte(body)})
}

func TestIdempotency(t *testing.T) {
	b := newBed(t)
	other := b.client("client-live-2", true, "")
	first, err := b.sendKeyed(b.live, "key", "body")
	if err != nil || first.Replayed {
		t.Fatalf("%+v, %v", first, err)
	}
	b.now = b.now.Add(24*time.Hour - time.Second)
	again, err := b.sendKeyed(b.live, "key", "body")
	if err != nil || !again.Replayed || again.PhoneID != first.PhoneID || again.PhoneMask != first.PhoneMask {
		t.Errorf("a replay gave %+v, %v", again, err)
	}
	if n := len(b.messages(b.live)); n != 1 || b.queued.Load() != 1 {
		t.Errorf("%d messages after a replay, delivery woken %d times", n, b.queued.Load())
	}
	_, err = b.sendKeyed(b.live, "key", "other body")
	wantKind(t, err, fault.IdempotencyMismatch)
	for _, tc := range []struct {
		client *tenant.Client
		key    string
	}{{b.live, "other key"}, {b.live, "kez"}, {other, "key"}} {
		if res, err := b.sendKeyed(tc.client, tc.key, "body"); err != nil || res.Replayed {
			t.Errorf("%s of %s: %+v, %v", tc.key, tc.client.ID, res, err)
		}
	}
	b.now = b.now.Add(time.Second)
	if res, err := b.sendKeyed(b.live, "key", "body"); err != nil || res.Replayed {
		t.Errorf("after 24 hours: %+v, %v", res, err)
	}
}

// TestIdempotencyDigests: what is stored tells neither key nor body, and no two
// of client, key and body can be mixed up.
func TestIdempotencyDigests(t *testing.T) {
	b := newBed(t)
	seen := make(map[[32]byte]string)
	for _, tc := range []struct {
		client    *tenant.Client
		key, body string
	}{{b.live, "a", "b"}, {b.live, "b", "a"}, {b.test, "a", "b"}, {b.live, "a\x00b", ""}, {b.live, "same", "same"}} {
		if _, err := b.sendKeyed(tc.client, tc.key, tc.body); err != nil && !fault.Is(err, fault.LimitSMS) {
			t.Fatal(err)
		}
		got := b.store.last().Idempotency
		name := tc.client.ID + " " + tc.key + " " + tc.body
		for i, d := range [][32]byte{got.Key, got.Body} {
			if former, ok := seen[d]; ok {
				t.Errorf("%q and %q share a digest", name, former)
			}
			seen[d] = name + []string{" key", " body"}[i]
		}
		if !got.ExpiresAt.Equal(t0.Add(24 * time.Hour)) {
			t.Errorf("remembered until %v", got.ExpiresAt)
		}
	}
	b.now = b.now.Add(time.Hour)
	b.send(b.live, number)
	if b.store.last().Idempotency != nil {
		t.Error("a send without a key is remembered")
	}
}

// TestIndexRotation: a phone keeps its id, its live challenge and its limits,
// and the old id goes on working; new phones get ids under the new key.
func TestIndexRotation(t *testing.T) {
	b := newBed(t)
	for _, c := range []*tenant.Client{b.live, b.test} {
		res := b.send(c, number)
		code := b.code(c)
		b.rotate(keyring.Index)
		again := b.send(c, number)
		if again.PhoneID != res.PhoneID || b.code(c) != code {
			t.Errorf("%s: the phone became %s and its code changed: %v", res.PhoneID, again.PhoneID, b.code(c) != code)
		}
		b.rotate(keyring.Index)
		if _, err := b.verify(c, res.PhoneID, code); err != nil {
			t.Errorf("%s: the code stopped working: %v", c.ID, err)
		}
		if ids := b.messages(c); ids[0].Phone != ids[1].Phone {
			t.Error("the phone has two rows")
		}
	}
	for range 2 {
		b.rotate(keyring.Index)
		b.send(b.test, number)
		if ids := len(b.store.last().Former) + 1; ids != len(b.ring.IndexVersions()) {
			t.Errorf("the phone was looked for under %d ids, want %d", ids, len(b.ring.IndexVersions()))
		}
	}
	b.send(b.live, number) // the third: the burst is used up
	if e := wantKind(t, second(b.trySend(b.live, number)), fault.LimitSMS); e.Limit != store.LimitPhoneBurst {
		t.Errorf("%+v", e)
	}
	fresh := b.send(b.live, "+16502530001")
	if fresh.PhoneID != b.PhoneID(b.live, b.store.last().Phone) {
		t.Error("a new phone did not get the primary id")
	}
}

// TestSampleOverIndexRotation: the documented id names the same phone before
// and after.
func TestSampleOverIndexRotation(t *testing.T) {
	b := newBed(t)
	res := b.send(b.test, "+14165551234")
	b.rotate(keyring.Index)
	s, err := b.verify(b.test, res.PhoneID, "123456")
	if err != nil {
		t.Fatalf("a code sent before the rotation: %v", err)
	}
	user := s.User
	if again := b.send(b.test, "+14165551234"); again != res {
		t.Errorf("%+v, want %+v", again, res)
	}
	if s, err = b.verify(b.test, res.PhoneID, "123456"); err != nil || s.User != user {
		t.Errorf("a code sent after the rotation: %v, same user %v", err, s.User == user)
	}
}

// TestReplayOverIndexRotation pins what is documented: the replay is not
// recognized, but what it sends is the same code to the same phone.
func TestReplayOverIndexRotation(t *testing.T) {
	b := newBed(t)
	first, err := b.sendKeyed(b.live, "key", "body")
	if err != nil {
		t.Fatal(err)
	}
	code := b.code(b.live)
	b.rotate(keyring.Index)
	again, err := b.sendKeyed(b.live, "key", "body")
	if err != nil || again.PhoneID != first.PhoneID || b.code(b.live) != code {
		t.Fatalf("%+v, %v, same code %v", again, err, b.code(b.live) == code)
	}
	if again.Replayed || len(b.messages(b.live)) != 2 {
		t.Errorf("replayed %v, %d messages", again.Replayed, len(b.messages(b.live)))
	}
	if third, err := b.sendKeyed(b.live, "key", "body"); err != nil || !third.Replayed {
		t.Errorf("once under the new key: %+v, %v", third, err)
	}
}

// TestCodeRotation: codes on their way stay valid, also when they are sent
// again; new challenges use the new key.
func TestCodeRotation(t *testing.T) {
	b := newBed(t)
	old := b.ring.CodeVersion()
	res := b.send(b.live, number)
	code := b.code(b.live)
	b.rotate(keyring.Code)
	b.send(b.live, number)
	for _, m := range b.messages(b.live) {
		if m.KeyVersion != old {
			t.Errorf("a live challenge moved to key %d", m.KeyVersion)
		}
	}
	if got := b.code(b.live); got != code {
		t.Error("the code changed")
	}
	if _, err := b.verify(b.live, res.PhoneID, code); err != nil {
		t.Error(err)
	}
	b.now = b.now.Add(time.Hour)
	b.send(b.live, number)
	if got := b.messages(b.live)[0].KeyVersion; got != b.ring.CodeVersion() || got == old {
		t.Errorf("a new challenge uses key %d", got)
	}
	if _, err := b.verify(b.live, res.PhoneID, b.code(b.live)); err != nil {
		t.Error(err)
	}
}

// TestRetiredCodeKey: a challenge whose key is gone cannot be won, and its
// message has no code.
func TestRetiredCodeKey(t *testing.T) {
	b := newBed(t)
	old := b.ring.CodeVersion()
	res := b.send(b.live, number)
	code := b.code(b.live)
	b.rotate(keyring.Code)
	ring, err := b.ring.Retire(keyring.Code, old)
	if err != nil {
		t.Fatal(err)
	}
	b.use(ring)
	wantKind(t, second(b.verify(b.live, res.PhoneID, code)), fault.WrongCode)
	if _, err := b.MessageCode(b.live, b.messages(b.live)[0]); !errors.Is(err, keyring.ErrNoKey) {
		t.Errorf("%v", err)
	}
}

// TestSealRotation: numbers stay readable, and belong to their phone alone.
func TestSealRotation(t *testing.T) {
	b := newBed(t)
	b.send(b.live, number)
	b.rotate(keyring.Seal)
	b.send(b.live, "+16502530001")
	list := b.messages(b.live)
	for i, want := range []string{"+16502530001", number} {
		n, err := b.Number(list[i])
		if err != nil || n.E164() != want {
			t.Errorf("message %d goes to another number (%v)", i, err)
		}
	}
	swapped := list[0]
	swapped.Sealed = list[1].Sealed
	if _, err := b.Number(swapped); err == nil {
		t.Error("a sealed number opens for another phone")
	}
	erased := list[0]
	erased.Sealed = nil
	if _, err := b.Number(erased); !errors.Is(err, otp.ErrErased) {
		t.Errorf("%v", err)
	}
}

package redis_test

import (
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/guard"
	"codeword/internal/store"
	"codeword/internal/store/redis"
	"codeword/internal/store/redis/redistest"
)

// forget makes the phone of a key one that a node of the release before has written,
// which knows no lanes.
const forget = `local p = cmsgpack.unpack(redis.call('GET', KEYS[1]))
	p.o, p.v, p.m = nil, nil, nil
	redis.call('SET', KEYS[1], cmsgpack.pack(p), 'KEEPTTL')`

// TestPhoneOfTheFormerRelease: what it counted counts on, for strangers, and a code
// that it sent works.
func TestPhoneOfTheFormerRelease(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	s := open(t, redis.Config{URL: server.URL(), Ledger: withClient(t)})
	failures := guard.Window{Max: 4, Period: time.Hour}
	guess := func(phone store.PhoneID, code store.ChallengeID, w store.DeviceID, b store.Binding) error {
		in := guessAt(phone, moment(time.Minute), code)
		in.Failures, in.Device, in.Binding = failures, w, b
		_, err := s.Attempt(t.Context(), in)
		return err
	}
	phone, device := store.PhoneID(random()), store.DeviceID(random())
	wants(t, "before a send", guess(phone, random(), device, ""), fault.WrongCode)
	code := mustSend(t, s, phone)
	for range 2 {
		wants(t, "a wrong guess", guess(phone, random(), device, ""), fault.WrongCode)
	}
	server.Do(t, "EVAL", forget, "1", s.PhoneKey(client, phone))
	if err := guess(phone, code, device, ""); err != nil {
		t.Fatalf("the code of the former release: %v", err)
	}
	// Until the next send, nobody but the release before has written the phone.
	server.Do(t, "EVAL", forget, "1", s.PhoneKey(client, phone))
	mustSend(t, s, phone)
	for range 2 {
		wants(t, "a stranger", guess(phone, random(), store.DeviceID{}, ""), fault.WrongCode)
	}
	wants(t, "a stranger's fifth", guess(phone, random(), store.DeviceID{}, ""), fault.LimitOTP)
	in := sendTo(phone, moment(time.Minute))
	in.Device = device
	out, err := s.StartChallenge(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if err := guess(phone, out.Challenge.ID, device, ""); err != nil {
		t.Errorf("the known device: %v", err)
	}
}

// TestLedgerTellsWhoIsKnown: a server that has lost the phone learns from the ledger
// whose it is and which devices it knows.
func TestLedgerTellsWhoIsKnown(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	s := open(t, redis.Config{URL: server.URL(), Ledger: withClient(t)})
	phone, device := store.PhoneID(random()), store.DeviceID(random())
	in := guessAt(phone, moment(0), mustSend(t, s, phone))
	in.Device = device
	if _, err := s.Attempt(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	server.Do(t, "FLUSHALL")
	again := sendTo(phone, moment(time.Minute))
	again.Device, again.ProvenOnly = device, true
	out, err := s.StartChallenge(t.Context(), again)
	if err != nil {
		t.Fatal(err)
	}
	if out.Challenge.Binding == "" {
		t.Error("the device is not known")
	}
	wants(t, "a stranger", func() error {
		_, err := s.Attempt(t.Context(), guessAt(phone, moment(time.Minute), out.Challenge.ID))
		return err
	}(), fault.WrongCode)
	in = guessAt(phone, moment(time.Minute), out.Challenge.ID)
	in.Device = device
	if _, err := s.Attempt(t.Context(), in); err != nil {
		t.Error(err)
	}
}

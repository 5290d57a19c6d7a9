package intent_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"codeword/internal/fault"
	"codeword/internal/guard"
	"codeword/internal/store"
	"codeword/internal/store/intent"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var (
	owner    = store.UserID{1}
	stranger = store.UserID{2}
	device   = store.DeviceID{3}
)

// verified is a phone of owner, which device verified.
func verified() *intent.Phone {
	return &intent.Phone{ID: store.PhoneID{9}, Known: true, HasUser: true, User: owner, Devices: store.Devices("").With(device)}
}

func send(p *intent.Phone, binding store.Binding, user store.UserID, d store.DeviceID, limits *store.PhoneLimits) (intent.Sent, error) {
	return p.Send(&store.Start{
		Now: now, MaxAttempts: 5, PhoneLimits: limits, User: user, Device: d,
		Challenge: store.Challenge{ID: store.NewChallengeID(), Digits: 6, Binding: binding, CreatedAt: now, ExpiresAt: now.Add(time.Minute)},
	}, nil)
}

// TestLane: which callers share a lane. One lane's burst is used up, and who is
// refused then is in it.
func TestLane(t *testing.T) {
	t.Parallel()
	callers := []struct {
		name    string
		binding store.Binding
		user    store.UserID
		device  store.DeviceID
		lane    string
	}{
		{"nobody", "", store.UserID{}, store.DeviceID{}, "open"},
		{"another device", "", store.UserID{}, store.DeviceID{4}, "open"},
		{"a session", "a", stranger, store.DeviceID{}, "bound"},
		{"another session on another device", "b", store.UserID{}, store.DeviceID{4}, "bound"},
		{"the owner's session", "c", owner, store.DeviceID{}, "known"},
		{"the device", "", store.UserID{}, device, "known"},
		{"a stranger's session on the device", "a", stranger, device, "known"},
	}
	limits := &store.PhoneLimits{Burst: guard.Bucket{Burst: 1, Every: time.Hour}}
	for _, first := range callers {
		for _, second := range callers {
			p := verified()
			if _, err := send(p, first.binding, first.user, first.device, limits); err != nil {
				t.Fatal(err)
			}
			_, err := send(p, second.binding, second.user, second.device, limits)
			if refused := err != nil; refused != (first.lane == second.lane) {
				t.Errorf("%s after %s: %v", second.name, first.name, err)
			}
		}
	}
	// Nobody is the owner of a phone that has none.
	p := &intent.Phone{Known: true}
	if _, err := send(p, "a", store.UserID{}, store.DeviceID{}, limits); err != nil {
		t.Fatal(err)
	}
	if _, err := send(p, "b", stranger, store.DeviceID{}, limits); err == nil {
		t.Error("a phone without a user has an owner")
	}
}

// TestLanesPacked: what is noted in lanes is what comes out of the packed form, and
// each lane alone changes.
func TestLanesPacked(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		limits := &store.PhoneLimits{
			Burst: guard.Bucket{Burst: 500, Every: time.Second}, Day: guard.Window{Max: 100, Period: time.Hour}, Failures: guard.Window{Max: 100, Period: time.Hour},
		}
		p := verified()
		var want [3]struct{ sends, misses int }
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			lane := rapid.IntRange(0, 2).Draw(rt, "lane")
			binding := []store.Binding{"", "a", "b"}[lane]
			user := []store.UserID{{}, stranger, owner}[lane]
			if _, err := send(p, binding, user, store.DeviceID{}, limits); err != nil {
				rt.Fatal(err)
			}
			want[lane].sends++
			if rapid.Bool().Draw(rt, "guess") {
				_, err := p.Attempt(&store.Attempt{
					Now: now, Binding: binding, MaxAttempts: 255, Failures: limits.Failures, Match: func(store.Challenge) bool { return false },
					Grant: store.Grant{Known: user != (store.UserID{}), Session: store.Session{User: user}},
				})
				if !fault.Is(err, fault.WrongCode) {
					rt.Fatal(err)
				}
				want[lane].misses++
			}
		}
		bound, rest := p.Lanes.Next()
		known, rest := rest.Next()
		if len(rest) > 0 {
			rt.Fatalf("%d bytes behind the lanes", len(rest))
		}
		for lane, got := range []intent.Budget{p.Budget, bound, known} {
			w := want[lane]
			if len(got.Day) != 8*w.sends || len(got.Failures) != 8*w.misses {
				rt.Fatalf("lane %d has %d and %d bytes, want %d sends and %d misses", lane, len(got.Day), len(got.Failures), w.sends, w.misses)
			}
			var tat time.Time
			if w.sends > 0 {
				tat = now.Add(time.Duration(w.sends) * time.Second)
			}
			if !got.Burst.Equal(tat) {
				rt.Fatalf("lane %d has burst %v, want %v", lane, got.Burst, tat)
			}
		}
	})
}

// TestLanesTorn: whatever stands in the column, there is an answer.
func TestLanesTorn(t *testing.T) {
	t.Parallel()
	limits := &store.PhoneLimits{Day: guard.Window{Max: 3, Period: time.Hour}}
	whole := verified()
	for _, user := range []store.UserID{stranger, owner} {
		if _, err := send(whole, "a", user, store.DeviceID{}, limits); err != nil {
			t.Fatal(err)
		}
	}
	for n := range len(whole.Lanes) + 1 {
		p := verified()
		p.Lanes = append(intent.Lanes(nil), whole.Lanes[:n]...)
		for _, user := range []store.UserID{stranger, owner} {
			if _, err := send(p, "a", user, store.DeviceID{}, limits); err != nil {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
	}
}

// TestFormerChallenge: a challenge as the release before packed it is found and
// judged, and one of a device is a challenge like any other to that release.
func TestFormerChallenge(t *testing.T) {
	t.Parallel()
	packed, err := hex.DecodeString("000102030405060708090a0b0c0d0e0f" + "00000007" + "06" + "02" + "00064bf4a5e24000" + "00064bf4c9a58600" + "00")
	if err != nil {
		t.Fatal(err)
	}
	at := store.FromMicros(0x00064bf4a5e24000)
	p := &intent.Phone{Known: true, Challenges: packed}
	shown := 0
	judged, err := p.Attempt(&store.Attempt{Now: at, MaxAttempts: 5, Device: device, Match: func(ch store.Challenge) bool {
		shown++
		return ch.ID[15] == 0x0f && ch.KeyVersion == 7 && ch.Digits == 6 && ch.Attempts == 2 && ch.Binding == "" && ch.CreatedAt.Equal(at)
	}})
	if err != nil || judged != intent.Right || shown != 1 {
		t.Errorf("judged %d: %v", judged, err)
	}
	q := verified()
	if _, err := send(q, "", store.UserID{}, device, nil); err != nil {
		t.Fatal(err)
	}
	if want := "17" + hex.EncodeToString([]byte("device\x00")) + hex.EncodeToString(device[:]); hex.EncodeToString(q.Challenges[38:]) != want {
		t.Errorf("packed as %x, want an end of %s", q.Challenges, want)
	}
}

// TestRoom: when a phone has too many challenges, sessions make room for sessions.
func TestRoom(t *testing.T) {
	t.Parallel()
	var l intent.Challenges
	put := func(b string) {
		l = l.Put(store.Challenge{ID: store.NewChallengeID(), Binding: store.Binding(b), ExpiresAt: now.Add(time.Minute)})
	}
	devices := func(n int) []string {
		var out []string
		for i := range n {
			out = append(out, "device\x00"+string(make([]byte, 15))+string(rune('a'+i)))
		}
		return out
	}
	put("")
	for _, d := range devices(4) {
		put(d)
	}
	for i := range 40 {
		put(fmt.Sprintf("session %02d", i))
	}
	for _, b := range append(devices(4), "", "session 39", "session 29") {
		if _, found := l.Find(store.Binding(b)); !found {
			t.Errorf("no challenge is bound to %q", b)
		}
	}
	if _, found := l.Find("session 28"); found {
		t.Error("there are more than sixteen")
	}
	for _, d := range devices(17) { // which no phone knows
		put(d)
	}
	if _, found := l.Find(store.Binding(devices(17)[16])); !found {
		t.Error("the newest has no room")
	}
}

func TestProvenOnly(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		phone *intent.Phone
		kind  fault.Kind
	}{
		{&intent.Phone{}, fault.Blocked},
		{&intent.Phone{Known: true, Devices: store.Devices("").With(device)}, fault.Blocked},
		{&intent.Phone{Known: true, OptedOut: true}, fault.OptedOut},
		{verified(), 0},
	} {
		asked := false
		_, err := tc.phone.Send(&store.Start{
			Now: now, ProvenOnly: true, Device: device, MaxAttempts: 5, Charges: make([]store.Charge, 1),
			Challenge: store.Challenge{Digits: 6, ExpiresAt: now.Add(time.Minute)},
		}, func(*store.Charge) (guard.Decision, error) {
			asked = true
			return guard.Decision{Allowed: true}, nil
		})
		var f *fault.Error
		if errors.As(err, &f); tc.kind == 0 && err != nil || tc.kind != 0 && (f == nil || f.Kind != tc.kind) {
			t.Errorf("%+v: %v", tc.phone, err)
		}
		if asked != (tc.kind == 0) {
			t.Errorf("a charge was asked: %v", asked)
		}
	}
}

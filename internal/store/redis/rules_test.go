package redis_test

import (
	"context"
	"errors"
	"flag"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"codeword/internal/fault"
	"codeword/internal/guard"
	"codeword/internal/store"
	"codeword/internal/store/intent"
	"codeword/internal/store/redis"
	"codeword/internal/store/redis/redistest"
)

// TestRules: the functions on the server decide as the rules of the SQL engines do,
// and so as package guard, whatever the limits and wherever the clock jumps.
func TestRules(t *testing.T) {
	t.Parallel()
	s := open(t, redis.Config{URL: redistest.New(t), Ledger: withClient(t)})
	if f := flag.Lookup("rapid.checks"); testing.Short() && f.Value.String() == f.DefValue {
		t.Skip("a long comparison")
	}
	rapid.Check(t, func(rt *rapid.T) {
		r := &reference{store: s, now: moment(0), phone: intent.Phone{ID: random()}, limits: drawLimits(rt), charge: drawCharge(rt)}
		r.failures, r.users, r.stranger = r.limits.Failures, make(map[store.UserID]*store.PhoneID), random()
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			r.now = r.now.Add(drawJump(rt))
			if rapid.Bool().Draw(rt, "send") {
				r.send(rt)
			} else {
				r.guess(rt)
			}
		}
	})
}

// reference is a phone and a charge, as the rules see them.
type reference struct {
	store    *redis.Store
	now      time.Time
	phone    intent.Phone
	limits   store.PhoneLimits
	failures guard.Window
	charge   store.Charge
	tat      time.Time
	codes    []store.ChallengeID
	// users have the phone; stranger is one who may get it.
	users    map[store.UserID]*store.PhoneID
	stranger store.UserID
}

func drawEvery(rt *rapid.T) time.Duration {
	return rapid.SampledFrom([]time.Duration{0, 1, 999, 1001, 142_857_142, time.Second, time.Minute, 86400 * time.Second / 7}).Draw(rt, "every")
}

func drawWindow(rt *rapid.T, name string) guard.Window {
	periods := []time.Duration{0, time.Millisecond, 1_500_001, 3 * time.Second, time.Minute, 24 * time.Hour}
	return guard.Window{Max: rapid.IntRange(0, 6).Draw(rt, name), Period: rapid.SampledFrom(periods).Draw(rt, name+" period")}
}

func drawLimits(rt *rapid.T) store.PhoneLimits {
	return store.PhoneLimits{
		Burst: guard.Bucket{Burst: rapid.IntRange(0, 5).Draw(rt, "burst"), Every: drawEvery(rt)},
		Day:   drawWindow(rt, "day"), Failures: drawWindow(rt, "failures"),
	}
}

func drawCharge(rt *rapid.T) store.Charge {
	id := store.ChallengeID(random())
	return store.Charge{
		Name: "charge", OfClient: rapid.Bool().Draw(rt, "of client"), Key: id.String(),
		Bucket: guard.Bucket{Burst: rapid.IntRange(0, 5).Draw(rt, "charge"), Every: drawEvery(rt)},
	}
}

func drawJump(rt *rapid.T) time.Duration {
	steps := []time.Duration{
		0, 0, time.Microsecond, 999 * time.Microsecond, time.Millisecond, time.Second, time.Minute, ttl, time.Hour,
		-time.Microsecond, -time.Millisecond, -time.Second, -time.Hour, 400 * 24 * time.Hour, -400 * 24 * time.Hour,
	}
	return rapid.SampledFrom(steps).Draw(rt, "jump")
}

func (r *reference) send(rt *rapid.T) {
	in := sendTo(r.phone.ID, r.now)
	in.Challenge.Binding = store.Binding(rapid.SampledFrom([]string{"", "a", "\x00{}"}).Draw(rt, "binding"))
	in.User, in.Device = r.user(rt), drawDevice(rt)
	in.ProvenOnly = rapid.IntRange(0, 5).Draw(rt, "proven only") == 0
	in.Charges = []store.Charge{r.charge}
	if rapid.IntRange(0, 5).Draw(rt, "limited") > 0 {
		in.PhoneLimits = &r.limits
	}
	sent, refusal := r.phone.Send(&in, func(c *store.Charge) (guard.Decision, error) { return c.Bucket.Take(in.Now, r.tat), nil })
	out, err := r.store.StartChallenge(context.Background(), in)
	r.agree(rt, "send", err, refusal)
	if refusal != nil {
		return
	}
	// Engines keep microseconds.
	r.phone.Known, r.phone.Burst = true, store.FromMicros(store.Micros(r.phone.Burst)) // other lanes are packed so
	if !r.charge.Bucket.Unlimited() {
		r.tat = store.FromMicros(store.Micros(sent.Charges[0]))
	}
	r.codes = append(r.codes, sent.Challenge.ID)
	if !reflect.DeepEqual(out.Challenge, sent.Challenge) {
		rt.Fatalf("started %+v, want %+v", out.Challenge, sent.Challenge)
	}
}

func (r *reference) guess(rt *rapid.T) {
	code := store.ChallengeID(random())
	if len(r.codes) > 0 && rapid.IntRange(0, 3).Draw(rt, "right") == 0 {
		code = r.codes[len(r.codes)-1]
	}
	in := guessAt(r.phone.ID, r.now, code)
	in.Failures = r.failures
	in.Binding = store.Binding(rapid.SampledFrom([]string{"", "a"}).Draw(rt, "guess binding"))
	in.Device = drawDevice(rt)
	if user := r.user(rt); user != (store.UserID{}) {
		in.Grant.Known, in.Grant.Session.User = true, user
	}
	judged, refusal := r.phone.Attempt(&in)
	if judged == intent.Right {
		var owner store.UserID
		owner, _, refusal = r.phone.Owner(in.Grant.Session.User, in.Grant.Known, r.users[in.Grant.Session.User])
		if refusal == nil {
			r.phone.User, r.phone.HasUser, r.users[owner] = owner, true, &r.phone.ID
			r.phone.Remember(in.Device)
		}
	}
	_, err := r.store.Attempt(context.Background(), in)
	r.agree(rt, "guess", err, refusal)
}

// user is that of a bearer: none, a stranger, or the phone's own.
func (r *reference) user(rt *rapid.T) store.UserID {
	switch rapid.IntRange(0, 3).Draw(rt, "user") {
	case 0:
		return r.stranger
	case 1:
		return r.phone.User
	default:
		return store.UserID{}
	}
}

func drawDevice(rt *rapid.T) (d store.DeviceID) {
	d[0] = byte(max(0, rapid.IntRange(-3, 6).Draw(rt, "device")))
	return d
}

func (r *reference) agree(rt *rapid.T, what string, got, want error) {
	rt.Helper()
	var g, w *fault.Error
	if errors.As(got, &g) != errors.As(want, &w) || (got == nil) != (want == nil) {
		rt.Fatalf("%s: %v, the rules say %v", what, got, want)
	}
	if w != nil && (g.Kind != w.Kind || g.Limit != w.Limit || g.RetryAfter != w.RetryAfter || g.Retryable != w.Retryable) {
		rt.Fatalf("%s: %+v, the rules say %+v", what, g, w)
	}
}

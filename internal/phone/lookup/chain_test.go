package lookup_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/phone"
	"codeword/internal/phone/lookup"
	"codeword/internal/store"
)

// In the embedded table the first is mobile, the second landline, the third unknown.
const (
	mobile   = "+16502180000"
	landline = "+12122340000"
	nowhere  = "+12002000000"
)

var (
	off     = phone.LookupPolicy{}
	unknown = phone.LookupPolicy{Mode: phone.LookupUnknown}
	always  = phone.LookupPolicy{Mode: phone.LookupAlways}
	strict  = phone.LookupPolicy{Mode: phone.LookupAlways, Refuse: true}
)

// table answers by the number's text.
type table map[string]phone.LineType

func (t table) LineType(_ context.Context, n phone.Number) (phone.LineType, error) {
	return t[n.E164()], nil
}

// fake is a provider that answers as told and counts.
type fake struct {
	name string
	mu   sync.Mutex
	n    int
	// answer is called for each question.
	answer func(context.Context) (phone.LineType, error)
}

func (f *fake) Name() string { return f.name }

func (f *fake) LineType(ctx context.Context, _ phone.Number) (phone.LineType, error) {
	f.mu.Lock()
	f.n++
	answer := f.answer
	f.mu.Unlock()
	return answer(ctx)
}

func (f *fake) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

func (f *fake) set(answer func(context.Context) (phone.LineType, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

func says(line phone.LineType) func(context.Context) (phone.LineType, error) {
	return func(context.Context) (phone.LineType, error) { return line, nil }
}

func fails(reason string) func(context.Context) (phone.LineType, error) {
	return func(context.Context) (phone.LineType, error) {
		return phone.LineUnknown, carrier.NewError(reason, nil)
	}
}

// hangs until it is told to stop, as a carrier's HTTP client does.
func hangs(ctx context.Context) (phone.LineType, error) {
	<-ctx.Done()
	return phone.LineUnknown, carrier.NewError(carrier.ReasonTimeout, ctx.Err())
}

// cache is a lookup.Cache in memory.
type cache struct {
	mu    sync.Mutex
	facts map[[16]byte]store.LineFact
	err   error
}

func (c *cache) LineFact(_ context.Context, _ time.Time, digest [16]byte) (store.LineFact, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.facts[digest]
	return f, ok, c.err
}

func (c *cache) PutLineFacts(_ context.Context, _ time.Time, facts []store.LineFact) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range facts {
		if c.err == nil {
			c.facts[f.Phone] = f
		}
	}
	return c.err
}

func digest(n phone.Number) (out [16]byte, err error) {
	copy(out[:], n.E164())
	return out, nil
}

// bed is a chain over fakes.
type bed struct {
	t             *testing.T
	first, second *fake
	cache         *cache
	mu            sync.Mutex
	counts        map[string]int
	*lookup.Chain
}

func newBed(t *testing.T, perSecond float64) *bed {
	t.Helper()
	b := &bed{
		t: t, cache: &cache{facts: make(map[[16]byte]store.LineFact)}, counts: make(map[string]int),
		first: &fake{name: "first", answer: says(phone.LineMobile)}, second: &fake{name: "second", answer: says(phone.LineMobile)},
	}
	b.Chain = lookup.New(lookup.Config{
		Table: table{mobile: phone.LineMobile, landline: phone.LineLandline}, Cache: b.cache, Digest: digest,
		Override: func(n phone.Number) (phone.LineType, bool, error) {
			return phone.LinePager, n.E164() == "+12012010000", nil
		},
		Metrics: lookup.Metrics{Lookup: func(provider, outcome string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.counts[provider+" "+outcome]++
		}},
	})
	b.Use([]lookup.Provider{b.first, b.second}, perSecond)
	return b
}

func (b *bed) want(text string, p phone.LookupPolicy, want phone.LineType) {
	b.t.Helper()
	n, err := phone.Parse(text)
	if err != nil {
		b.t.Fatal(err)
	}
	if got, err := b.LineType(b.t.Context(), n, p); err != nil || got != want {
		b.t.Errorf("%s: got %v, %v; want %v", text, got, err, want)
	}
}

func (b *bed) wantFailure(text string, p phone.LookupPolicy) {
	b.t.Helper()
	n, err := phone.Parse(text)
	if err != nil {
		b.t.Fatal(err)
	}
	if got, err := b.LineType(b.t.Context(), n, p); err == nil {
		b.t.Errorf("%s: got %v", text, got)
	}
}

func (b *bed) wantAsked(first, second int) {
	b.t.Helper()
	if b.first.asked() != first || b.second.asked() != second {
		b.t.Errorf("asked %d and %d times, want %d and %d; %v", b.first.asked(), b.second.asked(), first, second, b.counts)
	}
}

// TestPolicies: who is asked for what.
func TestPolicies(t *testing.T) {
	for _, c := range []struct {
		name   string
		number string
		policy phone.LookupPolicy
		want   phone.LineType
		asked  int
	}{
		{"off, known", landline, off, phone.LineLandline, 0},
		{"off, not known", nowhere, off, phone.LineUnknown, 0},
		{"unknown, known", landline, unknown, phone.LineLandline, 0},
		{"unknown, not known", nowhere, unknown, phone.LineMobile, 1},
		{"always, ported", landline, always, phone.LineMobile, 1},
		{"always, not known", nowhere, always, phone.LineMobile, 1},
		{"an operator knows better", "+12012010000", strict, phone.LinePager, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, 50)
			b.want(c.number, c.policy, c.want)
			b.wantAsked(c.asked, 0)
		})
	}
}

func TestAnswersAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 50)
		b.want(landline, always, phone.LineMobile)
		time.Sleep(30*24*time.Hour - time.Second)
		b.want(landline, strict, phone.LineMobile)
		b.wantAsked(1, 0)
		b.first.set(says(phone.LineLandline)) // ported back
		time.Sleep(2 * time.Second)
		b.want(landline, always, phone.LineLandline)
		b.wantAsked(2, 0)
	})
}

// TestUnknownIsKeptForADay: the table decides meanwhile, and the second is not asked,
// since the first did answer.
func TestUnknownIsKeptForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 50)
		b.first.set(says(phone.LineUnknown))
		b.want(landline, strict, phone.LineLandline)
		time.Sleep(24*time.Hour - time.Second)
		b.want(landline, strict, phone.LineLandline)
		b.wantAsked(1, 0)
		time.Sleep(2 * time.Second)
		b.want(landline, strict, phone.LineLandline)
		b.wantAsked(2, 0)
	})
}

func TestFailuresAreNotKept(t *testing.T) {
	b := newBed(t, 50)
	b.first.set(fails(carrier.ReasonThrottled))
	b.second.set(fails(carrier.ReasonCarrierError))
	b.want(landline, always, phone.LineLandline)
	b.wantFailure(landline, strict)
	b.wantAsked(2, 2)
	if len(b.cache.facts) != 0 {
		t.Errorf("kept %v", b.cache.facts)
	}
	b.second.set(says(phone.LineFixedVoIP))
	b.want(landline, strict, phone.LineFixedVoIP)
	for key, want := range map[string]int{
		"first throttled": 3, "second carrier_error": 2, "second known": 1, "cache missing": 3,
	} {
		if b.counts[key] != want {
			t.Errorf("%s: %d, want %d", key, b.counts[key], want)
		}
	}
}

func TestCacheThatFails(t *testing.T) {
	b := newBed(t, 50)
	b.cache.err = errors.New("down")
	b.want(landline, strict, phone.LineMobile)
	if b.counts["cache failed"] != 2 {
		t.Errorf("%v", b.counts)
	}
	// What makes no sense is asked again.
	b.cache.err = nil
	var key [16]byte
	copy(key[:], landline)
	b.cache.facts[key] = store.LineFact{Phone: key, Type: "satellite", Until: time.Now().Add(time.Hour)}
	b.want(landline, strict, phone.LineMobile)
	b.wantAsked(2, 0)
}

func TestNoServices(t *testing.T) {
	b := newBed(t, 50)
	b.Use(nil, 0)
	b.want(landline, always, phone.LineLandline)
	b.wantFailure(landline, strict)
	b.want(landline, phone.LookupPolicy{Mode: phone.LookupUnknown, Refuse: true}, phone.LineLandline)
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 50)
		b.first.set(hangs)
		began := time.Now()
		b.want(landline, strict, phone.LineMobile)
		if took := time.Since(began); took != 800*time.Millisecond {
			t.Errorf("it took %s", took)
		}
		b.wantAsked(1, 1)
	})
}

// TestBreaker: a service that fails is left alone for ten seconds, and then gets one
// question.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 50)
		b.cache.err = errors.New("down") // so that each one asks
		b.first.set(fails(carrier.ReasonUnavailable))
		for range 8 {
			b.want(landline, strict, phone.LineMobile)
		}
		b.wantAsked(5, 8)
		if b.counts["first breaker_open"] != 3 {
			t.Errorf("%v", b.counts)
		}
		b.first.set(says(phone.LinePager))
		time.Sleep(10*time.Second + time.Millisecond)
		b.want(landline, strict, phone.LinePager)
		b.want(landline, strict, phone.LinePager)
		b.wantAsked(7, 8)
	})
}

// TestBudget: whoever asks for codes for ever new numbers costs no more than this.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 5)
		b.Use([]lookup.Provider{b.first}, 5)
		for i := range 20 {
			n, err := phone.Parse(mobile[:len(mobile)-2] + string(rune('0'+i/10)) + string(rune('0'+i%10)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.LineType(t.Context(), n, always); err != nil {
				t.Error(err)
			}
		}
		b.wantAsked(5, 0)
		if b.counts["first limited"] != 15 {
			t.Errorf("%v", b.counts)
		}
		b.want(landline, always, phone.LineLandline) // the table's word
		b.wantFailure(landline, strict)
		time.Sleep(time.Second)
		b.want(landline, strict, phone.LineMobile)
		b.wantAsked(6, 0)
	})
}

// TestOneQuestion: a hundred look-ups of one number are one, which goes on when the
// first of them has gone.
func TestOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 50)
		release := make(chan struct{})
		b.first.set(func(ctx context.Context) (phone.LineType, error) {
			select {
			case <-release:
				return phone.LineMobile, nil
			case <-ctx.Done():
				return hangs(ctx)
			}
		})
		n, err := phone.Parse(landline)
		if err != nil {
			t.Fatal(err)
		}
		first, leave := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := b.LineType(first, n, always)
			gone <- err
		}()
		synctest.Wait()
		lines := make(chan phone.LineType, 100)
		for range 100 {
			go func() {
				line, _ := b.LineType(t.Context(), n, strict)
				lines <- line
			}()
		}
		synctest.Wait()
		leave()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("the first got %v", err)
		}
		close(release)
		for range 100 {
			if line := <-lines; line != phone.LineMobile {
				t.Errorf("got %v", line)
			}
		}
		b.wantAsked(1, 0)
	})
}

// TestSwap: other services while some are being asked.
func TestSwap(t *testing.T) {
	b := newBed(t, 1000)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 100 {
				b.want(landline, always, phone.LineMobile)
			}
		})
	}
	for range 100 {
		b.Use([]lookup.Provider{b.second}, 1000)
	}
	all.Wait()
	if got := maps.Clone(b.counts); got["second limited"] != 0 {
		t.Errorf("%v", got)
	}
}

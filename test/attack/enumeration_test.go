package attack_test

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"codeword/api"
	"codeword/internal/waittest"
	"codeword/test/testserver"
)

const (
	// samples is how many times each kind is measured in one run.
	samples = 1000
	// A run is clear when both hold. Chance moves AUC by 0.013 (one standard
	// deviation) at 1,000 against 1,000; a kind that takes twice as long is
	// near 1.
	maxAUC    = 0.60
	maxMedian = 0.25
	// runs is how often the measurement is repeated when it is not clear: a
	// real difference shows every time, a busy machine does not.
	runs = 3
)

// ranks compares two samples: the probability that one of a takes longer than
// one of b (AUC; 0.5 is no difference), and z of the Mann-Whitney test.
func ranks(a, b []time.Duration) (auc, z float64) {
	type one struct {
		d   time.Duration
		ofA bool
	}
	all := make([]one, 0, len(a)+len(b))
	for _, d := range a {
		all = append(all, one{d: d, ofA: true})
	}
	for _, d := range b {
		all = append(all, one{d: d})
	}
	slices.SortFunc(all, func(x, y one) int { return cmp.Compare(x.d, y.d) })
	sum := 0.0
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].d == all[i].d {
			j++
		}
		for k := i; k < j; k++ { // ties share the middle rank
			if all[k].ofA {
				sum += float64(i+j+1) / 2
			}
		}
		i = j
	}
	na, nb := float64(len(a)), float64(len(b))
	u := sum - na*(na+1)/2
	return u / (na * nb), (u - na*nb/2) / math.Sqrt(na*nb*(na+nb+1)/12)
}

func median(d []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[len(s)/2]
}

// stopwatch measures requests on one connection that is kept alive, without
// anything else in the way.
type stopwatch struct {
	t    *testing.T
	e    *testserver.Endpoint
	http *http.Client
}

func newStopwatch(t *testing.T, e *testserver.Endpoint) *stopwatch {
	t.Helper()
	base := &http.Transport{MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1, DisableCompression: true}
	t.Cleanup(base.CloseIdleConnections)
	return &stopwatch{t, e, &http.Client{Transport: base, Timeout: waittest.Patience}}
}

// request is one call that is measured.
type request struct {
	path, body string
	headers    []header
	// status is what it must be answered with.
	status int
}

func (s *stopwatch) measure(r request) time.Duration {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.e.URL+r.path, strings.NewReader(r.body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", api.ContentTypeJSON)
	for _, h := range r.headers {
		req.Header.Set(h.name, h.value)
	}
	begin := time.Now()
	resp, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	took := time.Since(begin)
	_ = resp.Body.Close()
	if resp.StatusCode != r.status {
		s.t.Fatalf("%s answered %d, want %d", r.path, resp.StatusCode, r.status)
	}
	return took
}

// compare measures two kinds of requests in turn, in random order within each
// pair, and fails when they can be told apart in every run.
func (s *stopwatch) compare(name, tries string, known, unknown func(i int) request) {
	s.t.Helper()
	var figures []string
	alike := false
	n := 0
	for range runs {
		var a, b []time.Duration
		for i := range samples + 50 {
			first, second := known(n), unknown(n)
			n++
			var x, y time.Duration
			if rand.N(2) == 0 {
				x = s.measure(first)
				y = s.measure(second)
			} else {
				y = s.measure(second)
				x = s.measure(first)
			}
			if i >= 50 { // warm
				a, b = append(a, x), append(b, y)
			}
		}
		auc, z := ranks(a, b)
		ma, mb := median(a), median(b)
		apart := math.Abs(float64(ma-mb)) / float64(min(ma, mb))
		figures = append(figures, fmt.Sprintf("AUC %.3f, z %+.1f, medians %s and %s (%.0f %%)",
			auc, z, ma.Round(time.Microsecond), mb.Round(time.Microsecond), 100*apart))
		if math.Abs(auc-0.5) <= maxAUC-0.5 && apart <= maxMedian {
			alike = true
			break
		}
	}
	report(s.t, name, tries, "%s", strings.Join(figures, "; then "))
	if !alike {
		s.t.Errorf("%s: the two can be told apart by time in each of %d runs", name, runs)
	}
}

// These run one after the other and not beside other tests of this package.
func TestTiming(t *testing.T) {
	s := testserver.Start(t, testserver.Options{})
	watch := newStopwatch(t, s.Endpoint)
	c := callAs(t, s.Endpoint, s.Live)

	t.Run("client", func(t *testing.T) {
		watch.t = t
		body := encode(api.SendSmsOtpRequest{PhoneNumber: number(0)})
		secret := strings.Repeat("x", len(s.Live.Secret))
		with := func(id string) request {
			return request{api.PathSend, body, []header{{api.HeaderClientID, id}, {api.HeaderClientSecret, secret}}, http.StatusUnauthorized}
		}
		watch.compare("timing-client", "known and unknown client ids with a wrong secret, 1,000 each in turn",
			func(int) request { return with(s.Live.ID) },
			func(int) request { return with("client-live-" + uuid.NewString()) })
	})
	t.Run("secret", func(t *testing.T) {
		watch.t = t
		body := encode(api.SendSmsOtpRequest{PhoneNumber: number(0)})
		with := func(secret string) request {
			return request{api.PathSend, body, []header{{api.HeaderClientID, s.Live.ID}, {api.HeaderClientSecret, secret}}, http.StatusUnauthorized}
		}
		last := len(s.Live.Secret) - 1
		flip := map[bool]string{true: "A", false: "B"}[s.Live.Secret[last] != 'A']
		head := map[bool]string{true: "A", false: "B"}[s.Live.Secret[0] != 'A']
		watch.compare("timing-secret", "secrets wrong in the last and in the first character, 1,000 each in turn",
			func(int) request { return with(s.Live.Secret[:last] + flip) },
			func(int) request { return with(head + s.Live.Secret[1:]) })
	})
	attempt := func(id, code string) request {
		body := encode(api.AuthenticateSmsOtpRequest{PhoneID: id, OTP: code})
		return request{api.PathAuthenticate, body, as(s.Live), http.StatusUnauthorized}
	}
	unknown := func(int) request { return attempt("phone-number-live-"+uuid.NewString(), "123456") }
	t.Run("id", func(t *testing.T) {
		watch.t = t
		ids, codes := make(map[int]string), make(map[int]string)
		watch.compare("timing-id", "wrong codes at a live challenge and at unknown ids, 1,000 each in turn",
			func(i int) request {
				p := i / (maxAttempts - 1)
				if ids[p] == "" {
					ids[p], codes[p] = c.mustStart(number(p))
				}
				return attempt(ids[p], wrong(codes[p], i%(maxAttempts-1)))
			}, unknown)
	})
	t.Run("used", func(t *testing.T) {
		watch.t = t
		id, code := c.mustStart(number(9999))
		c.mustAuthenticate(id, code)
		watch.compare("timing-used", "a used code and unknown ids, 1,000 each in turn", func(int) request { return attempt(id, code) }, unknown)
	})
	t.Run("phone", func(t *testing.T) {
		watch.t = t
		sending := func(to string) request {
			return request{api.PathSend, encode(api.SendSmsOtpRequest{PhoneNumber: to}), as(s.Test), http.StatusOK}
		}
		// Numbers beyond those that are made up below, all known.
		const half = 5000
		atOnce(100, func(i int) answer {
			var a answer
			for n := i; n < half; n += 100 {
				a = callAs(t, s.Endpoint, s.Test).send(number(n))
			}
			return a
		})
		watch.compare("timing-phone", "sends to phones that were verified or sent to before and to new ones, 1,000 each in turn",
			func(i int) request { return sending(number(i)) },
			func(i int) request { return sending(number(half + i)) })
	})
}

// TestEnumeration compares what is answered about known and unknown things.
func TestEnumeration(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Live)
	id, code := c.mustStart(number(1))
	for range maxAttempts {
		c.authenticate(id, wrong(code, 1))
	}
	disabled := s.CreateClient("disabled", true, "")
	s.Command("client", "disable", "--data", s.Data, disabled.ID)
	gone := callAs(t, s.Endpoint, disabled)
	waittest.Until(t, "a disabled client is refused", func() bool { return gone.session("").err.Code == api.CodeInvalidClientSecret })
	with := func(id, secret string) string {
		return shape(c.exchange(http.MethodPost, api.PathSend, encode(api.SendSmsOtpRequest{PhoneNumber: number(1)}),
			[]header{{api.HeaderClientID, id}, {api.HeaderClientSecret, secret}}))
	}
	groups := map[string][]string{
		"client": {
			with(s.Live.ID, "wrong"), with("client-live-"+uuid.NewString(), "wrong"), with("x", s.Live.Secret), with(s.Test.ID, s.Live.Secret),
			with(s.Live.ID, strings.Repeat("x", 4<<10)), with(disabled.ID, disabled.Secret), with(disabled.ID, "wrong"),
		},
		"phone id": {
			comparable401(c.authenticate(id, code)), comparable401(c.authenticate("phone-number-live-"+uuid.NewString(), code)),
			comparable401(c.authenticate("x", code)),
		},
	}
	// A phone that is new, one that was sent to, and one that is somebody's.
	c.mustSignIn(number(3))
	mask := strings.NewReplacer("0001", "····", "0002", "····", "0003", "····")
	for _, n := range []int{1, 2, 3} {
		a := c.send(number(n))
		groups["phone"] = append(groups["phone"], mask.Replace(strings.Replace(shape(a), a.ok.PhoneID, "(id)", 1)))
	}
	compared, different := 0, 0
	for name, shapes := range groups {
		for _, got := range shapes {
			compared++
			if got != shapes[0] {
				different++
				t.Errorf("%s:\n%s\ndiffers from\n%s", name, got, shapes[0])
			}
		}
	}
	report(t, "enumeration", "known, unknown and disabled clients, phones and ids compared in status, headers and body", "%d of %d differ", different, compared)
}

// TestRanks: the comparison sees what it is there to see.
func TestRanks(t *testing.T) {
	t.Parallel()
	draw := func(scale float64) []time.Duration {
		out := make([]time.Duration, samples)
		for i := range out {
			out[i] = time.Duration(scale * 1e6 * (1 + rand.ExpFloat64()/2))
		}
		return out
	}
	if auc, _ := ranks(draw(1), draw(1)); math.Abs(auc-0.5) > 0.08 { // six standard deviations
		t.Errorf("two samples of one kind: AUC %.3f", auc)
	}
	if auc, z := ranks(draw(2), draw(1)); auc < 0.8 || z < 10 {
		t.Errorf("a sample that takes twice as long: AUC %.3f, z %.1f", auc, z)
	}
	if auc, _ := ranks([]time.Duration{1, 1}, []time.Duration{1, 1, 1}); auc != 0.5 {
		t.Errorf("ties: AUC %.3f", auc)
	}
}

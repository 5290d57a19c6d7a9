package webhook

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/addresstest"
	"codeword/internal/audit/audittest"
	"codeword/internal/store"
)

// names is a Resolver with answers of its own.
type names map[string][]netip.Addr

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a, ok := n[host]; ok {
		return a, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func addrs(texts ...string) (out []netip.Addr) {
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func TestForbiddenAddresses(t *testing.T) {
	t.Parallel()
	dialed := errors.New("dialed")
	resolver := names{
		"public.example":   addrs("93.184.216.34"),
		"private.example":  addrs("10.0.0.7"),
		"loop.example":     addrs("127.0.0.1", "::1"),
		"metadata.example": addrs("169.254.169.254"),
		"mapped.example":   addrs("::ffff:10.0.0.7"),
		"both.example":     addrs("10.0.0.7", "93.184.216.34"),
		"allowed.example":  addrs("10.9.0.1"),
	}
	var last string
	d := newDialer(resolver, []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16"), netip.MustParsePrefix("fd99::/64")})
	d.dial = func(_ context.Context, _, address string) (net.Conn, error) {
		last = address
		return nil, dialed
	}
	tests := []struct {
		host string
		want string // what is dialed; empty for nothing
	}{
		{"public.example", "93.184.216.34:443"},
		{"both.example", "93.184.216.34:443"},
		{"allowed.example", "10.9.0.1:443"},
		{"8.8.8.8", "8.8.8.8:443"},
		{"2606:4700::1111", "[2606:4700::1111]:443"},
		{"::ffff:8.8.8.8", "8.8.8.8:443"},
		{"::ffff:10.9.0.1", "10.9.0.1:443"},
		{"fd99::1", "[fd99::1]:443"},

		{"private.example", ""},
		{"loop.example", ""},
		{"metadata.example", ""},
		{"mapped.example", ""},
		{"0.0.0.0", ""},
		{"0.1.2.3", ""},
		{"127.0.0.1", ""},
		{"127.255.0.1", ""},
		{"10.8.0.1", ""},
		{"172.16.0.1", ""},
		{"172.31.255.1", ""},
		{"192.168.1.1", ""},
		{"169.254.169.254", ""},
		{"100.64.0.1", ""},
		{"100.100.100.200", ""},
		{"192.0.0.1", ""},
		{"192.0.2.1", ""},
		{"198.18.0.1", ""},
		{"198.51.100.1", ""},
		{"203.0.113.1", ""},
		{"224.0.0.1", ""},
		{"240.0.0.1", ""},
		{"255.255.255.255", ""},
		{"168.63.129.16", ""},
		{"::", ""},
		{"::1", ""},
		{"::ffff:127.0.0.1", ""},
		{"::ffff:169.254.169.254", ""},
		{"::ffff:0.0.0.0", ""},
		{"::127.0.0.1", ""},
		{"fe80::1", ""},
		{"fe80::1%eth0", ""},
		{"fec0::1", ""},
		{"fc00::1", ""},
		{"fd00:ec2::254", ""},
		{"ff02::1", ""},
		{"64:ff9b::a00:7", ""},
		{"64:ff9b:1::1", ""},
		{"2002:a00:7::1", ""},
		{"2001::1", ""},
		{"2001:db8::1", ""},
		{"100::1", ""},
		{"3fff::1", ""},
	}
	for _, tt := range tests {
		last = ""
		_, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(tt.host, "443"))
		want := errForbidden
		if tt.want != "" {
			want = dialed
		}
		if !errors.Is(err, want) || last != tt.want {
			t.Errorf("%s: dialed %q, %v; want %q", tt.host, last, err, tt.want)
		}
	}
	// Spellings that only a resolver could take for an address are names to it.
	for _, odd := range []string{"0x7f000001", "2130706433", "127.1", "0177.0.0.1", "localhost"} {
		var name *net.DNSError
		if _, err := d.DialContext(t.Context(), "tcp", odd+":443"); !errors.As(err, &name) || last != "" {
			t.Errorf("%s: dialed %q, %v", odd, last, err)
		}
		last = ""
	}
}

// TestSilentAddresses: a name that leads to thousands of addresses where nobody answers
// is not dialed for hours, whatever becomes of the request.
func TestSilentAddresses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		many := make([]netip.Addr, 4000)
		for i := range many {
			many[i] = netip.AddrFrom4([4]byte{93, 184, byte(i >> 8), byte(i)})
		}
		d := newDialer(names{"silent.example": many}, nil)
		dials := 0
		d.dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			dials++
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(5 * time.Second):
				return nil, errors.New("silent")
			}
		}
		begun := time.Now()
		_, err := d.DialContext(context.Background(), "tcp", "silent.example:443") //nolint:usetesting // as http.Transport does it
		if err == nil || time.Since(begun) > requestTimeout || dials > 3 {
			t.Errorf("%d dials in %s, %v", dials, time.Since(begun), err)
		}
	})
}

// TestNothingInside: neither a name that leads inside, nor a redirect, nor a proxy of
// the environment brings a request to a private address.
func TestNothingInside(t *testing.T) {
	inside, at := newServer(t, always(200))
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HTTP_PROXY", at)
	t.Setenv("HTTPS_PROXY", at)
	redirect := httptest.NewServer(http.RedirectHandler(at, http.StatusTemporaryRedirect))
	t.Cleanup(redirect.Close)

	// The redirecting server is allowed by a network that the other is not in.
	b := newBed(t, nil, time.Now, func(c *Config) {
		c.Allow = nil
		c.Resolver = names{"rebinding.example": addrs("127.0.0.1")}
	})
	named, _ := b.create("https://rebinding.example:" + u.Port() + "/")
	direct, _ := b.create(at)
	b.run()
	id := b.emit(KindMessageSent)
	for _, e := range []Endpoint{named, direct} {
		b.eventually("refusal", func() bool { return b.delivery(&e, id).Attempts > 0 })
		if d := b.delivery(&e, id); d.Error != reasonForbidden || d.State != store.DeliveryPending {
			t.Errorf("%s: %+v", e.URL, d)
		}
	}
	other := newBed(t, nil, time.Now)
	e, _ := other.create(redirect.URL)
	other.run()
	id = other.emit(KindMessageSent)
	other.eventually("redirect", func() bool { return other.delivery(&e, id).Attempts > 0 })
	if d := other.delivery(&e, id); d.Status != http.StatusTemporaryRedirect || d.State != store.DeliveryPending {
		t.Errorf("redirected: %+v", d)
	}
	if n := len(inside.all()); n != 0 {
		t.Errorf("%d requests went inside", n)
	}
}

// TestReasons: what a real connection may come to, by the name that is kept of it.
func TestReasons(t *testing.T) {
	t.Parallel()
	reset := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(reset.Close)
	_, broken := newServer(t, always(500))
	for url, want := range map[string]string{
		reset.URL: reasonConnect, "http://" + addresstest.Refusing: reasonConnect, broken: reasonStatus,
		"https://nobody.example/": reasonResolve, "https://10.0.0.1/": reasonForbidden,
	} {
		b := newBed(t, newMemory(), time.Now, func(c *Config) { c.Resolver = names{} })
		e, _ := b.create(url)
		if o := b.loop.deliver(t.Context(), &e, &store.WebhookDelivery{Event: store.NewEventID(), Endpoint: e.ID, Until: time.Now().Add(time.Hour)}); o.Error != want || o.State != store.DeliveryPending {
			t.Errorf("%s: %+v, want %s", url, o, want)
		}
	}
}

func TestEndpointsThatAreRefused(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, time.Now)
	for _, bad := range []string{
		"", "https://", "http://example.com/", "ftp://example.com/", "https://user@example.com/", "https://u:p@example.com/", "https://example.com/#x", "https://example.com:99999/", "https://example.com:0/",
		"javascript:alert(1)", "https:example.com", "http://localhost.example.com/", "http://127.0.0.1.example.com/", "//example.com", "file:///etc/passwd",
	} {
		if _, _, err := b.registry.Create(t.Context(), audittest.Operator, client, bad, nil); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if _, _, err := b.registry.Create(t.Context(), audittest.Operator, client, "https://example.com", []string{"message.read"}); err == nil {
		t.Error("an unknown kind was taken")
	}
	if _, _, err := b.registry.Create(t.Context(), audittest.Operator, client, "https://example.com", slices.Repeat([]string{KindMessageSent}, 50_000)); err == nil {
		t.Error("a kind was taken 50,000 times")
	}
	for range maxEndpoints {
		b.create("https://example.com/hook?key=secret")
	}
	if _, _, err := b.registry.Create(t.Context(), audittest.Operator, client, "https://example.com", nil); err == nil {
		t.Error("one too many was taken")
	}
	if _, _, err := b.registry.Create(t.Context(), audittest.Operator, "client-b", "https://example.com", nil); err != nil {
		t.Errorf("another client's: %v", err)
	}
}

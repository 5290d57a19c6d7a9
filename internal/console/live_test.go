package console_test

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/console"
	"codeword/internal/fault"
	"codeword/internal/store"
)

const livePath = "/admin/v1/live"

// pipes is a network in memory, so that the clock of a bubble runs.
type pipes struct {
	conns chan net.Conn
	dials atomic.Int64
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	p.dials.Add(1)
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// liveBed is a console in a bubble.
type liveBed struct {
	t       *testing.T
	memory  *memory
	depth   atomic.Int64
	samples atomic.Int64
	broken  atomic.Value // an error
	server  *http.Server
	net     *pipes
	client  *http.Client
}

func inBubble(t *testing.T, run func(b *liveBed)) {
	synctest.Test(t, func(t *testing.T) {
		b := &liveBed{t: t, memory: &memory{}, net: &pipes{conns: make(chan net.Conn), done: make(chan struct{})}}
		c, err := console.New(console.Config{
			Token: token, Inbox: &fakeInbox{}, Events: b.memory, Log: slog.New(slog.DiscardHandler),
			Routes: func() []console.RouteView { return []console.RouteView{{Name: "main", Breaker: "closed"}} },
			Queue: func(context.Context) (store.QueueStats, error) {
				b.samples.Add(1)
				if err, ok := b.broken.Load().(error); ok && err.Error() == "panic" {
					panic(err)
				} else if ok && err.Error() != "fine" {
					return store.QueueStats{}, err
				}
				return store.QueueStats{Depth: int(b.depth.Load())}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		// The time limits are those of the admin listener.
		b.server = &http.Server{
			Handler: c.Handler(), ReadTimeout: 10 * time.Second, ReadHeaderTimeout: 10 * time.Second,
			WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		}
		b.server.RegisterOnShutdown(c.EndStreams)
		served := make(chan error, 1)
		go func() { served <- b.server.Serve(b.net) }()
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		b.client = &http.Client{
			Transport:     &http.Transport{DialContext: b.net.dial},
			Jar:           jar,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		run(b)
		if err := b.server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		b.client.CloseIdleConnections()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// feed is an open stream of which a goroutine reads.
type feed struct {
	resp *http.Response
	mu   sync.Mutex
	got  []string
	done chan struct{}
}

// open opens a stream, with the token or, without it, with the login.
func (b *liveBed) open(withToken bool) *feed {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), "GET", "http://console"+livePath, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if withToken {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	s := &feed{resp: resp, done: make(chan struct{})}
	if resp.StatusCode != 200 {
		_ = resp.Body.Close()
		close(s.done)
		return s
	}
	return s
}

func (s *feed) read() *feed {
	go func() {
		defer close(s.done)
		defer s.resp.Body.Close()
		lines, name := bufio.NewScanner(s.resp.Body), ""
		for lines.Scan() {
			line := lines.Text()
			s.mu.Lock()
			switch event, ok := strings.CutPrefix(line, "event: "); {
			case ok:
				name = event
			case strings.HasPrefix(line, "data: "):
				s.got = append(s.got, name+" "+line[6:])
			case strings.HasPrefix(line, ":"):
				s.got = append(s.got, "beat")
			}
			s.mu.Unlock()
		}
	}()
	return s
}

// told returns what came since it was last asked, by name if that is short.
func (s *feed) told() []string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.got
	s.got = nil
	return out
}

func (s *feed) ended() bool {
	synctest.Wait()
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

func names(told []string) (out []string) {
	for _, text := range told {
		name, _, _ := strings.Cut(text, " ")
		out = append(out, name)
	}
	return out
}

func TestLive(t *testing.T) {
	inBubble(t, func(b *liveBed) {
		s := b.open(true).read()
		if h := s.resp.Header; h.Get("Content-Type") != "text/event-stream" || h.Get("Content-Encoding") != "" || h.Get("Cache-Control") != "no-store, no-transform" {
			b.t.Errorf("%v", h)
		}
		if got := names(s.told()); !slices.Equal(got, []string{"queue", "routes", "events", "problems"}) {
			b.t.Fatalf("%v", got)
		}
		time.Sleep(2 * time.Second)
		if got := s.told(); len(got) != 0 {
			b.t.Errorf("nothing changed: %v", got)
		}
		b.depth.Store(7)
		time.Sleep(2 * time.Second)
		if got := s.told(); !slices.Equal(got, []string{`queue {"depth":7}`}) {
			b.t.Errorf("%v", got)
		}
		late := b.open(true).read()
		if got := late.told(); len(got) != 4 || got[0] != `queue {"depth":7}` {
			b.t.Errorf("a late reader: %v", got)
		}
		if err := b.memory.AppendEvents(b.t.Context(), []store.Event{{ID: store.NewEventID(), Kind: "client.update", Actor: "cli:\nann\r\n\nevent: end", Data: []byte("{\"a\":\n\"b\n\"}")}}); err != nil {
			b.t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		for _, reader := range []*feed{s, late} {
			if got := reader.told(); len(got) != 1 || !strings.HasPrefix(got[0], `events {"events":[`) {
				b.t.Errorf("%v", got)
			}
		}
		// It outlives the time limits of the listener.
		time.Sleep(5 * time.Minute)
		if got := s.told(); len(got) != 20 || got[0] != "beat" || s.ended() {
			b.t.Errorf("%v, ended: %v", got, s.ended())
		}
	})
}

// TestLiveCosts: one look for all streams, and none without any.
func TestLiveCosts(t *testing.T) {
	inBubble(t, func(b *liveBed) {
		time.Sleep(time.Minute)
		if n := b.samples.Load(); n != 0 {
			b.t.Errorf("%d looks for nobody", n)
		}
		var open []*feed
		for range 64 {
			open = append(open, b.open(true).read())
		}
		synctest.Wait()
		before := b.samples.Load()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := b.samples.Load() - before; n != 30 {
			b.t.Errorf("%d looks in a minute, want 30", n)
		}
		if over := b.open(true); over.resp.StatusCode != 503 || over.resp.Header.Get("Retry-After") == "" {
			b.t.Errorf("stream 65: %d", over.resp.StatusCode)
		}
		_ = open[0].resp.Body.Close()
		synctest.Wait()
		open[0] = b.open(true).read()
		if open[0].resp.StatusCode != 200 {
			b.t.Errorf("after one has gone: %d", open[0].resp.StatusCode)
		}
		for _, s := range open {
			_ = s.resp.Body.Close()
		}
		synctest.Wait()
		before = b.samples.Load()
		time.Sleep(time.Minute)
		if n := b.samples.Load() - before; n != 0 {
			b.t.Errorf("%d looks after all have gone", n)
		}
		if got := names(b.open(true).read().told()); len(got) != 4 {
			b.t.Errorf("it does not begin anew: %v", got)
		}
	})
}

// TestLiveSlowReader: who does not read is left, and holds up nobody.
func TestLiveSlowReader(t *testing.T) {
	inBubble(t, func(b *liveBed) {
		slow, fast := b.open(true), b.open(true).read()
		fast.told()
		for n := range 4 {
			b.depth.Store(int64(n + 1))
			time.Sleep(2 * time.Second)
			if got := fast.told(); len(got) != 1 {
				b.t.Errorf("beside a slow reader: %v", got)
			}
		}
		time.Sleep(time.Minute) // far more than it may take
		slow.read()
		if !slow.ended() {
			b.t.Error("the slow reader still has its stream")
		}
		if fast.ended() {
			b.t.Error("the fast reader has lost its stream")
		}
	})
}

func TestLiveEndsWithTheLogin(t *testing.T) {
	inBubble(t, func(b *liveBed) {
		if s := b.open(false); s.resp.StatusCode != 401 {
			b.t.Errorf("without a login: %d", s.resp.StatusCode)
		}
		b.form("/login", url.Values{"token": {token}})
		s, other := b.open(false).read(), b.open(true).read()
		s.told()
		b.form("/logout", url.Values{})
		time.Sleep(2 * time.Second)
		if got := s.told(); !slices.Equal(got, []string{"end {}"}) || !s.ended() {
			b.t.Errorf("after the logout: %v", got)
		}
		dials := b.net.dials.Load()
		b.form("/login", url.Values{"token": {token}})
		s = b.open(false).read()
		s.told()
		if b.net.dials.Load() != dials {
			b.t.Error("the connection of a stream that ended cannot be used again")
		}
		time.Sleep(time.Hour - time.Second) // nobody used it
		if s.ended() {
			b.t.Error("ended too soon")
		}
		time.Sleep(3 * time.Second)
		if got := s.told(); got[len(got)-1] != "end {}" || !s.ended() || other.ended() {
			b.t.Errorf("after the login's end: %v", got[len(got)-1])
		}
	})
}

func (b *liveBed) form(path string, form url.Values) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), "POST", "http://console"+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 303 {
		b.t.Fatalf("%s: %d", path, resp.StatusCode)
	}
}

func TestLiveEndsWithTheServer(t *testing.T) {
	inBubble(t, func(b *liveBed) {
		s := b.open(true).read()
		s.told()
		began := time.Now()
		if err := b.server.Shutdown(b.t.Context()); err != nil {
			b.t.Error(err)
		}
		if took := time.Since(began); took >= time.Second || !s.ended() {
			b.t.Errorf("took %s", took)
		}
	})
}

func TestLiveWhenTheStoreIsDown(t *testing.T) {
	inBubble(t, func(b *liveBed) {
		s := b.open(true).read()
		s.told()
		for _, err := range []error{fault.New(fault.Unavailable, "secret"), errors.New("panic")} {
			b.broken.Store(wrapped{err})
			b.depth.Add(1)
			time.Sleep(2 * time.Second)
			if got := s.told(); !slices.Equal(got, []string{`problems {"sections":["queue"]}`}) {
				b.t.Errorf("%v: %v", err, got)
			}
			b.broken.Store(wrapped{errors.New("fine")})
			time.Sleep(2 * time.Second)
			if got := names(s.told()); !slices.Equal(got, []string{"queue", "problems"}) {
				b.t.Errorf("after %v: %v", err, got)
			}
		}
	})
}

// wrapped lets an atomic.Value hold errors of several types.
type wrapped struct{ error }

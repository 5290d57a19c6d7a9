package console_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"codeword/internal/console"
	"codeword/internal/store"
)

// TestNobodyTakesTheStore: however much people ask for at once, a bounded part of it is
// worked on, and whoever asks for a lot keeps nobody else from his turn.
func TestNobodyTakesTheStore(t *testing.T) {
	const ofOne, asked = 32, 100
	var mu sync.Mutex
	now, most := 0, 0
	entered, goOn := make(chan struct{}, 4*asked), make(chan struct{})
	s := newSSO(t, func(cfg *console.Config) {
		cfg.Queue = func(context.Context) (store.QueueStats, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			entered <- struct{}{}
			<-goOn
			mu.Lock()
			now--
			mu.Unlock()
			return store.QueueStats{}, nil
		}
	})
	release := sync.OnceFunc(func() { close(goOn) })
	t.Cleanup(release)
	statuses := make(chan int, 4*asked)
	ask := func(b *http.Client, n int) {
		for range n {
			go func() { statuses <- s.do(b, "GET", "/admin/v1/queue", nil).status }()
		}
	}
	viewer := s.enter("sms-viewers")
	ask(viewer, asked)
	for range asked - ofOne {
		if got := <-statuses; got != http.StatusServiceUnavailable {
			t.Errorf("beyond what one may ask for: %d", got)
		}
	}
	for range 4 {
		<-entered
	}
	if got := s.do(viewer, "GET", "/keys", nil); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("a page: %d", got.status)
	} else {
		s.checkPage("/keys", got, false)
	}
	people := make([]*http.Client, 4)
	for i := range people {
		s.issuer.With(func() { s.issuer.User = map[string]any{"sub": fmt.Sprint("somebody-", i), "email": "a@example.com"} })
		people[i] = s.enter("sms-viewers")
		if got := s.do(people[i], "GET", "/keys", nil); got.status != http.StatusOK {
			t.Errorf("somebody else: %d", got.status)
		}
	}
	for i, b := range people { // all places are taken by the last but one
		ask(b, ofOne)
		for range min(4, 12-4*i) {
			<-entered
		}
	}
	for range ofOne + 1 { // machines wait for as long as it takes
		go func() { statuses <- s.do(s.browser, "GET", "/admin/v1/queue", nil, bearer).status }()
	}
	if got := s.do(viewer, "GET", "/metrics", nil); got.status != http.StatusOK {
		t.Errorf("metrics: %d", got.status)
	}
	release()
	for range ofOne*(1+len(people)) + ofOne + 1 {
		if got := <-statuses; got != http.StatusOK {
			t.Errorf("what waited: %d", got)
		}
	}
	if most != 16 {
		t.Errorf("%d were worked on at once", most)
	}
	if got := s.do(viewer, "GET", "/admin/v1/queue", nil); got.status != http.StatusOK {
		t.Errorf("afterwards: %d", got.status)
	}
}

// TestNobodyTakesAllStreams: whoever opens stream after stream leaves some to others.
func TestNobodyTakesAllStreams(t *testing.T) {
	s := newSSO(t, nil)
	viewer := s.enter("sms-viewers")
	s.issuer.With(func() { s.issuer.User = map[string]any{"sub": "bob-2", "email": "bob@example.com"} })
	admin := s.enter("sms-admins")
	open := func(b *http.Client, header ...string) (status int) {
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+livePath, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range header {
			req.Header.Set("Authorization", h)
		}
		resp, err := b.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cancel)
		return resp.StatusCode
	}
	for range 16 {
		if status := open(viewer); status != http.StatusOK {
			t.Fatalf("%d", status)
		}
	}
	if status := open(viewer); status != http.StatusServiceUnavailable {
		t.Errorf("one more: %d", status)
	}
	if status := open(admin); status != http.StatusOK {
		t.Errorf("somebody else: %d", status)
	}
	for range 47 {
		if status := open(s.fixture.browser(), "Bearer "+token); status != http.StatusOK {
			t.Errorf("with the token: %d", status)
		}
	}
}

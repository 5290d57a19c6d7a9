package webhook

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/store"
)

// standIn is a receiver, without a network: it takes a while to answer, and counts
// how many requests it has at once.
type standIn struct {
	mu       sync.Mutex
	takes    time.Duration
	down     bool
	requests int
	now      int
	most     int
}

func (s *standIn) RoundTrip(*http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.requests++
	s.now++
	s.most = max(s.most, s.now)
	takes := s.takes
	s.mu.Unlock()
	time.Sleep(takes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now--
	if s.down {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: http.StatusNoContent, Body: io.NopCloser(strings.NewReader(""))}, nil
}

// goes says whether it is down from now on, and returns the requests and the most of
// them at once since it was last asked.
func (s *standIn) goes(down bool) (requests, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	requests, most = s.requests, s.most
	s.down, s.requests, s.most = down, 0, s.now
	return requests, most
}

// grownBed is a bed with an endpoint whose window has grown as far as it may.
func grownBed(t *testing.T) (*bed, *standIn, *Endpoint) {
	t.Helper()
	r := &standIn{takes: 50 * time.Millisecond}
	b := newBed(t, newMemory(), time.Now, instead(r))
	e, _ := b.create("https://example.com/")
	b.run()
	for range 10 {
		b.emitAll(KindMessageSent, maxWindow)
		time.Sleep(2 * time.Second)
	}
	if requests, most := r.goes(false); requests != 10*maxWindow || most != maxWindow {
		t.Fatalf("%d requests, %d at once", requests, most)
	}
	return b, r, &e
}

// TestBlip: what is under way together when a busy endpoint goes away for a second fails
// together, and says no more than one failure does.
func TestBlip(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, r, e := grownBed(t)
		r.goes(true)
		ids := b.emitAll(KindMessageSent, maxWindow)
		time.Sleep(time.Second)
		if requests, most := r.goes(false); requests != maxWindow || most != maxWindow {
			t.Fatalf("%d requests, %d at once", requests, most)
		}
		fresh := b.emit(KindMessageSent)
		time.Sleep(2 * pollEvery)
		if d := b.delivery(e, fresh); d.State != store.DeliveryDone {
			t.Errorf("what came after the outage: %+v", d)
		}
		time.Sleep(2 * firstRetry)
		for _, id := range ids {
			if d := b.delivery(e, id); d.State != store.DeliveryDone || d.Attempts != 2 {
				t.Errorf("what came during the outage: %+v", d)
			}
		}
	})
}

// TestPauses: an endpoint that fails gets one delivery at a time, three without a pause,
// and then rests for longer and longer.
func TestPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, r, _ := grownBed(t)
		r.goes(true)
		b.emitAll(KindMessageSent, maxWindow)
		time.Sleep(100 * time.Millisecond)
		r.goes(true)
		b.emitAll(KindMessageSent, 10*maxWindow)
		time.Sleep(time.Second)
		if requests, most := r.goes(true); requests != 2 || most != 1 {
			t.Errorf("%d requests after the first failure, %d at once", requests, most)
		}
		// Pauses of 2, 4, 8, 16 and 32 s, or a fifth less or more.
		time.Sleep(time.Minute)
		if requests, most := r.goes(true); requests < 4 || requests > 5 || most != 1 {
			t.Errorf("%d requests in a minute, %d at once", requests, most)
		}
		time.Sleep(time.Hour)
		r.goes(true)
		time.Sleep(time.Hour)
		if requests, _ := r.goes(true); requests < 10 || requests > 15 {
			t.Errorf("%d requests in an hour", requests)
		}
	})
}

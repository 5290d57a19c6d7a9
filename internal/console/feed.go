package console

import (
	"bytes"
	"context"
	"sync"
	"time"
)

const (
	// maxStreams bounds the streams of a server, and streamsOfOne those of one person, who
	// may have many pages open. It is not for the holders of the admin token.
	maxStreams, streamsOfOne = 64, 16
	// sampleEvery is how often all is looked at that streams tell, while there are any.
	sampleEvery = 2 * time.Second
	// sampleTimeout is how long one look may take.
	sampleTimeout = 5 * time.Second
)

// section is a part of what streams tell, as JSON without line breaks.
type section struct {
	name string
	body []byte
}

// feed looks at everything once for all streams, and not at all while there are none.
// It is safe for concurrent use.
type feed struct {
	sample func(ctx context.Context) []section

	mu      sync.Mutex
	streams map[*stream]struct{}
	// latest is what was seen last, and run the look-out that saw it; nil for none.
	latest []section
	run    *lookout
	ended  bool
}

// lookout is the life of one sampler.
type lookout struct{ stop context.CancelFunc }

// stream is what one reader has still to be told: of each section the latest, so that
// slow readers miss what is out of date and hold up nobody.
type stream struct {
	person string
	// wake is full while there is something to tell, and done closed when there will
	// be nothing more.
	wake chan struct{}
	done chan struct{}

	mu      sync.Mutex
	pending []section
}

func newFeed(sample func(context.Context) []section) *feed {
	return &feed{sample: sample, streams: map[*stream]struct{}{}}
}

// join adds a stream of a person, that is a subject or empty for the token; false when
// there are too many, or the server ends.
func (f *feed) join(person string) (*stream, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended || len(f.streams) >= maxStreams || person != "" && f.count(person) >= streamsOfOne {
		return nil, false
	}
	s := &stream{person: person, wake: make(chan struct{}, 1), done: make(chan struct{})}
	f.streams[s] = struct{}{}
	s.tell(f.latest)
	if f.run == nil {
		ctx, stop := context.WithCancel(context.Background())
		f.run = &lookout{stop}
		go f.watch(ctx, f.run)
	}
	return s, true
}

// count counts the streams of a person. f.mu is held.
func (f *feed) count(person string) (n int) {
	for s := range f.streams {
		if s.person == person {
			n++
		}
	}
	return n
}

// leave removes a stream; the last one ends the sampling.
func (f *feed) leave(s *stream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.streams, s)
	if len(f.streams) == 0 && f.run != nil {
		f.run.stop()
		f.run, f.latest = nil, nil
	}
}

// end ends all streams, and there will be no others.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	f.ended = true
	for s := range f.streams {
		close(s.done)
	}
}

// watch samples until its run ends.
func (f *feed) watch(ctx context.Context, run *lookout) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		sampling, cancel := context.WithTimeout(ctx, sampleTimeout)
		seen := f.sample(sampling)
		cancel()
		f.publish(run, seen)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// publish tells all streams what has changed.
func (f *feed) publish(run *lookout, seen []section) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.run != run {
		return // another one has begun
	}
	var changed []section
	for _, now := range seen {
		was := find(f.latest, now.name)
		if was == nil {
			f.latest = append(f.latest, now)
		} else if !bytes.Equal(was.body, now.body) {
			*was = now
		} else {
			continue
		}
		changed = append(changed, now)
	}
	for s := range f.streams {
		s.tell(changed)
	}
}

func find(in []section, name string) *section {
	for i := range in {
		if in[i].name == name {
			return &in[i]
		}
	}
	return nil
}

// tell puts sections in the place of older ones that were not taken yet.
func (s *stream) tell(changed []section) {
	if len(changed) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, now := range changed {
		if was := find(s.pending, now.name); was != nil {
			*was = now
		} else {
			s.pending = append(s.pending, now)
		}
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take returns what there is to tell.
func (s *stream) take() []section {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.pending
	s.pending = nil
	return out
}

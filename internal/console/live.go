package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"codeword/api"
	"codeword/internal/console/login"
	"codeword/internal/store"
)

const (
	// heartbeatEvery keeps proxies from taking a quiet stream for a dead one.
	heartbeatEvery = 15 * time.Second
	// liveWriteTimeout is how long a reader may take to read one piece; then it is left.
	liveWriteTimeout = 10 * time.Second
	// liveItems is how many messages, holds and events a stream tells: the newest.
	liveItems = 20
)

// livePath is where the stream is.
const livePath = "/admin/v1/live"

// liveScript is the script of the pages that follow the stream.
const liveScript = "live.js"

// EndStreams ends the open streams, so that a server can shut down; there are none
// from then on.
func (c *Console) EndStreams() { c.feed.end() }

// live is GET /admin/v1/live: server-sent events (HTML Living Standard section 9.2). Each
// tells one section as it is now; all come first, and then those that change.
func (c *Console) live(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if r.Method == http.MethodHead {
		h.Set("Content-Type", contentTypeEvents)
		w.WriteHeader(http.StatusOK)
		return
	}
	s, ok := c.feed.join(who(r.Context()).Subject)
	if !ok {
		h.Set("Retry-After", "10")
		c.refuseCode(w, http.StatusServiceUnavailable, api.CodeUnavailable)
		return
	}
	defer c.feed.leave(s)
	out := liveWriter{w: w, rc: http.NewResponseController(w)}
	h.Set("Content-Type", contentTypeEvents)
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no") // for nginx
	w.WriteHeader(http.StatusOK)
	if out.write("retry: 5000\n\n") {
		c.follow(r, s, out)
	}
}

const contentTypeEvents = "text/event-stream"

// follow writes until the reader is gone, or too slow, or not the operator any more, or
// the server ends.
func (c *Console) follow(r *http.Request, s *stream, out liveWriter) {
	beat, check := time.NewTicker(heartbeatEvery), time.NewTicker(sampleEvery)
	defer beat.Stop()
	defer check.Stop()
	for {
		text := ""
		select {
		case <-r.Context().Done():
			return
		case <-s.done:
			return
		case <-check.C:
		case <-beat.C:
			text = ":\n\n"
		case <-s.wake:
			var b bytes.Buffer
			for _, part := range s.take() {
				fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", part.name, part.body)
			}
			text = b.String()
		}
		if !c.stillIn(out.w, r) {
			out.write("event: end\ndata: {}\n\n")
			return
		}
		if text != "" && !out.write(text) {
			return
		}
	}
}

// stillIn tells whether who asked may go on, by the cookie of then: a browser comes back
// with the one of now.
func (c *Console) stillIn(w http.ResponseWriter, r *http.Request) bool {
	p, code := c.logins.Admit(w, r)
	return code == "" && p.Role >= login.Viewer
}

// liveWriter writes pieces of a stream.
type liveWriter struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// write sends a piece at once, and says whether that worked in time.
func (l liveWriter) write(text string) bool {
	if l.rc.SetWriteDeadline(time.Now().Add(liveWriteTimeout)) != nil {
		return false
	}
	if _, err := l.w.Write([]byte(text)); err != nil {
		return false
	}
	return l.rc.Flush() == nil
}

// look reads a section. There is no request that a panic would end, so it is an error.
func look(read func() (any, error)) (body []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			body, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	document, err := read()
	if err != nil {
		return nil, err
	}
	return json.Marshal(document)
}

// sample looks at everything that streams tell. What cannot be read is named in the
// section problems, and otherwise left as it was.
func (c *Console) sample(ctx context.Context) (out []section) {
	problems := []string{}
	add := func(name string, there bool, read func() (any, error)) {
		if !there {
			return
		}
		body, err := look(read)
		if err != nil {
			c.cfg.Log.DebugContext(ctx, "not to be told to streams", "section", name, "error", err)
			problems = append(problems, name)
			return
		}
		out = append(out, section{name, body})
	}
	add("queue", c.cfg.Queue != nil, func() (any, error) {
		stats, err := c.cfg.Queue(ctx)
		return viewQueue(stats), err
	})
	add("routes", c.cfg.Routes != nil, func() (any, error) { return routesDocument{append([]RouteView{}, c.cfg.Routes()...)}, nil })
	add("holds", c.cfg.Guard != nil, func() (any, error) {
		holds, err := c.cfg.Guard.Holds(ctx)
		doc := holdsDocument{Holds: []holdView{}}
		for i := range holds[:min(len(holds), liveItems)] {
			doc.Holds = append(doc.Holds, holdView{holds[i].Key, holds[i].Client, holds[i].HoldData})
		}
		return doc, err
	})
	add("messages", c.cfg.Messages != nil, func() (any, error) {
		page, err := c.cfg.Messages.List(ctx, MessageQuery{Limit: liveItems})
		return messagesDocument{Messages: append([]MessageView{}, page.Messages...)}, err
	})
	add("events", c.cfg.Events != nil, func() (any, error) {
		events, _, err := ListEvents(ctx, c.cfg.Events, store.EventQuery{Limit: liveItems})
		return eventsDocument{Events: append([]EventView{}, events...)}, err
	})
	add("problems", true, func() (any, error) {
		return struct {
			Sections []string `json:"sections"`
		}{problems}, nil
	})
	return out
}

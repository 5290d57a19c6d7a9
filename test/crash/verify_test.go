package crash_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"codeword/api"
	"codeword/client"
	"codeword/internal/store"
	"codeword/test/testserver"
)

// caller is the connections to one life of the server.
type caller struct {
	t      *testing.T
	api    *client.Client
	server *testserver.Server
	admin  http.Client
}

func newCaller(t *testing.T, s *testserver.Server) *caller {
	t.Helper()
	c := &caller{t: t, api: connect(t, s), server: s}
	c.admin.Transport = &http.Transport{MaxIdleConnsPerHost: workers}
	return c
}

func (c *caller) close() {
	c.api.CloseIdleConnections()
	c.admin.CloseIdleConnections()
}

// inbox returns the messages to a number; false when the server did not answer.
func (c *caller) inbox(ctx context.Context, to string) ([]testserver.Message, bool) {
	address := c.server.AdminURL + "/admin/v1/inbox?to=" + url.QueryEscape(to)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		c.t.Error(err)
		return nil, false
	}
	req.Header.Set("Authorization", "Bearer "+c.server.AdminToken)
	resp, err := c.admin.Do(req)
	if err != nil {
		return nil, false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, false
	}
	var page struct {
		Messages []testserver.Message `json:"messages"`
	}
	if err := json.Unmarshal(body, &page); err != nil || resp.StatusCode != http.StatusOK {
		c.t.Errorf("inbox: %d, %v", resp.StatusCode, err)
		return nil, false
	}
	return page.Messages, true
}

// code returns the code that was sent to a number. The send was acknowledged, so
// the message must be there, whatever has happened since: at once, or, where messages
// take their time to come to the inbox, later. Then the code is empty for now.
func (c *caller) code(ctx context.Context, to string) (string, bool) {
	messages, ok := c.inbox(ctx, to)
	if !ok {
		return "", false
	}
	if len(messages) == 0 && testserver.HasIntake() {
		return "", true
	}
	if len(messages) == 0 {
		c.t.Errorf("an acknowledged send has no message")
		return "", false
	}
	return messages[0].Code(), true
}

// verify asks the running server about everything it has ever acknowledged.
func (c *crew) verify(t *testing.T, s *testserver.Server) {
	t.Helper()
	calls := newCaller(t, s)
	defer calls.close()
	var all sync.WaitGroup
	for _, w := range c.workers {
		all.Go(func() { w.verify(calls) })
	}
	var next atomic.Int64
	for range workers {
		all.Go(func() {
			for i := int(next.Add(1) - 1); i < len(c.guessed); i = int(next.Add(1) - 1) {
				verifyGuessed(calls, c.guessed[i])
			}
		})
	}
	all.Wait()
}

func (w *worker) verify(c *caller) {
	ctx := c.t.Context()
	for len(w.pending) > 0 && w.send(ctx, c, w.pending[0], func() { w.pending = w.pending[1:] }) {
	}
	for _, p := range w.used {
		if !w.replay(ctx, c, p) {
			return
		}
		if p.accepted > 1 {
			c.t.Errorf("a code was accepted %d times", p.accepted)
		}
	}
	for _, p := range w.sent {
		messages, ok := c.inbox(ctx, p.number)
		if !ok || len(messages) != 1 {
			c.t.Errorf("an acknowledged send has %d messages, want 1", len(messages))
			continue
		}
		_, err := c.api.Authenticate(ctx, p.id, messages[0].Code())
		if e, ok := answered(err); err != nil && (!ok || e.Code != api.CodeInvalidOTP || !p.tried) {
			c.t.Errorf("the code of an acknowledged send does not work: %v", err)
		}
	}
}

// verifyGuessed holds a challenge to its limit: what was counted in one life
// counts in all. At the end it takes the right code if the guesses cannot have
// used it up, and never if five were acknowledged.
func verifyGuessed(c *caller, p *phone) {
	if p.counted >= maxGuesses {
		c.t.Errorf("after %d wrong guesses a challenge said that it takes more", p.counted)
	}
	_, err := c.api.Authenticate(c.t.Context(), p.id, p.code)
	e, ok := answered(err)
	switch {
	case err != nil && (!ok || e.Code != api.CodeInvalidOTP):
		c.t.Errorf("the right code after guesses: %v", err)
	case err == nil && p.counted+p.final >= maxGuesses:
		c.t.Errorf("the right code was accepted after %d acknowledged wrong guesses", p.counted+p.final)
	case err != nil && p.begun < maxGuesses:
		c.t.Errorf("the right code was refused after only %d guesses", p.begun)
	}
}

// messageLog is what the store says about messages.
type messageLog struct {
	all, delivered, waiting int
	again                   int // claimed more than once: a duplicate is possible
	doubled                 int // more than one message for one number
}

func (l messageLog) String() string {
	return fmt.Sprintf("%d messages, %d delivered, %d waiting; %d claimed again after a kill, so sent twice at most",
		l.all, l.delivered, l.waiting, l.again)
}

// readMessages looks into the database of a server that is not running.
func readMessages(t *testing.T, s *testserver.Server) messageLog {
	t.Helper()
	if s.Database() != "" {
		return readShared(t, s.Database())
	}
	conn, err := sqlite.OpenConn(filepath.Join(s.Data, "codeword.db"), sqlite.OpenReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var l messageLog
	err = sqlitex.ExecuteTransient(conn, `SELECT COUNT(*), SUM(status = ?), SUM(due_at IS NOT NULL), SUM(claims > 1),
		COUNT(*) - COUNT(DISTINCT phone_id) FROM messages`, &sqlitex.ExecOptions{
		Args: []any{int(store.MessageDelivered)},
		ResultFunc: func(s *sqlite.Stmt) error {
			l = messageLog{s.ColumnInt(0), s.ColumnInt(1), s.ColumnInt(2), s.ColumnInt(3), s.ColumnInt(4)}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func readShared(t *testing.T, url string) (l messageLog) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	err = conn.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE status = $1), count(due_at), count(*) FILTER (WHERE claims > 1),
		count(*) - count(DISTINCT phone_id) FROM messages`, int(store.MessageDelivered)).
		Scan(&l.all, &l.delivered, &l.waiting, &l.again, &l.doubled)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// verifyMessages holds the message log against what the callers know. Every send
// was acknowledged in the end, since unanswered ones were repeated.
func (c *crew) verifyMessages(t *testing.T, l messageLog) {
	t.Helper()
	if sends := int(c.next.Load()); l.all != sends || l.doubled != 0 {
		t.Errorf("%d messages, %d of them second ones, for %d sends with an idempotency key each", l.all, l.doubled, sends)
	}
	if l.delivered != l.all || l.waiting != 0 {
		t.Errorf("of %d messages %d were delivered and %d wait", l.all, l.delivered, l.waiting)
	}
}

// figures sums up what was acknowledged.
func (c *crew) figures() string {
	sent, used, doubt, counted := len(c.guessed), 0, 0, 0
	for _, w := range c.workers {
		sent += len(w.sent) + len(w.used)
		used += len(w.used)
		for _, p := range w.used {
			if p.refused {
				doubt++
			}
		}
	}
	for _, p := range c.guessed {
		counted += p.counted + p.final
	}
	return fmt.Sprintf("%d sends (%d repeated after a kill) and %d authenticates acknowledged, %d more consumed without an answer, "+
		"%d replays refused, %d guesses answered on %d challenges, %d calls cut off",
		sent, c.resent.Load(), used-doubt, doubt, c.replays.Load(), counted, len(c.guessed), c.unanswered.Load())
}

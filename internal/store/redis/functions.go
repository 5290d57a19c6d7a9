package redis

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"codeword/internal/fault"
)

// library is all that happens on the server. What it means to run with another
// version of it is the version's affair: the name of each function tells it.
//
//go:embed library.lua
var library string

const libraryPrefix = "codeword_v3_"

// invocation is one call of a function.
type invocation struct {
	function string
	keys     []string
	args     []string
}

// reading are the functions that change nothing that must be kept.
var reading = map[string]bool{
	"known": true, "holds": true, "uses": true, "session_get": true, "backlog": true, "passed": true, "record": true, "collect": true, "fence": true,
	// A note is put again before long, and a fact can be asked for again.
	"notes_put": true, "notes_get": true, "line_put": true, "line_get": true,
}

func (s *Store) command(in *invocation) rueidis.Completed {
	return s.client.B().Fcall().Function(libraryPrefix + in.function).Numkeys(int64(len(in.keys))).Key(in.keys...).Arg(in.args...).Build()
}

// call carries out one function on one key.
func (s *Store) call(ctx context.Context, function, key string, args ...string) (rueidis.RedisMessage, error) {
	return s.invoke(ctx, invocation{function, []string{key}, args})
}

func (s *Store) invoke(ctx context.Context, in invocation) (rueidis.RedisMessage, error) {
	out := s.invokeAll(ctx, []invocation{in})
	return out[0].message, out[0].err
}

// answer is what became of an invocation.
type answer struct {
	message rueidis.RedisMessage
	err     error
}

func (a answer) int() int64 { n, _ := a.message.AsInt64(); return n } // the functions answer as agreed

// invokeAll carries out functions, in no order. A caller who leaves does not stop
// what has begun: an attempt that was counted is also judged.
func (s *Store) invokeAll(ctx context.Context, all []invocation) []answer {
	out := make([]answer, len(all))
	if err := ctx.Err(); err != nil {
		for i := range out {
			out[i].err = unavailable("gave up before the call began", err)
		}
		return out
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.settings.timeout)
	defer cancel()
	s.timed(ctx, all, out)
	var again []invocation
	var at []int
	for i, in := range all {
		if notLoaded(out[i].err) {
			again, at = append(again, in), append(at, i)
		}
	}
	if len(again) > 0 {
		if err := s.loadLibrary(ctx); err == nil {
			second := make([]answer, len(again))
			s.send(ctx, again, second)
			for i := range second {
				out[at[i]] = second[i]
			}
		}
	}
	for i := range out {
		out[i].err = translate(out[i].err)
	}
	return out
}

// timed is send, and tells how long it took.
func (s *Store) timed(ctx context.Context, all []invocation, out []answer) {
	if s.cfg.Called == nil {
		s.send(ctx, all, out)
		return
	}
	begun := s.cfg.Now()
	s.send(ctx, all, out)
	took := s.cfg.Now().Sub(begun)
	for i := range all {
		s.cfg.Called(all[i].function, took)
	}
}

// send carries out each function once. Where writes have to wait for replicas each
// has a connection to itself, since that is what WAIT speaks of.
func (s *Store) send(ctx context.Context, all []invocation, out []answer) {
	if s.settings.wait == 0 && s.settings.waitAOF == 0 {
		if len(all) == 1 {
			out[0].message, out[0].err = s.client.Do(ctx, s.command(&all[0])).ToMessage()
			return
		}
		commands := make([]rueidis.Completed, len(all))
		for i := range all {
			commands[i] = s.command(&all[i])
		}
		for i, r := range s.client.DoMulti(ctx, commands...) {
			out[i].message, out[i].err = r.ToMessage()
		}
		return
	}
	var pending sync.WaitGroup
	for i := range all {
		pending.Go(func() {
			if reading[all[i].function] {
				out[i].message, out[i].err = s.client.Do(ctx, s.command(&all[i])).ToMessage()
				return
			}
			out[i] = s.sendAndWait(ctx, &all[i])
		})
	}
	pending.Wait()
}

var errAcks = errors.New("too few replicas have the write")

func (s *Store) sendAndWait(ctx context.Context, in *invocation) (out answer) {
	limit := int64(s.settings.timeout/time.Millisecond) * 3 / 4
	commands := []rueidis.Completed{s.command(in)}
	if n := s.settings.wait; n > 0 {
		commands = append(commands, s.client.B().Wait().Numreplicas(int64(n)).Timeout(limit).Build())
	}
	if n := s.settings.waitAOF; n > 0 {
		commands = append(commands, s.client.B().Waitaof().Numlocal(1).Numreplicas(int64(n-1)).Timeout(limit).Build())
	}
	// A connection of its own follows no redirection, after which WAIT would speak of
	// the wrong server: a moved slot is an error, and nothing was done.
	var results []rueidis.RedisResult
	err := s.client.Dedicated(func(c rueidis.DedicatedClient) error {
		results = c.DoMulti(ctx, commands...)
		return nil
	})
	if err != nil {
		return answer{err: err}
	}
	if out.message, out.err = results[0].ToMessage(); out.err != nil {
		return out
	}
	for i, r := range results[1:] {
		if i == 0 && s.settings.wait > 0 {
			n, err := r.AsInt64()
			out.err = enough(err, err == nil && n >= int64(s.settings.wait))
		} else {
			n, err := r.AsIntSlice()
			out.err = enough(err, len(n) == 2 && n[0] >= 1 && n[1] >= int64(s.settings.waitAOF-1))
		}
		if out.err != nil {
			return out
		}
	}
	return out
}

// enough is nil when enough servers have a write. It never is an error of the server's
// own, which would mean that nothing was written.
func enough(err error, acks bool) error {
	switch {
	case err != nil:
		return fmt.Errorf("%w: %v", errAcks, err) //nolint:errorlint // see above
	case !acks:
		return errAcks
	}
	return nil
}

// notLoaded tells an answer of a primary that has never seen the library; then
// nothing was carried out.
func notLoaded(err error) bool {
	answered, ok := rueidis.IsRedisErr(err)
	return ok && strings.Contains(answered.Error(), "Function not found")
}

// loadLibrary gives the library to every primary that has none.
func (s *Store) loadLibrary(ctx context.Context) error {
	return s.eachPrimary(ctx, func(_ string, c rueidis.Client) error {
		err := c.Do(ctx, c.B().FunctionLoad().FunctionCode(library).Build()).Error()
		if answered, ok := rueidis.IsRedisErr(err); ok && strings.Contains(answered.Error(), "already exists") {
			return nil
		}
		return err
	})
}

// translate makes an error of the server, or on the way to it, one of ours. Whatever
// it is, nothing was acknowledged.
func translate(err error) error {
	var known *fault.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	answered, ok := rueidis.IsRedisErr(err)
	if !ok {
		return unavailable("no answer", err)
	}
	if answered.IsNil() {
		return nil
	}
	return unavailable("refused", err)
}

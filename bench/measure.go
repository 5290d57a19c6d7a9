package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"codeword/bench/internal/load"
	"codeword/bench/internal/numbers"
	"codeword/bench/internal/target"
	"codeword/bench/internal/wire"
)

const expectedRate = 15_000 // authentications a second that -codes 0 provides for

// bench is one run of the command.
type bench struct {
	options
	dir    string // temporary, removed at the end
	phones *phones
	log    io.Writer // progress
}

func newBench(ctx context.Context, opts options, log io.Writer) (*bench, error) {
	dir, err := os.MkdirTemp(opts.tmp, "codeword-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{options: opts, dir: dir, log: log, phones: &phones{Generator: numbers.New(opts.seed)}}
	if err := b.build(ctx); err != nil {
		b.cleanUp()
		return nil, err
	}
	return b, nil
}

func (b *bench) cleanUp() { _ = os.RemoveAll(b.dir) }

func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(b.log, "bench: "+format+"\n", args...)
}

// build compiles what the workloads need, by import path, so that it works from
// any directory of the module.
func (b *bench) build(ctx context.Context) error {
	packages := map[string]string{}
	for _, name := range b.workloads {
		if name == workBare {
			packages["codeword/bench/bare"] = filepath.Join(b.dir, "bare")
		} else if b.binary == "" {
			packages["codeword/cmd/codeword"] = filepath.Join(b.dir, "codeword")
		}
	}
	for path, output := range packages {
		b.progress("building %s", path)
		cmd := exec.CommandContext(ctx, "go", "build", "-o", output, path)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build %s: %w\n%s", path, err, out)
		}
	}
	if b.binary == "" {
		b.binary = filepath.Join(b.dir, "codeword")
	}
	return nil
}

// measure starts a server, prepares and times one workload, and stops it.
func (b *bench) measure(ctx context.Context, name string) (results []result, err error) {
	server, cleanUp, err := b.start(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() {
		b.progress("%s: server stopped in %v", name, server.Stop().Round(time.Millisecond))
		cleanUp()
	}()
	b.progress("%s: ready after %.1f ms", name, ms(server.Ready()))
	calls, err := newCaller(server.Env(), b.client, b.connections)
	if err != nil {
		return nil, err
	}
	defer calls.close()
	s := &session{bench: b, name: name, server: server, calls: calls}
	results, err = s.run(ctx)
	if alive := server.Alive(); alive != nil {
		err = errors.Join(err, alive)
	}
	return results, err
}

// session is one workload on one running server.
type session struct {
	*bench
	name   string
	server *fleet
	calls  *caller
	stored int
}

func (s *session) run(ctx context.Context) ([]result, error) {
	plain, err := s.calls.template(pathSend, "")
	if err != nil {
		return nil, err
	}
	if s.preload > 0 && s.name != workBare {
		if err := s.preloadNumbers(ctx, plain); err != nil {
			return nil, fmt.Errorf("preload: %w", err)
		}
	}
	workload, warm, err := s.prepare(ctx, plain)
	if err != nil {
		return nil, fmt.Errorf("preparation: %w", err)
	}
	if err := settle(ctx, s.server); err != nil {
		return nil, err
	}
	if s.warmup > 0 {
		if _, err := s.load(ctx, load.Config{Connections: s.connections, Workload: warm, Duration: s.warmup}); err != nil {
			return nil, err
		}
	}
	if s.rate > 0 {
		return s.timed(ctx, load.Config{Connections: s.rateConnections, Workload: workload, Duration: s.duration, Rate: s.rate})
	}
	closed, err := s.timed(ctx, load.Config{Connections: s.connections, Workload: workload, Duration: s.duration})
	if err != nil || s.factor == 0 {
		return closed, err
	}
	rate := max(int64(math.Round(closed[0].Throughput*s.factor)), 1)
	s.progress("%s: open loop at %d/s", s.name, rate)
	open, err := s.timed(ctx, load.Config{Connections: s.rateConnections, Workload: workload, Duration: s.duration, Rate: rate})
	return append(closed, open...), err
}

func (s *session) load(ctx context.Context, cfg load.Config) (*load.Stats, error) {
	var dialer net.Dialer
	cfg.Dial = func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", s.server.host()) }
	return load.Run(ctx, cfg)
}

// all runs a workload to its end, untimed, and demands a 200 for each request.
func (s *session) all(ctx context.Context, w load.Workload, n int, handle func(uint64, wire.Response) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(n)*2*time.Millisecond)
	defer cancel()
	stats, err := s.load(ctx, load.Config{Connections: s.connections, Workload: w, Handle: handle})
	if err != nil {
		return err
	}
	if stats.Status[200] != uint64(n) {
		return fmt.Errorf("%d of %d requests succeeded: %v, %d errors; first: %s", stats.Status[200], n, stats.Status, stats.Errors, stats.Sample)
	}
	return nil
}

func (s *session) preloadNumbers(ctx context.Context, plain *wire.Template) error {
	s.progress("%s: storing %d numbers", s.name, s.preload)
	began := time.Now()
	for s.stored < s.preload {
		n := min(s.preload-s.stored, 500_000)
		w, err := newSends(s.phones, int64(n), plain)
		if err != nil {
			return err
		}
		if err := s.all(ctx, w, n, nil); err != nil {
			return err
		}
		s.stored += n
		usage, err := s.server.Usage()
		if err != nil {
			return err
		}
		s.progress("%s: %d stored, %.0f/s so far, server memory %.0f MiB", s.name, s.stored,
			float64(s.stored)/time.Since(began).Seconds(), mib(usage.Resident))
	}
	return nil
}

// prepare makes the workload itself, with the sessions or codes it needs, and
// what to warm up with.
func (s *session) prepare(ctx context.Context, plain *wire.Template) (timed, warm load.Workload, err error) {
	switch s.name {
	case workSendBearer:
		timed, err = s.prepareBearers(ctx)
	case workAuthenticate:
		return s.prepareCodes(ctx, plain)
	default:
		timed, err = newSends(s.phones, math.MaxInt64, plain)
	}
	return timed, timed, err
}

// prepareBearers starts sessions, each with a number of its own.
func (s *session) prepareBearers(ctx context.Context) (load.Workload, error) {
	templates := make([]*wire.Template, s.bearers)
	for i := range templates {
		number := string(s.phones.Append(nil, s.phones.next.Add(1)-1))
		jwt, err := s.calls.session(ctx, number)
		if err != nil {
			return nil, err
		}
		if templates[i], err = s.calls.template(pathSend, jwt); err != nil {
			return nil, err
		}
	}
	return newSends(s.phones, math.MaxInt64, templates...)
}

// prepareCodes sends to new numbers and fetches their codes from the inbox. The
// warm-up has its share of them, so that it leaves enough.
func (s *session) prepareCodes(ctx context.Context, plain *wire.Template) (timed, warm load.Workload, err error) {
	whole := s.duration + s.warmup
	n := s.codes
	if n == 0 {
		n = int(expectedRate * whole.Seconds())
	}
	s.progress("%s: sending and fetching %d codes", s.name, n)
	template, err := s.calls.template(pathAuthenticate, "")
	if err != nil {
		return nil, nil, err
	}
	first := s.phones.next.Load()
	w, err := newSends(s.phones, int64(n), plain)
	if err != nil {
		return nil, nil, err
	}
	challenges := make([]challenge, n)
	err = s.all(ctx, w, n, func(id uint64, r wire.Response) error {
		if r.Status != 200 {
			return nil // counted, and reported at the end
		}
		var sent struct {
			PhoneID string `json:"phoneId"`
		}
		err := json.Unmarshal(r.Body, &sent)
		challenges[id-first].phoneID = sent.PhoneID
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if err := s.fetchCodes(ctx, first, challenges); err != nil {
		return nil, nil, err
	}
	share := int(float64(n) * s.warmup.Seconds() / whole.Seconds())
	return &authentications{template: template, challenges: challenges[share:]},
		&authentications{template: template, challenges: challenges[:share]}, nil
}

// fetchCodes fills in the codes, from as many connections as the load has.
func (s *session) fetchCodes(ctx context.Context, first uint64, challenges []challenge) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var group sync.WaitGroup
	for range s.connections {
		group.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1) - 1)
				if i >= len(challenges) {
					return
				}
				code, err := s.calls.code(ctx, string(s.phones.Append(nil, first+uint64(i))))
				if err != nil {
					cancel(err)
					return
				}
				challenges[i].code = code
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// timed is the phase that the figures are about. It returns one result, or none
// and an error.
func (s *session) timed(ctx context.Context, cfg load.Config) ([]result, error) {
	profiled := s.startProfile(ctx, cfg)
	serverBefore, err := s.server.Usage()
	if err != nil {
		return nil, err
	}
	ownBefore, err := target.ReadUsage(os.Getpid())
	if err != nil {
		return nil, err
	}
	engineBefore := s.engineCPU()
	stats, err := s.load(ctx, cfg)
	if err != nil {
		return nil, err
	}
	engine := s.engineCPU() - engineBefore
	serverAfter, err := s.server.Usage()
	if err != nil {
		return nil, err
	}
	ownAfter, err := target.ReadUsage(os.Getpid())
	if err != nil {
		return nil, err
	}
	if err := profiled(); err != nil {
		s.progress("%s: %v", s.name, err)
	}
	r := newResult(s.name, cfg, stats)
	r.Stored, r.ReadyMillis, r.Delivery = s.stored, ms(s.server.Ready()), s.delivery
	r.Nodes = s.nodes
	r.account(stats, serverBefore, serverAfter, ownAfter.CPU-ownBefore.CPU, engine)
	return []result{r}, nil
}

// startProfile begins to fetch a CPU profile when one is wanted; the function it
// returns waits for it.
func (s *session) startProfile(ctx context.Context, cfg load.Config) func() error {
	if s.profile == "" || s.calls.admin == "" {
		return func() error { return nil }
	}
	file := s.name + ".pprof"
	if cfg.Rate > 0 {
		file = s.name + "-open-loop.pprof"
	}
	done := make(chan error, 1)
	go func() { done <- s.saveProfile(ctx, filepath.Join(s.profile, file)) }()
	return func() error { return <-done }
}

func (s *session) saveProfile(ctx context.Context, path string) error {
	if err := os.MkdirAll(s.profile, 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(s.calls.cpuProfile(ctx, s.duration, f), f.Close())
}

// Command bench measures the service: it builds and starts a server of its own,
// loads it from many connections, and reports throughput, latency and what each
// request cost the server in CPU time by the kernel's accounting. A bare
// net/http handler can be measured the same way, so that every figure is a ratio
// on one machine. See README.md beside it for how to read the figures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The workloads.
const (
	workBare         = "bare"
	workSend         = "send"
	workSendBearer   = "send-bearer"
	workAuthenticate = "authenticate"
)

// options are the command line.
type options struct {
	workloads       []string
	connections     int
	duration        time.Duration
	warmup          time.Duration
	rate            int64   // arrivals a second, 0 for the closed loop
	factor          float64 // or a multiple of the measured capacity, 0 for none
	rateConnections int
	preload         int
	codes           int
	bearers         int
	client          string
	settings        string
	delivery        string
	seed            uint64
	binary          string
	serverArgs      []string
	database        string
	ephemeral       string
	engineProcesses []string
	nodes           int
	data            string
	tmp             string
	serverLog       string
	profile         string
	markdown        bool
	json            bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures every workload in turn, each on a fresh server, and prints the
// report. A workload in which a request failed is reported, then an error.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	opts, err := parseOptions(args, stderr)
	if err != nil {
		return err
	}
	b, err := newBench(ctx, opts, stderr)
	if err != nil {
		return err
	}
	defer b.cleanUp()
	rep := report{Machine: describeMachine(ctx, b.dir)}
	for _, name := range opts.workloads {
		results, err := b.measure(ctx, name)
		rep.Results = append(rep.Results, results...)
		if err != nil {
			_ = rep.write(stdout, opts)
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	rep.compare()
	if err := rep.write(stdout, opts); err != nil {
		return err
	}
	return rep.failures()
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	var workloads, rate, serverArgs, engineProcesses string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&workloads, "workload", "bare,send,send-bearer,authenticate", "what to measure, comma-separated")
	f.IntVar(&o.connections, "connections", 48, "connections of the closed loop")
	f.DurationVar(&o.duration, "duration", 5*time.Second, "timed phase of each workload")
	f.DurationVar(&o.warmup, "warmup", time.Second, "untimed load before it")
	f.StringVar(&rate, "rate", "", "open loop: arrivals a second, or a multiple of the measured capacity such as 3x")
	f.IntVar(&o.rateConnections, "rate-connections", 1024, "connections of the open loop")
	f.IntVar(&o.preload, "preload", 0, "numbers to send to before anything is timed")
	f.IntVar(&o.codes, "codes", 0, "codes to fetch for authenticate (0: enough for warm-up and duration at 15,000/s)")
	f.IntVar(&o.bearers, "bearers", 8, "sessions that send-bearer takes turns with")
	f.StringVar(&o.client, "client", "live", "which of dev's clients calls: live or test")
	f.StringVar(&o.delivery, "delivery", "off", "off excludes dispatch from the send workloads, on includes it")
	f.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "where in the number space to start")
	f.StringVar(&o.binary, "binary", "", "server program (default: build ./cmd/codeword)")
	f.StringVar(&serverArgs, "server-args", "", "further arguments for the server, space-separated")
	f.StringVar(&o.settings, "settings", "", "settings of the calling client to change before the load, as JSON")
	f.StringVar(&o.database, "database", "", "database of the server, as its flag takes it (default: a file in the data directory)")
	f.StringVar(&o.ephemeral, "ephemeral", "", "where the server keeps what expires, as its flag takes it")
	f.StringVar(&engineProcesses, "engine-processes", "", "names of programs whose CPU time counts as the engine's, comma-separated, such as postgres")
	f.IntVar(&o.nodes, "nodes", 1, "server processes on one database")
	f.StringVar(&o.data, "data", "", "data directory to use and keep (default: a fresh one for each workload)")
	f.StringVar(&o.tmp, "tmp", "", "where to make temporary directories; not on a tmpfs, where fsync is free")
	f.StringVar(&o.serverLog, "server-log", "", "file for the server's log (default: a temporary one)")
	f.StringVar(&o.profile, "profile", "", "directory for a CPU profile of each timed phase")
	f.BoolVar(&o.markdown, "markdown", false, "print a Markdown table")
	f.BoolVar(&o.json, "json", false, "print JSON")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.workloads, o.serverArgs = strings.Split(workloads, ","), strings.Fields(serverArgs)
	if engineProcesses != "" {
		o.engineProcesses = strings.Split(engineProcesses, ",")
	}
	return o, errors.Join(o.parseRate(rate), o.check(f.Args()))
}

func (o *options) parseRate(text string) error {
	if text == "" {
		return nil
	}
	var err error
	if factor, ok := strings.CutSuffix(text, "x"); ok {
		o.factor, err = strconv.ParseFloat(factor, 64)
	} else {
		o.rate, err = strconv.ParseInt(text, 10, 64)
	}
	if err != nil || !(o.factor > 0 && o.factor <= 100 || o.rate > 0 && o.rate <= 10_000_000) {
		return fmt.Errorf("-rate %q is neither a rate nor a multiple such as 3x", text)
	}
	return nil
}

// check reports everything that is wrong at once.
func (o *options) check(rest []string) error {
	var problems []error
	complain := func(bad bool, format string, args ...any) {
		if bad {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	known := []string{workBare, workSend, workSendBearer, workAuthenticate}
	for _, name := range o.workloads {
		complain(!slices.Contains(known, name), "-workload %q is none of %s", name, strings.Join(known, ", "))
	}
	complain(len(rest) > 0, "unexpected arguments %q", rest)
	complain(o.connections < 1 || o.connections > 20_000, "-connections %d is not in 1 to 20,000", o.connections)
	complain(o.rateConnections < 1 || o.rateConnections > 20_000, "-rate-connections %d is not in 1 to 20,000", o.rateConnections)
	complain(o.duration < 100*time.Millisecond || o.duration > time.Hour, "-duration %v is not in 100ms to 1h", o.duration)
	complain(o.warmup < 0 || o.warmup > time.Hour, "-warmup %v is not in 0s to 1h", o.warmup)
	complain(o.preload < 0 || o.preload > 100_000_000, "-preload %d is not in 0 to 100,000,000", o.preload)
	complain(o.codes < 0 || o.codes > 10_000_000, "-codes %d is not in 0 to 10,000,000", o.codes)
	complain(o.bearers < 1 || o.bearers > 10_000, "-bearers %d is not in 1 to 10,000", o.bearers)
	complain(o.client != "live" && o.client != "test", "-client %q is neither live nor test", o.client)
	complain(o.delivery != "on" && o.delivery != "off", "-delivery %q is neither on nor off", o.delivery)
	complain(o.nodes < 1 || o.nodes > 16, "-nodes %d is not in 1 to 16", o.nodes)
	onEngine := len(o.workloads)
	if slices.Contains(o.workloads, workBare) {
		onEngine--
	}
	complain(onEngine > 1 && o.database != "" && o.data == "", "-database takes one workload beside bare: each has a keyset of its own")
	complain(o.nodes > 1 && o.database == "", "-nodes needs -database: a file has one server")
	complain(o.markdown && o.json, "-markdown and -json exclude each other")
	return errors.Join(problems...)
}

package app

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	logFlushEvery = 100 * time.Millisecond
	logFlushSize  = 64 << 10
	logMost       = 4 << 20
)

// logWriter gathers log lines and writes them in large pieces: a system call
// per request would cost as much as the request's own work. Lines reach the
// output within logFlushEvery, and all of them at Close. When the output does
// not take them, lines are dropped and counted, since serving goes before
// logging.
type logWriter struct {
	out     io.Writer
	full    chan struct{}
	stop    chan struct{}
	stopped chan struct{}

	mu      sync.Mutex
	buf     []byte
	spare   []byte
	dropped int
}

func newLogWriter(out io.Writer) *logWriter {
	w := &logWriter{
		out: out, full: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}),
		buf: make([]byte, 0, 2*logFlushSize), spare: make([]byte, 0, 2*logFlushSize),
	}
	go w.loop()
	return w
}

func (w *logWriter) loop() {
	defer close(w.stopped)
	tick := time.NewTicker(logFlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.flush()
		case <-w.full:
			w.flush()
		case <-w.stop:
			w.flush()
			return
		}
	}
}

// Write takes one or more whole lines. It never waits for the output.
func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.buf)+len(p) > logMost {
		w.dropped++
		return len(p), nil
	}
	w.buf = append(w.buf, p...)
	if len(w.buf) >= logFlushSize {
		select {
		case w.full <- struct{}{}:
		default:
		}
	}
	return len(p), nil
}

// flush writes what was gathered, from one goroutine. A log that cannot be
// written is no reason to stop serving, and there is nowhere to report it.
func (w *logWriter) flush() {
	w.mu.Lock()
	lines, dropped := w.buf, w.dropped
	w.buf, w.spare, w.dropped = w.spare[:0], nil, 0
	w.mu.Unlock()
	if len(lines) > 0 {
		_, _ = w.out.Write(lines)
	}
	if dropped > 0 {
		_, _ = fmt.Fprintf(w.out, `{"level":"WARN","msg":"log lines were dropped: the output was too slow","count":%d}`+"\n", dropped)
	}
	w.mu.Lock()
	w.spare = lines
	w.mu.Unlock()
}

// Close writes the rest.
func (w *logWriter) Close() {
	close(w.stop)
	<-w.stopped
}

// newLogger logs JSON lines, or text on a terminal, unless told otherwise.
func newLogger(stderr io.Writer, format string, level slog.Level) (*slog.Logger, func()) {
	opts := &slog.HandlerOptions{Level: level}
	if format == "text" || format == "auto" && isTerminal(stderr) {
		return slog.New(slog.NewTextHandler(stderr, opts)), func() {}
	}
	w := newLogWriter(stderr)
	return slog.New(slog.NewJSONHandler(w, opts)), w.Close
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

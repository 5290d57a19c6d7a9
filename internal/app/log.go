package app

import (
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	logFlushEvery = 100 * time.Millisecond
	logFlushSize  = 64 << 10
)

// logWriter gathers log lines and writes them in large pieces: a system call
// per request would cost as much as the request's own work. Lines reach the
// output within logFlushEvery, and all of them at Close.
type logWriter struct {
	mu      sync.Mutex
	out     io.Writer
	buf     []byte
	stop    chan struct{}
	stopped chan struct{}
}

func newLogWriter(out io.Writer) *logWriter {
	w := &logWriter{out: out, buf: make([]byte, 0, 2*logFlushSize), stop: make(chan struct{}), stopped: make(chan struct{})}
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
			w.mu.Lock()
			w.flush()
			w.mu.Unlock()
		case <-w.stop:
			return
		}
	}
}

// Write takes one or more whole lines.
func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = append(w.buf, p...)
	if len(w.buf) >= logFlushSize {
		w.flush()
	}
	return len(p), nil
}

// flush writes what was gathered. A log that cannot be written is no reason to
// stop serving, and there is nowhere to report it.
func (w *logWriter) flush() {
	if len(w.buf) == 0 {
		return
	}
	_, _ = w.out.Write(w.buf)
	w.buf = w.buf[:0]
}

// Close writes the rest.
func (w *logWriter) Close() {
	close(w.stop)
	<-w.stopped
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
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

package app

import (
	"log" //nolint:depguard // what libraries print with it is taken here
	"log/slog"
	"strings"

	"golang.org/x/time/rate"
)

// libraryLog takes what libraries print with package log. net/http quotes there, up to
// 4 KiB of it, what a receiver of webhooks sends without having been asked. So it tells
// what happens up to the first quote, and of many lines a few.
type libraryLog struct {
	log   *slog.Logger
	lines *rate.Limiter
}

const (
	// maxLibraryLine bounds what is told of a line, in bytes.
	maxLibraryLine = 120
	// libraryLines is how many a second, and how many at once.
	libraryLines = 1
	libraryBurst = 5
)

// Write implements [io.Writer].
func (l *libraryLog) Write(line []byte) (int, error) {
	if l.lines.Allow() {
		text := string(line[:min(len(line), maxLibraryLine)])
		text, _, _ = strings.Cut(text, `"`)
		text, _, _ = strings.Cut(text, "\n")
		l.log.Warn("a library complains", "text", strings.TrimSpace(text))
	}
	return len(line), nil
}

// captureLibraries has libraries log to log until end is called.
func captureLibraries(to *slog.Logger) (end func()) {
	out, flags := log.Writer(), log.Flags()
	log.SetFlags(0)
	log.SetOutput(&libraryLog{log: to, lines: rate.NewLimiter(libraryLines, libraryBurst)})
	return func() {
		log.SetOutput(out)
		log.SetFlags(flags)
	}
}

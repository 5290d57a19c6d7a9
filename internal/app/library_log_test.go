package app

import (
	"bytes"
	"log" //nolint:depguard // what libraries print with it is taken here
	"log/slog"
	"strings"
	"testing"
)

// TestLibrariesQuoteNobody: what net/http prints of a receiver that says something
// without having been asked.
func TestLibrariesQuoteNobody(t *testing.T) { //nolint:paralleltest // package log is everybody's
	before, flags := log.Writer(), log.Flags()
	var out bytes.Buffer
	logger, flush := newLogger(&out, "json", slog.LevelInfo)
	end := captureLibraries(logger)
	for range 100 {
		log.Printf("Unsolicited response received on idle HTTP channel starting with %q; err=%v", strings.Repeat("EVIL\n", 700), "EVIL")
	}
	log.Print("\n")
	end()
	flush()
	got := out.String()
	if strings.Contains(got, "EVIL") || !strings.Contains(got, `"text":"Unsolicited response received on idle HTTP channel starting with"`) {
		t.Errorf("%s", got)
	}
	if n := strings.Count(got, "\n"); n < libraryBurst || n > libraryBurst+1 {
		t.Errorf("%d lines", n)
	}
	if log.Writer() != before || log.Flags() != flags {
		t.Error("package log is not as it was")
	}
}

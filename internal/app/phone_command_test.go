package app

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"codeword/internal/keyring"
	"codeword/internal/store"
	"codeword/internal/store/sqlite"
)

// TestPhoneMarksOfClientsThatCannotBeRead: whoever wants no messages does not wait until
// somebody has mended the settings of a client.
func TestPhoneMarksOfClientsThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	if err := keyring.Create(filepath.Join(dir, keysetFile), ring); err != nil {
		t.Fatal(err)
	}
	engine, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(dir, databaseFile)})
	if err != nil {
		t.Fatal(err)
	}
	row := store.Client{ID: "client-live-a", Name: "a", Live: true, CreatedAt: time.Now(), Revision: 1, Settings: []byte(`{"safeNumbers": ["+12065550199x"]}`)}
	if err := engine.CreateClient(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	if err := engine.Close(); err != nil {
		t.Fatal(err)
	}
	flags := phoneFlags{ledgerFlags: ledgerFlags{Data: dir}, Client: row.ID, Number: keptNumber}
	for name, c := range map[string]struct {
		command interface {
			Run(ctx context.Context, s streams) error
		}
		says string
	}{
		"opt-out": {&phoneOptOut{flags}, "has opted out"},
		"opt-in":  {&phoneOptIn{flags}, "not opted out any more"},
		"block":   {&phoneBlock{flags, time.Hour}, "is blocked until"},
		"unblock": {&phoneUnblock{flags}, "not blocked any more"},
	} {
		var out, log lockedBuffer
		if err := c.command.Run(t.Context(), streams{out: &out, err: &log}); err != nil || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: %v, %s", name, err, out.String())
		}
		if strings.Contains(log.String(), "2065550199") || !strings.Contains(log.String(), "safeNumbers") {
			t.Errorf("%s: it logs %s", name, log.String())
		}
	}
}

package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"codeword/internal/audit"
	"codeword/internal/audit/audittest"
	"codeword/internal/console"
	"codeword/internal/fault"
	"codeword/internal/keyring"
	"codeword/internal/phone"
	"codeword/internal/session"
	"codeword/internal/store"
	"codeword/internal/store/sqlite/sqlitetest"
)

// hostile is what would take over a terminal, or mislead who reads it.
const hostile = "\x1b[2J\x1b]0;owned\x07 \u009b31m \u202egnp \u2028 \U000e0041 \x7f\xff\t\r\n end"

// TestEventsAreHarmless prints events whose every text is hostile.
func TestEventsAreHarmless(t *testing.T) {
	t.Parallel()
	in, err := json.Marshal(map[string]string{"from": hostile})
	if err != nil {
		t.Fatal(err)
	}
	events := []console.EventView{}
	for _, data := range []string{string(in), `{"from": "` + hostile[7:] + `"}`, hostile, "", `["x"]`} {
		events = append(events, console.ViewEvent(&store.Event{
			At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Client: hostile, Kind: hostile, Actor: hostile, Data: []byte(data),
		}))
	}
	for _, asJSON := range []bool{false, true} {
		var out bytes.Buffer
		if err := (&eventsList{JSON: asJSON}).print(streams{out: &out}, events); err != nil {
			t.Fatal(err)
		}
		for _, r := range out.String() {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Fatalf("%U is in the output %q", r, out.String())
			}
		}
		if !asJSON {
			lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			if len(lines) != 1+len(events) || !strings.HasPrefix(lines[1], `2026-01-02T03:04:05Z  \u001b[2J`) || !strings.Contains(lines[1], `\udb40\udc41`) {
				t.Errorf("%q", lines)
			}
			continue
		}
		var read []struct {
			Kind string
			Data any
		}
		if err := json.Unmarshal(out.Bytes(), &read); err != nil || len(read) != len(events) {
			t.Fatalf("%s: %v", out.String(), err)
		}
		// It means the same, but for what is no UTF-8.
		want := strings.ToValidUTF8(hostile, "\ufffd")
		if data, _ := read[0].Data.(map[string]any); read[0].Kind != want || data["from"] != want {
			t.Errorf("%+v", read[0])
		}
	}
}

func TestEventsQuery(t *testing.T) {
	t.Parallel()
	id := store.NewEventID()
	q, err := (&eventsList{Client: "c", Kind: "guard.", Limit: 500, Before: id.String()}).query()
	if want := (store.EventQuery{Client: "c", Kind: "guard.", Limit: 500, Before: id}); err != nil || q != want {
		t.Errorf("%+v, %v", q, err)
	}
	for want, c := range map[string]eventsList{
		"limit":   {},
		"limit: ": {Limit: 501},
		"kind":    {Limit: 1, Kind: "Guard"},
		"before":  {Limit: 1, Before: "x"},
	} {
		if _, err := c.query(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestKeysetNotRecordedNotReplaced: the keyset stays as it is while the ledger takes
// no entry.
func TestKeysetNotRecordedNotReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keyset.json")
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	if err := keyring.Create(path, ring); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	next, err := ring.Rotate(keyring.Code)
	if err != nil {
		t.Fatal(err)
	}
	log := &audittest.Log{Behind: sqlitetest.New(t)}
	l := &ledger{audit: log.Trail(time.Now), actor: audittest.Operator}
	data := session.KeyData{Purpose: "code", Key: primary(next, keyring.Code)}
	log.Fail(fault.New(fault.Unavailable, "down"), 0)
	if err := l.replaceKeyset(t.Context(), path, next, session.EventRotate, data); !fault.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the keyset was replaced (%v)", err)
	}
	log.Fail(nil, 0)
	if err := l.replaceKeyset(t.Context(), path, next, session.EventRotate, data); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(path); err != nil || bytes.Equal(after, before) {
		t.Errorf("the keyset was not replaced (%v)", err)
	}
	// A file that cannot be written may have been, for all that is known.
	if err := l.replaceKeyset(t.Context(), filepath.Join(path, "x"), next, session.EventRotate, data); err == nil {
		t.Error("written beneath a file")
	}
	got := log.Take()
	if len(got) != 3 || string(got[0].Data) != `{"purpose":"code","key":"`+data.Key+`"}` || data.Key == "" ||
		string(got[2].Data) != `{"entry":"`+got[1].ID.String()+`","outcome":"unknown"}` {
		t.Errorf("%s", got)
	}
}

// TestDocumentsAreRecorded: what a command stores for all nodes is recorded with its
// revision, and not stored when that fails.
func TestDocumentsAreRecorded(t *testing.T) {
	t.Parallel()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	st := sqlitetest.New(t)
	log := &audittest.Log{Behind: st}
	l := &ledger{store: sqliteEngine{st}, ring: ring, audit: log.Trail(time.Now), actor: audittest.Operator}
	n := parseNumber(t, "+16502541234")
	docs := l.recorded(eventOverride, map[string]any{"lastDigits": n.Mask(), "type": "mobile"})
	log.Fail(fault.New(fault.Unavailable, "down"), 0)
	if err := override(t.Context(), docs, ring, n, phone.LineMobile, time.Now()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
	if d, err := st.Document(t.Context(), overridesDocument, 0); err != nil || d.Revision != 0 {
		t.Errorf("stored revision %d, %v", d.Revision, err)
	}
	log.Fail(nil, 0)
	if err := override(t.Context(), docs, ring, n, phone.LineMobile, time.Now()); err != nil {
		t.Fatal(err)
	}
	got := log.Take()
	if len(got) != 1 || got[0].Kind != "numberplan.override" || got[0].Actor != audittest.Operator ||
		string(got[0].Data) != `{"lastDigits":"1234","revision":1,"type":"mobile"}` {
		t.Errorf("%s", got)
	}
}

// pastCounter counts how often it forgot.
type pastCounter struct {
	forgot int
	err    error
}

func (p *pastCounter) ForgetEphemeral(context.Context, time.Time) error { p.forgot++; return p.err }

func TestForgetIsRecorded(t *testing.T) {
	t.Parallel()
	log, past := &audittest.Log{}, &pastCounter{}
	e := audit.Entry{Actor: audittest.Operator, Kind: eventForget}
	log.Fail(fault.New(fault.Unavailable, "down"), 0)
	if err := forget(t.Context(), past, log.Trail(time.Now), e); !fault.Is(err, fault.Unavailable) || past.forgot != 0 {
		t.Errorf("forgot %d times, %v", past.forgot, err)
	}
	log.Fail(nil, 0)
	past.err = fault.New(fault.Unavailable, "in the middle of it")
	if err := forget(t.Context(), past, log.Trail(time.Now), e); !fault.Is(err, fault.Unavailable) || past.forgot != 1 {
		t.Errorf("forgot %d times, %v", past.forgot, err)
	}
	got := log.Take()
	if len(got) != 2 || got[0].Kind != "ledger.forget" || !strings.Contains(string(got[1].Data), `"outcome":"unknown"`) {
		t.Errorf("%s", got)
	}
}

func TestOperator(t *testing.T) {
	name := account()
	if name == "" {
		t.Fatal("nobody")
	}
	t.Setenv("USER", "somebody-else")
	for sudo, want := range map[string]string{"": "cli:" + name, name: "cli:" + name, "ann": "cli:" + name + " sudo:ann"} {
		t.Setenv("SUDO_USER", sudo)
		if got := operator(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestDevSeedsAsTheService: what an instance makes for itself is recorded, once.
func TestDevSeedsAsTheService(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 2 {
		d, err := StartDev(t.Context(), DevConfig{Data: dir, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		events, err := d.node.store.Events(t.Context(), store.EventQuery{Limit: 10})
		if err := errors.Join(err, d.Close()); err != nil {
			t.Fatal(err)
		}
		if len(events) != 2 || events[0].Kind != "client.create" || events[0].Actor != audit.Service || events[0].Client != d.LiveClientID ||
			events[1].Client != d.TestClientID || strings.Contains(string(events[0].Data), d.LiveClientSecret) {
			t.Errorf("%s", events)
		}
	}
}

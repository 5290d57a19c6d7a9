package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/fault"
	"codeword/internal/keyring"
	"codeword/internal/phone"
	"codeword/internal/phone/lookup"
	"codeword/internal/phone/lookup/lineplan"
	"codeword/internal/store"
)

// shelf keeps documents as an engine does.
type shelf struct {
	mu   sync.Mutex
	docs map[string]store.Document
	// fails is what reading says; before runs ahead of each write.
	fails  error
	before func()
	// bodies counts those that were read.
	bodies int
}

func (s *shelf) Document(_ context.Context, name string, known int64) (store.Document, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil {
		return store.Document{}, s.fails
	}
	d := s.docs[name]
	if d.Revision == known {
		d.Body = nil
	}
	if d.Body != nil {
		s.bodies++
	}
	return d, nil
}

func (s *shelf) PutDocument(_ context.Context, d store.Document) error {
	if s.before != nil {
		s.before()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.Revision != s.docs[d.Name].Revision+1 {
		return fault.New(fault.Conflict, "the document was changed by somebody else")
	}
	s.docs[d.Name] = d
	return nil
}

// put stores a body as the next revision.
func (s *shelf) put(name string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.docs[name] = store.Document{Name: name, Revision: s.docs[name].Revision + 1, Body: body}
}

func newShelf() *shelf { return &shelf{docs: make(map[string]store.Document)} }

// mobileNumber is of a block that the imported table has as mobile, and the embedded one
// as a landline's.
const mobileNumber = "+16502530000"

// smallPlan is a plan of one block.
func smallPlan(t *testing.T) *lineplan.Built {
	t.Helper()
	var plan lineplan.Plan
	if err := plan.AddBlock(650, 253, 0, "Cellco Partnership dba Verizon Wireless - CA"); err != nil {
		t.Fatal(err)
	}
	built, err := plan.Build(time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func planBody(t *testing.T) []byte {
	t.Helper()
	body, err := smallPlan(t).Document()
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func parseNumber(t *testing.T, text string) phone.Number {
	t.Helper()
	n, err := phone.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func newRing(t *testing.T) *keyring.Ring {
	t.Helper()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// TestLinePlanFollows: a node takes what is stored within a minute, and nothing that it
// cannot use.
func TestLinePlanFollows(t *testing.T) {
	body, ring := planBody(t), newRing(t)
	synctest.Test(t, func(t *testing.T) {
		docs := newShelf()
		var log strings.Builder
		p := &linePlan{docs: docs, keys: ring, lines: new(lookup.Lines), log: slog.New(slog.NewTextHandler(&log, nil))}
		docs.put(planDocument, body)
		if err := p.load(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = p.run(ctx)
		}()
		n := parseNumber(t, mobileNumber)
		expect := func(why string, want phone.LineType, logged string) {
			t.Helper()
			time.Sleep(time.Minute)
			synctest.Wait()
			if got, err := p.lines.LineType(ctx, n); err != nil || got != want {
				t.Errorf("%s: it is %s, %v; want %s", why, got, err, want)
			}
			if strings.Count(log.String(), logged) != 1 {
				t.Errorf("%s: %q is not once in the log:\n%s", why, logged, log.String())
			}
			log.Reset()
		}
		expect("at the start", phone.LineMobile, "table=imported table_date=2025-06-01")
		docs.put(planDocument, body[:100])
		expect("damaged", phone.LineMobile, "level=ERROR")
		docs.put(planDocument, slices.Concat(body[:7], []byte{9}, body[8:]))
		expect("of a newer version", phone.LineMobile, "newer version of codeword")
		docs.put(planDocument, lineplan.EmbeddedDocument())
		expect("reset", phone.LineLandline, "table=embedded")
		docs.put(planDocument, body)
		expect("imported", phone.LineMobile, "table=imported")
		docs.put(overridesDocument, []byte("{"))
		expect("damaged overrides", phone.LineMobile, "overrides of single numbers cannot be used")
		if err := override(ctx, docs, ring, n, phone.LineLandline, time.Now()); err == nil {
			t.Error("damaged overrides were changed")
		}
		docs.put(overridesDocument, []byte(`{"version": 1}`))
		if err := override(ctx, docs, ring, n, phone.LineNonFixedVoIP, time.Now()); err != nil {
			t.Fatal(err)
		}
		expect("overridden", phone.LineNonFixedVoIP, "")
		docs.mu.Lock()
		delete(docs.docs, planDocument)
		delete(docs.docs, overridesDocument)
		docs.mu.Unlock()
		expect("a database of before", phone.LineLandline, "table=embedded")
		read := docs.bodies
		time.Sleep(time.Hour)
		if docs.bodies != read {
			t.Error("bodies are read again and again")
		}
		docs.mu.Lock()
		docs.fails = errors.New("down")
		docs.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if !strings.Contains(log.String(), "down") {
			t.Error("a failure is not logged")
		}
		stop()
		<-ended
	})
}

// TestLinePlanStart: what is stored but damaged ends no start; a store that fails does.
func TestLinePlanStart(t *testing.T) {
	t.Parallel()
	docs := newShelf()
	docs.put(planDocument, []byte("CWPLAN, damaged"))
	p := &linePlan{docs: docs, keys: newRing(t), lines: new(lookup.Lines), log: slog.New(slog.DiscardHandler)}
	if err := p.load(t.Context()); err != nil || p.lines.Table() != lookup.Embedded() {
		t.Errorf("damaged: %v", err)
	}
	docs.fails = errors.New("down")
	if err := p.load(t.Context()); err == nil {
		t.Error("the store failed, and nobody was told")
	}
}

// TestPutPlan: an import that another overtakes is judged again, once.
func TestPutPlan(t *testing.T) {
	t.Parallel()
	body := planBody(t)
	put := func(docs *shelf, newer bool) (int64, int, error) {
		judged := 0
		revision, err := putPlan(t.Context(), docs, body, time.Now(), newer, func(lineplan.Document) error {
			judged++
			return nil
		})
		return revision, judged, err
	}
	docs := newShelf()
	if revision, judged, err := put(docs, false); revision != 1 || judged != 1 || err != nil {
		t.Errorf("first: %d, %d, %v", revision, judged, err)
	}
	overtakes := 1
	docs.before = func() {
		if overtakes > 0 {
			overtakes--
			docs.put(planDocument, lineplan.EmbeddedDocument())
		}
	}
	if revision, judged, err := put(docs, false); revision != 3 || judged != 2 || err != nil {
		t.Errorf("overtaken: %d, %d, %v", revision, judged, err)
	}
	overtakes = 2
	if _, _, err := put(docs, false); !fault.Is(err, fault.Conflict) || docs.docs[planDocument].Revision != 5 {
		t.Errorf("overtaken twice: %v", err)
	}
	if _, err := putPlan(t.Context(), docs, body, time.Now(), false, func(lineplan.Document) error { return errNotReady }); !errors.Is(err, errNotReady) || docs.docs[planDocument].Revision != 5 {
		t.Errorf("not plausible: %v", err)
	}
	docs.put(planDocument, []byte("damaged"))
	if _, _, err := put(docs, false); err != nil {
		t.Errorf("over a damaged one: %v", err)
	}
	docs.put(planDocument, []byte("CWPLAN\x00\x09"))
	if _, _, err := put(docs, false); !errors.Is(err, lineplan.ErrNewer) || !strings.Contains(err.Error(), "--force") {
		t.Errorf("over a newer one: %v", err)
	}
	if _, _, err := put(docs, true); err != nil {
		t.Errorf("over a newer one by force: %v", err)
	}
	docs.fails = errors.New("down")
	if _, _, err := put(docs, false); err == nil {
		t.Error("the store is down")
	}
}

func TestPlausible(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		known, before int
		want          bool
	}{{1, 0, false}, {199_999, 0, false}, {200_000, 200_000, true}, {700_001, 1_000_000, true}, {699_999, 1_000_000, false}, {2_000_000, 850_000, true}} {
		if m := (summary{known: c.known, before: c.before}); (m.plausible() == nil) != c.want {
			t.Errorf("%+v: %v", c, m.plausible())
		}
	}
	m := summarize(smallPlan(t), lookup.Embedded())
	var out bytes.Buffer
	if err := m.print(&out, 7); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2025-06-01", "blocks          1\n", "mobile          1\n", " 0 new, 852428 gone, 1 of another type", "revision 7"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
}

// TestImportFiles: one file that is not good, and there is no table.
func TestImportFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	row := func(x int, date string) string {
		return fmt.Sprintf("West,CA,650,253,%d,AS,,,,,,,VERIZON WIRELESS,1,%s\n", x, date)
	}
	good, undated, damaged := file("good", row(1, "05/20/2025")), file("undated", row(1, "")), file("damaged", row(1, "")+row(10, ""))
	for name, c := range map[string]struct {
		cmd  numberplanImport
		want string
	}{
		"damaged":      {numberplanImport{Files: []string{good, damaged}}, damaged + ":2: column 5"},
		"missing":      {numberplanImport{Files: []string{good, filepath.Join(dir, "none")}}, "no such file"},
		"a directory":  {numberplanImport{Files: []string{dir}}, "not a file"},
		"undated":      {numberplanImport{Files: []string{undated}}, "date: required"},
		"odd date":     {numberplanImport{Files: []string{good}, Date: "yesterday"}, "date: "},
		"a later date": {numberplanImport{Files: []string{good}, Date: "2055-01-01"}, "date: "},
	} {
		if built, err := c.cmd.build(time.Now()); built != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	dated := numberplanImport{Files: []string{undated}, Date: "2025-02-03"}
	built, err := dated.build(time.Now())
	if err != nil || built.Table.Date().Format(time.DateOnly) != "2025-02-03" {
		t.Errorf("dated: %v", err)
	}
}

package storetest

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

func documentChecks() []check {
	return []check{
		{name: "revision after revision", run: documentRevisions},
		{name: "who knows the revision gets no body", run: documentKnown},
		{name: "a revision that does not follow changes nothing", run: documentConflict},
		{name: "bodies of any size, up to 8 MiB", run: documentBodies},
		{name: "nothing in a name is special, and there is one", run: documentNames},
		{name: "of those who write at once one wins each revision", run: documentRace},
	}
}

// document checks what is stored.
func (s *suite) document(t *testing.T, want store.Document) {
	t.Helper()
	got, err := s.Document(t.Context(), want.Name, 0)
	ok(t, "Document", err)
	if got.Name != want.Name || got.Revision != want.Revision || !got.UpdatedAt.Equal(want.UpdatedAt) || !bytes.Equal(got.Body, want.Body) {
		t.Errorf("document %q: revision %d of %v with %d bytes, want revision %d of %v with %d bytes", want.Name,
			got.Revision, got.UpdatedAt, len(got.Body), want.Revision, want.UpdatedAt, len(want.Body))
	}
}

func documentRevisions(t *testing.T, s *suite) {
	if got, err := s.Document(t.Context(), "revisions", 7); err != nil || got.Name != "" || got.Revision != 0 || got.Body != nil {
		t.Errorf("a document that never was: %+v, %v", got, err)
	}
	other := store.Document{Name: "another", Revision: 1, UpdatedAt: at(0), Body: []byte("another")}
	ok(t, "PutDocument", s.PutDocument(t.Context(), other))
	for i := range int64(5) {
		d := store.Document{Name: "revisions", Revision: i + 1, UpdatedAt: at(time.Duration(i) * time.Hour), Body: fmt.Append(nil, "body ", i)}
		ok(t, "PutDocument", s.PutDocument(t.Context(), d))
		s.document(t, d)
	}
	s.document(t, other)
}

func documentKnown(t *testing.T, s *suite) {
	d := store.Document{Name: "known", Revision: 1, UpdatedAt: at(time.Hour), Body: []byte("body")}
	ok(t, "PutDocument", s.PutDocument(t.Context(), d))
	for known, body := range map[int64]string{-1: "body", 0: "body", 1: "", 2: "body"} {
		got, err := s.Document(t.Context(), d.Name, known)
		ok(t, "Document", err)
		if got.Name != d.Name || got.Revision != 1 || !got.UpdatedAt.Equal(d.UpdatedAt) || string(got.Body) != body {
			t.Errorf("known %d: %+v", known, got)
		}
		if known == 1 && got.Body != nil {
			t.Error("the body is not nil")
		}
	}
}

func documentConflict(t *testing.T, s *suite) {
	d := store.Document{Name: "conflict", Revision: 2, UpdatedAt: at(0), Body: []byte("body")}
	refuse := func(revisions ...int64) {
		t.Helper()
		for _, r := range revisions {
			wrong := store.Document{Name: d.Name, Revision: r, UpdatedAt: at(time.Hour), Body: []byte("wrong")}
			refusal(t, fmt.Sprint("revision ", r), s.PutDocument(t.Context(), wrong), fault.Conflict)
		}
	}
	refuse(-1, 0, 2, 3)
	if got, err := s.Document(t.Context(), d.Name, 0); err != nil || got.Revision != 0 {
		t.Errorf("a refused revision was stored: %+v, %v", got, err)
	}
	for r := range int64(2) {
		d.Revision = r + 1
		ok(t, "PutDocument", s.PutDocument(t.Context(), d))
	}
	refuse(-1, 0, 1, 2, 4, 1<<40)
	s.document(t, d)
}

func documentBodies(t *testing.T, s *suite) {
	large := make([]byte, 8<<20+1)
	_, _ = rand.Read(large) // never fails
	d := store.Document{Name: "bodies", UpdatedAt: at(0)}
	for _, body := range [][]byte{nil, {}, {0, 0xff}, large[:1<<20], large[:8<<20], []byte("small")} {
		d.Revision++
		d.Body = body
		ok(t, "PutDocument", s.PutDocument(t.Context(), d))
		s.document(t, d)
	}
	tooLarge := d
	tooLarge.Revision, tooLarge.Body = d.Revision+1, large
	refusal(t, "PutDocument", s.PutDocument(t.Context(), tooLarge), fault.Internal)
	s.document(t, d)
}

func documentNames(t *testing.T, s *suite) {
	refusal(t, "PutDocument", s.PutDocument(t.Context(), store.Document{Revision: 1}), fault.Internal)
	var all []store.Document
	for i, name := range hostile[1:] {
		d := store.Document{Name: name, Revision: 1, UpdatedAt: at(time.Duration(i) * time.Second), Body: []byte(name)}
		ok(t, "PutDocument", s.PutDocument(t.Context(), d))
		all = append(all, d)
	}
	for _, d := range all {
		s.document(t, d)
	}
}

func documentRace(t *testing.T, s *suite) {
	const writers, revisions = 8, 15
	var wins [revisions + 1]atomic.Int64
	var bodies [revisions + 1]atomic.Pointer[string]
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for r := int64(1); r <= revisions; r++ {
				body := fmt.Sprint("of ", w)
				err := s.PutDocument(t.Context(), store.Document{Name: "race", Revision: r, UpdatedAt: at(0), Body: []byte(body)})
				switch {
				case err == nil:
					wins[r].Add(1)
					bodies[r].Store(&body)
				case !fault.Is(err, fault.Conflict):
					t.Errorf("PutDocument: %v", err)
				}
				if d, err := s.Document(t.Context(), "race", 0); err != nil || d.Revision < r {
					t.Errorf("revision %d after %d was written, %v", d.Revision, r, err)
				}
			}
		})
	}
	all.Wait()
	for r := 1; r <= revisions; r++ {
		if n := wins[r].Load(); n != 1 {
			t.Errorf("%d writers won revision %d", n, r)
		}
	}
	d, err := s.Document(t.Context(), "race", 0)
	ok(t, "Document", err)
	if want := bodies[revisions].Load(); d.Revision != revisions || want == nil || string(d.Body) != *want {
		t.Errorf("at last revision %d, %q", d.Revision, d.Body)
	}
}

package webhook

import (
	"context"
	"strings"
	"testing"
	"time"

	"codeword/internal/audit"
	"codeword/internal/fault"
	"codeword/internal/store"
)

// TestUpdateTellsBeforeAndAfter in the trail, and of a URL the host alone.
func TestUpdateTellsBeforeAndAfter(t *testing.T) {
	b := newBed(t, nil, time.Now)
	e, _, err := b.registry.Create(t.Context(), "alice", client, "https://one.example/a-secret", []string{"message.sent"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		url   string
		kinds []string
		want  string
	}{
		{"https://two.example/b-secret", nil, `"changes":{"url":{"from":"one.example","to":"two.example"}}`},
		{"https://two.example/c-secret", nil, `"changes":{"url":{"from":"two.example","to":"two.example"}}`},
		{"", []string{"message.failed"}, `"changes":{"kinds":{"from":["message.sent"],"to":["message.failed"]}}`},
		{"https://two.example/c-secret", []string{"message.failed"}, ``},
	} {
		if _, err := b.registry.Update(t.Context(), "alice", e.ID, c.url, c.kinds); err != nil {
			t.Fatal(err)
		}
		events := b.trail.Take()
		last := events[len(events)-1]
		data := string(last.Data)
		if last.Kind != EventUpdate || last.Actor != "alice" || !strings.Contains(data, c.want) || strings.Contains(data, "secret") ||
			c.want == "" && strings.Contains(data, "changes") {
			t.Errorf("%s %s, want %s", last.Kind, data, c.want)
		}
	}
}

// TestRevisions: each change counts, one that is for another revision is none, and an
// endpoint of earlier versions, which had none, begins with the first.
func TestRevisions(t *testing.T) {
	mem := newMemory()
	id := store.NewEndpointID()
	body := []byte(`[{"ID":"` + id.String() + `","URL":"https://old.example/","Secrets":[{"Sealed":"AA==","CreatedAt":"2026-01-02T03:04:05Z"}]}]`)
	if err := mem.PutDocument(t.Context(), store.Document{Name: document, Revision: 1, Body: body}); err != nil {
		t.Fatal(err)
	}
	r := newBed(t, mem, time.Now).registry
	seen := func(want int64) {
		t.Helper()
		if e, err := r.Find(t.Context(), id); err != nil || e.Revision != want {
			t.Errorf("revision %d, want %d; %v", e.Revision, want, err)
		}
	}
	seen(1)
	changes := []func(Seen) error{
		func(s Seen) error {
			_, err := s.Update(t.Context(), "ann", id, "https://new.example/", nil)
			return err
		},
		func(s Seen) error { _, err := s.Disable(t.Context(), audit.Service, id, ReasonGone); return err },
		func(s Seen) error { _, err := s.Enable(t.Context(), "ann", id); return err },
		func(s Seen) error { _, err := s.StartRotation(t.Context(), "ann", id); return err },
		func(s Seen) error { return s.CancelRotation(t.Context(), "ann", id) },
		func(s Seen) error { _, err := s.StartRotation(t.Context(), "ann", id); return err },
		func(s Seen) error { return s.FinishRotation(t.Context(), "ann", id) },
		func(s Seen) error { return s.Delete(t.Context(), "ann", id) },
	}
	for i, change := range changes {
		now := int64(i + 1)
		for _, other := range []int64{now - 1, now + 1, -1} {
			if other == Any {
				continue
			}
			if err := change(r.Seen(other)); !fault.Is(err, fault.Conflict) {
				t.Errorf("change %d of revision %d: %v", i, other, err)
			}
			seen(now)
		}
		if err := change(r.Seen(now)); err != nil {
			t.Errorf("change %d: %v", i, err)
		}
		if i < len(changes)-1 {
			seen(now + 1)
		}
	}
	if all, err := r.List(t.Context(), ""); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

// contested is a ledger in which somebody else changes the endpoints whenever one is about
// to, as often as that.
type contested struct {
	*memory
	other func()
	times int
}

func (c *contested) PutDocument(ctx context.Context, d store.Document) error {
	if c.times > 0 {
		c.times--
		c.other()
	}
	return c.memory.PutDocument(ctx, d)
}

// TestTwoChange: of two operators who change the endpoints at once neither's change is
// lost, and who is always overtaken hears of it.
func TestTwoChange(t *testing.T) {
	t.Parallel()
	for times, want := range map[int]bool{0: true, 1: true, 5: true, 100: false} {
		mem := newMemory()
		other := newBed(t, mem, time.Now)
		b := newBed(t, &contested{memory: mem, times: times, other: func() {
			if _, _, err := other.registry.Create(t.Context(), "bob", store.NewEventID().String(), "https://example.com/", nil); err != nil {
				t.Error(err)
			}
		}}, time.Now)
		e, _, err := b.registry.Create(t.Context(), "alice", client, "https://example.com/", nil)
		if (err == nil) != want || !want && !fault.Is(err, fault.Conflict) {
			t.Errorf("overtaken %d times: %v", times, err)
		}
		if !want {
			continue
		}
		all, err := other.registry.List(t.Context(), "")
		if err != nil || len(all) != times+1 || all[times].ID != e.ID {
			t.Errorf("overtaken %d times: %d endpoints, %v", times, len(all), err)
		}
	}
}

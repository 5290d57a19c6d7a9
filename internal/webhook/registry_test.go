package webhook

import (
	"context"
	"strings"
	"testing"
	"time"

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

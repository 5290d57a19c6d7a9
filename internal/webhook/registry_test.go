package webhook

import (
	"strings"
	"testing"
	"time"
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

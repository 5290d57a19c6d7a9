package webhook

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
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

// TestRevisionsBesideAnEarlierVersion: a node that knows of no revisions drops them all when
// it writes; what was seen before that is not taken for what there is then.
func TestRevisionsBesideAnEarlierVersion(t *testing.T) {
	mem := newMemory()
	r := newBed(t, mem, time.Now).registry
	e, _, err := r.Create(t.Context(), "ann", client, "https://old.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := mem.Document(t.Context(), document, 0)
	if err != nil {
		t.Fatal(err)
	}
	d.Revision++
	d.Body = regexp.MustCompile(`"Revision":\d+,`).ReplaceAll(d.Body, nil)
	if err := mem.PutDocument(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Seen(e.Revision).Update(t.Context(), "ann", e.ID, "https://new.example/", nil); !fault.Is(err, fault.Conflict) {
		t.Errorf("a change of what was seen before: %v", err)
	}
	now, err := r.Find(t.Context(), e.ID)
	if err != nil || now.Revision <= e.Revision || now.URL != "https://old.example/" {
		t.Fatalf("%+v, %v", now, err)
	}
	if _, err := r.Seen(now.Revision).Update(t.Context(), "ann", e.ID, "https://new.example/", nil); err != nil {
		t.Error(err)
	}
}

// TestDisabledOnce: of two nodes that find that an endpoint has gone one disables it, and
// neither one that somebody has mended meanwhile.
func TestDisabledOnce(t *testing.T) {
	for name, meanwhile := range map[string]func(other *bed, id store.EndpointID) error{
		"another node": func(other *bed, id store.EndpointID) error {
			other.loop.judge(other.t.Context(), &store.WebhookOutcome{Endpoint: id, State: store.DeliveryFailed, Status: http.StatusGone})
			return nil
		},
		"an operator": func(other *bed, id store.EndpointID) error {
			_, err := other.registry.Update(other.t.Context(), "ann", id, "https://mended.example/", nil)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			mem := newMemory()
			other := newBed(t, mem, time.Now)
			e, _, err := other.registry.Create(t.Context(), "ann", client, "https://gone.example/", nil)
			if err != nil {
				t.Fatal(err)
			}
			b := newBed(t, &contested{memory: mem, times: 1, other: func() {
				if err := meanwhile(other, e.ID); err != nil {
					t.Error(err)
				}
			}}, time.Now)
			b.loop.judge(t.Context(), &store.WebhookOutcome{Endpoint: e.ID, State: store.DeliveryFailed, Status: http.StatusGone})
			now, err := b.registry.Find(t.Context(), e.ID)
			if err != nil || now.Revision != 2 || now.Enabled() != (name == "an operator") {
				t.Errorf("%+v, %v", now, err)
			}
		})
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

// TestSeenOvertaken: somebody else is faster between the look at an endpoint and the write. A
// change for the revision that was seen is refused when that endpoint has another one now,
// and made when it was some other endpoint; one for any revision loses nothing of either.
func TestSeenOvertaken(t *testing.T) {
	t.Parallel()
	kinds := []string{"message.sent"}
	const ours = "https://ours.example/"
	update := func(s Seen, id store.EndpointID) error {
		_, err := s.Update(t.Context(), "ann", id, ours, nil)
		return err
	}
	remove := func(s Seen, id store.EndpointID) error { return s.Delete(t.Context(), "ann", id) }
	narrow := func(r *Registry, id, _ store.EndpointID) error {
		_, err := r.Update(t.Context(), "bob", id, "", kinds)
		return err
	}
	disable := func(r *Registry, id, _ store.EndpointID) error {
		_, err := r.Disable(t.Context(), audit.Service, id, ReasonFailing)
		return err
	}
	for name, c := range map[string]struct {
		other    func(r *Registry, id, beside store.EndpointID) error
		revision int64
		change   func(Seen, store.EndpointID) error
		refused  fault.Kind
		want     string // what is left of the endpoint
	}{
		"seen":              {narrow, 1, update, fault.Conflict, "2 first.example [message.sent] true"},
		"disabled":          {disable, 1, update, fault.Conflict, "2 first.example [] false"},
		"any":               {narrow, Any, update, 0, "3 ours.example [message.sent] true"},
		"any, disabled":     {disable, Any, update, 0, "3 ours.example [] false"},
		"delete":            {narrow, 1, remove, fault.Conflict, "2 first.example [message.sent] true"},
		"delete any":        {narrow, Any, remove, 0, ""},
		"another endpoint":  {func(r *Registry, _, beside store.EndpointID) error { return update(r.Seen(1), beside) }, 1, update, 0, "2 ours.example [] true"},
		"deleted meanwhile": {func(r *Registry, id, _ store.EndpointID) error { return remove(r.Seen(1), id) }, 1, update, fault.NotFound, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem := newMemory()
			bob := newBed(t, mem, time.Now).registry
			var made [2]Endpoint
			for i := range made {
				var err error
				if made[i], _, err = bob.Create(t.Context(), "bob", client, "https://first.example/", nil); err != nil {
					t.Fatal(err)
				}
			}
			id := made[0].ID
			ann := newBed(t, &contested{memory: mem, times: 1, other: func() {
				if err := c.other(bob, id, made[1].ID); err != nil {
					t.Error(err)
				}
			}}, time.Now).registry
			if err := c.change(ann.Seen(c.revision), id); (err != nil) != (c.refused != 0) || err != nil && !fault.Is(err, c.refused) {
				t.Errorf("%v", err)
			}
			var got string
			if e, err := bob.Find(t.Context(), id); err == nil {
				got = fmt.Sprint(e.Revision, " ", host(e.URL), " ", e.Kinds, " ", e.Enabled())
			}
			if got != c.want {
				t.Errorf("it is %q, want %q", got, c.want)
			}
		})
	}
}

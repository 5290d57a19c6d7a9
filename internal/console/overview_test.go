package console_test

import (
	"fmt"
	"strings"
	"testing"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// TestLatestEvents: the overview shows five events without logins, and their data folded.
func TestLatestEvents(t *testing.T) {
	const login = "console.login"
	kinds := func(n int, kind string) (out []string) {
		for i := range n {
			out = append(out, strings.ReplaceAll(kind, "#", fmt.Sprint(i)))
		}
		return out
	}
	for name, c := range map[string]struct {
		kinds []string // oldest first
		want  string
	}{
		"none":              {nil, ""},
		"logins alone":      {kinds(300, login), ""},
		"few":               {[]string{"a", login, "b"}, "b a"},
		"many":              {kinds(9, "kind_#"), "kind_8 kind_7 kind_6 kind_5 kind_4"},
		"behind logins":     {append([]string{"a", "b"}, kinds(120, login)...), "b a"},
		"far behind logins": {append([]string{"a"}, kinds(300, login)...), ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWhole(t)
			w.memory.events = nil
			for _, kind := range c.kinds {
				w.memory.events = append(w.memory.events, store.Event{ID: store.NewEventID(), At: at(1), Kind: kind, Actor: "token", Data: []byte(`{"number": 1}`)})
			}
			got := w.get("/")
			w.checkPage("/", got, true)
			_, list, _ := strings.Cut(got.body, `id="latest"`)
			var found []string
			for _, item := range strings.Split(list, `<li class="event"`)[1:] {
				_, kind, _ := strings.Cut(item, "<strong>")
				kind, _, _ = strings.Cut(kind, "<")
				found = append(found, kind)
				if _, data, ok := strings.Cut(item, "<details><summary>"); !ok || !strings.Contains(data, `<dl class="data">`) {
					t.Errorf("the data are not folded: %s", item)
				}
			}
			if strings.Join(found, " ") != c.want {
				t.Errorf("%q, want %q", found, c.want)
			}
			if empty := strings.Contains(got.body, "No events yet"); empty != (c.want == "") {
				t.Errorf("says that there are none: %t", empty)
			}
		})
	}
	w := newWhole(t)
	w.fail(fault.New(fault.Unavailable, "secret"))
	if got := w.get("/"); got.status != 503 {
		t.Errorf("store down: %d", got.status)
	}
}

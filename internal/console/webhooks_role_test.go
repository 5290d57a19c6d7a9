package console

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"codeword/internal/console/login"
	"codeword/internal/webhook"
)

// TestURLsAreForAdmins: a URL may hold a secret; who may not change it sees its host. What
// differs has different tags, lest who becomes an admin is told that nothing is new.
func TestURLsAreForAdmins(t *testing.T) {
	t.Parallel()
	e := webhook.Endpoint{Revision: 7, URL: "https://hooks.example/in?key=hush"}
	tags := map[bool]string{}
	for role, want := range map[login.Role]bool{login.Viewer: false, login.Operator: false, login.Admin: true} {
		r := httptest.NewRequest(http.MethodGet, "/webhooks", http.NoBody)
		r = r.WithContext(context.WithValue(r.Context(), personKey{}, login.Person{Role: role}))
		v := viewWebhook(r, &e)
		if strings.Contains(v.URL, "hush") != want || v.Host != "hooks.example" {
			t.Errorf("%s sees %+v", role, v)
		}
		tag := webhookTag(r, &e)
		if n, ok := tagRevision(tag); !ok || n != 7 || tags[want] != "" && tags[want] != tag || tags[!want] == tag {
			t.Errorf("%s gets the tag %s, others %v", role, tag, tags)
		}
		tags[want] = tag
	}
}

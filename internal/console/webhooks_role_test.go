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

// TestURLsAreForAdmins: a URL may hold a secret; who may not change it sees its host.
func TestURLsAreForAdmins(t *testing.T) {
	t.Parallel()
	e := webhook.Endpoint{URL: "https://hooks.example/in?key=hush"}
	for role, want := range map[login.Role]bool{login.Viewer: false, login.Operator: false, login.Admin: true} {
		r := httptest.NewRequest(http.MethodGet, "/webhooks", http.NoBody)
		v := viewWebhook(r.WithContext(context.WithValue(r.Context(), personKey{}, login.Person{Role: role})), &e)
		if strings.Contains(v.URL, "hush") != want || v.Host != "hooks.example" {
			t.Errorf("%s sees %+v", role, v)
		}
	}
}

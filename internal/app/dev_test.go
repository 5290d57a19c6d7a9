package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"codeword/api"
	"codeword/client"
	"codeword/internal/app"
	"codeword/internal/clocktest"
	"codeword/internal/waittest"
)

func startDev(t *testing.T, dir string, c *clocktest.Clock) (*app.Dev, error) {
	t.Helper()
	return app.StartDev(t.Context(), app.DevConfig{
		Data: dir, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", Now: c.Now, Log: slog.New(slog.DiscardHandler),
	})
}

func caller(t *testing.T, url, id, secret string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{BaseURL: url, ClientID: id, ClientSecret: client.Secret(secret), MaxTries: 1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// inbox returns the text of the newest message to a number.
func inbox(t *testing.T, d *app.Dev, to string) string {
	t.Helper()
	var page struct {
		Messages []struct{ Text string } `json:"messages"`
	}
	waittest.Until(t, "a message in the inbox", func() bool {
		if err := json.Unmarshal(admin(t, d, "/admin/v1/inbox?to=%2B"+strings.TrimPrefix(to, "+")), &page); err != nil {
			t.Fatal(err)
		}
		return len(page.Messages) > 0
	})
	return page.Messages[0].Text
}

// settle waits until the delivery loop has every message behind it, and knows
// so: the inbox shows them before, and the loop looks at the queue as a whole
// once a second. To it, a message from before the clock is moved has waited long.
func settle(t *testing.T, d *app.Dev) {
	t.Helper()
	waittest.Until(t, "no message is queued", func() bool {
		var page struct {
			Messages []struct{} `json:"messages"`
		}
		if err := json.Unmarshal(admin(t, d, "/admin/v1/messages?status=queued"), &page); err != nil {
			t.Fatal(err)
		}
		return len(page.Messages) == 0 && bytes.Contains(admin(t, d, "/metrics"), []byte("\ncodeword_queue_messages 0\n"))
	})
}

// admin gets a document from the admin listener.
func admin(t *testing.T, d *app.Dev, path string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.AdminURL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+d.AdminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func get(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// TestDevInProcess runs a whole instance on a clock that the test moves.
func TestDevInProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	c := clocktest.At(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	d, err := startDev(t, dir, c)
	if err != nil {
		t.Fatal(err)
	}
	if status := get(t, d.URL+"/demo"); status != http.StatusOK {
		t.Errorf("the demo page: %d", status)
	}
	live := caller(t, d.URL, d.LiveClientID, d.LiveClientSecret)
	var code string
	for _, tc := range []struct {
		after time.Duration
		ok    bool
	}{{10*time.Minute - time.Second, true}, {10 * time.Minute, false}} {
		sent, err := live.Send(t.Context(), "+16502180000")
		if err != nil {
			t.Fatal(err)
		}
		code = inbox(t, d, "+16502180000")[:6]
		settle(t, d)
		c.Advance(tc.after)
		if _, err := live.Authenticate(t.Context(), sent.PhoneID, code); (err == nil) != tc.ok {
			t.Errorf("after %v: %v", tc.after, err)
		}
	}

	// A second instance on the directory is refused and harms nothing.
	before, err := os.ReadFile(filepath.Join(dir, "dev.env"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := startDev(t, dir, c); err == nil || !strings.Contains(err.Error(), "another codeword server is running") {
		t.Errorf("a second server: %v", err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "dev.env")); err != nil || string(after) != string(before) {
		t.Errorf("dev.env of the first: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}

	// After a restart all identities are those of before, disabled or not.
	if r := run(t, "client", "disable", d.LiveClientID, "--data", dir); r.code != 0 {
		t.Errorf("%+v", r)
	}
	again, err := startDev(t, dir, c)
	if err != nil {
		t.Fatal(err)
	}
	if again.TestClientID != d.TestClientID || again.TestClientSecret != d.TestClientSecret || again.AdminToken != d.AdminToken ||
		again.LiveClientID != d.LiveClientID || again.LiveClientSecret != d.LiveClientSecret {
		t.Error("the restart changed the credentials")
	}
	if _, err := caller(t, again.URL, d.TestClientID, d.TestClientSecret).Send(t.Context(), "+14165551234"); err != nil {
		t.Error(err)
	}
	_, err = caller(t, again.URL, d.LiveClientID, d.LiveClientSecret).Send(t.Context(), "+16502180000")
	if !errors.Is(err, api.CodeInvalidClientSecret) {
		t.Errorf("a client that an operator disabled: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

package testserver

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"codeword/api/apitest"
	"codeword/client"
	"codeword/internal/waittest"
)

// validator is parsed once per process.
var validator = sync.OnceValues(apitest.New)

// Credentials are those of one client.
type Credentials struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// Endpoint is where a server listens and what a caller needs to talk to it.
type Endpoint struct {
	// URL and AdminURL are without a slash at the end.
	URL, AdminURL string
	AdminToken    string
	// Test and Live are the two clients of an instance.
	Test, Live Credentials
	// HTTP holds every exchange against openapi.yaml and fails the test when
	// one departs from it. It makes as many connections as are needed, keeps
	// them alive, and follows no redirects.
	HTTP *http.Client

	tb testing.TB
}

// NewEndpoint describes a server that the test started by other means.
func NewEndpoint(tb testing.TB, publicURL, adminURL, adminToken string, test, live Credentials) *Endpoint {
	tb.Helper()
	v, err := validator()
	if err != nil {
		tb.Fatal(err)
	}
	base := &http.Transport{MaxIdleConnsPerHost: 512, DisableCompression: true}
	tb.Cleanup(base.CloseIdleConnections)
	return &Endpoint{
		URL: publicURL, AdminURL: adminURL, AdminToken: adminToken, Test: test, Live: live,
		HTTP: &http.Client{
			Timeout:       waittest.Patience,
			Transport:     &apitest.Transport{Validator: v, Report: func(err error) { tb.Error(err) }, Base: base},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		tb: tb,
	}
}

func newEndpoint(tb testing.TB, env map[string]string) *Endpoint {
	tb.Helper()
	return NewEndpoint(tb, env["CODEWORD_URL"], env["CODEWORD_ADMIN_URL"], env["CODEWORD_ADMIN_TOKEN"],
		Credentials{env["CODEWORD_CLIENT_ID"], env["CODEWORD_CLIENT_SECRET"]},
		Credentials{env["CODEWORD_LIVE_CLIENT_ID"], env["CODEWORD_LIVE_CLIENT_SECRET"]})
}

// Client returns a public Go client that makes each call once.
func (e *Endpoint) Client(as Credentials) *client.Client {
	e.tb.Helper()
	c, err := client.New(client.Config{
		BaseURL: e.URL, ClientID: as.ID, ClientSecret: client.Secret(as.Secret), HTTPClient: e.HTTP, MaxTries: 1,
	})
	if err != nil {
		e.tb.Fatal(err)
	}
	return c
}

// Message is one message of the inbox.
type Message struct {
	ID         string    `json:"id"`
	To         string    `json:"to"`
	From       string    `json:"from"`
	Text       string    `json:"text"`
	CreateTime time.Time `json:"createTime"`
}

// Code returns the code that the message brings: the digits it starts with.
func (m Message) Code() string {
	return m.Text[:len(m.Text)-len(strings.TrimLeft(m.Text, "0123456789"))]
}

// Inbox returns the messages to a number, newest first.
func (e *Endpoint) Inbox(to string) []Message {
	e.tb.Helper()
	var page struct {
		Messages []Message `json:"messages"`
	}
	if err := json.Unmarshal(e.Admin("/admin/v1/inbox?to="+url.QueryEscape(to)), &page); err != nil {
		e.tb.Fatalf("inbox: %v", err)
	}
	return page.Messages
}

// Code returns the code of the newest message to a number. It waits a while for
// the message, since an answered send only promises that it is queued.
func (e *Endpoint) Code(to string) string {
	e.tb.Helper()
	var list []Message
	waittest.Until(e.tb, "a message in the inbox", func() bool {
		list = e.Inbox(to)
		return len(list) > 0
	})
	code := list[0].Code()
	if code == "" {
		e.tb.Fatal("the newest message brings no code")
	}
	return code
}

// Admin gets a path of the admin listener and returns the body of its 200.
func (e *Endpoint) Admin(path string) []byte {
	e.tb.Helper()
	body, err := e.admin(path)
	if err != nil {
		e.tb.Fatal(err)
	}
	return body
}

func (e *Endpoint) admin(path string) ([]byte, error) {
	req, err := http.NewRequest(http.MethodGet, e.AdminURL+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+e.AdminToken)
	c := &http.Client{Timeout: waittest.Patience}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("admin %s answered %d", strings.SplitN(path, "?", 2)[0], resp.StatusCode)
	}
	return body, err
}

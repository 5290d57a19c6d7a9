package browser_test

import (
	"context"
	"net"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"codeword/internal/console"
	"codeword/internal/console/login"
	"codeword/internal/console/login/logintest"
	"codeword/test/browser"
)

type emptyInbox struct{}

func (emptyInbox) List(context.Context, console.Query) (console.InboxPage, error) {
	return console.InboxPage{}, nil
}

// TestLoginAtAProvider: the provider is another site, so a browser shows whether the
// cookies come along where they should.
func TestLoginAtAProvider(t *testing.T) {
	b := browser.Start(t)
	for _, script := range []bool{true, false} {
		var ahead atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		issuer := logintest.Start(t, now) // at 127.0.0.1
		ts := httptest.NewUnstartedServer(nil)
		_, port, err := net.SplitHostPort(ts.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		url := "http://localhost:" + port
		c, err := console.New(console.Config{
			Token: "a-token-of-32-bytes-for-the-tests", Inbox: emptyInbox{}, Now: now,
			Login: login.Config{URL: url, Provider: login.Settings{
				Issuer: issuer.URL, ClientID: logintest.ClientID, ClientSecret: logintest.ClientSecret,
				RoleClaim: "groups", Operators: []string{"sms-operators"},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ts.Config.Handler = c.Handler()
		ts.Start()
		t.Cleanup(ts.Close)

		tab := b.Open(t, browser.Screens()[0])
		if !script {
			tab.WithoutScript()
		}
		tab.Visit(url + "/inbox")
		tab.Await(`location.pathname === "/login"`)
		tab.Examine("console-login-provider")
		tab.ClickOn(`a[href^="/login/oidc"]`)
		tab.Await(`location.pathname === "/inbox" && document.querySelector("header")?.innerText.includes("alice@example.com")`)
		tab.Examine("console-logged-in")
		before := asked(issuer)
		ahead.Store(int64(31 * time.Minute))
		tab.Visit(url + "/?x=1")
		tab.Await(`location.pathname === "/" && location.search === "?x=1" && document.querySelector("h1")?.innerText === "Overview"`)
		if now := asked(issuer); now != before+1 {
			t.Errorf("the provider was asked %d times for a session that goes on", now-before)
		}
		issuer.With(func() { issuer.User["groups"] = []string{"everybody"} })
		ahead.Store(int64(63 * time.Minute))
		tab.MayFail("/login/callback") // 403
		tab.Visit(url + "/")
		tab.Await(`document.querySelector("[role=alert]")?.innerText.startsWith("You have no role here")`)
		tab.Examine("console-no-role")
	}
}

// asked is how many codes were handed in.
func asked(issuer *logintest.Issuer) (n int) {
	issuer.With(func() { n = issuer.Asked["/token"] })
	return n
}

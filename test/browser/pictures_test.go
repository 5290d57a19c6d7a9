package browser_test

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"codeword/test/browser"
	"codeword/test/gateway"
	"codeword/test/testserver"
)

// picturesVariable names the directory for the pictures of the documents, which "make
// pictures" makes.
const picturesVariable = "CODEWORD_PICTURES"

// TestPictures takes pictures of a server with three clients, after some traffic and an
// attack.
func TestPictures(t *testing.T) {
	dir := os.Getenv(picturesVariable)
	if dir == "" {
		t.Skip(picturesVariable + " is not set")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	m := openMall(t)
	var number string
	for i, name := range []string{"Bike rental", "Coffee to go", "Night pharmacy"} {
		cred := m.CreateClient(name, true, `{"fraudGuard":"enforce","spendPerDay":2}`)
		if n := busy(t, m, cred, 1000*i, 60-20*i); n != "" {
			number = n
		}
		if i == 0 {
			m.attack(t, m.Client(cred), "+1650220")
		}
	}
	tab := browser.Start(t).Open(t, browser.Screen{Name: "picture", Width: 1100, Height: 760})
	tab.Visit(m.AdminURL)
	tab.AwaitFocus("token")
	tab.Press(m.AdminToken + kb.Enter)
	tab.Await(`location.pathname === "/"`)
	for name, path := range map[string]string{
		"overview": "/", "message": "/messages?to=" + url.QueryEscape(number), "guard": "/guard",
	} {
		tab.Visit(m.AdminURL + path)
		if name == "message" {
			tab.ClickOn(`tbody a[href^="/messages/"]`)
			tab.Await(`document.querySelector("ol.life")`)
		}
		tab.Picture(filepath.Join(dir, name+".png"))
	}
}

// busy has people ask for codes. Of ten messages one does not arrive, and two more codes
// are not used. It returns the last number whose message took the second route.
func busy(t *testing.T, m mall, cred testserver.Credentials, first, people int) (failedOver string) {
	t.Helper()
	c := m.Client(cred)
	for i := range people {
		number := testserver.Number(first + i)
		message := m.send(t, c, number)
		if i%10 == 9 {
			m.report(message, func(ref string) string { return gateway.Failed(ref, "unreachable") })
			continue
		}
		m.report(message, gateway.Delivered)
		if i%10 < 7 {
			m.use(t, c, message)
			if message.route == "backup" {
				failedOver = number
			}
		}
	}
	return failedOver
}

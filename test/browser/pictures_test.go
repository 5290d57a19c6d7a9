package browser_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"codeword/internal/rollup"
	"codeword/internal/store"
	"codeword/internal/store/sqlite"
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
	var clients []string
	for i, name := range []string{"Bike rental", "Coffee to go", "Night pharmacy"} {
		cred := m.CreateClient(name, true, `{"fraudGuard":"enforce","spendPerDay":2}`)
		clients = append(clients, cred.ID)
		if n := busy(t, m, cred, 1000*i, 60-20*i); n != "" {
			number = n
		}
		if i == 0 {
			m.attack(t, m.Client(cred), "+1650220")
		}
	}
	m.past(t, clients)
	tab := browser.Start(t).Open(t, browser.Screen{Name: "picture", Width: 1100, Height: 1120})
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

// past puts figures of the last eight days into the ledger: more by day than at night,
// and more this week than in the one before.
func (m mall) past(t *testing.T, clients []string) {
	t.Helper()
	m.Stop()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(m.Data, "codeword.db")})
	if err != nil {
		t.Fatal(err)
	}
	var fold rollup.Fold
	now := time.Now().UTC().Truncate(time.Hour)
	random := rand.New(rand.NewPCG(1, 2))
	for hour := now.Add(-8 * 24 * time.Hour); hour.Before(now); hour = hour.Add(time.Hour) {
		day := 1 - math.Cos(2*math.Pi*float64(hour.Hour()-10)/24) // most at 22:00 UTC
		if now.Sub(hour) > 7*24*time.Hour {
			day *= 0.8
		}
		for client := range clients {
			for range int(60 * day / float64(client+1)) {
				if err := fold.Take(happened(random, int64(client), hour)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	var rows []store.Rollup
	for key, block := range fold.Blocks() {
		rows = append(rows, store.Rollup{Client: clients[key.Client], Span: key.Span, Start: key.Start, Body: block.Encode()})
	}
	if err := errors.Join(s.TakeRollups(t.Context(), rows, nil), s.Close()); err != nil {
		t.Fatal(err)
	}
	m.Restart()
}

// happened is what happened to one message.
func happened(random *rand.Rand, client int64, hour time.Time) []byte {
	areas := [...]int{650, 212, 415, 312, 617, 206, 702, 512}
	first := rollup.Event{Client: client, At: hour, Route: "primary", Area: areas[min(random.IntN(8), random.IntN(8))], Messages: true, Sent: true, Micros: 7900}
	var out []byte
	if random.IntN(9) == 0 {
		refused := first
		refused.Messages, refused.Sent, refused.Micros, refused.Reason = false, false, 0, "unavailable"
		out = rollup.Append(out, &refused)
		first.Route, first.Micros = "backup", 9100
	}
	after := first
	after.Messages, after.Sent, after.Micros = false, false, 0
	switch p := random.IntN(100); {
	case p < 4:
		after.Failed, after.Reason = 1, []string{"unreachable", "filtered", "unknown_subscriber"}[p%3]
	case p >= 6:
		first.Delivered, first.DeliveredAfter = true, time.Duration((0.6+random.ExpFloat64()*1.2)*float64(time.Second))
		after.Verified, after.VerifiedAfter = p >= 20, time.Duration((6+random.ExpFloat64()*9)*float64(time.Second))
	}
	out = rollup.Append(out, &first)
	if after.Failed != 0 || after.Verified {
		out = rollup.Append(out, &after)
	}
	return out
}

package browser_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"codeword/client"
	"codeword/internal/waittest"
	"codeword/test/gateway"
	"codeword/test/testserver"
)

// mall is a server whose messages cost money, so that its guard does not only watch. It
// has two carriers, of which the first does not take every ninth message.
type mall struct {
	*testserver.Server

	carriers map[string]*gateway.Gateway
}

func openMall(t *testing.T) mall {
	t.Helper()
	primary, backup := gateway.New(t), gateway.New(t)
	var asked atomic.Int64
	primary.Answers(func(w http.ResponseWriter, message gateway.Message) {
		if asked.Add(1)%9 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		gateway.Take(w, message)
	})
	file := filepath.Join(t.TempDir(), "carriers.yaml")
	routes := "routes:\n" + primary.Route("primary", 1, "price: 0.0079,") + backup.Route("backup", 2, "price: 0.0091,")
	if err := os.WriteFile(file, []byte(routes), 0o600); err != nil {
		t.Fatal(err)
	}
	return mall{
		testserver.Start(t, testserver.Options{Flags: []string{"--carriers", file}}),
		map[string]*gateway.Gateway{"primary": primary, "backup": backup},
	}
}

// carried is a message that a carrier took.
type carried struct {
	gateway.Message

	phoneID, route string
}

// send asks for a code, and waits until a carrier has taken it.
func (m mall) send(t *testing.T, c *client.Client, number string) (out carried) {
	t.Helper()
	sent, err := c.Send(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	out.phoneID = sent.PhoneID
	waittest.Until(t, "a carrier takes the message", func() bool {
		var page struct {
			Messages []struct{ Status, Route string }
		}
		m.admin(t, "/admin/v1/messages?to="+url.QueryEscape(number), &page)
		if len(page.Messages) != 1 || page.Messages[0].Status != "sent" {
			return false
		}
		out.route = page.Messages[0].Route
		return true
	})
	out.Message = m.carriers[out.route].Await(number)
	return out
}

// report has the carrier report what became of a message.
func (m mall) report(message carried, receipt func(ref string) string) {
	m.carriers[message.route].Report(m.Endpoint, message.route, receipt("ref-"+message.ID))
}

// use uses the code of a message.
func (m mall) use(t *testing.T, c *client.Client, message carried) {
	t.Helper()
	if _, err := c.Authenticate(t.Context(), message.phoneID, gateway.CodeOf.FindString(message.Text)); err != nil {
		t.Fatal(err)
	}
}

// attack asks for codes of numbers of an exchange whose owners did not ask, until the
// guard has seen enough.
func (m mall) attack(t *testing.T, c *client.Client, exchange string) {
	t.Helper()
	n := 0
	waittest.Until(t, "the guard holds the exchange back", func() bool {
		for range 10 {
			n++
			_, err := c.Send(t.Context(), fmt.Sprintf("%s2%03d", exchange, n))
			if e := (*client.Error)(nil); errors.As(err, &e) && e.Code == "BLOCKED_PHONE" {
				return true
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return false
	})
}

// admin reads a document of the admin listener.
func (m mall) admin(t *testing.T, path string, into any) {
	t.Helper()
	if err := json.Unmarshal(m.Admin(path), into); err != nil {
		t.Fatal(err)
	}
}

// shop is a client with something to see: a code that was delivered and used, and an
// exchange that the guard holds back.
type shop struct {
	testserver.Credentials

	// number is whose code was used, and route what it came over.
	number, route string
}

// openShop makes the client of the i-th test.
func openShop(t *testing.T, m mall, i int) shop {
	t.Helper()
	out := shop{Credentials: m.CreateClient(fmt.Sprintf("Shop %d", i), true, `{"fraudGuard":"enforce"}`), number: fmt.Sprintf("+1650218001%d", i)}
	c := m.Client(out.Credentials)
	message := m.send(t, c, out.number)
	out.route = message.route
	m.report(message, gateway.Delivered)
	m.use(t, c, message)
	waittest.Until(t, "the log tells that the code arrived and was used", func() bool {
		log := string(m.Admin("/admin/v1/messages?to=" + url.QueryEscape(out.number)))
		return strings.Contains(log, `"verifyTime"`) && strings.Contains(log, `"status":"delivered"`)
	})
	m.attack(t, c, "+1650220")
	waittest.Until(t, "the hold can be seen", func() bool {
		return strings.Contains(string(m.Admin("/admin/v1/guard/holds")), out.ID)
	})
	return out
}

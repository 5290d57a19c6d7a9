// Package carriers_test runs the command against carriers that the tests play
// themselves, an HTTP receiver of webhooks and SMSCs in Node.js, and looks at
// what phones get and at what operators are shown.
package carriers_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"codeword/client"
	"codeword/internal/waittest"
	"codeword/test/testserver"
)

// atOnce is how many tests run at a time unless -parallel says otherwise. They
// mostly wait: for a lease, a breaker, a timeout.
const atOnce = "5"

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err)
	}
	os.Exit(testserver.Main(m))
}

// service is a running server with its carriers file.
type service struct {
	*testserver.Server
	tb   testing.TB
	file string
}

// start starts a server with the routes of a carriers file.
func start(tb testing.TB, routes string, flags ...string) *service {
	tb.Helper()
	return startOn(tb, filepath.Join(tb.TempDir(), "data"), routes, flags...)
}

func startOn(tb testing.TB, data, routes string, flags ...string) *service {
	tb.Helper()
	s := &service{tb: tb, file: filepath.Join(tb.TempDir(), "carriers.yaml")}
	s.write(routes)
	s.Server = testserver.Start(tb, testserver.Options{Data: data, Flags: append([]string{"--carriers", s.file}, flags...)})
	return s
}

// write replaces the carriers file.
func (s *service) write(routes string) {
	s.tb.Helper()
	if err := os.WriteFile(s.file, []byte("routes:\n"+routes), 0o600); err != nil {
		s.tb.Fatal(err)
	}
}

const (
	reloaded    = `"carriers were reloaded"`
	notReloaded = `"carriers were not reloaded; the old ones stay"`
)

// reload replaces the carriers file and waits until the server has logged that,
// which it returns.
func (s *service) reload(routes, want string) (logged string) {
	s.tb.Helper()
	before := len(s.Log())
	s.write(routes)
	if err := syscall.Kill(s.PID(), syscall.SIGHUP); err != nil {
		s.tb.Fatal(err)
	}
	waittest.Until(s.tb, "log "+want, func() bool {
		logged = s.Log()[before:]
		return strings.Contains(logged, want)
	})
	return logged
}

// live is a client of the server's live client; each call is made once.
func (s *service) live() *client.Client { return s.Client(s.Live) }

// send asks for a code for a number.
func (s *service) send(to string) client.SendResult {
	s.tb.Helper()
	result, err := s.live().Send(s.tb.Context(), to)
	if err != nil {
		s.tb.Fatalf("send: %v", err)
	}
	return result
}

// sent is a message as the admin listener shows it.
type sent struct {
	ID         string     `json:"id"`
	ClientID   string     `json:"clientId"`
	PhoneMask  string     `json:"phoneMask"`
	Status     string     `json:"status"`
	Route      string     `json:"route"`
	Error      string     `json:"error"`
	Locale     string     `json:"locale"`
	Claims     int        `json:"claims"`
	ExpireTime time.Time  `json:"expireTime"`
	VerifyTime time.Time  `json:"verifyTime"`
	Dispatches []dispatch `json:"dispatches"`
	Receipts   []receipt  `json:"receipts"`
}

type dispatch struct {
	Route    string `json:"route"`
	Decision []struct {
		Route   string `json:"route"`
		Verdict string `json:"verdict"`
	} `json:"decision"`
	Status     string `json:"status"`
	CarrierRef string `json:"carrierRef"`
	Error      string `json:"error"`
	Segments   int    `json:"segments"`
}

type receipt struct {
	Route      string `json:"route"`
	CarrierRef string `json:"carrierRef"`
	Status     string `json:"status"`
	Error      string `json:"error"`
}

// message returns the newest message to a number with its history.
func (s *service) message(to string) sent {
	s.tb.Helper()
	var page struct {
		Messages []sent `json:"messages"`
	}
	s.admin("/admin/v1/messages?to="+url.QueryEscape(to), &page)
	if len(page.Messages) == 0 {
		s.tb.Fatalf("no message to …%s in the log", to[len(to)-4:])
	}
	var m sent
	s.admin("/admin/v1/messages/"+page.Messages[0].ID, &m)
	return m
}

// becomes waits until the newest message to a number has a status.
func (s *service) becomes(to, status string) (m sent) {
	s.tb.Helper()
	waittest.Until(s.tb, "status "+status, func() bool {
		m = s.message(to)
		return m.Status == status
	})
	return m
}

func (s *service) admin(path string, into any) {
	s.tb.Helper()
	if err := json.Unmarshal(s.Admin(path), into); err != nil {
		s.tb.Fatalf("%s: %v", path, err)
	}
}

// path is what the message went through: "main:failed(rejected) backup:sent".
func (m *sent) path() string {
	var parts []string
	for _, d := range m.Dispatches {
		part := d.Route + ":" + d.Status
		if d.Error != "" {
			part += "(" + d.Error + ")"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " ")
}

// reports are the message's receipts: "main:accepted main:delivered".
func (m *sent) reports() string {
	var parts []string
	for _, r := range m.Receipts {
		parts = append(parts, r.Route+":"+r.Status)
	}
	return strings.Join(parts, " ")
}

// breaker tells how the breaker of a route stands; "" if there is no such route.
func (s *service) breaker(route string) string {
	s.tb.Helper()
	for _, r := range s.routes() {
		if r.Name == route {
			return r.Breaker
		}
	}
	return ""
}

type routeView struct {
	Name    string `json:"name"`
	Breaker string `json:"breaker"`
}

func (s *service) routes() []routeView {
	s.tb.Helper()
	var doc struct {
		Routes []routeView `json:"routes"`
	}
	s.admin("/admin/v1/routes", &doc)
	return doc.Routes
}

// metric returns a sample of /metrics by its name and labels, in the order of
// the labels' names; 0 if there is none.
func (s *service) metric(series string) float64 {
	s.tb.Helper()
	for line := range bytes.Lines(s.Admin("/metrics")) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(string(line)), series+" "); ok {
			f, err := strconv.ParseFloat(value, 64)
			if err != nil {
				s.tb.Fatalf("%s: %v", series, err)
			}
			return f
		}
	}
	return 0
}

// decode reads the document of a 200.
func decode(tb testing.TB, resp *http.Response, into any) {
	tb.Helper()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK {
		tb.Fatalf("answered %d: %v", resp.StatusCode, err)
	}
}

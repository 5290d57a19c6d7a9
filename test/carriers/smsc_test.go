package carriers_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"codeword/internal/waittest"
	"codeword/test/peers"
)

// smsc is a scripted SMSC in a process of its own. It keeps what it took beyond
// the end of that process.
type smsc struct {
	peer *peers.Process
	port int

	tb       testing.TB
	commands sync.Mutex
	answers  chan string
	mu       sync.Mutex
	got      []arrival
}

// arrival is a message that an SMSC took.
type arrival struct {
	number, text string
	coding       int
	at           time.Time
}

// startSMSC starts an SMSC with options of test/peers/smpp-server.js.
func startSMSC(tb testing.TB, options map[string]any) *smsc {
	tb.Helper()
	all := map[string]any{"emit": true, "systemId": "codeword", "password": "secret"}
	maps.Copy(all, options)
	raw, err := json.Marshal(all)
	if err != nil {
		tb.Fatal(err)
	}
	s := &smsc{tb: tb, answers: make(chan string, 16), peer: peers.Start(tb, "smpp-server.js", string(raw))}
	var hello struct {
		Port int `json:"port"`
	}
	if err := json.Unmarshal([]byte(s.peer.Line()), &hello); err != nil || hello.Port == 0 {
		tb.Fatalf("the SMSC told no port: %v", err)
	}
	s.port = hello.Port
	go s.read()
	return s
}

// read takes what the SMSC prints: messages, and answers to commands.
func (s *smsc) read() {
	for line := range s.peer.Lines {
		var m struct {
			To     string `json:"to"`
			Text   string `json:"text"`
			Coding int    `json:"coding"`
		}
		if json.Unmarshal([]byte(line), &m) != nil || m.To == "" {
			s.answers <- line
			continue
		}
		s.mu.Lock()
		s.got = append(s.got, arrival{"+" + strings.TrimPrefix(m.To, "+"), m.Text, m.Coding, time.Now()})
		s.mu.Unlock()
	}
}

// tell gives the SMSC a command and reads its answer.
func (s *smsc) tell(command string, answer any) {
	s.tb.Helper()
	s.commands.Lock()
	defer s.commands.Unlock()
	s.peer.Tell(command)
	select {
	case line := <-s.answers:
		if err := json.Unmarshal([]byte(line), answer); err != nil {
			s.tb.Fatalf("the SMSC answered %q to %s", line, command)
		}
	case <-time.After(waittest.Patience):
		s.tb.Fatalf("the SMSC does not answer to %s", command)
	}
}

// says lets a phone write to us over each connection that receives.
func (s *smsc) says(from, text string) {
	s.tb.Helper()
	var done struct{ MO int }
	s.tell(fmt.Sprintf(`{"mo": {"from": %q, "to": "65055", "text": %q}}`, strings.TrimPrefix(from, "+"), text), &done)
	if done.MO == 0 {
		s.tb.Error("nobody is bound to take a message from a phone")
	}
}

// binds tells how many binds the SMSC has let in so far.
func (s *smsc) binds() int {
	s.tb.Helper()
	var r struct {
		Binds int `json:"binds"`
	}
	s.tell("report", &r)
	return r.Binds
}

// route is the SMSC's entry in a carriers file, with further settings of the
// route and of the carrier, each ending with a comma.
func (s *smsc) route(name string, priority int, route, carrier string) string {
	return fmt.Sprintf("  - {name: %s, priority: %d, %s smpp: {%s address: \"127.0.0.1:%d\", system-id: codeword, password: secret, source: \"65055\"}}\n",
		name, priority, route, carrier, s.port)
}

// messages returns what was taken so far, in order.
func (s *smsc) messages() []arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// to returns what was taken for a number.
func (s *smsc) to(number string) []arrival {
	return slices.DeleteFunc(s.messages(), func(a arrival) bool { return a.number != number })
}

// await waits for the first message to a number.
func (s *smsc) await(number string) arrival {
	s.tb.Helper()
	waittest.Until(s.tb, "a message at the SMSC", func() bool { return len(s.to(number)) > 0 })
	return s.to(number)[0]
}

// byNumber gathers the arrivals at each phone, in the order of their times.
func byNumber(lists ...[]arrival) map[string][]arrival {
	out := make(map[string][]arrival)
	for _, list := range lists {
		for _, a := range list {
			out[a.number] = append(out[a.number], a)
		}
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b arrival) int { return a.at.Compare(b.at) })
	}
	return out
}

package failover_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"codeword/test/peers"
)

// smsc is a scripted SMSC in a process of its own, and what it took.
type smsc struct {
	peer    *peers.Process
	address string

	t    *testing.T
	path string
	mu   sync.Mutex
	read int
	got  []arrival
}

// arrival is a message that an SMSC took, with the time at which the test saw
// it: at most watchEvery late.
type arrival struct {
	number, text string
	at           time.Time
}

const watchEvery = 20 * time.Millisecond

func startSMSC(t *testing.T, dir, name string, options map[string]any) *smsc {
	t.Helper()
	path := filepath.Join(dir, name+".log")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	all := map[string]any{"log": path, "systemId": "codeword", "password": "secret"}
	maps.Copy(all, options)
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	s := &smsc{t: t, path: path, peer: peers.Start(t, "smpp-server.js", string(raw))}
	var hello struct {
		Port int `json:"port"`
	}
	if err := json.Unmarshal([]byte(s.peer.Line()), &hello); err != nil || hello.Port == 0 {
		t.Fatalf("the SMSC told no port: %v", err)
	}
	s.address = fmt.Sprintf("127.0.0.1:%d", hello.Port)
	go func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				s.messages()
			case <-t.Context().Done():
				return
			}
		}
	}()
	return s
}

// messages returns all that the SMSC took so far, in order. It reads them from
// the SMSC's file, which outlives it.
func (s *smsc) messages() []arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := os.Open(s.path)
	if err != nil {
		if s.t.Context().Err() == nil {
			s.t.Error(err)
		}
		return s.got
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		s.t.Error(err)
		return s.got
	}
	raw := make([]byte, int(info.Size())-s.read)
	n, _ := f.ReadAt(raw, int64(s.read)) // a short read is read on the next time
	now := time.Now()
	for line := range strings.Lines(string(raw[:n])) {
		text, whole := strings.CutSuffix(line, "\n")
		if !whole {
			break
		}
		s.read += len(line)
		destination, text, _ := strings.Cut(text, "\t")
		s.got = append(s.got, arrival{plus(destination), text, now})
	}
	return s.got
}

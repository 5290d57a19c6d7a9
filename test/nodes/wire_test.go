package nodes_test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// wire is the network between the nodes and a server: it forwards connections, and
// can reset all of them wherever they stand.
type wire struct {
	listener net.Listener
	to       string
	mu       sync.Mutex
	open     map[*net.TCPConn]struct{}
}

// lay puts a wire in front of the server of a URL, and returns the URL by way of it.
func lay(t *testing.T, to string) (w *wire, through string) {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w = &wire{listener: l, to: u.Host, open: make(map[*net.TCPConn]struct{})}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go w.serve(from)
		}
	}()
	u.Host = l.Addr().String()
	return w, u.String()
}

func (w *wire) serve(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer to.Close()
	for _, c := range []net.Conn{from, to} {
		if tcp, ok := c.(*net.TCPConn); ok {
			w.mu.Lock()
			w.open[tcp] = struct{}{}
			w.mu.Unlock()
			defer func() {
				w.mu.Lock()
				delete(w.open, tcp)
				w.mu.Unlock()
			}()
		}
	}
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{to, from}, {from, to}} {
		go func() {
			_, _ = io.Copy(way[0], way[1]) // how it ended does not matter
			done <- struct{}{}
		}()
	}
	<-done
}

// reset ends all connections with RST, and returns how many.
func (w *wire) reset() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.open {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
	return len(w.open) / 2
}

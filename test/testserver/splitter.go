package testserver

import (
	"io"
	"net"
	"sync"
	"testing"
)

// splitter is a plain TCP load balancer: it gives each connection to the next
// node, or to another one when that does not answer.
type splitter struct {
	listener net.Listener
	mu       sync.Mutex
	backends []string
	next     int
}

// split listens on a free port until the test ends.
func split(tb testing.TB) *splitter {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &splitter{listener: l}
	tb.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return s
}

func (s *splitter) url() string { return "http://" + s.listener.Addr().String() }

// to sets where connections go from now on.
func (s *splitter) to(nodes []*node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backends = s.backends[:0]
	for _, n := range nodes {
		s.backends = append(s.backends, n.listen[0])
	}
}

// order are the backends in the order in which the next connection tries them.
func (s *splitter) order() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.backends) == 0 {
		return nil
	}
	s.next = (s.next + 1) % len(s.backends)
	return append(append([]string(nil), s.backends[s.next:]...), s.backends[:s.next]...)
}

func (s *splitter) serve(from net.Conn) {
	defer from.Close()
	for _, address := range s.order() {
		to, err := net.Dial("tcp", address)
		if err != nil {
			continue
		}
		defer to.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			forward(to, from)
		}()
		forward(from, to)
		<-done
		return
	}
}

// forward copies until one side ends, and tells the other.
func forward(to, from net.Conn) {
	_, _ = io.Copy(to, from) // whoever reads sees that it has ended
	if tcp, ok := to.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}

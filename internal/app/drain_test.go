package app

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/server"
)

// wire is a listener in memory, so that the clock of a bubble runs.
type wire struct {
	conns chan net.Conn
	done  context.Context
	close context.CancelFunc
}

func newWire(t *testing.T) *wire {
	t.Helper()
	w := &wire{conns: make(chan net.Conn)}
	w.done, w.close = context.WithCancel(t.Context())
	return w
}

func (w *wire) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.done.Done():
		return nil, net.ErrClosed
	}
}
func (w *wire) Close() error   { w.close(); return nil }
func (w *wire) Addr() net.Addr { return &net.UnixAddr{Name: "wire"} }

// get asks whoever accepts, and tells what came of it.
func (w *wire) get() chan error {
	out := make(chan error, 1)
	go func() {
		transport := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			w.conns <- server
			return client, nil
		}}
		resp, err := (&http.Client{Transport: transport}).Get("http://wire/")
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		out <- err
	}()
	return out
}

// takes answers after that time.
func takes(d time.Duration) http.Handler {
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(d) })
}

// TestDrainLeavesOperatorsTheirGrace, however long the requests of others take: who starts
// the rotation of a secret should get it.
func TestDrainLeavesOperatorsTheirGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		public, admin := newWire(t), newWire(t)
		n := &node{handler: new(server.Server), log: slog.New(slog.DiscardHandler), admin: &http.Server{Handler: takes(5*time.Second + adminGrace/2)}}
		n.cfg.Flags.DrainTimeout = 20 * time.Second
		var err error
		if n.public, err = server.NewListener(server.ListenConfig{Handler: takes(5 * time.Second)}); err != nil {
			t.Fatal(err)
		}
		ends := make(chan error, 2)
		go func() { ends <- n.public.Serve(public) }()
		go func() { ends <- served(n.admin.Serve(admin)) }()
		sent, operated := public.get(), admin.get()
		synctest.Wait()
		if err := n.drain(t.Context()); err != nil {
			t.Errorf("drain: %v", err)
		}
		if err := <-sent; err != nil {
			t.Errorf("a public request: %v", err)
		}
		if err := <-operated; err != nil {
			t.Errorf("an operator's request: %v", err)
		}
		for range 2 {
			if err := <-ends; err != nil {
				t.Error(err)
			}
		}
	})
}

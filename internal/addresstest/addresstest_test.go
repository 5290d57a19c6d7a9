package addresstest_test

import (
	"net"
	"testing"

	"codeword/internal/addresstest"
)

func TestFree(t *testing.T) {
	seen := make(map[string]bool)
	for range 200 {
		address, err := addresstest.Free()
		if err != nil || seen[address] {
			t.Fatalf("%q, seen: %t, %v", address, seen[address], err)
		}
		seen[address] = true
	}
	for address := range seen {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close() // it was free
		if host, _, err := net.SplitHostPort(address); err != nil || !net.ParseIP(host).IsLoopback() {
			t.Errorf("%s is not of this machine alone", address)
		}
	}
}

func TestRefusing(t *testing.T) {
	if conn, err := net.Dial("tcp", addresstest.Refusing); err == nil {
		_ = conn.Close()
		t.Error("somebody listens")
	}
}

func TestPort(t *testing.T) {
	seen := make(map[int]bool)
	for range 300 { // of 10,000: some would come twice
		port, release, err := addresstest.Port()
		if err != nil || seen[port] {
			t.Fatalf("%d, seen: %t, %v", port, seen[port], err)
		}
		defer release()
		seen[port] = true
	}
}

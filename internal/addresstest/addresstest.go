// Package addresstest finds addresses for servers that tests start as processes of their
// own, which are told where to listen.
package addresstest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Refusing is an address at which every connection is refused: a port that no system
// gives away by itself, unlike that of a server that was closed, which the next server
// or connection of any test may have.
const Refusing = "127.0.0.1:1"

// Free returns an address of this machine on which nobody listens. It is one of the
// millions that a loopback interface has on Linux, so that nobody takes the port before
// the server does; elsewhere there is only one.
func Free() (string, error) {
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254)))
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Ports are given from these on, so many: below those that systems give away by
// themselves, as are the ports above them that Port keeps free, too.
const firstPort, ports = 10_000, 10_000

// Above is how far above a port the one is for the bus of a Redis cluster.
const Above = 10_000

// Port returns a port of 127.0.0.1 on which, and on the one [Above] it, nobody listens. No
// other call gives it away in any process until it is released.
func Port() (port int, release func(), err error) {
	for range 100 {
		port := firstPort + rand.IntN(ports)
		// Servers listen by TCP: by UDP the port can be held beside them.
		hold, err := net.ListenPacket("udp", loopback(port))
		if err != nil {
			continue
		}
		if free(port) && free(port+Above) {
			return port, func() { _ = hold.Close() }, nil
		}
		_ = hold.Close() // nothing was sent
	}
	return 0, nil, errors.New("no free port")
}

func free(port int) bool {
	l, err := net.Listen("tcp", loopback(port))
	if err == nil {
		_ = l.Close() // it is free
	}
	return err == nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

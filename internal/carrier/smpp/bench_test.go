package smpp_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"codeword/internal/carrier/carriertest"
	"codeword/internal/carrier/smpp"
)

// BenchmarkSend sends over loopback TCP to an SMSC that takes everything at
// once; its cost is included.
func BenchmarkSend(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go takeAll(conn)
		}
	}()
	c, err := smpp.New(smpp.Config{Name: "bench", Address: l.Addr().String(), SystemID: "codeword", Source: "12345", Window: 100})
	if err != nil {
		b.Fatal(err)
	}
	go c.Run(b.Context())
	for c.Connected() == 0 {
		if err := c.Check(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	m := carriertest.Message(b, carriertest.Number)
	b.SetParallelism(128)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.Send(b.Context(), m); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// takeAll answers every request with ESME_ROK.
func takeAll(conn net.Conn) {
	defer conn.Close()
	r, w := bufio.NewReaderSize(conn, 64<<10), bufio.NewWriterSize(conn, 64<<10)
	for {
		h, err := r.Peek(16)
		if err != nil {
			return
		}
		n := binary.BigEndian.Uint32(h)
		var answer [26]byte
		binary.BigEndian.PutUint32(answer[:], 26)
		binary.BigEndian.PutUint32(answer[4:], binary.BigEndian.Uint32(h[4:])|0x80000000)
		copy(answer[12:], h[12:16])
		copy(answer[16:], "000012345\x00")
		if _, err := io.CopyN(io.Discard, r, int64(n)); err != nil {
			return
		}
		if _, err := w.Write(answer[:]); err != nil {
			return
		}
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
	}
}

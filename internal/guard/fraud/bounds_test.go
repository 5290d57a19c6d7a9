package fraud_test

import (
	"net/netip"
	"testing"
	"time"

	"codeword/internal/guard/fraud"
)

// TestRoom: with less room evidence goes back less far, and fast attacks still show.
func TestRoom(t *testing.T) {
	t.Parallel()
	b := newBed(t, fraud.Config{MaxSlots: 100})
	for i := range 3000 {
		phone, _, _ := b.send(2000000 + uint32(i)*1009)
		b.pass(200 * time.Millisecond)
		b.g.Note(client, phone, fraud.Verified)
	}
	if through, made := b.pump(2125551, 300, 100*time.Millisecond); len(made) != 1 || through > 100 {
		t.Errorf("%d came through, %+v", through, made)
	}
}

// TestRotatingBlocks: who leaves each block before a code could be used does not get
// away with it for longer than it takes to notice that the client is under attack.
func TestRotatingBlocks(t *testing.T) {
	t.Parallel()
	b := newBed(t, fraud.Config{})
	b.honest(func(i int) uint32 { return 2065550 + uint32(i)*31 }, 300, 30*time.Second)
	through := 0
	for i := range 30_000 { // 20 other blocks every 10 s, at 50 a second
		if _, held, _ := b.send(3000000 + uint32(i/500*20+i%20)*7001%3000000); !held {
			through++
		}
		b.pass(20 * time.Millisecond)
	}
	if through > 6000 {
		t.Errorf("%d of 30000 came through", through)
	}
}

// TestRoomForNewKeys: however many addresses were seen, a new one can be judged.
func TestRoomForNewKeys(t *testing.T) {
	t.Parallel()
	b := newBed(t, fraud.Config{MaxKeys: 300})
	for i := range 2000 {
		phone, _, _ := b.send(2000000+uint32(i)*1009, func(s *fraud.Send) {
			s.Address = netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
		})
		b.pass(200 * time.Millisecond)
		b.g.Note(client, phone, fraud.Verified)
	}
	n := uint32(0)
	through, made := b.pump(0, 300, time.Second, func(s *fraud.Send) {
		n++
		s.Block, s.Address = 3000000+n*1009, netip.MustParseAddr("203.0.113.7")
	})
	if len(made) == 0 || made[0].Key.Scope != fraud.Address {
		t.Errorf("%d came through, %+v", through, made)
	}
}

// TestBounds: an attacker cannot have more remembered than there is room for.
func TestBounds(t *testing.T) {
	t.Parallel()
	b := newBed(t, fraud.Config{MaxKeys: 50, MaxTraces: 50})
	for i := range 1000 {
		b.send(2000000+uint32(i)*6007, func(s *fraud.Send) {
			s.Address = netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
		})
	}
	if through, made := b.pump(2125551, 300, 100*time.Millisecond); len(made) != 0 {
		t.Errorf("%d came through, %+v; what could not be followed is no evidence", through, made)
	}
}

package fraud_test

import (
	"testing"
	"time"

	"codeword/internal/guard/fraud"
)

// TestNodes: what two nodes saw counts on both, wherever a code was used.
func TestNodes(t *testing.T) {
	t.Parallel()
	a, b := newNode(t), newNode(t)
	b.n = 1 << 32
	exchange := func() {
		for _, p := range []struct{ from, to *bed }{{a, b}, {b, a}} {
			if page := p.from.g.Page(); page != nil {
				if err := p.to.g.Merge(p.to.now, page); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	// Each sends, and the codes are used on the other: nobody is suspicious.
	for range 60 {
		x, _, made := a.send(2065550)
		y, _, more := b.send(2065550)
		if len(made)+len(more) > 0 {
			t.Fatalf("honest: %v %v", made, more)
		}
		exchange()
		a.pass(20 * time.Second)
		b.pass(20 * time.Second)
		b.g.Note(client, x, fraud.Verified)
		a.g.Note("", y, fraud.Verified) // the client need not be known
		exchange()
	}
	// Each sends half of an attack.
	var made []fraud.Decision
	sends := 0
	for ; sends < 50 && len(made) == 0; sends++ {
		_, _, x := a.send(2125551)
		_, _, y := b.send(2125551)
		made = append(append(made, x...), y...)
		a.pass(20 * time.Second)
		b.pass(20 * time.Second)
		exchange()
	}
	if len(made) == 0 || sends > 11 {
		t.Fatalf("held back after %d sends on each; want at most 11: one alone takes 15", sends)
	}
	for _, d := range made {
		a.g.Hold(d)
		b.g.Hold(d)
	}
	if _, held, _ := a.send(2125551); !held {
		t.Error("not held back on the first node")
	}
	if _, held, _ := b.send(2125551); !held {
		t.Error("not held back on the second node")
	}
	if err := a.g.Merge(a.now, []byte(`{"clients":[{"client":"c","counts":[[99,1,1,0,1,1,0,0,0,0,0]],"fates":[[1,77]]}]}`)); err != nil {
		t.Errorf("a page with what a newer node knows: %v", err)
	}
	if err := a.g.Merge(a.now, []byte("{")); err == nil {
		t.Error("a torn page was merged")
	}
}

// TestPast: a guard that starts again knows what is usual.
func TestPast(t *testing.T) {
	t.Parallel()
	b := newBed(t, fraud.Config{})
	b.honest(func(int) uint32 { return 2065550 }, 600, 20*time.Second)
	past := b.g.Past(b.now)
	again := newBed(t, fraud.Config{})
	again.now, again.n = b.now, 1<<40
	for id, raw := range past {
		if err := again.g.Recall(id, raw); err != nil {
			t.Fatal(err)
		}
	}
	// As many as ever, but no code is used for a while: it is a carrier's trouble.
	if through, made := again.pump(2065550, 60, 20*time.Second); len(made) > 0 {
		t.Errorf("after %d sends: %+v; the volume is as ever", through, made)
	}
	// A guard that knows nothing does not know that.
	fresh := newBed(t, fraud.Config{})
	if _, made := fresh.pump(2065550, 60, 20*time.Second); len(made) == 0 {
		t.Error("without a history nothing was held back; the test shows nothing")
	}
	if err := again.g.Recall(client, []byte(`{"since":`)); err == nil {
		t.Error("a torn history was taken")
	}
}

// TestClockOfAnotherNode: a node whose clock is ahead blinds nobody.
func TestClockOfAnotherNode(t *testing.T) {
	t.Parallel()
	a, fast := newNode(t), newNode(t)
	fast.now = fast.now.Add(2 * time.Hour)
	fast.send(2125551)
	if err := a.g.Merge(a.now, fast.g.Page()); err != nil {
		t.Fatal(err)
	}
	if through, made := a.pump(2125551, 200, 100*time.Millisecond); len(made) == 0 {
		t.Errorf("%d came through", through)
	}
}

// TestHoldFromAnotherNode: what a hold rests on is dealt with on all nodes.
func TestHoldFromAnotherNode(t *testing.T) {
	t.Parallel()
	a, b := newNode(t), newNode(t)
	b.n = 1 << 32
	_, made := a.pump(2125551, 200, 100*time.Millisecond)
	if err := b.g.Merge(a.now, a.g.Page()); err != nil {
		t.Fatal(err)
	}
	b.g.Hold(made[0])
	b.now = made[0].Until
	for range 5 { // after its end, and around it
		for _, block := range []uint32{2125551, 2125552, 2125553} {
			if _, held, made := b.send(block); held || len(made) > 0 {
				t.Fatalf("held %t, %+v", held, made)
			}
		}
		b.pass(5 * time.Minute)
	}
}

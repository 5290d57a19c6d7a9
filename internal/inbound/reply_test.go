package inbound_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/store"
)

// run lets answers be sent; it is for bubbles of synctest.
func (w *world) run() {
	w.now = time.Now
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.intake.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
}

// wantSends waits for what is under way and checks how much was sent.
func (w *world) wantSends(n int) {
	w.t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.sends) != n {
		w.t.Fatalf("%d answers, want %d; counted %v", len(w.sends), n, w.counted)
	}
}

func TestReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const number = "+16502530000"
		w := newWorld(t)
		w.replier = true
		first := w.client("acme", `{"brand":"Acme"}`, true)
		w.client("bolt", `{"brand":"Bolt"}`, true)
		w.knows(number, "acme", "bolt")
		w.run()
		say := func(text string) {
			t.Helper()
			w.handle(carrier.Reports{Inbound: []carrier.Inbound{says(t, number, text)}})
		}
		say("hello")
		w.wantSends(0)
		say("STOP")
		w.wantSends(1) // one for both clients
		m := w.sends[0]
		if m.To.E164() != number || string(m.Text) != string(first.Texts.Stopped()) || m.ID == (store.MessageID{}) ||
			!m.ValidUntil.After(w.now()) || m.ValidUntil.After(w.now().Add(time.Hour)) {
			t.Errorf("sent %v until %v", m.Text, m.ValidUntil)
		}
		for range 10 { // a robot
			say("STOP")
			time.Sleep(30 * time.Second)
		}
		w.wantSends(1)
		w.wantOpted(number, "acme", "bolt")
		say("HELP")
		w.wantSends(2)
		if string(w.sends[1].Text) != string(first.Texts.Help()) {
			t.Errorf("HELP is answered %q", string(w.sends[1].Text))
		}
		say("START") // too soon to be answered, and heard all the same
		w.wantSends(2)
		w.wantOpted(number)
		time.Sleep(time.Minute)
		say("START")
		w.wantSends(3)
		if string(w.sends[2].Text) != string(first.Texts.Started()) {
			t.Errorf("START is answered %q", string(w.sends[2].Text))
		}
		time.Sleep(time.Minute)
		say("STOP")
		w.wantSends(4)
		robot := func(minutes int) { // one that asks for help all the time
			for range minutes {
				time.Sleep(time.Minute)
				say("HELP")
			}
		}
		robot(23 * 60)
		w.wantSends(5) // a day
		robot(24 * 60)
		w.wantSends(10)
	})
}

// TestClientsThatCannotBeRead: STOP is meant for them, too. They have no texts to answer
// with, and START and HELP are not known to be theirs.
func TestClientsThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const number, alone = "+16502530000", "+16502530001"
		w := newWorld(t)
		w.replier = true
		unread := w.client("acme", `{}`, true)
		unread.Texts, unread.Unread = nil, true
		second := w.client("bolt", `{"brand":"Bolt"}`, true)
		w.knows(number, "acme", "bolt")
		w.knows(alone, "acme")
		w.run()
		w.handle(carrier.Reports{Inbound: []carrier.Inbound{says(t, number, "STOP"), says(t, alone, "STOP"), says(t, alone, "START"), says(t, alone, "HELP")}})
		w.wantSends(1)
		if string(w.sends[0].Text) != string(second.Texts.Stopped()) {
			t.Errorf("STOP is answered %q", string(w.sends[0].Text))
		}
		w.wantOpted(number, "acme", "bolt")
		w.wantOpted(alone, "acme")
	})
}

func TestNoReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const number, stranger = "+16502530000", "+16502530001"
		w := newWorld(t)
		w.client("acme", `{}`, true)
		w.knows(number, "acme")
		w.run()
		w.handle(carrier.Reports{Inbound: []carrier.Inbound{says(t, number, "HELP")}})
		if w.marks != 0 {
			t.Error("the store was asked although nobody is answered")
		}
		w.replier = true
		own := says(t, number, "STOP")
		own.To = number // one of our senders writes to itself
		w.handle(carrier.Reports{Inbound: []carrier.Inbound{own, says(t, stranger, "STOP"), says(t, stranger, "HELP")}})
		if err := w.intake.Handle(t.Context(), "backup", carrier.Reports{Inbound: []carrier.Inbound{says(t, number, "STOP")}}); err != nil {
			t.Error(err)
		}
		w.wantSends(0)
	})
}

// TestRepliesAreBestEffort: neither a carrier that fails nor one that hangs
// keeps an opt-out from being noted, nor do answers pile up.
func TestRepliesAreBestEffort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.replier = true
		w.client("acme", `{}`, true)
		number := func(i int) string { return fmt.Sprintf("+1650253%04d", i) }
		stop := func(i int) {
			w.knows(number(i), "acme")
			w.handle(carrier.Reports{Inbound: []carrier.Inbound{says(t, number(i), "STOP")}})
			w.wantOpted(number(i), "acme")
		}
		for i := range 300 { // nobody sends yet
			stop(i)
		}
		if n := w.count("reply main 1 dropped"); n != 300-256 {
			t.Errorf("%d answers were dropped, counted %v", n, w.counted)
		}
		w.run()
		w.wantSends(256)
		w.sendErr = &carrier.Error{Class: carrier.Rejected, Reason: "rejected", Cause: errors.New("no way to " + number(301))}
		stop(301)
		w.wantSends(257)
		w.explode = true
		stop(302)
		synctest.Wait()
		if w.count("reply main 1 failed") != 2 || w.count("reply main 1 sent") != 256 {
			t.Errorf("counted %v", w.counted)
		}
		if strings.Contains(w.log.String(), "650253") || !strings.Contains(w.log.String(), `"reason":"rejected"`) {
			t.Errorf("the log is %s", w.log.String())
		}
	})
}

// TestReplyMemoryIsBounded: so many numbers that the first is forgotten.
func TestReplyMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.replier = true
		w.client("acme", `{}`, true)
		w.run()
		say := func(i int) {
			number := fmt.Sprintf("+1650%07d", 2_000_000+i)
			w.knows(number, "acme")
			w.handle(carrier.Reports{Inbound: []carrier.Inbound{says(t, number, "HELP")}})
			synctest.Wait()
		}
		const lots = 3 * 8192
		for i := range lots {
			say(i)
		}
		say(lots - 1) // remembered
		w.wantSends(lots)
		say(0) // forgotten
		w.wantSends(lots + 1)
	})
}

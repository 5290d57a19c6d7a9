package carriers_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"codeword/api"
)

// refused wants a send of the live client to be answered with a code.
func refused(t *testing.T, s *service, to string, code api.Code) {
	t.Helper()
	if _, err := s.live().Send(t.Context(), to); !errors.Is(err, code) {
		t.Errorf("a send: %v, want %s", err, code)
	}
}

// TestStopByWebhook: STOP ends the messages of each client that wrote to the
// phone, and of no other; START brings them back.
func TestStopByWebhook(t *testing.T) {
	t.Parallel()
	own := newGateway(t)
	s := start(t, own.route("own", 1, ""))
	stranger := s.Client(s.CreateClient("stranger", true, ""))
	s.send(phoneA)
	own.await(phoneA)
	if _, err := s.Client(s.Test).Send(t.Context(), phoneA); err != nil {
		t.Fatal(err)
	}

	own.report(s, "own", inbound(phoneA, "Please stop"))
	s.send(phoneA) // that was no keyword
	eventually(t, "a second code", func() bool { return len(own.codes(phoneA)) == 2 })
	own.report(s, "own", inbound(phoneA, " stop. "))
	own.report(s, "own", inbound(phoneA, "STOP"))
	own.report(s, "own", inbound(phoneB, "STOP")) // nobody ever wrote to that one
	refused(t, s, phoneA, api.CodePhoneOptedOut)
	if _, err := stranger.Send(t.Context(), phoneA); err != nil {
		t.Errorf("a client that did not know the phone: %v", err)
	}
	if _, err := s.Client(s.Test).Send(t.Context(), phoneA); err != nil {
		t.Errorf("a test client: %v", err)
	}
	s.send(phoneB)
	eventually(t, "STOP is answered", func() bool { return len(own.replies(phoneA)) > 0 })

	own.report(s, "own", inbound(phoneA, "start"))
	s.send(phoneA)
	eventually(t, "all codes but the refused one", func() bool { return len(own.codes(phoneA)) == 4 })
	if replies := own.replies(phoneA); len(replies) != 1 || !strings.Contains(replies[0].Text, "Codeword") {
		t.Errorf("the phone got %d answers", len(replies))
	}
	if n := len(own.replies(phoneB)); n > 0 {
		t.Errorf("an unknown phone got %d answers", n)
	}
	limited := s.metric(`codeword_inbound_replies_total{keyword="stop",outcome="limited",route="own"}`)
	if sent := s.metric(`codeword_inbound_replies_total{keyword="stop",outcome="sent",route="own"}`); sent != 1 || limited != 1 {
		t.Errorf("STOP was answered %v times, and %v times not", sent, limited)
	}
}

// TestStopBySMPP does the same over the carrier's connection, with HELP.
func TestStopBySMPP(t *testing.T) {
	t.Parallel()
	peer := startSMSC(t, nil)
	s := start(t, peer.route("main", 1, "", ""))
	s.send(phoneA)
	s.send(phoneB)
	peer.await(phoneA)
	peer.await(phoneB)

	peer.says(phoneB, "help")
	eventually(t, "HELP is answered", func() bool { return len(peer.to(phoneB)) == 2 })
	s.send(phoneB) // who asks for help goes on getting codes
	peer.says(phoneA, "STOP")
	eventually(t, "STOP is answered", func() bool { return len(peer.to(phoneA)) == 2 })
	refused(t, s, phoneA, api.CodePhoneOptedOut)
	peer.says(phoneA, "stop")
	peer.says(phoneA, "START")
	eventually(t, "START lifts STOP", func() bool {
		_, err := s.live().Send(t.Context(), phoneA)
		return err == nil
	})
	eventually(t, "a code after START", func() bool { return len(peer.to(phoneA)) > 2 })
	s.becomes(phoneA, "sent")

	for phone, text := range map[string]string{phoneA: "START", phoneB: "STOP"} {
		got := peer.to(phone)
		if len(got) != 3 {
			t.Fatalf("…%s got %d messages", phone[8:], len(got))
		}
		if codeOf.MatchString(got[1].text) || !strings.Contains(got[1].text, text) || !strings.Contains(got[1].text, "Codeword") {
			t.Errorf("…%s was answered %q", phone[8:], got[1].text)
		}
		if !codeOf.MatchString(got[0].text) || !codeOf.MatchString(got[2].text) {
			t.Errorf("…%s got %q and %q", phone[8:], got[0].text, got[2].text)
		}
	}
}

// TestCarrierKnowsOptOut: a carrier that refuses a send since the phone opted out
// with it suppresses the number.
func TestCarrierKnowsOptOut(t *testing.T) {
	t.Parallel()
	own, spare := newGateway(t), newGateway(t)
	own.answers(refuse("opted_out"))
	s := start(t, own.route("own", 1, "")+spare.route("spare", 2, ""))
	s.send(phoneA)
	if m := s.becomes(phoneA, "failed"); m.Error != "opted_out" || m.path() != "own:failed(opted_out)" {
		t.Errorf("%s: %s", m.Error, m.path())
	}
	refused(t, s, phoneA, api.CodePhoneOptedOut)
	own.answers(take)
	own.report(s, "own", inbound(phoneA, "unstop"))
	s.send(phoneA)
	s.becomes(phoneA, "sent")
	if len(spare.to(phoneA)) > 0 {
		t.Error("the second route was asked")
	}
}

// TestQueuedAtStop: a message that waits for its carrier when STOP comes is not
// sent.
func TestQueuedAtStop(t *testing.T) {
	t.Parallel()
	own := newGateway(t)
	own.answers(func(w http.ResponseWriter, m posted) {
		if m.To == phoneA && codeOf.MatchString(m.Text) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		take(w, m)
	})
	s := start(t, own.route("own", 1, ""))
	s.send(phoneA)
	own.await(phoneA)
	own.report(s, "own", inbound(phoneA, "STOP"))
	tries := len(own.codes(phoneA))
	own.answers(take)
	if m := s.becomes(phoneA, "failed"); m.Error != "opted_out" {
		t.Errorf("failed for %s", m.Error)
	}
	if n := len(own.codes(phoneA)); n != tries {
		t.Errorf("handed over %d times after STOP", n-tries)
	}
}

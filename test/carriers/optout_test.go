package carriers_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"codeword/api"
	"codeword/internal/waittest"
	"codeword/test/gateway"
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
	own := gateway.New(t)
	s := start(t, own.Route("own", 1, ""))
	stranger := s.Client(s.CreateClient("stranger", true, ""))
	s.send(phoneA)
	own.Await(phoneA)
	if _, err := s.Client(s.Test).Send(t.Context(), phoneA); err != nil {
		t.Fatal(err)
	}

	own.Report(s.Endpoint, "own", gateway.Inbound(phoneA, "Please stop"))
	s.send(phoneA) // that was no keyword
	waittest.Until(t, "a second code", func() bool { return len(own.Codes(phoneA)) == 2 })
	own.Report(s.Endpoint, "own", gateway.Inbound(phoneA, " stop. "))
	own.Report(s.Endpoint, "own", gateway.Inbound(phoneA, "STOP"))
	own.Report(s.Endpoint, "own", gateway.Inbound(phoneB, "STOP")) // nobody ever wrote to that one
	refused(t, s, phoneA, api.CodePhoneOptedOut)
	if _, err := stranger.Send(t.Context(), phoneA); err != nil {
		t.Errorf("a client that did not know the phone: %v", err)
	}
	if _, err := s.Client(s.Test).Send(t.Context(), phoneA); err != nil {
		t.Errorf("a test client: %v", err)
	}
	s.send(phoneB)
	waittest.Until(t, "STOP is answered", func() bool { return len(own.Replies(phoneA)) > 0 })

	own.Report(s.Endpoint, "own", gateway.Inbound(phoneA, "start"))
	s.send(phoneA)
	waittest.Until(t, "all codes but the refused one", func() bool { return len(own.Codes(phoneA)) == 4 })
	if replies := own.Replies(phoneA); len(replies) != 1 || !strings.Contains(replies[0].Text, "Codeword") {
		t.Errorf("the phone got %d answers", len(replies))
	}
	if n := len(own.Replies(phoneB)); n > 0 {
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
	waittest.Until(t, "HELP is answered", func() bool { return len(peer.to(phoneB)) == 2 })
	s.send(phoneB) // who asks for help goes on getting codes
	peer.says(phoneA, "STOP")
	waittest.Until(t, "STOP is answered", func() bool { return len(peer.to(phoneA)) == 2 })
	refused(t, s, phoneA, api.CodePhoneOptedOut)
	peer.says(phoneA, "stop")
	peer.says(phoneA, "START")
	waittest.Until(t, "START lifts STOP", func() bool {
		_, err := s.live().Send(t.Context(), phoneA)
		return err == nil
	})
	waittest.Until(t, "a code after START", func() bool { return len(peer.to(phoneA)) > 2 })
	s.becomes(phoneA, "sent")

	for phone, text := range map[string]string{phoneA: "START", phoneB: "STOP"} {
		got := peer.to(phone)
		if len(got) != 3 {
			t.Fatalf("…%s got %d messages", phone[8:], len(got))
		}
		if gateway.CodeOf.MatchString(got[1].text) || !strings.Contains(got[1].text, text) || !strings.Contains(got[1].text, "Codeword") {
			t.Errorf("…%s was answered %q", phone[8:], got[1].text)
		}
		if !gateway.CodeOf.MatchString(got[0].text) || !gateway.CodeOf.MatchString(got[2].text) {
			t.Errorf("…%s got %q and %q", phone[8:], got[0].text, got[2].text)
		}
	}
}

// TestCarrierKnowsOptOut: a carrier that refuses a send since the phone opted out
// with it suppresses the number.
func TestCarrierKnowsOptOut(t *testing.T) {
	t.Parallel()
	own, spare := gateway.New(t), gateway.New(t)
	own.Answers(gateway.Refuse("opted_out"))
	s := start(t, own.Route("own", 1, "")+spare.Route("spare", 2, ""))
	s.send(phoneA)
	if m := s.becomes(phoneA, "failed"); m.Error != "opted_out" || m.path() != "own:failed(opted_out)" {
		t.Errorf("%s: %s", m.Error, m.path())
	}
	refused(t, s, phoneA, api.CodePhoneOptedOut)
	own.Answers(gateway.Take)
	own.Report(s.Endpoint, "own", gateway.Inbound(phoneA, "unstop"))
	s.send(phoneA)
	s.becomes(phoneA, "sent")
	if len(spare.To(phoneA)) > 0 {
		t.Error("the second route was asked")
	}
}

// TestQueuedAtStop: a message that waits for its carrier when STOP comes is not
// sent.
func TestQueuedAtStop(t *testing.T) {
	t.Parallel()
	own := gateway.New(t)
	own.Answers(func(w http.ResponseWriter, m gateway.Message) {
		if m.To == phoneA && gateway.CodeOf.MatchString(m.Text) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		gateway.Take(w, m)
	})
	s := start(t, own.Route("own", 1, ""))
	s.send(phoneA)
	own.Await(phoneA)
	own.Report(s.Endpoint, "own", gateway.Inbound(phoneA, "STOP"))
	tries := len(own.Codes(phoneA))
	own.Answers(gateway.Take)
	if m := s.becomes(phoneA, "failed"); m.Error != "opted_out" {
		t.Errorf("failed for %s", m.Error)
	}
	if n := len(own.Codes(phoneA)); n != tries {
		t.Errorf("handed over %d times after STOP", n-tries)
	}
}

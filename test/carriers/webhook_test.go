package carriers_test

import (
	"crypto/rand"
	"net/http"
	"strconv"
	"testing"
	"time"

	"codeword/api"
	"codeword/internal/waittest"
	"codeword/test/gateway"
)

const phoneA, phoneB, phoneC = "+16502180001", "+12122340002", "+14152350003"

// TestWebhookJourney follows one code from the send to its use, with receipts in
// between that come twice and in the wrong order.
func TestWebhookJourney(t *testing.T) {
	t.Parallel()
	own, spare := gateway.New(t), gateway.New(t)
	s := start(t, own.Route("own", 1, "price: 0.0125,")+spare.Route("spare", 2, ""))
	answer := s.send(phoneA)
	got := own.Await(phoneA)
	m := s.becomes(phoneA, "sent")
	if m.path() != "own:sent" || m.Dispatches[0].CarrierRef != "ref-"+got.ID || m.ID != got.ID || m.Dispatches[0].Segments != 1 {
		t.Errorf("handed over as %+v", m.Dispatches)
	}
	if d := m.Dispatches[0].Decision; len(d) != 2 || d[0].Route != "own" || d[0].Verdict != "chosen" || d[1].Verdict != "lower_priority" {
		t.Errorf("decided %+v", d)
	}
	if !got.ValidUntil.Equal(m.ExpireTime) || m.PhoneMask != "0001" || m.ClientID != s.Live.ID {
		t.Errorf("valid until %v, and the log has %+v", got.ValidUntil, m)
	}

	ref := "ref-" + got.ID
	steps := []struct{ report, status, reports string }{
		{gateway.ReceiptOf(ref, "accepted", ""), "sent", "own:accepted"},
		{gateway.ReceiptOf("ref-other", "delivered", ""), "sent", "own:accepted"},
		{gateway.Delivered(ref), "delivered", "own:accepted own:delivered"},
		{gateway.Delivered(ref), "delivered", "own:accepted own:delivered"},
		{gateway.ReceiptOf(ref, "accepted", ""), "delivered", "own:accepted own:delivered"},
		{gateway.Failed(ref, "unreachable"), "delivered", "own:accepted own:delivered own:failed"},
	}
	for _, step := range steps {
		own.Report(s.Endpoint, "own", step.report)
		if m := s.message(phoneA); m.Status != step.status || m.reports() != step.reports {
			t.Errorf("after %s: %s, %q", step.report, m.Status, m.reports())
		}
	}
	if _, err := s.live().Authenticate(t.Context(), answer.PhoneID, gateway.CodeOf.FindString(got.Text)); err != nil {
		t.Fatalf("the code that arrived: %v", err)
	}
	waittest.Until(t, "the log tells of the code's use", func() bool { return !s.message(phoneA).VerifyTime.IsZero() })
	if n := len(spare.To(phoneA)); n > 0 {
		t.Errorf("%d messages over the second route", n)
	}
}

// TestReceiptOvertakes: the gateway reports before it answers.
func TestReceiptOvertakes(t *testing.T) {
	t.Parallel()
	own, spare := gateway.New(t), gateway.New(t)
	s := start(t, own.Route("own", 1, "")+spare.Route("spare", 2, ""))
	own.Answers(func(w http.ResponseWriter, m gateway.Message) {
		body := gateway.Delivered("ref-" + m.ID)
		if m.To == phoneB {
			body = gateway.Failed("ref-"+m.ID, "filtered")
		}
		own.Report(s.Endpoint, "own", body)
		gateway.Take(w, m)
	})
	s.send(phoneA)
	if m := s.becomes(phoneA, "delivered"); m.path() != "own:sent" || m.reports() != "own:delivered" {
		t.Errorf("%s, %s", m.path(), m.reports())
	}
	s.send(phoneB)
	spare.Await(phoneB)
	if m := s.becomes(phoneB, "sent"); m.path() != "own:sent spare:sent" || m.reports() != "own:failed" {
		t.Errorf("%s, %s", m.path(), m.reports())
	}
}

// TestForgedReports: nothing counts that the route's own gateway did not sign
// just now, whoever signed it.
func TestForgedReports(t *testing.T) {
	t.Parallel()
	own, other := gateway.New(t), gateway.New(t)
	s := start(t, own.Route("own", 1, "")+other.Route("other", 2, ""))
	s.send(phoneA)
	ref := "ref-" + own.Await(phoneA).ID
	s.becomes(phoneA, "sent")

	now := time.Now()
	body, id, timestamp := gateway.Delivered(ref), rand.Text(), strconv.FormatInt(now.Unix(), 10)
	good := own.Sign(id, timestamp, body)
	tests := []struct {
		name, result string
		status       int
		post         func() int
	}{
		{"another secret", "forged", 401, func() int {
			return gateway.PostSigned(t, s.Endpoint, "own", body, id, timestamp, gateway.Sign("x", id, timestamp, body))
		}},
		{"no signature", "forged", 401, func() int { return gateway.PostSigned(t, s.Endpoint, "own", body, id, timestamp, "") }},
		{"another body", "forged", 401, func() int {
			return gateway.PostSigned(t, s.Endpoint, "own", gateway.Failed(ref, ""), id, timestamp, good)
		}},
		{"another id", "forged", 401, func() int { return gateway.PostSigned(t, s.Endpoint, "own", body, "x"+id, timestamp, good) }},
		{"signed by another route", "forged", 401, func() int { return other.Post(s.Endpoint, "own", body, now) }},
		{"six minutes old", "stale", 401, func() int { return own.Post(s.Endpoint, "own", body, now.Add(-6*time.Minute)) }},
		{"six minutes ahead", "stale", 401, func() int { return own.Post(s.Endpoint, "own", body, now.Add(6*time.Minute)) }},
		{"no report", "malformed", 400, func() int { return own.Post(s.Endpoint, "own", `{"type": "message.receipt"}`, now) }},
	}
	for _, tt := range tests {
		series := `codeword_carrier_callbacks_total{result="` + tt.result + `",route="own"}`
		before := s.metric(series)
		if status := tt.post(); status != tt.status {
			t.Errorf("%s: answered %d", tt.name, status)
		}
		if n := s.metric(series) - before; n != 1 {
			t.Errorf("%s: counted %v times as %s", tt.name, n, tt.result)
		}
	}
	if status := own.Post(s.Endpoint, "nobody", body, now); status != http.StatusNotFound {
		t.Errorf("an unknown route: answered %d", status)
	}
	// Rightly signed for its own route, it is about a message that route never had.
	other.Report(s.Endpoint, "other", body)
	if m := s.message(phoneA); m.Status != "sent" || m.reports() != "" {
		t.Errorf("%s, %q", m.Status, m.reports())
	}
	if status := gateway.PostSigned(t, s.Endpoint, "own", body, id, timestamp, good); status != http.StatusNoContent {
		t.Errorf("the right one: answered %d", status)
	}
	if m := s.message(phoneA); m.Status != "delivered" {
		t.Errorf("the right one: %s", m.Status)
	}
}

// TestFailedReceipts: a failure that another carrier may not share moves the
// message on, once; any other ends it.
func TestFailedReceipts(t *testing.T) {
	t.Parallel()
	own, spare := gateway.New(t), gateway.New(t)
	s := start(t, own.Route("own", 1, "")+spare.Route("spare", 2, ""))

	s.send(phoneA)
	first := own.Await(phoneA)
	s.becomes(phoneA, "sent")
	for range 3 {
		own.Report(s.Endpoint, "own", gateway.Failed("ref-"+first.ID, "unreachable"))
	}
	second := spare.Await(phoneA)
	waittest.Until(t, "the second route takes it", func() bool { m := s.message(phoneA); return m.path() == "own:sent spare:sent" })
	own.Report(s.Endpoint, "own", gateway.Failed("ref-"+first.ID, "filtered"))
	spare.Report(s.Endpoint, "spare", gateway.Failed("ref-"+second.ID, "unreachable")) // and now nobody is left
	if gateway.CodeOf.FindString(first.Text) != gateway.CodeOf.FindString(second.Text) || first.ID != second.ID {
		t.Error("the second route brought another code or another message")
	}

	s.send(phoneB)
	own.Report(s.Endpoint, "own", gateway.Failed("ref-"+own.Await(phoneB).ID, "opted_out"))
	if m := s.becomes(phoneB, "failed"); m.Error != "opted_out" || m.path() != "own:sent" {
		t.Errorf("after an opt-out: %s, %s", m.Error, m.path())
	}
	refused(t, s, phoneB, api.CodePhoneOptedOut)

	// STOP comes between the handing-over and its failure.
	s.send(phoneC)
	ref := "ref-" + own.Await(phoneC).ID
	s.becomes(phoneC, "sent")
	own.Report(s.Endpoint, "own", gateway.Inbound(phoneC, "Stop."))
	own.Report(s.Endpoint, "own", gateway.Failed(ref, "unreachable"))
	if m := s.becomes(phoneC, "failed"); m.Error != "opted_out" || m.path() != "own:sent" {
		t.Errorf("after STOP: %s, %s", m.Error, m.path())
	}
	for phone, want := range map[string]int{phoneA: 1, phoneB: 0, phoneC: 0} {
		if n := len(spare.Codes(phone)); n != want || len(own.Codes(phone)) != 1 {
			t.Errorf("…%s: %d messages over the first route, %d over the second", phone[8:], len(own.Codes(phone)), n)
		}
	}
}

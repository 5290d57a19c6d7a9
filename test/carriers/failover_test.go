package carriers_test

import (
	"fmt"
	"testing"
	"time"

	"codeword/internal/waittest"
	"codeword/test/gateway"
)

// unknownTimeout is how long the routes here wait for a receipt of a message
// that may have been taken: long enough for a busy machine to look meanwhile. Tests wait
// for what should happen at once for less than longTimeout.
const (
	unknownTimeout = 5 * time.Second
	longTimeout    = 10 * time.Minute
)

// TestFailover: what a second route gets, and when, for each thing that the
// first may say.
func TestFailover(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		answer string
		want   string // what the message goes through
		status string
	}{
		{"not taken", "filtered", "own:queued(filtered) spare:sent", "sent"},
		{"an operator has to act", "insufficient_funds", "own:queued(insufficient_funds) spare:sent", "sent"},
		{"rejected", "invalid_number", "own:failed(invalid_number)", "failed"},
		{"nobody knows", "", "own:unknown(connection_lost) spare:sent", "sent"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			own, spare := gateway.New(t), gateway.New(t)
			own.Answers(gateway.Vanish)
			timeout := unknownTimeout
			if tt.answer != "" {
				own.Answers(gateway.Refuse(tt.answer))
				timeout = longTimeout
			}
			s := start(t, own.Route("own", 1, fmt.Sprintf("unknown-timeout: %s,", timeout))+spare.Route("spare", 2, ""))
			s.send(phoneA)
			first := own.Await(phoneA)
			if tt.answer == "" {
				if m := s.becomes(phoneA, "unknown"); m.Error != "connection_lost" || len(spare.To(phoneA)) > 0 {
					t.Errorf("unknown for %s", m.Error)
				}
			}
			var m sent
			waittest.Until(t, tt.want, func() bool { m = s.message(phoneA); return m.path() == tt.want })
			if m.Status != tt.status {
				t.Errorf("ends as %s", m.Status)
			}
			second := spare.To(phoneA)
			if tt.status == "failed" {
				if len(second) > 0 {
					t.Error("the second route got it")
				}
				return
			}
			if len(second) != 1 || second[0].Text != first.Text {
				t.Fatalf("the second route got %d messages", len(second))
			}
			if after := second[0].At.Sub(first.At); tt.answer == "" && after < unknownTimeout {
				t.Errorf("the second route got it after %v", after)
			}
		})
	}
}

// TestReceiptInTime: a message of which nobody knows whether it was taken is not
// handed to another route once its own has reported.
func TestReceiptInTime(t *testing.T) {
	t.Parallel()
	own, spare := gateway.New(t), gateway.New(t)
	own.Answers(gateway.Vanish)
	s := start(t, own.Route("own", 1, fmt.Sprintf("unknown-timeout: %s,", unknownTimeout))+spare.Route("spare", 2, ""))
	s.send(phoneA)
	s.send(phoneB)
	for _, phone := range []string{phoneA, phoneB} {
		own.Await(phone)
		s.becomes(phone, "unknown")
	}
	own.Report(s.Endpoint, "own", gateway.Delivered(own.To(phoneA)[0].ID))
	if m := s.message(phoneA); m.Status != "delivered" || m.reports() != "own:delivered" {
		t.Errorf("after the receipt: %s, %q", m.Status, m.reports())
	}
	// The one without a receipt is later than the other could have been.
	spare.Await(phoneB)
	s.becomes(phoneB, "sent")
	if m := s.message(phoneA); len(spare.To(phoneA)) > 0 || m.path() != "own:unknown(connection_lost)" || m.Status != "delivered" {
		t.Errorf("%s, %s, and %d messages over the second route", m.Status, m.path(), len(spare.To(phoneA)))
	}
}

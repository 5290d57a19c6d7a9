package carrier_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"codeword/internal/carrier"
)

func TestClassify(t *testing.T) {
	quoting := errors.New("no route to +16502530000")
	tests := []struct {
		name   string
		err    error
		class  carrier.Class
		reason string
	}{
		{"typed", &carrier.Error{Class: carrier.Rejected, Reason: "invalid_number"}, carrier.Rejected, "invalid_number"},
		{
			"wrapped", fmt.Errorf("send: %w", &carrier.Error{Class: carrier.Retryable, Reason: "throttled"}),
			carrier.Retryable, "throttled",
		},
		{"no class", &carrier.Error{Reason: "odd"}, carrier.Unknown, "odd"},
		{"deadline", fmt.Errorf("post: %w", context.DeadlineExceeded), carrier.Unknown, carrier.ReasonTimeout},
		{"untyped", quoting, carrier.Unknown, carrier.ReasonCarrierError},
		{"nil inside", (*carrier.Error)(nil), carrier.Unknown, carrier.ReasonCarrierError},
		{
			"the carrier's words as reason", &carrier.Error{Class: carrier.Rejected, Reason: "No such number: +16502530000"},
			carrier.Rejected, carrier.ReasonCarrierError,
		},
		{"empty reason", &carrier.Error{Class: carrier.Rejected}, carrier.Rejected, carrier.ReasonCarrierError},
		{
			"huge reason", &carrier.Error{Class: carrier.Retryable, Reason: strings.Repeat("a", 1<<20)},
			carrier.Retryable, carrier.ReasonCarrierError,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := carrier.Classify(tt.err)
			if got.Class != tt.class || got.Reason != tt.reason {
				t.Errorf("got %v %q, want %v %q", got.Class, got.Reason, tt.class, tt.reason)
			}
		})
	}
	if carrier.Classify(nil) != nil {
		t.Error("nil became an error")
	}
}

func TestErrorTextHidesCause(t *testing.T) {
	cause := errors.New("400 bad request: to=+16502530000 body=123456 is your code")
	err := &carrier.Error{Class: carrier.Rejected, Reason: "bad_request", Cause: cause}
	if text := err.Error(); strings.Contains(text, "650") || !strings.Contains(text, "rejected: bad_request") {
		t.Errorf("text %q: want class and reason alone", text)
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is out of reach")
	}
}

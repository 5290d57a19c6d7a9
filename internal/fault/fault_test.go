package fault_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"codeword/internal/fault"
)

func TestIs(t *testing.T) {
	limit := fault.New(fault.LimitSMS, "limit")
	for _, tc := range []struct {
		err  error
		kind fault.Kind
		want bool
	}{
		{limit, fault.LimitSMS, true},
		{limit, fault.LimitOTP, false},
		{fmt.Errorf("send: %w", limit), fault.LimitSMS, true},
		{errors.Join(io.EOF, limit), fault.LimitSMS, true},
		{fault.Wrap(fault.Unavailable, "send", limit), fault.Unavailable, true},
		// The outermost kind counts: who wrapped it has judged it anew.
		{fault.Wrap(fault.Unavailable, "send", limit), fault.LimitSMS, false},
		{&fault.Error{}, fault.Internal, true},
		{io.EOF, fault.Internal, false},
		{nil, fault.Internal, false},
	} {
		if got := fault.Is(tc.err, tc.kind); got != tc.want {
			t.Errorf("Is(%v, %d) = %v", tc.err, tc.kind, got)
		}
	}
}

func TestError(t *testing.T) {
	e := fault.Wrap(fault.Unavailable, "store", io.EOF)
	if e.Error() != "store: EOF" || !errors.Is(e, io.EOF) {
		t.Errorf("%v", e)
	}
	if e := fault.New(fault.NotFound, "no client"); e.Error() != "no client" || errors.Unwrap(e) != nil {
		t.Errorf("%v", e)
	}
}

package inbox_test

import (
	"testing"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/carriertest"
	"codeword/internal/carrier/inbox"
)

func TestConformance(t *testing.T) {
	const none = "there is no provider behind the inbox"
	carriertest.Run(t, carriertest.Subject{
		Open: func(*testing.T, carriertest.Behavior) carriertest.Peer {
			return carriertest.Peer{Carrier: inbox.Carrier{}}
		},
		To: func(b carriertest.Behavior) string {
			if b == carriertest.BehaviorReject {
				return inbox.RejectedNumber
			}
			return carriertest.Number
		},
		Lacks: map[carriertest.Behavior]string{
			carriertest.BehaviorOptedOut:  none,
			carriertest.BehaviorRetry:     none,
			carriertest.BehaviorThrottle:  none,
			carriertest.BehaviorAuth:      none,
			carriertest.BehaviorUnknown:   none,
			carriertest.BehaviorGarbage:   none,
			carriertest.BehaviorFlood:     none,
			carriertest.BehaviorSlow:      none,
			carriertest.BehaviorCutBefore: none,
			carriertest.BehaviorCutAfter:  none,
		},
	})
}

func TestFates(t *testing.T) {
	tests := []struct {
		to        string
		delivered bool
		reason    string
	}{
		{"+16502530000", true, ""},
		{"+14165551234", true, ""},
		{"+15005550007", true, ""},
		{"+15005550006", false, ""},
		{"+15005550005", false, "carrier_rejected"},
	}
	for _, tt := range tests {
		t.Run(tt.to, func(t *testing.T) {
			m := carriertest.Message(t, tt.to)
			m.ValidUntil = time.Now().Add(-time.Minute) // the inbox does not mind
			receipt, err := inbox.Carrier{}.Send(t.Context(), m)
			if receipt.Delivered != tt.delivered {
				t.Errorf("delivered %v, want %v", receipt.Delivered, tt.delivered)
			}
			reason := ""
			if e := carrier.Classify(err); e != nil {
				reason = e.Reason
			}
			if reason != tt.reason {
				t.Errorf("reason %q, want %q", reason, tt.reason)
			}
		})
	}
	if !(inbox.Carrier{}).Traits().TakesExpired {
		t.Error("the inbox must take expired messages: that is how the expired magic number is seen")
	}
}

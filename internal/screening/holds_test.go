package screening_test

import (
	"testing"

	"codeword/internal/screening"
)

func TestHoldEffect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scope, mode string
		want        screening.Effect
	}{
		{"client", "enforce", screening.Alarms},
		{"client", "shadow", screening.Alarms}, // an alarm holds nothing back in any mode
		{"block", "enforce", screening.HoldsBack},
		{"address", "enforce", screening.HoldsBack},
		{"block", "shadow", screening.Watches},
		{"block", "", screening.Watches},
		{"of a later release", "enforce", screening.HoldsBack},
	} {
		h := screening.Hold{HoldData: screening.HoldData{Scope: c.scope, Mode: c.mode}}
		if got := h.Effect(); got != c.want {
			t.Errorf("%s, %s: %d, want %d", c.scope, c.mode, got, c.want)
		}
	}
}

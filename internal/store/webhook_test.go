package store_test

import (
	"testing"

	"codeword/internal/store"
)

func TestParseDeliveryState(t *testing.T) {
	for s := store.DeliveryPending; s <= store.DeliveryFailed; s++ {
		if got, ok := store.ParseDeliveryState(s.String()); got != s || !ok {
			t.Errorf("%s: %s, %t", s, got, ok)
		}
	}
	for _, text := range []string{"", "invalid", "Failed", "failed "} {
		if got, ok := store.ParseDeliveryState(text); got != 0 || ok {
			t.Errorf("%q: %s, %t", text, got, ok)
		}
	}
}

package store_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"codeword/internal/store"
)

// TestDevices: the list does what a slice of four does, whatever comes.
func TestDevices(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var got store.Devices
		var want []store.DeviceID
		for range rapid.IntRange(1, 30).Draw(rt, "successes") {
			d := store.DeviceID{0: byte(rapid.IntRange(0, 6).Draw(rt, "device"))}
			before := got
			got = got.With(d)
			if d == (store.DeviceID{}) {
				if got != before {
					rt.Fatal("no device changed the list")
				}
				continue
			}
			want = slices.DeleteFunc(want, func(k store.DeviceID) bool { return k == d })
			want = slices.Insert(want, 0, d)
			want = want[:min(len(want), 4)]
			var packed []byte
			for _, k := range want {
				packed = append(packed, k[:]...)
			}
			if string(got) != string(packed) {
				rt.Fatalf("%x, want %x", got, packed)
			}
		}
		for n := range 7 {
			d := store.DeviceID{0: byte(n)}
			if got.Has(d) != slices.Contains(want, d) {
				rt.Fatalf("has device %d: %v", n, got.Has(d))
			}
		}
	})
}

// TestDevicesTorn: a list that was cut off loses its tail.
func TestDevicesTorn(t *testing.T) {
	t.Parallel()
	a, b := store.DeviceID{1}, store.DeviceID{2}
	torn := store.Devices("").With(b).With(a)[:17]
	if !torn.Has(a) || torn.Has(b) {
		t.Errorf("torn list has a %v, b %v", torn.Has(a), torn.Has(b))
	}
	if got := torn.With(b); got != store.Devices("").With(a).With(b) {
		t.Errorf("the torn list became %x", got)
	}
	// Half a digest of zeros is not the device of nobody.
	if store.Devices(make([]byte, 16)).Has(store.DeviceID{}) {
		t.Error("no device is known")
	}
}

package app

import "testing"

func TestGrowthFor(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for _, tt := range []struct {
		live, pointers uint64
		want           int
	}{
		{0, 0, 300},
		{5 * mib, 5 * mib, 300},
		{10 * mib, 10 * mib, 300},
		{16 * mib, 16 * mib, 200},
		{32 * mib, 32 * mib, 100},
		{1000 * mib, 1000 * mib, 100},
		{1 << 60, 1 << 53, 5},
		{5 * mib, 4 * mib, 240},
		{100 * mib, 5 * mib, 15},
		{200 * mib, 30 * mib, 16},
		{200 * mib, 64 * mib, 32},
		{1000 * mib, 1 * mib, 5},
		{4 * mib, 5 * mib, 300}, // one is as of the last collection
	} {
		if got := growthFor(tt.live, tt.pointers); got != tt.want {
			t.Errorf("with %d live bytes, %d of them with pointers: %d %%, want %d", tt.live, tt.pointers, got, tt.want)
		}
	}
}

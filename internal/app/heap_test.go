package app

import "testing"

func TestGrowthFor(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for _, tt := range []struct {
		live uint64
		want int
	}{{0, 300}, {5 * mib, 300}, {21 * mib, 300}, {32 * mib, 200}, {64 * mib, 100}, {1000 * mib, 100}, {1 << 60, 100}} {
		if got := growthFor(tt.live); got != tt.want {
			t.Errorf("with %d live bytes: %d %%, want %d", tt.live, got, tt.want)
		}
	}
}

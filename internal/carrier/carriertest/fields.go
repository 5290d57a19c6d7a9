package carriertest

import (
	"slices"
	"strings"
	"testing"
)

// WantFields fails the test unless err is what a Config's Validate says of
// exactly these fields: a line each, which begins with the field's name.
func WantFields(tb testing.TB, err error, fields ...string) {
	tb.Helper()
	if err == nil {
		tb.Errorf("%v: no error", fields)
		return
	}
	var got []string
	for line := range strings.Lines(err.Error()) {
		field, _, _ := strings.Cut(line, ":")
		got = append(got, field)
	}
	if !slices.Equal(got, fields) {
		tb.Errorf("got %v, want %v", got, fields)
	}
}

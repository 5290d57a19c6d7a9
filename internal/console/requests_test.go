package console_test

import (
	"testing"

	"codeword/api"
)

// TestBodyIsOneObject: nothing but white space may follow a JSON body.
func TestBodyIsOneObject(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	const object = `{"key": "x"}`
	for _, tt := range []struct {
		after string
		ok    bool
	}{
		{"", true},
		{" \t\r\n", true},
		{"}", false},
		{"]", false},
		{" \n}", false},
		{"}}", false},
		{",", false},
		{":", false},
		{"x", false},
		{"\x00", false},
		{"0", false},
		{`""`, false},
		{"{", false},
		{" {}", false},
		{object, false},
	} {
		status, code := 400, api.Code("INVALID_PARAMETER")
		if tt.ok {
			status, code = 404, "NOT_FOUND_HOLD"
		}
		if got := w.send("POST", "/admin/v1/guard/release", object+tt.after); got.status != status || got.code != code {
			t.Errorf("followed by %q: %d %s; want %d %s", tt.after, got.status, got.code, status, code)
		}
	}
}

package leaktest_test

import (
	"testing"

	"codeword/internal/leaktest"
)

func TestTells(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "123456": true, `"code":"123456"`: true, "123456 is your code.": true, "code=123456&x": true, "a 123456\n": true,
		"phone-number-live-0123456a-0000": false, "1764123456999999": false, "+16501234567": false, "x123456": false, "123457": false,
	} {
		if got := leaktest.Tells(text, "123456"); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

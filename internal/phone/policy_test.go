package phone_test

import (
	"strings"
	"testing"

	"codeword/internal/phone"
)

func TestLookupPolicy(t *testing.T) {
	for _, c := range []struct {
		mode, failure string
		want          phone.LookupPolicy
	}{
		{"", "", phone.LookupPolicy{}},
		{"off", "table", phone.LookupPolicy{}},
		{"unknown", "refuse", phone.LookupPolicy{Mode: phone.LookupUnknown, Refuse: true}},
		{"always", "table", phone.LookupPolicy{Mode: phone.LookupAlways}},
	} {
		if got, err := phone.ParseLookupPolicy(c.mode, c.failure); err != nil || got != c.want {
			t.Errorf("%q %q: got %+v, %v", c.mode, c.failure, got, err)
		}
	}
	_, err := phone.ParseLookupPolicy("Always", "allow")
	if err == nil || !strings.Contains(err.Error(), "lineLookup:") || !strings.Contains(err.Error(), "lineLookupFailure:") {
		t.Errorf("got %v", err)
	}
}

func TestLineTypeNamed(t *testing.T) {
	for line := range phone.LineOther + 1 {
		if got, ok := phone.LineTypeNamed(line.String()); !ok || got != line {
			t.Errorf("%s is %s, %t", line, got, ok)
		}
	}
	if _, ok := phone.LineTypeNamed("Mobile"); ok {
		t.Error("another case is taken")
	}
}

package server_test

import (
	"testing"

	"codeword/api"
)

// TestCaptchaToken: it reaches the domain; one that comes twice is none.
func TestCaptchaToken(t *testing.T) {
	f := newFixture(t, nil)
	for _, c := range []struct {
		headers []string
		want    string
	}{
		{nil, ""},
		{[]string{"captcha-token: a.b_c"}, "a.b_c"},
		{[]string{"Captcha-Token: one", "captcha-token: two"}, ""},
	} {
		if got := f.do("POST", api.PathSend, goodSend, c.headers...); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		if got := f.otp.lastSend(t).CaptchaToken; got != c.want {
			t.Errorf("%v: got %q", c.headers, got)
		}
	}
}

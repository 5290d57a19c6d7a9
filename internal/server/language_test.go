package server_test

import (
	"testing"

	"codeword/api"
)

// TestAcceptLanguage: the header reaches the domain as it came, and nothing that
// it may hold makes a send fail.
func TestAcceptLanguage(t *testing.T) {
	f := newFixture(t, nil)
	for _, tc := range []struct {
		headers []string
		want    string
	}{
		{nil, ""},
		{[]string{"Accept-Language: es-MX,es;q=0.9"}, "es-MX,es;q=0.9"},
		{[]string{"accept-language: !!!"}, "!!!"},
		{[]string{"Accept-Language: ru", "Accept-Language: es;q=0.5"}, "ru,es;q=0.5"},
	} {
		if got := f.do("POST", api.PathSend, goodSend, tc.headers...); got.status != 200 {
			t.Errorf("%q: %d %s", tc.headers, got.status, got.body)
		}
		if got := f.otp.lastSend(t).AcceptLanguage; got != tc.want {
			t.Errorf("%q: the domain got %q", tc.headers, got)
		}
	}
}

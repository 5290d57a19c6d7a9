package carriers_test

import (
	"testing"
	"time"

	"codeword/test/gateway"
)

// callers is how many ask for codes at once where a test loads the server.
const callers = 16

// count tells how many numbers got nothing, how many got more than one message,
// and fails the test if one of them got two different codes.
func count(t *testing.T, sends map[string]time.Time, phones map[string][]arrival) (missing, twice int) {
	t.Helper()
	for number := range sends {
		got := phones[number]
		switch {
		case len(got) == 0:
			missing++
		case len(got) > 1:
			twice++
		}
		for _, a := range got {
			if gateway.CodeOf.FindString(a.text) != gateway.CodeOf.FindString(got[0].text) {
				t.Errorf("…%s got two different codes", number[8:])
			}
		}
	}
	return missing, twice
}

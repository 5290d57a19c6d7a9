package attack_test

import (
	"fmt"
	"net/http"
	"testing"

	"codeword/api"
	"codeword/test/testserver"
)

// phoneFailures is how many wrong codes a lane of a phone takes in a day by default.
const phoneFailures = 15

func device(id string) header {
	return header{api.HeaderDeviceFingerprint, `{"deviceId":"` + id + `"}`}
}

// TestLockout: an attacker with 40 sessions and 40 devices sends to a phone and fails
// it for as long as he is let. He gets two budgets of guesses and no more, and the owner
// goes on signing in, on his device and with his session.
func TestLockout(t *testing.T) {
	t.Parallel()
	const crowd, rounds = 40, 8
	s := testserver.Start(t, testserver.Options{})
	// Without waits between sends, so that the attack takes no minutes.
	// Ten digits, so that none of the guesses is right by chance.
	const guess = "0000000000"
	c := callAs(t, s.Endpoint, s.CreateClient("besieged", true, `{"codeLength":10,"phoneBurst":{"burst":0,"every":"0s"}}`))
	victim, mine := number(1), device("the owner's")
	owner := bearer(c.mustSignIn(victim, mine))

	strangers := map[string][][]header{}
	for i := range crowd {
		strangers["40 devices"] = append(strangers["40 devices"], []header{device(fmt.Sprintf("device-%d", i))})
		own := bearer(c.mustSignIn(number(100 + i)))
		strangers["40 sessions"] = append(strangers["40 sessions"], []header{own, device(fmt.Sprintf("device-%d", i))})
	}
	for _, name := range []string{"40 devices", "40 sessions"} {
		who := strangers[name]
		sent, goOn := 0, 0
		var last []answer
		var id string
		for round := range rounds {
			if a := c.send(victim, who[round]...); a.status == http.StatusOK {
				sent++
				id = a.ok.PhoneID
			}
			last = atOnce(crowd, func(i int) answer { return c.authenticate(id, guess, who[i]...) })
			for _, a := range last {
				if a.retryable() {
					goOn++
				}
			}
		}
		got := tally(last)
		report(t, "lockout", "sends and wrong guesses at one phone as "+name, "%d sends, %d guesses told to go on, then %v", sent, goOn, got)
		if goOn >= phoneFailures || got["429 EXCEEDS_LIMIT_OTP"] != crowd {
			t.Errorf("%s: %d guesses were told to go on, want less than %d; at last %v", name, goOn, phoneFailures, got)
		}
	}
	for what, as := range map[string][]header{"a new device": {device("new")}, "no device": nil} {
		if a := c.send(victim, as...); !a.is(http.StatusTooManyRequests, api.CodeExceedsLimitOTP) || a.err.Data == nil || a.err.Data.Limit != "phone_failures" {
			t.Errorf("a send with %s got %s", what, a)
		}
	}
	for what, as := range map[string]header{"device": mine, "session": owner} {
		id := c.mustSend(victim, as)
		code := s.Code(victim)
		stolen := c.authenticate(id, code, device("thief"))
		got := c.authenticate(id, code, as)
		report(t, "lockout", "the owner signs in by his "+what, "%s; somebody else with his code got %s", got, stolen)
		if got.status != http.StatusOK || stolen.status == http.StatusOK {
			t.Errorf("the owner's %s got %s, a thief %s", what, got, stolen)
		}
	}
}

package console_test

import (
	"strings"
	"testing"

	"codeword/internal/console"
)

// TestMessageTellsTheChallenge: page and document tell what is known of a message's code,
// and nothing else.
func TestMessageTellsTheChallenge(t *testing.T) {
	w := newWhole(t)
	w.fill(w.client("shop", ""), 1, "main")
	for _, c := range []struct {
		name       string
		view       *console.ChallengeView
		page, json string
	}{
		{
			"open", &console.ChallengeView{State: console.ChallengeOpen, Attempts: new(0), MaxAttempts: 5},
			"it is accepted <span>(0 of 5 attempts used)</span>", `"challenge":{"state":"open","attempts":0,"maxAttempts":5}`,
		},
		{
			"exhausted", &console.ChallengeView{State: console.ChallengeExhausted, Attempts: new(5), MaxAttempts: 5},
			"too many wrong codes came back, so that it is not accepted any more <span>(5 of 5 attempts used)</span>",
			`"challenge":{"state":"exhausted","attempts":5,"maxAttempts":5}`,
		},
		{
			"settings that cannot be read", &console.ChallengeView{State: console.ChallengeExpired, Attempts: new(2)},
			"its time ran out, and the right code had not come back <span>(2 attempts used)</span>", `"challenge":{"state":"expired","attempts":2}`,
		},
		{"used", &console.ChallengeView{State: console.ChallengeUsed}, "the right code came back</dd>", `"challenge":{"state":"used"}`},
		{"unknown", &console.ChallengeView{State: console.ChallengeUnknown}, "is not known any more</dd>", `"challenge":{"state":"unknown"}`},
		{"unavailable", &console.ChallengeView{State: console.ChallengeUnavailable}, "cannot be read now</dd>", `"challenge":{"state":"unavailable"}`},
		{"nobody asked", nil, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t, w.messages.detail.Challenge = t, c.view
			got := w.get("/messages/" + messageID.String())
			w.checkPage("/messages", got, false)
			if c.view == nil && strings.Contains(got.body, "attempts used") || !strings.Contains(got.body, c.page) {
				t.Errorf("the page does not tell %q", c.page)
			}
			if doc := w.send("GET", "/admin/v1/messages/"+messageID.String(), ""); doc.status != 200 || !strings.Contains(doc.body, c.json) {
				t.Errorf("%d %s", doc.status, doc.body)
			}
		})
	}
}

package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"codeword/internal/leaktest"
	"codeword/test/browser"
	"codeword/test/testserver"
)

// visitor opens the demo page as a visitor with an address of its own, so that the
// limits of one test are not those of another.
func visitor(t *testing.T, b *browser.Browser, s *testserver.Server, screen browser.Screen, address string) *browser.Tab {
	t.Helper()
	tab := b.Open(t, screen)
	tab.Do(browser.Send(network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{
		Headers: network.Headers{"X-Forwarded-For": address},
	}))
	tab.MayFail("/demo/send")
	tab.MayFail("/demo/authenticate")
	tab.Visit(s.URL + "/demo")
	tab.AwaitFocus("phone")
	return tab
}

func startDemo(t *testing.T) *testserver.Server {
	t.Helper()
	return testserver.Start(t, testserver.Options{Flags: []string{"--trusted-proxies", "127.0.0.1"}})
}

// ask enters a number, and waits for the step after that.
func ask(tab *browser.Tab, number string) {
	tab.Replace(number + kb.Enter)
	tab.AwaitFocus("code")
}

// otherThan returns a code that is as long, and wrong.
func otherThan(code string) string {
	return fmt.Sprintf("%c", '0'+(code[0]-'0'+1)%10) + code[1:]
}

// TestDemo takes the way from the number to the session on each screen, with all
// that goes wrong on it.
func TestDemo(t *testing.T) {
	b, s := browser.Start(t), startDemo(t)
	for i, screen := range browser.Screens() {
		t.Run(screen.Name, func(t *testing.T) {
			tab := visitor(t, b, s, screen, fmt.Sprintf("192.0.2.%d", i+1))
			number := fmt.Sprintf("+1650218000%d", i)
			tab.Examine("1-phone")

			tab.Press("650" + kb.Enter)
			tab.Await(`document.getElementById("phone-error").innerText.includes("That is not a phone number")`)
			tab.AwaitFocus("phone")
			if !browser.Eval[bool](tab, `document.getElementById("phone").matches("[aria-invalid=true]")`) {
				t.Error("the field is not marked as wrong")
			}
			tab.Examine("2-no-phone")

			ask(tab, fmt.Sprintf("(650) 218-000%d", i)) // as people write it
			if to := tab.Text("to"); to != number {
				t.Errorf("a code for %q", to)
			}
			code := s.Code(number)
			if leaktest.Tells(browser.Eval[string](tab, "document.documentElement.outerHTML"), code) {
				t.Error("the page knows the code")
			}
			tab.Examine("3-code")

			tab.Press(otherThan(code) + kb.Enter)
			tab.Await(`document.getElementById("code-error").innerText.includes("That is not the code")`)
			tab.AwaitFocus("code")
			tab.Examine("4-wrong-code")

			tooMany(t, tab)
			tab.Examine("5-too-many")

			tab.Click("code")
			if i%2 == 0 {
				tab.Replace(code + kb.Enter)
			} else {
				tab.Replace(kb.Backspace)
				tab.Paste("Your code is " + code[:3] + " " + code[3:] + ".")
				tab.Press(kb.Enter)
			}
			tab.AwaitFocus("welcome")
			tab.Examine("6-done")
			signedIn(t, tab, s)
		})
	}
}

// tooMany sends until the limit of the visitor's address says no, and wants the
// button to count down.
func tooMany(t *testing.T, tab *browser.Tab) {
	t.Helper()
	const held = `document.getElementById("resend").ariaDisabled === "true"`
	for sends := 1; !browser.Eval[bool](tab, held); sends++ {
		if sends > 12 {
			t.Fatal("no limit")
		}
		before := browser.Eval[int](tab, `document.getElementById("calls").childElementCount`)
		tab.Click("resend")
		tab.Await(fmt.Sprintf(`document.getElementById("calls").childElementCount > %d`, before))
	}
	if said := tab.Text("code-error"); !strings.HasPrefix(said, "Too many codes were asked for. Try again in ") {
		t.Errorf("it says %q", said)
	}
	tab.Await(`/^Send again in 00:[0-3]\d$/.test(document.getElementById("resend").innerText)`)
	first := tab.Text("resend")
	tab.Await(fmt.Sprintf(`document.getElementById("resend").innerText < %q`, first))
	calls := browser.Eval[int](tab, `document.getElementById("calls").childElementCount`)
	tab.Click("resend")
	now := browser.Eval[int](tab, `document.getElementById("calls").childElementCount`)
	if now != calls && browser.Eval[bool](tab, held) {
		t.Error("a held button sends")
	}
}

// ago is what a busy machine makes of now.
var ago = regexp.MustCompile(`\d+ seconds? ago`)

// signedIn looks at what the last step shows.
func signedIn(t *testing.T, tab *browser.Tab, s *testserver.Server) {
	t.Helper()
	var header struct{ Alg, Kid string }
	if err := json.Unmarshal([]byte(tab.Text("header")), &header); err != nil || header.Alg != "ES256" || header.Kid == "" {
		t.Errorf("header %+v: %v", header, err)
	}
	claims := tab.Text("claims")
	for _, want := range []string{`"iss": "` + s.URL + `"`, `"aud": "` + s.Test.ID + `"`, "M, in 5 minutes", "M, now"} {
		if !strings.Contains(ago.ReplaceAllString(claims, "now"), want) {
			t.Errorf("the claims lack %q:\n%s", want, claims)
		}
	}
	calls := tab.Text("calls")
	for _, want := range []string{
		`curl -sS -X POST "$CODEWORD_URL/v1/auth/otp/sms:authenticate"`, "$CODEWORD_CLIENT_SECRET", "HTTP 200", "HTTP 401",
		"HTTP 429, Retry-After: ", `ratio-device-fingerprint: {"ip": "192.0.2.`,
	} {
		if !strings.Contains(calls, want) {
			t.Errorf("the calls lack %q", want)
		}
	}
	if strings.Contains(browser.Eval[string](tab, "document.documentElement.outerHTML"), s.Test.Secret) {
		t.Error("the page knows the secret")
	}
}

// TestDemoCodeUsedUp: after the last attempt the way on is a new code.
func TestDemoCodeUsedUp(t *testing.T) {
	b, s := browser.Start(t), startDemo(t)
	tab := visitor(t, b, s, browser.Screens()[0], "192.0.2.9")
	ask(tab, "6502180009")
	code := s.Code("+16502180009")
	for i := range 5 {
		tab.AwaitFocus("code")
		tab.Replace(otherThan(code) + kb.Enter)
		tab.Await(fmt.Sprintf(`document.getElementById("calls").childElementCount === %d`, i+2))
	}
	tab.AwaitFocus("resend")
	if said := tab.Text("code-error"); said != "This code does not work any more. Send a new one." {
		t.Errorf("it says %q", said)
	}
	tab.Press(kb.Enter)
	tab.AwaitFocus("code")
	if said := tab.Text("code-error"); said != "" {
		t.Errorf("it still says %q", said)
	}
	tab.Click("back")
	tab.AwaitFocus("phone")
}

// TestDemoSaysWhatIsWrong goes through the refusals with fixed outcomes.
func TestDemoSaysWhatIsWrong(t *testing.T) {
	b, s := browser.Start(t), startDemo(t)
	tab := visitor(t, b, s, browser.Screens()[2], "192.0.2.10")
	for i, tc := range []struct{ number, want string }{
		{"5005550001", "That is not a phone number."},
		{"5005550002", "That is not a number of the United States."},
		{"5005550003", "That is not a mobile number."},
		{"5005550004", "Too many codes were asked for. Try again in 60 seconds."},
		{"", "Enter your mobile number."},
		{"'\"<b>", "That is not a phone number."},
	} {
		tab.Replace(kb.Backspace) // also ends what the button waits for
		tab.Press(tc.number + kb.Enter)
		tab.Await(fmt.Sprintf(`document.getElementById("calls").childElementCount === %d`, i+1))
		if said := tab.Text("phone-error"); !strings.HasPrefix(said, tc.want) {
			t.Errorf("%q: it says %q", tc.number, said)
		}
	}
	tab.Examine("7-refused")
}

// TestDemoWithoutTheServer: what the API and the network answer when nothing works.
func TestDemoWithoutTheServer(t *testing.T) {
	b, s := browser.Start(t), startDemo(t)
	tab := visitor(t, b, s, browser.Screens()[1], "192.0.2.11")
	answers := make(chan fetch.FulfillRequestParams, 1)
	intercept(t, tab, answers)

	answers <- fetch.FulfillRequestParams{
		ResponseCode: 503, ResponseHeaders: []*fetch.HeaderEntry{{Name: "Retry-After", Value: "2"}},
		Body: []byte(`{"message": "…", "createTime": "2026-01-02T03:04:05.678Z", "code": "UNAVAILABLE"}`),
	}
	// Two seconds may be over before a busy machine looks: the page notes what the button said.
	browser.Eval[bool](tab, `(window.said = [], new MutationObserver(() => said.push(document.getElementById("send").innerText))
		.observe(document.getElementById("send"), { subtree: true, childList: true, characterData: true }), true)`)
	tab.Press("6502180011" + kb.Enter)
	tab.Await(`document.getElementById("phone-error").innerText === "The service is not available. Try again in 2 seconds."`)
	tab.Await(`said.some((text) => /^Send the code in 00:0[12]$/.test(text))`)
	tab.Examine("8-unavailable")
	tab.Await(`document.getElementById("status").innerText === "You can try again now."`)
	tab.Await(`document.getElementById("send").innerText === "Send the code"`)

	answers <- fetch.FulfillRequestParams{} // none
	tab.Press(kb.Enter)
	tab.Await(`document.getElementById("phone-error").innerText.startsWith("The server cannot be reached.")`)

	answers <- fetch.FulfillRequestParams{ResponseCode: 418, Body: []byte(`{"code": "OF_TOMORROW"}`)}
	tab.Press(kb.Enter)
	tab.Await(`document.getElementById("phone-error").innerText === "That did not work (OF_TOMORROW)."`)
}

// intercept answers the page's calls in the server's place. An answer without a
// status breaks the connection.
func intercept(t *testing.T, tab *browser.Tab, answers <-chan fetch.FulfillRequestParams) {
	t.Helper()
	paused := browser.Events(tab, fetch.RequestPaused)
	tab.Do(browser.Send(fetch.Enable, fetch.EnableParams{Patterns: []*fetch.RequestPattern{{URLPattern: "*/demo/send"}}}))
	go func() {
		for event := range paused {
			answer := <-answers
			answer.RequestID = event.RequestID
			var action chromedp.Action[chromedp.Void]
			if answer.ResponseCode == 0 {
				action = browser.Send(fetch.FailRequest, fetch.FailRequestParams{
					RequestID: event.RequestID, ErrorReason: network.ErrorReasonConnectionRefused,
				})
			} else {
				action = browser.Send(fetch.FulfillRequest, answer)
			}
			if err := tab.Try(action); err != nil && context.Cause(t.Context()) == nil {
				t.Errorf("answer a call: %v", err)
			}
		}
	}()
}

// TestDemoTakesTheCodeFromTheMessage stands in for a browser on a phone (WebOTP).
func TestDemoTakesTheCodeFromTheMessage(t *testing.T) {
	b, s := browser.Start(t), startDemo(t)
	tab := b.Open(t, browser.Screens()[0])
	tab.Do(browser.Send(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `
		window.OTPCredential = class {};
		navigator.credentials.get = ({ otp, signal }) => new Promise((resolve, reject) => {
			window.asked = otp.transport.join();
			window.receive = (code) => resolve({ code });
			signal.addEventListener("abort", () => { window.aborted = true; reject(signal.reason); });
		});`}))
	tab.Visit(s.URL + "/demo")
	tab.AwaitFocus("phone")
	ask(tab, "6502180012")
	tab.Await(`window.asked === "sms"`)
	tab.Click("back")
	tab.Await("window.aborted")
	tab.AwaitFocus("phone")
	ask(tab, "6502180012")
	browser.Eval[bool](tab, fmt.Sprintf("(receive(%q), true)", s.Code("+16502180012")))
	tab.AwaitFocus("welcome")
	tab.Click("again")
	tab.AwaitFocus("phone")
}

// TestDemoWithoutScript: the page says what to do instead.
func TestDemoWithoutScript(t *testing.T) {
	b, s := browser.Start(t), startDemo(t)
	tab := b.Open(t, browser.Screens()[0])
	tab.Do(browser.Send(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	tab.Visit(s.URL + "/demo")
	said := browser.Eval[string](tab, "document.body.innerText")
	if !strings.Contains(said, "This page needs JavaScript.") || strings.Contains(said, "Send the code") {
		t.Errorf("it says:\n%s", said)
	}
}

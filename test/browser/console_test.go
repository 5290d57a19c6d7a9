package browser_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"codeword/api"
	"codeword/client"
	"codeword/internal/waittest"
	"codeword/test/browser"
	"codeword/test/testserver"
)

// TestConsole takes an operator's ways through the console on each screen, with and
// without script: log in, find a message and follow it, look a phone up and erase it, release a hold,
// rotate a secret.
func TestConsole(t *testing.T) {
	b, m := browser.Start(t), openMall(t)
	screens := browser.Screens()
	for i, tc := range []struct {
		browser.Screen

		script bool
	}{{screens[0], true}, {screens[1], true}, {screens[2], true}, {screens[3], true}, {screens[0], false}} {
		if !tc.script {
			tc.Name += "-without-script"
		}
		t.Run(tc.Name, func(t *testing.T) {
			shop, tab := openShop(t, m, i), b.Open(t, tc.Screen)
			if !tc.script {
				tab.WithoutScript()
			}
			logIn(tab, m.Server)
			followMessage(t, tab, m.Server, shop)
			findPhone(t, tab, m.Server, shop)
			releaseHold(t, tab, m.Server, shop)
			rotateSecret(t, tab, m.Server, shop)
			everyPage(t, tab, m.Server)
			tab.ClickOn(`form[action="/logout"] button`)
			tab.Await(`location.pathname === "/login"`)
		})
	}
}

// logIn uses the keyboard alone.
func logIn(tab *browser.Tab, s *testserver.Server) {
	tab.MayFail("/login")         // a wrong token is a 401
	tab.MayFail("/admin/v1/live") // and so is a stream that was open at the logout, when the browser opens it again
	tab.Visit(s.AdminURL)
	tab.AwaitFocus("token")
	tab.Examine("console-1-login")
	tab.Press("not the token" + kb.Enter)
	tab.Await(`document.querySelector("[role=alert]")`)
	tab.Examine("console-2-wrong-token")
	tab.AwaitFocus("token")
	tab.Press(s.AdminToken + kb.Enter)
	tab.Await(`location.pathname === "/" && document.querySelector("h1")?.innerText === "Overview"`)
	tab.Examine("console-3-overview")
}

func followMessage(t *testing.T, tab *browser.Tab, s *testserver.Server, shop shop) {
	t.Helper()
	tab.Visit(s.AdminURL + "/messages")
	tab.Examine("console-4-messages")
	tab.Click("to")
	tab.Press(shop.number + kb.Enter)
	tab.Await(`location.search.includes("to=") && document.querySelectorAll("tbody tr").length === 1`)
	tab.Examine("console-5-found")
	tab.ClickOn(`tbody a[href^="/messages/"]`)
	tab.Await(`document.querySelector("ol.life")`)
	if browser.Eval[bool](tab, fmt.Sprintf("document.documentElement.outerHTML.includes(%q)", shop.number)) {
		t.Error("the number is not masked")
	}
	life := tab.Text("life") + browser.Eval[string](tab, `document.querySelector("ol.life").innerText`)
	for _, want := range []string{"Accepted", "Handed to " + shop.route, "Receipt from " + shop.route, "Verified"} {
		if !strings.Contains(life, want) {
			t.Errorf("%q is not in the life of the message:\n%s", want, life)
		}
	}
	tab.Examine("console-6-message")
	tab.ClickOn(`form[action$="/reveal"] button`)
	tab.Await(fmt.Sprintf(`document.getElementById("number")?.innerText.includes(%q)`, shop.number))
	tab.Examine("console-7-revealed")
}

func findPhone(t *testing.T, tab *browser.Tab, s *testserver.Server, shop shop) {
	t.Helper()
	tab.MayFail("/phones") // what is refused is a 400
	tab.Visit(s.AdminURL + "/phones")
	tab.Examine("console-phones-1")
	lookUp(tab, "12", "[role=alert]")
	tab.Examine("console-phones-2-wrong")
	lookUp(tab, "+12125550100", ".empty")
	tab.Examine("console-phones-3-none")
	findRefused(t, tab, s, shop)
	lookUp(tab, shop.number, "#found-0")
	if browser.Eval[bool](tab, fmt.Sprintf("(document.documentElement.outerHTML + location.href).includes(%q)", shop.number[1:])) {
		t.Error("the page or its address tells the number")
	}
	tab.Examine("console-phones-4-found")
	tab.ClickOn(`details.confirm summary`)
	ending := shop.number[len(shop.number)-4:]
	for _, typed := range []string{"0000", ending} {
		tab.Click("confirm-0")
		tab.Press(typed + kb.Enter)
		if typed != ending {
			tab.Await(`document.getElementById("confirm-0-wrong")`)
			tab.Examine("console-phones-5-wrong-ending")
		}
	}
	tab.Await(`document.getElementById("erased")`)
	tab.Examine("console-phones-6-erased")
}

// lookUp looks a phone up, and waits for a page of the answer that has the element.
func lookUp(tab *browser.Tab, phone, element string) {
	browser.Eval[bool](tab, `window.before = true`)
	tab.Click("phone")
	tab.Press(phone + kb.Enter)
	tab.Await(fmt.Sprintf(`!window.before && document.querySelector(%q)`, element))
}

// findRefused looks for why a number got no code: it is Canadian. What was refused is noted
// a moment later.
func findRefused(t *testing.T, tab *browser.Tab, s *testserver.Server, shop shop) {
	t.Helper()
	const canadian = "+14165550100"
	if _, err := s.Client(shop.Credentials).Send(t.Context(), canadian); !errors.Is(err, api.CodeInvalidPhoneCountryCode) {
		t.Fatalf("a send to Canada: %v", err)
	}
	for range 50 {
		lookUp(tab, canadian, ".empty") // one says that there is no message
		if browser.Eval[bool](tab, `!!document.getElementById("found-0")`) {
			break
		}
	}
	if text := browser.Eval[string](tab, `document.querySelector("main").innerText`); !strings.Contains(text, string(api.CodeInvalidPhoneCountryCode)) || !strings.Contains(text, "0100") {
		t.Errorf("it does not tell why:\n%s", text)
	}
	tab.Examine("console-phones-refused")
}

func releaseHold(t *testing.T, tab *browser.Tab, s *testserver.Server, shop shop) {
	t.Helper()
	tab.Visit(s.AdminURL + "/guard")
	const holds = `[...document.querySelectorAll("[id^=hold-]")].filter(e => e.querySelector('a[href="/clients/%s"]'))`
	mine := fmt.Sprintf(holds, shop.ID)
	tab.Await(mine + ".length > 0")
	tab.Examine("console-8-guard")
	hold := browser.Eval[string](tab, mine+"[0].id")
	tab.ClickOn(`[id="` + hold + `"] details.confirm summary`)
	tab.Examine("console-9-release")
	tab.ClickOn(`[id="` + hold + `"] form[action="/guard/release"] button`)
	tab.Await(`document.querySelector("[role=status]")?.innerText.startsWith("The hold has ended")`)
	if browser.Eval[bool](tab, fmt.Sprintf("document.getElementById(%q) !== null", hold)) {
		t.Errorf("%s is still there", hold)
	}
	tab.Examine("console-10-released")
}

func rotateSecret(t *testing.T, tab *browser.Tab, s *testserver.Server, shop shop) {
	t.Helper()
	tab.Visit(s.AdminURL + "/clients")
	tab.Examine("console-11-clients")
	tab.ClickOn(`a[href="/clients/` + shop.ID + `"]`)
	tab.Await(`document.querySelector('form[action$="/start-rotation"]')`)
	tab.Examine("console-12-client")
	tab.ClickOn(`form[action$="/start-rotation"] button`)
	tab.Await(`document.querySelector('form[action$="/finish-rotation"]')`)
	secret := browser.Eval[string](tab, `document.querySelector("code.once").innerText`)
	tab.Examine("console-13-rotating")
	old, fresh := shop.Credentials, shop.Credentials
	fresh.Secret = secret
	waittest.Until(t, "while rotating, the new secret works", func() bool { return call(t, s, fresh) == nil })
	if err := call(t, s, old); err != nil {
		t.Errorf("while rotating, the old secret: %v", err)
	}
	tab.ClickOn(`details.confirm:has(form[action$="/finish-rotation"]) summary`)
	tab.ClickOn(`form[action$="/finish-rotation"] button`)
	tab.Await(`document.querySelector("[role=status]")?.innerText.startsWith("The old secret has ended")`)
	if err := call(t, s, fresh); err != nil {
		t.Errorf("the new secret: %v", err)
	}
	waittest.Until(t, "the old secret does not work any more", func() bool { return call(t, s, old) != nil })
	tab.Examine("console-14-rotated")
}

// call sends nothing, and tells whether the secret is taken.
func call(t *testing.T, s *testserver.Server, cred testserver.Credentials) error {
	t.Helper()
	_, err := s.Client(cred).Send(t.Context(), "+15005550001") // no mobile number
	if e := (*client.Error)(nil); errors.As(err, &e) && e.Code == "INVALID_PHONE_TYPE" {
		return nil
	}
	return err
}

// everyPage goes wherever the navigation leads.
func everyPage(t *testing.T, tab *browser.Tab, s *testserver.Server) {
	t.Helper()
	tab.Visit(s.AdminURL)
	paths := browser.Eval[[]string](tab, `[...document.querySelectorAll("header nav a")].map(a => new URL(a.href).pathname)`)
	if len(paths) < 8 {
		t.Fatalf("the navigation has %q alone", paths)
	}
	for _, path := range paths {
		tab.Visit(s.AdminURL + path)
		tab.Await(`document.querySelector("[aria-current=page]")`)
		tab.Examine("console-page-" + path[1:])
	}
}

package browser_test

import (
	"fmt"
	"testing"

	"codeword/test/browser"
)

// TestConsoleLive: a message that is sent while somebody looks at the log appears in it,
// and what he types meanwhile stays.
func TestConsoleLive(t *testing.T) {
	b, m := browser.Start(t), openMall(t)
	shop := m.CreateClient("Shop", true, `{}`)
	tab := b.Open(t, browser.Screens()[0])
	logIn(tab, m.Server)
	tab.Visit(m.AdminURL + "/messages")
	tab.Await(`document.querySelectorAll("#log tbody tr").length === 0`)
	tab.Click("client")
	tab.Press("half a")
	mark := `document.documentElement.dataset.mark`
	browser.Eval[string](tab, mark+` = "the same page"`)
	for i := range 2 {
		m.send(t, m.Client(shop), fmt.Sprintf("+1650218002%d", i))
		tab.Await(fmt.Sprintf(`document.querySelectorAll("#log tbody tr").length === %d`, i+1))
	}
	if got := browser.Eval[string](tab, `document.getElementById("client").value + ", " + `+mark); got != "half a, the same page" {
		t.Errorf("%q", got)
	}
	tab.Visit(m.AdminURL + "/")
	m.send(t, m.Client(shop), "+16502180029")
	tab.ClickOn(`form[action="/logout"] button`)
	tab.Await(`location.pathname === "/login"`)
}

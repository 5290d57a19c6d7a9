package console

import (
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"codeword/api"
	"codeword/internal/console/login"
)

// The sections, as the navigation names them in paths.
const (
	sectionOverview = "/"
	sectionMessages = "/messages"
	sectionPhones   = "/phones"
	sectionInbox    = "/inbox"
	sectionRoutes   = "/routes"
	sectionGuard    = "/guard"
	sectionClients  = "/clients"
	sectionWebhooks = "/webhooks"
	sectionKeys     = "/keys"
	sectionAudit    = "/audit"
)

// frame is what all pages have around their content.
type frame struct {
	Title string
	// Me is who asks.
	Me  login.Person
	Nav []navItem
	// Crumbs lead to where a page lies that is not in the navigation.
	Crumbs []link
	// Script is the name of the page's script; empty for none.
	Script string
	// Known are clients whose ids the page's form proposes.
	Known []option
	// Done says what a form has just brought about, and Error what went wrong.
	Done, Error string
}

// link leads somewhere.
type link struct{ Path, Text string }

// navItem is a section. Here tells that the page is it, or lies in it.
type navItem struct {
	link

	Here, Exact bool
}

// need is the path by which needs knows the section.
func (l link) need() string {
	if l.Path == sectionOverview {
		return "/{$}"
	}
	return l.Path
}

// May tells whether who asks has the role of that name.
func (f frame) May(role string) bool { return f.Me.May(role) }

// frame makes the frame of a page of that section.
func (c *Console) frame(r *http.Request, section, title string, crumbs ...link) frame {
	f := frame{Title: title, Me: who(r.Context()), Crumbs: crumbs}
	for _, item := range []struct {
		link

		there bool
	}{
		{link{sectionOverview, "Overview"}, true},
		{link{sectionMessages, "Messages"}, c.cfg.Messages != nil},
		{link{sectionPhones, "Phones"}, c.cfg.Phones != nil},
		{link{sectionInbox, "Inbox"}, true},
		{link{sectionRoutes, "Routes"}, c.cfg.Routes != nil},
		{link{sectionGuard, "Guard"}, c.cfg.Guard != nil},
		{link{sectionClients, "Clients"}, c.cfg.Clients != nil},
		{link{sectionWebhooks, "Webhooks"}, c.cfg.Webhooks != nil},
		{link{sectionKeys, "Keys"}, c.cfg.Keys != nil},
		{link{sectionAudit, "Audit"}, c.cfg.Events != nil},
	} {
		if item.there && f.Me.Role >= needs["GET "+item.need()] {
			here := item.Path == section
			f.Nav = append(f.Nav, navItem{item.link, here, here && len(crumbs) == 0})
		}
	}
	return f
}

// maxKnown is how many clients a form proposes.
const maxKnown = 200

// know has the page's form propose the ids of clients; none when they cannot be read.
func (c *Console) know(r *http.Request, f *frame) {
	if c.cfg.Clients == nil {
		return
	}
	rows, err := c.cfg.Clients.List(r.Context())
	if err != nil {
		return // they can be typed
	}
	for i := range rows[:min(len(rows), maxKnown)] {
		f.Known = append(f.Known, option{Value: rows[i].ID, Text: rows[i].Name})
	}
}

// done are the sentences that a page shows after a form. A path carries only their
// names, so that nobody can have the console say what he likes.
var done = map[string]string{
	"released": "The hold has ended. Servers follow within two seconds.",
	"saved":    "The settings are saved. Servers follow within a second.",
	"same":     "Nothing was different, so nothing was changed.",
	"disabled": "The client is disabled. Servers refuse it within a second.",
	"enabled":  "The client is enabled. Servers follow within a second.",
	"finished": "The old secret has ended.",
	"canceled": "The new secret has ended.",
	"rotated":  "A new signing key is published.",

	"hook-saved":    "The endpoint is changed. Servers follow within a second.",
	"hook-disabled": "The endpoint is disabled. What is queued waits.",
	"hook-enabled":  "The endpoint is enabled. What waited is posted.",
	"hook-deleted":  "The endpoint is deleted: nothing more is posted to it. What was queued for it is kept for seven days at most.",
	"hook-tested":   "A test is on its way: it stands among the deliveries.",
	"hook-replayed": "What you chose is posted again.",
}

// tell shows what a form has brought about.
func (f *frame) tell(r *http.Request) { f.Done = done[r.URL.Query().Get("done")] }

// problemView is the page that says that something cannot be shown.
type problemView struct {
	frame
}

// problem answers a page with what is wrong alone.
func (c *Console) problem(w http.ResponseWriter, r *http.Request, status int, section, title, message string) {
	v := problemView{c.frame(r, section, title)}
	v.Error = message
	c.render(w, status, "problem.html", v)
}

// problemOf answers a page for an error of what is behind it.
func (c *Console) problemOf(w http.ResponseWriter, r *http.Request, section, title string, err error) {
	status, code := c.failed(r, title, err)
	c.problem(w, r, status, section, title, code.Message())
}

// functions are what templates may call.
var functions = template.FuncMap{
	"show": show, "showBlock": showBlock, "iso": iso, "utc": utc, "dollars": dollars, "percent": percent,
	"verdict": word(verdicts), "status": word(statuses), "challenge": word(challenges), "lane": word(lanes), "reason": word(failures), "breaker": word(breakers),
	"keyState": word(keyStates), "guardReason": guardReason, "scope": word(scopes), "mode": word(modes), "span": span, "number": number, "seconds": seconds, "join": strings.Join,
	"hookReason": word(hookReasons), "hookStates": func() []string { return []string{"pending", "delivered", "failed"} },
}

// show makes visible what would not be seen, or would change how the text around it is
// seen: controls, escapes of terminals, marks that turn the direction of writing.
func show(text any) string { return visible(fmt.Sprint(text), "") }

// showBlock is show for texts of several lines, in which letters may be joined.
func showBlock(text string) string { return visible(text, "\n\t\u200c\u200d") }

func visible(text, allowed string) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case unicode.IsPrint(r) || strings.ContainsRune(allowed, r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}

// instant reads the forms in which times come.
func instant(at any) time.Time {
	switch at := at.(type) {
	case api.Time:
		return at.Time
	case time.Time:
		return at
	case *api.Time:
		if at != nil {
			return at.Time
		}
	case *time.Time:
		if at != nil {
			return *at
		}
	}
	return time.Time{}
}

func iso(at any) string {
	t := instant(at)
	if t.IsZero() {
		return ""
	}
	return api.NewTime(t).String()
}

func utc(at any) string { return instant(at).UTC().Format("2006-01-02 15:04:05") + " UTC" }

// dollars writes millionths of a US dollar.
func dollars(micros int64) string {
	if micros%10_000 != 0 && micros < 1_000_000 {
		return fmt.Sprintf("$%.4f", float64(micros)/1e6)
	}
	return fmt.Sprintf("$%.2f", float64(micros)/1e6)
}

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

// span writes a number of seconds, or how long it is from one time to another.
func span(seconds int) string { return (time.Duration(seconds) * time.Second).String() }

// Package browser drives headless Chromium through the pages that the service
// shows to people: by keyboard and mouse, on a small and a large screen, light and
// dark. Whatever a page writes to the console as an error, a violation of its
// Content-Security-Policy included, fails the test.
package browser

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"codeword/internal/waittest"
	"codeword/test/peers"
)

// pollEvery is between two looks at a page, which may take anything waittest.Patience.
const pollEvery = 10 * time.Millisecond

// Screenshots names the environment variable with the directory into which
// Examine puts pictures; none are made without it.
const Screenshots = "CODEWORD_SCREENSHOTS"

// Browser is a running Chromium.
type Browser struct{ ctx context.Context }

// Start starts a browser for the test. Without one installed the test is skipped,
// or fails where the peers of tests are required.
func Start(tb testing.TB) *Browser {
	tb.Helper()
	path, err := find()
	if err != nil {
		if os.Getenv(peers.Required) != "" {
			tb.Fatalf("browser: %v; scripts/prerequisites.sh installs it", err)
		}
		tb.Skipf("no browser: %v", err)
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.UserDataDir(tb.TempDir()),
		chromedp.WSURLReadTimeout(waittest.Patience))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses root otherwise; the pages are ours
	}
	ctx, stop := chromedp.NewExecAllocator(context.WithoutCancel(tb.Context()), options...)
	ctx, stopFirst := chromedp.NewContext(ctx)
	tb.Cleanup(func() {
		stopFirst()
		stop() // waits for the end
	})
	if err := chromedp.Do(ctx); err != nil {
		tb.Fatalf("browser: %v", err)
	}
	return &Browser{ctx}
}

// find returns the path of a Chromium.
func find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no chromium on the PATH")
}

// Screen is what a person looks at.
type Screen struct {
	Name          string
	Width, Height int64
	Dark          bool
}

// Screens are those on which every page has to be good.
func Screens() []Screen {
	return []Screen{
		{"small-light", 360, 740, false},
		{"small-dark", 360, 740, true},
		{"large-light", 1280, 800, false},
		{"large-dark", 1280, 800, true},
	}
}

// Between is a screen between the small and the large ones: no page is wider than it.
// What else has to be good does not depend on it.
func Between() Screen { return Screen{"between", 768, 1024, false} }

// Tab is a page on a screen, with cookies and storage of its own.
type Tab struct {
	tb         testing.TB
	ctx        context.Context
	screen     Screen
	scriptless bool

	mu       sync.Mutex
	problems []string
	expected []string
}

// Open opens an empty tab until the test ends, which fails if the console has an
// error that was not expected.
func (b *Browser) Open(tb testing.TB, s Screen) *Tab {
	tb.Helper()
	t := &Tab{tb: tb, screen: s}
	ctx, stop := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(t.listen))
	t.ctx = ctx
	tb.Cleanup(func() {
		if tb.Failed() {
			t.picture("failed")
		}
		_ = chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void]("0")) // what it wrote before has arrived after this
		stop()
		t.report()
	})
	scheme := "light"
	if s.Dark {
		scheme = "dark"
	}
	if err := chromedp.Do(ctx); err != nil { // the tab lives as long as the context of this call
		tb.Fatalf("browser: %v", err)
	}
	t.Do(
		chromedp.EmulateViewport(s.Width, s.Height),
		Send(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		}),
	)
	return t
}

// Send makes an action of a command of the protocol.
func Send[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

// listen collects what is wrong. It runs on the goroutine that reads the browser's
// messages.
func (t *Tab) listen(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		t.problem("exception: "+e.ExceptionDetails.Text, e.ExceptionDetails.URL)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			t.problem(fmt.Sprintf("console.%s of the page", e.Type), "")
		}
	case *log.EventEntryAdded:
		if e.Entry.Level != log.EntryLevelError && e.Entry.Level != log.EntryLevelWarning {
			return
		}
		t.mu.Lock()
		expected := e.Entry.Source == log.EntrySourceNetwork &&
			slices.ContainsFunc(t.expected, func(part string) bool { return strings.Contains(e.Entry.URL, part) })
		t.mu.Unlock()
		if !expected {
			t.problem(fmt.Sprintf("%s %s: %s", e.Entry.Source, e.Entry.Level, e.Entry.Text), e.Entry.URL)
		}
	}
}

func (t *Tab) problem(what, url string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.problems = append(t.problems, what+" ("+url+")")
}

// Problems returns what was wrong so far, and forgets it.
func (t *Tab) Problems() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := t.problems
	t.problems = nil
	return found
}

func (t *Tab) report() {
	t.tb.Helper()
	for _, p := range t.Problems() {
		t.tb.Errorf("%s: %s", t.screen.Name, p)
	}
}

// MayFail says that requests to URLs with the part may fail, which browsers report
// as an error even if the page deals with it.
func (t *Tab) MayFail(part string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expected = append(t.expected, part)
}

// Do carries out actions, and fails the test when one cannot be.
func (t *Tab) Do(actions ...chromedp.Action[chromedp.Void]) {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, waittest.Patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.tb.Fatalf("browser: %v", err)
	}
}

// Try carries out an action that may fail.
func (t *Tab) Try(action chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(t.ctx, waittest.Patience)
	defer cancel()
	return chromedp.Do(ctx, action)
}

// Events returns the events of a kind from now on, until the tab is closed.
func Events[E any](t *Tab, kind cdp.Event[E]) iter.Seq[E] {
	all := chromedp.Events(t.ctx, kind)
	return func(yield func(E) bool) {
		for event, err := range all {
			if err != nil || !yield(event) {
				return
			}
		}
	}
}

// Visit loads a page.
func (t *Tab) Visit(url string) {
	t.tb.Helper()
	t.Do(chromedp.Navigate(url))
}

// Eval returns the value of an expression in the page, or of the promise that it is.
func Eval[T any](t *Tab, expression string) T {
	t.tb.Helper()
	v, err := eval[T](t, expression)
	if err != nil {
		t.tb.Fatalf("browser: %.200s: %v", expression, err)
	}
	return v
}

func eval[T any](t *Tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(t.ctx, waittest.Patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Await waits until an expression is true of a page that is whole: one of which a part has
// arrived, or whose style has not, moves under a click, and is not what people see. It
// asks from outside, since the pages' policies allow no script made of text. An answer
// that is lost since the page gives way to the next one is none.
func (t *Tab) Await(condition string) {
	t.tb.Helper()
	for deadline := time.Now().Add(waittest.Patience); ; time.Sleep(pollEvery) {
		holds, err := eval[bool](t, `document.readyState === "complete" && !!(`+condition+")")
		switch {
		case holds:
			return
		case err != nil && !leaving(err):
			t.tb.Fatalf("browser: %.200s: %v", condition, err)
		case time.Now().After(deadline):
			t.tb.Fatalf("browser: never true: %s; the page says:\n%s", condition, Eval[string](t, "document.body.innerText.slice(0, 800)"))
		}
	}
}

// leaving tells whether the browser could not answer for it was between two pages.
func leaving(err error) bool {
	text := err.Error()
	return strings.Contains(text, "navigated or closed") || strings.Contains(text, "context was destroyed") ||
		strings.Contains(text, "Cannot find context") || strings.Contains(text, "Cannot find default execution context")
}

// Text returns what is visible of the element with an id, "" if nothing is.
func (t *Tab) Text(id string) string {
	t.tb.Helper()
	return Eval[string](t, fmt.Sprintf("document.getElementById(%q).innerText", id))
}

// AwaitFocus waits until the element with an id has the focus.
func (t *Tab) AwaitFocus(id string) {
	t.tb.Helper()
	t.Await(fmt.Sprintf("document.activeElement.id === %q", id))
}

// Press types text, or keys of package kb, into what has the focus.
func (t *Tab) Press(keys string) {
	t.tb.Helper()
	t.Do(chromedp.KeyEvent(keys))
}

// Replace types text over what is in the field that has the focus.
func (t *Tab) Replace(text string) {
	t.tb.Helper()
	t.command("selectAll")
	t.Press(text)
}

// Paste copies text out of a field that it adds to the page for that, and pastes it
// into what has the focus.
func (t *Tab) Paste(text string) {
	t.tb.Helper()
	Eval[bool](t, fmt.Sprintf(`(() => {
		const field = document.activeElement, source = document.body.appendChild(document.createElement("textarea"));
		source.value = %q; source.select();
		window.pasteInto = () => { source.remove(); field.focus(); return true; };
		return true;
	})()`, text))
	t.command("copy")
	Eval[bool](t, "pasteInto()")
	t.command("paste")
}

// command carries out an editing command, as the shortcut for it does.
func (t *Tab) command(name string) {
	t.tb.Helper()
	t.Do(Send(input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeRawKeyDown, Commands: []string{name}}))
}

// Click clicks the element with an id.
func (t *Tab) Click(id string) {
	t.tb.Helper()
	t.ClickOn(`[id="` + id + `"]`)
}

// ClickOn clicks the first element that a CSS selector matches. It has the focus before:
// between the look where it is and the click, a page that keeps itself fresh does not put
// another one in its place, as it does not while somebody is at work there.
func (t *Tab) ClickOn(selector string) {
	t.tb.Helper()
	t.Await(fmt.Sprintf("(e => e && (e.focus(), e === document.activeElement))(document.querySelector(%q))", selector))
	t.Do(chromedp.Click(chromedp.CSS(selector)))
}

// WithoutScript keeps pages that are loaded from now on from running scripts.
func (t *Tab) WithoutScript() {
	t.tb.Helper()
	t.scriptless = true
	t.disableScript(true)
}

func (t *Tab) disableScript(disabled bool) {
	t.tb.Helper()
	t.Do(Send(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: disabled}))
}

// Examine holds the page in its present state against what all states have to be:
// free of serious findings of axe, not wider than the screens, and without errors.
// With CODEWORD_SCREENSHOTS it takes a picture.
func (t *Tab) Examine(state string) {
	t.tb.Helper()
	t.picture(state)
	for _, f := range t.Axe() {
		t.tb.Errorf("%s, %s: axe: %s", t.screen.Name, state, f)
	}
	for _, wide := range t.TooWide() {
		t.tb.Errorf("%s: %s", state, wide)
	}
	t.report()
}

// TooWide returns on which screens the page is wider than they are: the tab's, and from a
// large one also Between.
func (t *Tab) TooWide() (found []string) {
	t.tb.Helper()
	look := func(s Screen) {
		if wide := Eval[int64](t, "document.documentElement.scrollWidth"); wide > s.Width {
			found = append(found, fmt.Sprintf("%s: the page is %d px wide", s.Name, wide))
		}
	}
	look(t.screen)
	if between := Between(); t.screen.Width > between.Width && !t.screen.Dark {
		t.Do(chromedp.EmulateViewport(between.Width, between.Height))
		look(between)
		t.Do(chromedp.EmulateViewport(t.screen.Width, t.screen.Height))
	}
	return found
}

// Axe runs axe-core, which scripts/peers.sh installs, and returns what it finds
// serious or critical. A page that keeps itself fresh may change beneath it: what it finds
// has to be there still when it looks again.
func (t *Tab) Axe() []string {
	t.tb.Helper()
	if t.scriptless { // axe needs what the page, which is loaded, does not get
		t.disableScript(false)
		defer t.disableScript(true)
	}
	if !Eval[bool](t, `typeof axe !== "undefined"`) {
		source, err := os.ReadFile(filepath.Join(peers.Dir(t.tb), "node_modules", "axe-core", "axe.min.js"))
		if err != nil {
			t.tb.Fatalf("browser: %v; scripts/peers.sh installs it", err)
		}
		Eval[chromedp.Void](t, string(source))
	}
	const run = `axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => violations
		.filter(({ impact }) => impact === "serious" || impact === "critical")
		.map(({ id, impact, help, nodes }) => [impact, id, help, ...nodes.map(({ html }) => html)].join(": ")))`
	if found, err := eval[[]string](t, run); err == nil && len(found) == 0 {
		return nil
	}
	return Eval[[]string](t, run)
}

// picture takes a picture of the whole page, if they are wanted.
func (t *Tab) picture(state string) {
	if dir := os.Getenv(Screenshots); dir != "" {
		t.save(filepath.Join(dir, state+"-"+t.screen.Name+".png"), chromedp.FullScreenshot(100))
	}
}

// Picture takes a picture of what the screen shows into a file.
func (t *Tab) Picture(path string) {
	t.tb.Helper()
	t.save(path, chromedp.CaptureScreenshot())
}

func (t *Tab) save(path string, take chromedp.Action[[]byte]) {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, waittest.Patience)
	defer cancel()
	png, err := chromedp.Run(ctx, take)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path, png, 0o600)
	}
	if err != nil {
		t.tb.Errorf("browser: picture %s: %v", path, err)
	}
}

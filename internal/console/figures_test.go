package console_test

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"codeword/api"
	"codeword/internal/fault"
	"codeword/internal/rollup"
	"codeword/internal/store"
)

// fakeRollups keeps a rollup for each thing that happened.
type fakeRollups struct {
	rows  []store.Rollup
	asked []store.RollupQuery
	err   error
}

func (f *fakeRollups) Rollups(_ context.Context, q store.RollupQuery, each func(*store.Rollup) error) error {
	f.asked = append(f.asked, q)
	for _, r := range f.rows {
		if r.Span != q.Span || r.Start.Before(q.From) || !r.Start.Before(q.Until) || q.Client != "" && q.Client != r.Client {
			continue
		}
		r.Body = slices.Clone(r.Body)
		if err := each(&r); err != nil {
			return err
		}
		clear(r.Body) // it was valid during the call
	}
	return f.err
}

// happened adds events of a client's messages that were accepted then.
func (f *fakeRollups) happened(t *testing.T, client string, then time.Time, events ...rollup.Event) {
	t.Helper()
	var buf []byte
	for _, e := range events {
		e.At = then
		buf = rollup.Append(buf, &e)
	}
	var fold rollup.Fold
	if err := fold.Take(buf); err != nil {
		t.Fatal(err)
	}
	for key, b := range fold.Blocks() {
		f.rows = append(f.rows, store.Rollup{Client: client, Span: key.Span, Start: key.Start, Body: b.Encode()})
	}
}

var (
	took    = rollup.Event{Route: "a", Area: 212, Messages: true, Sent: true, Micros: 7900}
	arrived = rollup.Event{Route: "a", Area: 212, Delivered: true, DeliveredAfter: 4 * time.Second}
	used    = rollup.Event{Route: "a", Area: 212, Verified: true, VerifiedAfter: 30 * time.Second}
	refused = rollup.Event{Route: "b", Area: 305, Failed: 1, Reason: "filtered"}
)

type document struct {
	Range, Since, Until string
	Now, LastWeek       struct {
		Sent, Delivered, Verified, Failed, SpendMicros int64
		TimeToDelivery, TimeToVerification             *struct{ MedianSeconds, P95Seconds float64 }
	}
	Routes []struct {
		Route string
		Now   struct{ Sent, Failed int64 }
	}
	Clients []struct {
		ClientID, Name string
		Now, LastWeek  struct{ Sent int64 }
	}
	AreaCodes []struct {
		AreaCode int
		State    string
		Now      struct{ Sent, Failed int64 }
	}
	Failures []struct {
		Route, Reason        string
		Count, LastWeekCount int64
	}
	Series []struct {
		Time          time.Time
		Now, LastWeek struct{ Sent int64 }
	}
}

func (w *whole) figures(query string) (d document) {
	w.t.Helper()
	got := w.get("/admin/v1/overview?" + query)
	if got.status != 200 {
		w.t.Fatalf("%s: %d %s", query, got.status, got.body)
	}
	if err := json.Unmarshal([]byte(got.body), &d); err != nil {
		w.t.Fatal(err)
	}
	return d
}

func TestFigures(t *testing.T) {
	w := newWhole(t)
	shop, bank := w.client("shop", "{}"), w.client("bank", "{}")
	now := w.cfg.Now() // 2026-01-02T03:04:05Z
	w.rollups.happened(t, shop, now, took, arrived, used)
	w.rollups.happened(t, bank, now.Add(-23*time.Hour), took, refused)
	w.rollups.happened(t, bank, now.Add(-24*time.Hour), took) // a minute too old for a day
	w.rollups.happened(t, shop, now.Add(-7*24*time.Hour), took, took, refused)

	d := w.figures("")
	if d.Range != "24h" || d.Since != "2026-01-01T04:00:00.000Z" || d.Until != "2026-01-02T04:00:00.000Z" {
		t.Errorf("%s from %s to %s", d.Range, d.Since, d.Until)
	}
	if d.Now.Sent != 2 || d.Now.Delivered != 1 || d.Now.Verified != 1 || d.Now.Failed != 1 || d.Now.SpendMicros != 15800 || d.LastWeek.Sent != 2 || d.LastWeek.Failed != 1 {
		t.Errorf("now %+v, last week %+v", d.Now, d.LastWeek)
	}
	if m := d.Now.TimeToDelivery; m == nil || m.MedianSeconds < 3.3 || m.P95Seconds > 4.8 || d.LastWeek.TimeToDelivery != nil {
		t.Errorf("times %+v, last week %+v", m, d.LastWeek.TimeToDelivery)
	}
	if len(d.Routes) != 2 || d.Routes[0].Route != "a" || d.Routes[0].Now.Sent != 2 || d.Routes[1].Now.Failed != 1 {
		t.Errorf("routes %+v", d.Routes)
	}
	if len(d.Clients) != 2 || d.Clients[0].Now.Sent != 1 || d.Clients[1].Now.Sent != 1 || d.Clients[0].ClientID == d.Clients[1].ClientID {
		t.Errorf("clients %+v", d.Clients)
	}
	if len(d.AreaCodes) != 2 || d.AreaCodes[0].AreaCode != 212 || d.AreaCodes[0].State != "NY" || d.AreaCodes[1].Now.Failed != 1 {
		t.Errorf("area codes %+v", d.AreaCodes)
	}
	if len(d.Failures) != 1 || d.Failures[0].Reason != "filtered" || d.Failures[0].Count != 1 || d.Failures[0].LastWeekCount != 1 {
		t.Errorf("failures %+v", d.Failures)
	}
	if len(d.Series) != 24 || d.Series[23].Now.Sent != 1 || d.Series[0].Now.Sent != 1 || d.Series[23].LastWeek.Sent != 2 {
		t.Errorf("series %+v", d.Series)
	}
	for query, want := range map[string]int64{
		"range=7d": 3, "range=30d": 5, "range=90d": 5, "client=" + shop: 1, "range=7d&client=" + bank: 2, "route=a": 2, "route=b": 0, "areaCode=212": 2,
		"areaCode=305": 0, "client=nobody": 0,
	} {
		if got := w.figures(query).Now.Sent; got != want {
			t.Errorf("%s: %d sent, want %d", query, got, want)
		}
	}
	if area := w.figures("areaCode=212"); area.Now.TimeToDelivery != nil || len(area.Failures) != 0 {
		t.Errorf("times or failures of an area code: %+v", area)
	}
	page := w.get("/?range=30d")
	for _, want := range []string{"212 NY", ">shop<", "filtered the text", "A week before", `role="img"`, "$0.0395"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page does not tell %q", want)
		}
	}
}

// TestFiguresOfTestClients: the page tells of live clients unless it is asked for others,
// and says where there is only test traffic; the document tells of all.
func TestFiguresOfTestClients(t *testing.T) {
	w := newWhole(t)
	shop := w.client("shop", "{}")
	row, _, err := w.clients.Create(t.Context(), "test", "", "sandbox", false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.clients.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	const hint, none = "There are some of test clients", "No messages of live clients"
	page := func(query string, has, lacks []string) {
		t.Helper()
		got := w.get("/" + query)
		w.checkPage("/"+query, got, true)
		for _, text := range has {
			if !strings.Contains(got.body, text) {
				t.Errorf("/%s does not say %q", query, text)
			}
		}
		for _, text := range lacks {
			if strings.Contains(got.body, text) {
				t.Errorf("/%s says %q", query, text)
			}
		}
	}
	live := `<option value="live" selected>live clients</option>`
	page("", []string{none, live}, []string{hint})
	w.rollups.happened(t, row.ID, w.cfg.Now(), took, took, refused)
	page("", []string{none, live, hint, `href="/?client=test"`}, []string{"Show all live"})
	page("?range=7d&route=a", []string{none + " like that", hint, `href="/?client=test&amp;range=7d&amp;route=a"`, "Show all live"}, nil)
	page("?route=nobody", []string{none + " like that"}, []string{hint})
	page("?client="+shop, []string{"No messages like that"}, []string{hint, none})
	page("?client=test", []string{`<option value="test" selected>test clients</option>`, ">sandbox<", "client=test&amp;route=a", "Show all live"}, []string{none})
	w.rollups.happened(t, shop, w.cfg.Now(), took)
	w.rollups.happened(t, "client-gone", w.cfg.Now(), took)
	page("", []string{live, "By client"}, []string{none, hint, "client=" + row.ID})
	page("?client=all", []string{`<option value="all" selected>all</option>`, "client=" + row.ID, "client=" + shop}, []string{none})
	for query, want := range map[string]int64{"": 4, "client=": 4, "client=all": 4, "client=live": 2, "client=test": 2, "client=" + shop: 1, "client=" + row.ID: 2, "client=LIVE": 0, "client=test&route=b": 0} {
		if got := w.figures(query).Now.Sent; got != want {
			t.Errorf("%s: %d sent, want %d", query, got, want)
		}
	}
	w.rollups.err = fault.New(fault.Unavailable, "secret")
	if got := w.get("/"); got.status != 503 || strings.Contains(got.body, none) {
		t.Errorf("store down: %d", got.status)
	}
}

// TestFiguresSpans: whole days are read by the day, the rest by the hour, and nothing
// twice.
func TestFiguresSpans(t *testing.T) {
	w := newWhole(t)
	id := w.client("shop", "{}")
	start := w.cfg.Now().Add(-100 * 24 * time.Hour)
	hours := 0
	for at := start; !at.After(w.cfg.Now()); at = at.Add(time.Hour) {
		w.rollups.happened(t, id, at, took)
		hours++
	}
	// Events of a day were added up apart, which is what the sum has to see.
	for query, want := range map[string]int64{"range=24h": 24, "range=7d": 7 * 24, "range=30d": 30 * 24, "range=90d": 89*24 + 4} {
		w.rollups.asked = nil
		d := w.figures(query)
		if d.Now.Sent != want {
			t.Errorf("%s: %d hours, want %d", query, d.Now.Sent, want)
		}
		if query != "range=90d" && d.LastWeek.Sent != want {
			t.Errorf("%s: %d hours last week, want %d", query, d.LastWeek.Sent, want)
		}
		for _, q := range w.rollups.asked {
			if q.Span == rollup.Hourly && q.Until.Sub(q.From) > rollup.Daily {
				t.Errorf("%s: asked for hours from %v to %v", query, q.From, q.Until)
			}
			if q.Span == rollup.Hourly && q.From.Before(w.cfg.Now().Add(-store.KeepHourly)) {
				t.Errorf("%s: asked for hours that are not kept: %v", query, q.From)
			}
		}
		total := int64(0)
		for _, s := range d.Series {
			total += s.Now.Sent
		}
		if total != want {
			t.Errorf("%s: the series has %d, want %d", query, total, want)
		}
	}
}

func TestFiguresRefused(t *testing.T) {
	w := newWhole(t)
	for _, query := range []string{
		"range=1h", "range=24h&range=7d", "areaCode=21", "areaCode=2120", "areaCode=%2B21", "areaCode=112", "since=x", "route=" + strings.Repeat("x", 65), "%zz",
		"client=" + url.QueryEscape(strings.Repeat(hostile, 9)),
	} {
		if got := w.get("/admin/v1/overview?" + query); got.status != 400 || got.code != "INVALID_PARAMETER" {
			t.Errorf("%s: %d %s", query, got.status, got.body)
		}
		if got := w.get("/?" + query); got.status != 400 || !strings.Contains(got.body, `role="alert"`) {
			t.Errorf("page %s: %d", query, got.status)
		} else {
			w.checkPage("/?"+query, got, false)
		}
	}
	w.rollups.err = fault.New(fault.Unavailable, "secret")
	if got := w.get("/admin/v1/overview"); got.status != 503 || got.code != api.CodeUnavailable || strings.Contains(got.body, "secret") {
		t.Errorf("store down: %d %s", got.status, got.body)
	}
	w.rollups.err = nil
	w.rollups.happened(t, "shop", w.cfg.Now(), took)
	w.rollups.rows[0].Body, w.rollups.rows[1].Body = []byte{9}, []byte{9}
	if got := w.get("/admin/v1/overview"); got.status != 500 {
		t.Errorf("damaged: %d %s", got.status, got.body)
	}
	if got := w.get("/"); got.status != 500 || !strings.Contains(got.body, "Queue") {
		t.Errorf("damaged page: %d", got.status)
	}
	if got := w.do(w.fixture.browser(), "GET", "/admin/v1/overview", nil); got.status != 401 {
		t.Errorf("without a login: %d", got.status)
	}
}

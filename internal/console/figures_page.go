package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// figuresPage is the part of the start page that tells what was counted.
type figuresPage struct {
	*figuresView

	// Told: they could be read.
	Told bool
	// Filter is what was asked for, Clients and Ranges what can be.
	Filter  url.Values
	Clients []option
	Choices []option
	// Filtered tells whether it is of another part of the messages than is shown unasked.
	Filtered bool
	// Live: it is of all live clients. Tests shows what test clients sent, where there is
	// nothing else; empty for nothing.
	Live   bool
	Tests  string
	Funnel []funnelStep
	Chart  chart
	Tables []figuresTable
	// Document is the path of the same as JSON.
	Document string
}

// option is one choice of a form.
type option struct {
	Value, Text string
	Selected    bool
}

// Given is a filter as it was given.
func (p *figuresPage) Given(name string) string { return p.Filter.Get(name) }

// Empty tells that nothing was counted in either span.
func (v *figuresView) Empty() bool {
	return v.Now.countsView == (countsView{}) && v.LastWeek.countsView == (countsView{})
}

// funnelStep is a bar of the funnel, and the one of last week: their lengths are of
// chartWidth.
type funnelStep struct {
	Name             string
	Now, LastWeek    int64
	Share, Before    float64
	Y                int
	Length, Compared int
}

// figuresTable tells the figures by one thing.
type figuresTable struct {
	ID, Title, Of string
	Rows          []figuresRow
	// More counts the rows that are left out.
	More int
	// Timed: the rows have times.
	Timed bool
}

type figuresRow struct {
	// Name is the thing, and Path shows it alone; empty where that is not possible.
	Name, Path    string
	Now, LastWeek talliedView
}

// maxRows is how many rows of a table the page shows; the document has them all.
const maxRows = 20

// figuresPart fills the part of the page, and returns what is wrong with the query or
// why it cannot be told.
func (c *Console) figuresPart(r *http.Request) (p *figuresPage, wrong string, err error) {
	p = &figuresPage{Filter: r.URL.Query()}
	q, wrong := parseFiguresQuery(r.URL, liveClients)
	if wrong != "" {
		q, p.Filter = figuresQuery{Client: liveClients}, url.Values{}
	}
	p.Filter.Set("client", q.Client)
	for i := range ranges {
		p.Choices = append(p.Choices, option{ranges[i].Name, "the last " + ranges[i].Text, i == q.Range})
	}
	if p.Clients, err = c.figuresClients(r.Context(), q.Client); err != nil {
		return p, wrong, err
	}
	p.Live = q.Client == liveClients
	p.Filtered = !p.Live || q.Route != "" || q.Area != 0
	if p.figuresView, err = c.figures(r.Context(), &q); err != nil {
		return p, wrong, err
	}
	p.Told = true
	p.Document = "/admin/v1/overview?" + p.Filter.Encode()
	p.Funnel = funnel(&p.Now.countsView, &p.LastWeek.countsView)
	p.Chart = chartOf(p.Series)
	p.tables(&q)
	if p.Live && p.Empty() {
		q.Client = testClients
		tests, err := c.figures(r.Context(), &q)
		if err != nil {
			return p, wrong, err
		}
		if !tests.Empty() {
			p.Tests = withParameter(sectionOverview, p.Filter, "client", testClients)
		}
	}
	return p, wrong, nil
}

// figuresClients are the choices of clients; none where the console knows of none.
func (c *Console) figuresClients(ctx context.Context, chosen string) ([]option, error) {
	if c.cfg.Clients == nil {
		return nil, nil
	}
	out := []option{{Value: liveClients, Text: "live clients"}, {Value: testClients, Text: "test clients"}, {Value: allClients, Text: "all"}}
	rows, err := c.cfg.Clients.List(ctx)
	for i := range rows {
		out = append(out, option{Value: rows[i].ID, Text: rows[i].Name})
	}
	for i := range out {
		out[i].Selected = out[i].Value == chosen
	}
	return out, err
}

// tables are by route, client and area code, but for what was asked for.
func (p *figuresPage) tables(q *figuresQuery) {
	with := func(name, value string) string { return withParameter(sectionOverview, p.Filter, name, value) }
	if q.Route == "" {
		t := figuresTable{ID: "by-route", Title: "By route", Of: "Route", Timed: q.Area == 0}
		for _, r := range p.Routes {
			row := figuresRow{Name: "without a route", Now: r.Now, LastWeek: r.LastWeek}
			if r.Route != "" {
				row.Name, row.Path = r.Route, with("route", r.Route)
			}
			t.add(row)
		}
		p.Tables = append(p.Tables, t)
	}
	if q.one() == "" {
		t := figuresTable{ID: "by-client", Title: "By client", Of: "Client", Timed: q.Area == 0}
		for _, f := range p.figuresView.Clients {
			t.add(figuresRow{Name: f.Name, Path: with("client", f.ClientID), Now: f.Now, LastWeek: f.LastWeek})
		}
		p.Tables = append(p.Tables, t)
	}
	if q.Area == 0 {
		t := figuresTable{ID: "by-area", Title: "By area code", Of: "Area code"}
		for _, a := range p.Areas {
			row := figuresRow{Name: "not known", Now: talliedView{countsView: a.Now}, LastWeek: talliedView{countsView: a.LastWeek}}
			if a.AreaCode != 0 {
				row.Name, row.Path = strings.TrimSpace(strconv.Itoa(a.AreaCode)+" "+a.State), with("areaCode", strconv.Itoa(a.AreaCode))
			}
			t.add(row)
		}
		p.Tables = append(p.Tables, t)
	}
}

func (t *figuresTable) add(row figuresRow) {
	if len(t.Rows) == maxRows {
		t.More++
		return
	}
	t.Rows = append(t.Rows, row)
}

// The charts are drawn in these units; the browser fits them into the page.
const (
	chartWidth, chartHeight = 1000, 200
	stepHeight              = 40
)

func funnel(now, before *countsView) []funnelStep {
	most := max(1, now.Sent, now.Delivered, now.Verified, before.Sent, before.Delivered, before.Verified)
	length := func(n int64) int { return int(max(0, n) * chartWidth / most) }
	steps := []funnelStep{
		{Name: "Sent", Now: now.Sent, LastWeek: before.Sent, Share: share(now.Sent, now.Sent), Before: share(before.Sent, before.Sent)},
		{Name: "Delivered", Now: now.Delivered, LastWeek: before.Delivered, Share: now.DeliveredShare(), Before: before.DeliveredShare()},
		{Name: "Verified", Now: now.Verified, LastWeek: before.Verified, Share: now.VerifiedShare(), Before: before.VerifiedShare()},
	}
	for i := range steps {
		steps[i].Y = i * stepHeight
		steps[i].Length, steps[i].Compared = length(steps[i].Now), length(steps[i].LastWeek)
	}
	return steps
}

// Kind is the class of the step's bars.
func (s funnelStep) Kind() string { return strings.ToLower(s.Name) }

// Lower is where the bar of last week is.
func (s funnelStep) Lower() int { return s.Y + stepHeight*3/5 }

// chart is a column for each slot of time, and a line of what was sent a week before.
type chart struct {
	Columns  []column
	LastWeek string
	// Most is the height of the chart.
	Most int64
}

type column struct {
	slotFigures
	Bars []bar
}

type bar struct {
	Kind                string
	X, Y, Width, Height int
}

func chartOf(series []slotFigures) chart {
	ch := chart{Most: 1}
	for i := range series {
		ch.Most = max(ch.Most, series[i].Now.Sent, series[i].Now.Delivered, series[i].Now.Verified, series[i].LastWeek.Sent)
	}
	slot := func(i int) int { return i * chartWidth / max(1, len(series)) }
	var line strings.Builder
	for i, s := range series {
		left, width := slot(i), slot(i+1)-slot(i)
		col := column{slotFigures: s}
		for k, of := range [...]struct {
			kind string
			n    int64
		}{{"sent", s.Now.Sent}, {"delivered", s.Now.Delivered}, {"verified", s.Now.Verified}} {
			height := int(max(0, of.n) * chartHeight / ch.Most)
			inset := (k + 1) * width / 8
			col.Bars = append(col.Bars, bar{of.kind, left + inset, chartHeight - height, max(1, width-2*inset), height})
		}
		ch.Columns = append(ch.Columns, col)
		fmt.Fprintf(&line, "%d,%d ", left+width/2, chartHeight-int(max(0, s.LastWeek.Sent)*chartHeight/ch.Most))
	}
	ch.LastWeek = strings.TrimSpace(line.String())
	return ch
}

// number writes a count with its thousands apart.
func number(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// seconds writes how long something took.
func seconds(s float64) string {
	if s < 60 {
		return strconv.FormatFloat(s, 'f', 1, 64) + " s"
	}
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}

package console

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"codeword/api"
	"codeword/internal/phone"
	"codeword/internal/rollup"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// Rollups reads what was counted of messages. They are valid during the call of each
// alone, whose failure ends the reading and is returned.
type Rollups interface {
	Rollups(ctx context.Context, q store.RollupQuery, each func(*store.Rollup) error) error
}

// ranges are how far back an overview may look, and whether it is told by hours.
var ranges = []struct {
	Name, Text string
	length     time.Duration
	slot       time.Duration
}{
	{"24h", "24 hours", 24 * time.Hour, rollup.Hourly},
	{"7d", "7 days", 7 * 24 * time.Hour, rollup.Daily},
	{"30d", "30 days", 30 * 24 * time.Hour, rollup.Daily},
	{"90d", "90 days", 90 * 24 * time.Hour, rollup.Daily},
}

// week is how far back what is compared with lies.
const week = 7 * 24 * time.Hour

// figuresQuery selects what is counted.
type figuresQuery struct {
	// Range is the index of one of ranges.
	Range int
	// Client is an id, or one of allClients, liveClients and testClients; never empty.
	Client, Route string
	// Area is an area code; 0 for all.
	Area int
}

// What a client can be in a figuresQuery beside an id, which is never one of them.
const (
	allClients  = "all"
	liveClients = "live"
	testClients = "test"
)

// one is the client of the query; empty where it is of several.
func (q *figuresQuery) one() string {
	switch q.Client {
	case allClients, liveClients, testClients:
		return ""
	}
	return q.Client
}

// counts tells whether a client's messages count. A client that is not known counts as
// live, so that nothing of its gets lost.
func (c *Console) counts(q *figuresQuery, client string) bool {
	if q.Client != liveClients && q.Client != testClients {
		return true // the store has picked
	}
	var known *tenant.Client
	if c.cfg.Clients != nil {
		known = c.cfg.Clients.Known(client)
	}
	return (known == nil || known.Live) == (q.Client == liveClients)
}

var figuresFilters = []string{"range", "client", "route", "areaCode"}

// filter sets one filter, and returns what it should be and whether it is.
func (q *figuresQuery) filter(name, value string) (want string, ok bool) {
	switch name {
	case "range":
		q.Range = -1
		for i := range ranges {
			if ranges[i].Name == value {
				q.Range = i
			}
		}
		ok, want = q.Range >= 0, "one of 24h, 7d, 30d and 90d"
	case "client":
		q.Client, ok, want = value, len(value) <= maxClientID, "one of live, test and all, or the id of a client"
	case "route":
		q.Route, ok, want = value, len(value) <= maxRouteName, "the name of a route"
	case "areaCode":
		n, err := strconv.Atoi(value)
		q.Area, ok, want = n, err == nil && len(value) == 3 && n >= 200, "an area code such as 212"
	}
	return want, ok
}

// parseFiguresQuery reads the filters, and says what is wrong with them as readFilters
// does. clients is what Client is when none is given.
func parseFiguresQuery(u *url.URL, clients string) (q figuresQuery, wrong string) {
	q.Client = clients
	wrong = readFilters(u, figuresFilters, q.filter)
	return q, wrong
}

// spanOf is the range until the end of the hour that is under way. Beyond a month it
// begins with a day, since hours are not kept for so long.
func (q *figuresQuery) spanOf(now time.Time) (from, until time.Time) {
	until = now.UTC().Truncate(time.Hour).Add(time.Hour)
	from = until.Add(-ranges[q.Range].length)
	if ranges[q.Range].length+week+rollup.Daily > store.KeepHourly {
		from = from.Add(rollup.Daily - 1).Truncate(rollup.Daily)
	}
	return from, until
}

// summary reads what was counted from one time to another: the whole days in it by the
// day, and what is left of the first and the last by the hour.
func (c *Console) summary(ctx context.Context, q *figuresQuery, from, until time.Time) (*rollup.Summary, error) {
	out := rollup.NewSummary(rollup.Filter{Route: q.Route, Area: q.Area}, ranges[q.Range].slot)
	first, last := from.Add(rollup.Daily-1).Truncate(rollup.Daily), until.Truncate(rollup.Daily)
	if ranges[q.Range].slot == rollup.Hourly || !first.Before(last) {
		first, last = until, until
	}
	for _, part := range []store.RollupQuery{
		{Span: rollup.Hourly, From: from, Until: first},
		{Span: rollup.Daily, From: first, Until: last},
		{Span: rollup.Hourly, From: last, Until: until},
	} {
		if !part.From.Before(part.Until) {
			continue
		}
		part.Client = q.one()
		err := c.cfg.Rollups.Rollups(ctx, part, func(r *store.Rollup) error {
			if !c.counts(q, r.Client) {
				return nil
			}
			return out.Add(r.Client, r.Start, r.Body)
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// countsView is what was counted of something.
type countsView struct {
	// Sent are messages that a carrier took; of a route those that it took, although
	// another one had them before.
	Sent      int64 `json:"sent"`
	Delivered int64 `json:"delivered"`
	Verified  int64 `json:"verified"`
	// Failed ended without having arrived.
	Failed      int64 `json:"failed"`
	SpendMicros int64 `json:"spendMicros"`
}

// DeliveredShare and VerifiedShare are shares of what was sent, 0 to 1.
func (v countsView) DeliveredShare() float64 { return share(v.Delivered, v.Sent) }

func (v countsView) VerifiedShare() float64 { return share(v.Verified, v.Sent) }

func share(part, of int64) float64 {
	if of <= 0 {
		return 0
	}
	return min(1, float64(part)/float64(of))
}

// timesView is how long something took, in seconds; nil when it was not counted.
type timesView struct {
	Median float64 `json:"medianSeconds"`
	P95    float64 `json:"p95Seconds"`
}

// talliedView is what was counted, with the times.
type talliedView struct {
	countsView

	// ToDelivery and ToVerification are from the acceptance on; nil when nothing was
	// timed, as with the filter areaCode.
	ToDelivery     *timesView `json:"timeToDelivery,omitempty"`
	ToVerification *timesView `json:"timeToVerification,omitempty"`
}

// comparedView is one row: now, and the same span a week ago.
type comparedView struct {
	Now      talliedView `json:"now"`
	LastWeek talliedView `json:"lastWeek"`
}

type (
	routeFigures struct {
		// Route is empty for what no route took.
		Route string `json:"route"`
		comparedView
	}
	clientFigures struct {
		ClientID string `json:"clientId"`
		Name     string `json:"name"`
		comparedView
	}
	areaFigures struct {
		// AreaCode is 0 when it is not known; State is empty where it has none.
		AreaCode int        `json:"areaCode"`
		State    string     `json:"state,omitempty"`
		Now      countsView `json:"now"`
		LastWeek countsView `json:"lastWeek"`
	}
	failureFigures struct {
		// Route is empty where none was asked.
		Route    string `json:"route,omitempty"`
		Reason   string `json:"reason"`
		Count    int64  `json:"count"`
		LastWeek int64  `json:"lastWeekCount"`
	}
	slotFigures struct {
		Time     api.Time   `json:"time"`
		Now      countsView `json:"now"`
		LastWeek countsView `json:"lastWeek"`
	}
)

// figuresView is the answer of GET /admin/v1/overview.
type figuresView struct {
	Range string   `json:"range"`
	Since api.Time `json:"since"`
	// Until is the end of the hour that is under way.
	Until api.Time `json:"until"`
	comparedView
	Routes   []routeFigures   `json:"routes"`
	Clients  []clientFigures  `json:"clients"`
	Areas    []areaFigures    `json:"areaCodes"`
	Failures []failureFigures `json:"failures"`
	// Series is by the hour for a day, and by the day of UTC for more.
	Series []slotFigures `json:"series"`
}

// figures reads both spans.
func (c *Console) figures(ctx context.Context, q *figuresQuery) (*figuresView, error) {
	from, until := q.spanOf(c.cfg.Now())
	now, err := c.summary(ctx, q, from, until)
	if err != nil {
		return nil, err
	}
	before, err := c.summary(ctx, q, from.Add(-week), until.Add(-week))
	if err != nil {
		return nil, err
	}
	byRoute := q.Route != ""
	v := &figuresView{
		Range: ranges[q.Range].Name, Since: api.NewTime(from), Until: api.NewTime(until),
		comparedView: compared(&now.Total, &before.Total, byRoute),
		Routes:       []routeFigures{}, Clients: []clientFigures{}, Areas: []areaFigures{}, Failures: []failureFigures{}, Series: []slotFigures{},
	}
	for _, name := range keysOf(now.Routes, before.Routes) {
		v.Routes = append(v.Routes, routeFigures{name, compared(now.Routes[name], before.Routes[name], true)})
	}
	for _, id := range keysOf(now.Clients, before.Clients) {
		v.Clients = append(v.Clients, clientFigures{id, c.clientName(id), compared(now.Clients[id], before.Clients[id], byRoute)})
	}
	v.areas(now, before, byRoute)
	v.failures(now, before)
	v.series(now, before, byRoute)
	slices.SortStableFunc(v.Routes, func(a, b routeFigures) int { return most(a.Now.countsView, b.Now.countsView) })
	slices.SortStableFunc(v.Clients, func(a, b clientFigures) int { return most(a.Now.countsView, b.Now.countsView) })
	slices.SortStableFunc(v.Areas, func(a, b areaFigures) int { return most(a.Now, b.Now) })
	return v, nil
}

// most puts the row with the most messages first.
func most(a, b countsView) int {
	return cmp.Or(cmp.Compare(b.Sent, a.Sent), cmp.Compare(b.Failed, a.Failed))
}

func (v *figuresView) areas(now, before *rollup.Summary, byRoute bool) {
	for code := range now.Areas {
		n, b := viewCounts(&now.Areas[code], byRoute), viewCounts(&before.Areas[code], byRoute)
		if n == (countsView{}) && b == (countsView{}) {
			continue
		}
		area, _ := phone.AreaCode(code)
		v.Areas = append(v.Areas, areaFigures{code, area.State, n, b})
	}
}

func (v *figuresView) failures(now, before *rollup.Summary) {
	all := maps.Clone(now.Failures)
	for f := range before.Failures {
		all[f] += 0
	}
	for f, n := range all {
		v.Failures = append(v.Failures, failureFigures{f.Route, f.Reason, n, before.Failures[f]})
	}
	slices.SortFunc(v.Failures, func(a, b failureFigures) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Route, b.Route), cmp.Compare(a.Reason, b.Reason))
	})
}

func (v *figuresView) series(now, before *rollup.Summary, byRoute bool) {
	for at := v.Since.UTC().Truncate(now.Slot); at.Before(v.Until.Time); at = at.Add(now.Slot) {
		s := slotFigures{Time: api.NewTime(at)}
		if c := now.Series[at]; c != nil {
			s.Now = viewCounts(c, byRoute)
		}
		if c := before.Series[at.Add(-week)]; c != nil {
			s.LastWeek = viewCounts(c, byRoute)
		}
		v.Series = append(v.Series, s)
	}
}

// keysOf are the keys of both maps, in order.
func keysOf[V any](a, b map[string]V) []string {
	all := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(all)
	return slices.Compact(all)
}

func compared(now, before *rollup.Tally, byRoute bool) comparedView {
	return comparedView{viewTally(now, byRoute), viewTally(before, byRoute)}
}

func viewTally(t *rollup.Tally, byRoute bool) (v talliedView) {
	if t == nil {
		return v
	}
	return talliedView{viewCounts(&t.Counts, byRoute), viewTimes(&t.ToDelivery), viewTimes(&t.ToVerification)}
}

func viewCounts(c *rollup.Counts, byRoute bool) countsView {
	v := countsView{Sent: c.Messages, Delivered: c.Delivered, Verified: c.Verified, Failed: c.Failed, SpendMicros: c.Micros}
	if byRoute {
		v.Sent = c.Sent
	}
	return v
}

func viewTimes(h *rollup.Hist) *timesView {
	median, ok := h.Quantile(0.5)
	if !ok {
		return nil
	}
	p95, _ := h.Quantile(0.95)
	tenths := func(d time.Duration) float64 { return d.Round(100 * time.Millisecond).Seconds() }
	return &timesView{tenths(median), tenths(p95)}
}

// figuresJSON is GET /admin/v1/overview.
func (c *Console) figuresJSON(w http.ResponseWriter, r *http.Request) {
	q, wrong := parseFiguresQuery(r.URL, allClients)
	if wrong != "" {
		c.refuse(w, http.StatusBadRequest, codeInvalidParameter, wrong)
		return
	}
	v, err := c.figures(r.Context(), &q)
	if err != nil {
		c.refuseFailed(w, r, "overview", err)
		return
	}
	c.answerList(w, r, v)
}

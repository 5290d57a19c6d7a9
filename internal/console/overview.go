package console

import (
	"net/http"

	"codeword/api"
	"codeword/internal/console/login"
	"codeword/internal/screening"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// overviewView is the start page: what can be told of now.
type overviewView struct {
	frame

	// Figures is nil when nothing is counted.
	Figures  *figuresPage
	Queue    *queueView
	Routes   []routeItem
	Troubled int
	Holds    int
	Shadows  int
	Alarms   []string
	Spending []spendingView
	Events   []eventItem
	// HasRoutes and HasGuard tell whether the console was given any.
	HasRoutes, HasGuard, HasEvents bool
}

// queueView is how the queue stands.
type queueView struct {
	Depth int `json:"depth"`
	// OldestTime is when the oldest message in it was accepted.
	OldestTime api.Time `json:"oldestTime,omitzero"`
}

// spendingView is what a client has spent.
type spendingView struct {
	ID   string `json:"clientId"`
	Name string `json:"name"`
	// The amounts are in millionths of a US dollar; a limit of 0 is none.
	Hour      int64 `json:"hourMicros"`
	Day       int64 `json:"dayMicros"`
	HourLimit int64 `json:"hourLimitMicros"`
	DayLimit  int64 `json:"dayLimitMicros"`
}

// DayShare tells how much of the day's budget is used, at most 1.
func (s spendingView) DayShare() float64 { return min(1, float64(s.Day)/float64(max(1, s.DayLimit))) }

// HourShare tells how much of the hour's budget is used, at most 1.
func (s spendingView) HourShare() float64 {
	return min(1, float64(s.Hour)/float64(max(1, s.HourLimit)))
}

// overview is GET /.
func (c *Console) overview(w http.ResponseWriter, r *http.Request) {
	v, status := overviewView{frame: c.frame(r, sectionOverview, "Overview")}, http.StatusOK
	v.Script = liveScript
	v.HasRoutes, v.HasGuard, v.HasEvents = c.cfg.Routes != nil, c.cfg.Guard != nil, c.cfg.Events != nil
	failed := func(what string, err error) {
		if err != nil {
			var code api.Code
			status, code = c.failed(r, what, err)
			v.Error = "Not all can be shown. " + code.Message()
		}
	}
	if c.cfg.Rollups != nil {
		figures, wrong, err := c.figuresPart(r)
		failed("figures", err)
		if wrong != "" {
			status, v.Error = http.StatusBadRequest, wrong
		}
		v.Figures = figures
	}
	if c.cfg.Queue != nil {
		stats, err := c.cfg.Queue(r.Context())
		failed("queue", err)
		if err == nil {
			v.Queue = viewQueue(stats)
		}
	}
	if v.HasRoutes {
		v.Routes = routeItems(c.cfg.Routes())
		for i := range v.Routes {
			if len(v.Routes[i].Trouble) > 0 {
				v.Troubled++
			}
		}
	}
	if v.HasGuard {
		failed("holds", v.guard(c, r))
	}
	if v.HasGuard && c.cfg.Clients != nil {
		rows, err := c.cfg.Clients.List(r.Context())
		failed("clients", err)
		v.Spending = c.spending(rows)
	}
	events, err := c.latestEvents(r)
	failed("events", err)
	v.Events = events
	c.render(w, status, "overview.html", v)
}

// latestEvents are those of the start page: without logins, of which there are so many
// that nothing else would be left. It looks no further back than a few pages.
func (c *Console) latestEvents(r *http.Request) ([]eventItem, error) {
	const recent, pages = 5, 4
	out, q := []eventItem{}, store.EventQuery{Limit: defaultLimit}
	for range pages {
		page, err := c.lastEvents(r, q)
		if err != nil {
			return nil, err
		}
		for i := range page {
			if page[i].Kind != login.EventLogin {
				out = append(out, page[i])
			}
			if len(out) == recent {
				return out, nil
			}
		}
		if len(page) < q.Limit {
			break
		}
		q.Before, _ = store.ParseEventID(page[len(page)-1].ID) // which String wrote
	}
	return out, nil
}

func viewQueue(s store.QueueStats) *queueView {
	v := &queueView{Depth: s.Depth}
	if !s.Oldest.IsZero() {
		v.OldestTime = api.NewTime(s.Oldest)
	}
	return v
}

// guard counts what is held back.
func (v *overviewView) guard(c *Console, r *http.Request) error {
	holds, err := c.cfg.Guard.Holds(r.Context())
	for i := range holds {
		switch h := &holds[i]; h.Effect() {
		case screening.Alarms:
			v.Alarms = append(v.Alarms, h.Client)
		case screening.HoldsBack:
			v.Holds++
		case screening.Watches:
			v.Shadows++
		}
	}
	return err
}

// spending tells what the clients have spent that spent anything or have a budget.
func (c *Console) spending(rows []store.Client) []spendingView {
	out := []spendingView{}
	for _, row := range rows {
		spent := c.cfg.Guard.Spent(row.ID)
		v := spendingView{ID: row.ID, Name: row.Name, Hour: spent.Hour, Day: spent.Day}
		if s, err := tenant.ParseSettings(row.Settings); err == nil {
			v.HourLimit, v.DayLimit = int64(s.SpendPerHour*1e6), int64(s.SpendPerDay*1e6)
		}
		if v.Day > 0 || v.HourLimit > 0 || v.DayLimit > 0 {
			out = append(out, v)
		}
	}
	return out
}

// spendingJSON is GET /admin/v1/spending.
func (c *Console) spendingJSON(w http.ResponseWriter, r *http.Request) {
	rows, paging, ok := c.clientsToPage(w, r, spendingList)
	if !ok {
		return
	}
	page, next := pageOf(c.spending(rows), paging, false, func(s *spendingView) place { return place{key: s.ID} })
	c.answerList(w, r, struct {
		Clients    []spendingView `json:"clients"`
		NextCursor string         `json:"nextCursor,omitempty"`
	}{page, next})
}

// queueJSON is GET /admin/v1/queue.
func (c *Console) queueJSON(w http.ResponseWriter, r *http.Request) {
	stats, err := c.cfg.Queue(r.Context())
	if err != nil {
		c.refuseFailed(w, r, "queue", err)
		return
	}
	writeJSON(w, http.StatusOK, viewQueue(stats))
}

package console

import (
	"context"
	"net/http"
	"slices"

	"codeword/api"
	"codeword/internal/fault"
	"codeword/internal/guard/spend"
	"codeword/internal/screening"
	"codeword/internal/store"
)

// Guard tells what is held back, and what was spent.
type Guard interface {
	// Holds lists what is held back on all nodes now, the latest first.
	Holds(ctx context.Context) ([]screening.Hold, error)
	// Release ends a hold, and is recorded; fault.NotFound when there is none.
	Release(ctx context.Context, actor, key string) error
	// Spent tells what a client has spent in this hour and day.
	Spent(client string) spend.State
}

// holdView is a hold as JSON.
type holdView struct {
	Key    string `json:"key"`
	Client string `json:"client"`
	screening.HoldData
}

type holdsDocument struct {
	Holds      []holdView `json:"holds"`
	NextCursor string     `json:"nextCursor,omitempty"`
}

// holdsJSON is GET /admin/v1/guard/holds.
func (c *Console) holdsJSON(w http.ResponseWriter, r *http.Request) {
	paging, wrong := readPaging(r.URL, holdList)
	if wrong != "" {
		c.refuse(w, http.StatusBadRequest, codeInvalidParameter, wrong)
		return
	}
	holds, err := c.cfg.Guard.Holds(r.Context())
	if err != nil {
		c.refuseFailed(w, r, "holds", err)
		return
	}
	holds, next := pageOf(holds, paging, true, func(h *screening.Hold) place { return placed(h.At, h.Key) })
	doc := holdsDocument{Holds: make([]holdView, 0, len(holds)), NextCursor: next}
	for i := range holds {
		doc.Holds = append(doc.Holds, holdView{holds[i].Key, holds[i].Client, holds[i].HoldData})
	}
	c.answerList(w, r, doc)
}

// releaseJSON is POST /admin/v1/guard/release with {"key": "…"}.
func (c *Console) releaseJSON(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Key string `json:"key"`
	}
	if !c.readJSON(w, r, &in) {
		return
	}
	err := c.cfg.Guard.Release(r.Context(), actor(r.Context()), in.Key)
	switch {
	case fault.Is(err, fault.NotFound):
		c.refuse(w, http.StatusNotFound, codeNotFoundHold, textNotFoundHold)
	case err != nil:
		c.refuseFailed(w, r, "release", err)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

const textNotFoundHold = "Nothing of that key is held back."

// releaseForm is POST /guard/release.
func (c *Console) releaseForm(w http.ResponseWriter, r *http.Request) {
	if !c.readForm(w, r) {
		return
	}
	err := c.cfg.Guard.Release(r.Context(), actor(r.Context()), r.PostFormValue("key"))
	switch {
	case fault.Is(err, fault.NotFound):
		c.guardFor(w, r, http.StatusNotFound, "Nothing of that key is held back: it has ended by itself, or somebody else ended it.")
	case err != nil:
		c.problemOf(w, r, sectionGuard, "Guard", err)
	default:
		http.Redirect(w, r, sectionGuard+"?done=released", http.StatusSeeOther)
	}
}

// guardView is the page of the guard.
type guardView struct {
	frame

	// Holds are what is held back, Watched what would be if the guard might.
	Holds, Watched, Alarms shownHolds
	Clients                []guardClient
	Events                 []eventItem
}

// maxHoldsShown is how many holds of a kind the page shows: an attack from many addresses
// makes thousands. The document has them all.
const maxHoldsShown = 100

// shownHolds are the latest holds of a kind, and how many there are beside.
type shownHolds struct {
	Items []holdItem
	More  int
}

func (s *shownHolds) add(item holdItem) {
	if len(s.Items) == maxHoldsShown {
		s.More++
		return
	}
	s.Items = append(s.Items, item)
}

// holdItem is a hold as the page shows it. Releasable: who asks may end it.
type holdItem struct {
	screening.Hold

	Releasable bool
}

// guardPage is GET /guard.
func (c *Console) guardPage(w http.ResponseWriter, r *http.Request) {
	c.guardFor(w, r, http.StatusOK, "")
}

// guardFor shows the page, after a form that failed with what was wrong. What cannot be
// read is left out.
func (c *Console) guardFor(w http.ResponseWriter, r *http.Request, status int, wrong string) {
	v := guardView{frame: c.frame(r, sectionGuard, "Guard")}
	v.tell(r)
	v.Error, v.Script = wrong, liveScript
	failed := func(err error) {
		if err != nil {
			var code api.Code
			status, code = c.failed(r, "guard", err)
			v.Error = code.Message()
		}
	}
	holds, err := c.cfg.Guard.Holds(r.Context())
	failed(err)
	for i := range holds {
		item := holdItem{holds[i], v.May("operator")}
		switch item.Effect() {
		case screening.Alarms:
			v.Alarms.add(item)
		case screening.HoldsBack:
			v.Holds.add(item)
		case screening.Watches:
			v.Watched.add(item)
		}
	}
	if c.cfg.Clients != nil {
		rows, err := c.cfg.Clients.List(r.Context())
		failed(err)
		v.Clients = guardClients(rows, holds)
	}
	const recent = 15
	// Those of budgets are few, so they are named in full: by a beginning alone the store
	// would read all events in search of them.
	for _, kind := range []string{"guard.", "spend.warning", "spend.stop"} {
		events, err := c.lastEvents(r, store.EventQuery{Kind: kind, Limit: recent})
		failed(err)
		v.Events = append(v.Events, events...)
	}
	slices.SortStableFunc(v.Events, func(a, b eventItem) int { return b.Time.Compare(a.Time.Time) })
	v.Events = v.Events[:min(len(v.Events), recent)]
	c.render(w, status, "guard.html", v)
}

package console

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"codeword/api"
	"codeword/internal/console/login"
	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/webhook"
)

// handleWebhooks registers the endpoints of webhooks.
func (c *Console) handleWebhooks(mux *http.ServeMux) {
	if c.cfg.Webhooks == nil {
		return
	}
	c.pageAt(mux, sectionWebhooks, c.webhooksPage, c.createWebhookForm)
	c.pageAt(mux, "/webhooks/new", c.newWebhookPage, nil)
	c.pageAt(mux, "/webhooks/{id}", c.webhookPage, c.updateWebhookForm)
	c.pageAt(mux, "/webhooks/{id}/{action}", nil, c.actWebhookForm)
	for _, name := range []string{"replay", "test"} { // with a role of their own
		c.pageAt(mux, "/webhooks/{id}/"+name, nil, func(w http.ResponseWriter, r *http.Request) {
			r.SetPathValue("action", name)
			c.actWebhookForm(w, r)
		})
	}
	c.jsonAt(mux, "/admin/v1/webhooks", c.webhooksJSON, c.createWebhookJSON)
	c.at(mux, "/admin/v1/webhooks/{id}", asJSON, handlers{http.MethodGet: c.webhookJSON, http.MethodPatch: c.updateWebhookJSON})
	c.jsonAt(mux, "/admin/v1/webhooks/{id}/deliveries", c.deliveriesJSON, nil)
	for name, act := range hookActions {
		c.jsonAt(mux, "/admin/v1/webhooks/{id}/"+name, nil, c.actWebhookJSON(act))
	}
}

const (
	codeNotFoundWebhook api.Code = "NOT_FOUND_WEBHOOK"
	textNotFoundWebhook string   = "There is no such endpoint."
)

// webhookFailed says how to tell what went wrong with an endpoint.
func (c *Console) webhookFailed(r *http.Request, err error) (status int, code api.Code, text string) {
	var invalid webhook.Invalid
	switch {
	case errors.Is(err, webhook.ErrRotating), errors.Is(err, webhook.ErrNotRotating), errors.Is(err, webhook.ErrDisabled):
		return http.StatusConflict, codeConflict, err.Error()
	case fault.Is(err, fault.NotFound):
		return http.StatusNotFound, codeNotFoundWebhook, textNotFoundWebhook
	case fault.Is(err, fault.Conflict):
		return http.StatusConflict, codeConflict, "Somebody else changed endpoints meanwhile: nothing was changed."
	case errors.As(err, &invalid):
		return http.StatusBadRequest, codeInvalidParameter, err.Error()
	}
	status, code = c.failed(r, "webhooks", err)
	return status, code, code.Message()
}

func (c *Console) refuseWebhook(w http.ResponseWriter, r *http.Request, err error) {
	if fault.Is(err, fault.Conflict) && r.Header.Get("If-Match") != "" {
		c.refuseCondition(w) // it changed after the condition was looked at, or the body names another
		return
	}
	status, code, text := c.webhookFailed(r, err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	c.refuse(w, status, code, text)
}

// viewWebhook makes the view of an endpoint for who asks: its URL may hold secrets, so
// that those alone see it who can change it.
func viewWebhook(r *http.Request, e *webhook.Endpoint) webhook.View {
	v := e.View()
	if !may(r, login.Admin) {
		v.URL = ""
	}
	return v
}

// endpointOf finds the endpoint of the path.
func (c *Console) endpointOf(r *http.Request) (webhook.Endpoint, error) {
	id, ok := store.ParseEndpointID(r.PathValue("id"))
	if !ok {
		return webhook.Endpoint{}, fault.New(fault.NotFound, "not the id of an endpoint")
	}
	return c.cfg.Webhooks.Find(r.Context(), id)
}

// endpointQuery selects endpoints.
type endpointQuery struct {
	client string
	limit  int
	// after is the last one of the page before.
	after store.EndpointID
}

// parseEndpointQuery reads the filters of the endpoints, and says what is wrong with them
// as readFilters does.
func parseEndpointQuery(u *url.URL) (endpointQuery, string) {
	q := endpointQuery{limit: defaultLimit}
	wrong := readFilters(u, []string{"client", "limit", "cursor"}, func(name, value string) (want string, ok bool) {
		switch name {
		case "client":
			q.client, ok = value, len(value) <= maxClientID
			want = "the id of a client"
		case "limit":
			q.limit, ok = parseLimit(value)
			want = wantLimit
		case "cursor":
			q.after, ok = readID(webhookList, value, store.ParseEndpointID)
			want = wantCursor
		}
		return want, ok
	})
	return q, wrong
}

// parseDeliveryQuery reads the filters of an endpoint's deliveries in the same way.
func parseDeliveryQuery(u *url.URL) (store.WebhookQuery, string) {
	q := store.WebhookQuery{Limit: defaultLimit}
	wrong := readFilters(u, []string{"state", "limit", "cursor"}, func(name, value string) (want string, ok bool) {
		switch name {
		case "state":
			q.State, ok = store.ParseDeliveryState(value)
			want = "one of pending, delivered and failed"
		case "limit":
			q.Limit, ok = parseLimit(value)
			want = wantLimit
		case "cursor":
			q.Before, ok = readID(deliveryList, value, store.ParseEventID)
			want = wantCursor
		}
		return want, ok
	})
	return q, wrong
}

// listWebhooks returns the endpoints of a page, oldest first, and where the next begins.
func (c *Console) listWebhooks(r *http.Request, q endpointQuery) (out []webhook.View, next string, err error) {
	all, err := c.cfg.Webhooks.List(r.Context(), q.client)
	slices.SortFunc(all, func(a, b webhook.Endpoint) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	out = []webhook.View{}
	for i := range all {
		if bytes.Compare(all[i].ID[:], q.after[:]) <= 0 {
			continue
		}
		if len(out) == q.limit {
			return out, cursorOf(webhookList, all[i-1].ID), err
		}
		out = append(out, viewWebhook(r, &all[i]))
	}
	return out, "", err
}

// listDeliveries returns what was queued for the endpoint of the query, newest first, and
// where the next page begins.
func (c *Console) listDeliveries(ctx context.Context, q store.WebhookQuery) (out []webhook.DeliveryView, next string, err error) {
	limit := q.Limit
	q.Limit++
	found, err := c.cfg.Webhooks.Deliveries(ctx, q)
	if len(found) > limit {
		found = found[:limit]
		next = cursorOf(deliveryList, found[limit-1].Event)
	}
	out = make([]webhook.DeliveryView, len(found))
	for i := range found {
		out[i] = webhook.ViewDelivery(&found[i])
	}
	return out, next, err
}

// webhooksJSON is GET /admin/v1/webhooks.
func (c *Console) webhooksJSON(w http.ResponseWriter, r *http.Request) {
	q, wrong := parseEndpointQuery(r.URL)
	if wrong != "" {
		c.refuse(w, http.StatusBadRequest, codeInvalidParameter, wrong)
		return
	}
	views, next, err := c.listWebhooks(r, q)
	if err != nil {
		c.refuseWebhook(w, r, err)
		return
	}
	c.answerList(w, r, struct {
		Webhooks   []webhook.View `json:"webhooks"`
		NextCursor string         `json:"nextCursor,omitempty"`
	}{views, next})
}

// deliveriesJSON is GET /admin/v1/webhooks/{id}/deliveries.
func (c *Console) deliveriesJSON(w http.ResponseWriter, r *http.Request) {
	q, wrong := parseDeliveryQuery(r.URL)
	if wrong != "" {
		c.refuse(w, http.StatusBadRequest, codeInvalidParameter, wrong)
		return
	}
	e, err := c.endpointOf(r)
	if err != nil {
		c.refuseWebhook(w, r, err)
		return
	}
	q.Endpoint = e.ID
	views, next, err := c.listDeliveries(r.Context(), q)
	if err != nil {
		c.refuseWebhook(w, r, err)
		return
	}
	c.answerList(w, r, struct {
		Deliveries []webhook.DeliveryView `json:"deliveries"`
		NextCursor string                 `json:"nextCursor,omitempty"`
	}{views, next})
}

// webhookJSON is GET /admin/v1/webhooks/{id}.
func (c *Console) webhookJSON(w http.ResponseWriter, r *http.Request) {
	e, err := c.endpointOf(r)
	switch {
	case err != nil:
		c.refuseWebhook(w, r, err)
	case !unchanged(w, r, webhookTag(r, &e)):
		writeJSON(w, http.StatusOK, viewWebhook(r, &e))
	}
}

// webhookCondition finds the endpoint of the path, and tells as condition does which
// revision of it a change is for. With ok false the answer was given.
func (c *Console) webhookCondition(w http.ResponseWriter, r *http.Request, body int64) (e webhook.Endpoint, revision int64, ok bool) {
	e, err := c.endpointOf(r)
	if err == nil {
		revision, ok, err = c.condition(w, r, body, func() (int64, error) { return e.Revision, nil })
	}
	if ok && revision != webhook.Any && revision != e.Revision {
		err, ok = fault.New(fault.Conflict, "another revision"), false
	}
	if err != nil {
		c.refuseWebhook(w, r, err)
	}
	return e, revision, ok
}

// createWebhook makes an endpoint, for a client that there is.
func (c *Console) createWebhook(ctx context.Context, client, to string, kinds []string) (webhook.Endpoint, string, error) {
	if client != "" && c.cfg.Clients != nil {
		if _, err := c.cfg.Clients.Find(ctx, client); fault.Is(err, fault.NotFound) {
			return webhook.Endpoint{}, "", webhook.Invalid("client: there is no such client")
		} else if err != nil {
			return webhook.Endpoint{}, "", err
		}
	}
	return c.cfg.Webhooks.Create(ctx, actor(ctx), client, to, kinds)
}

// createWebhookJSON is POST /admin/v1/webhooks.
func (c *Console) createWebhookJSON(w http.ResponseWriter, r *http.Request) {
	var in struct {
		ClientID string   `json:"clientId"`
		All      bool     `json:"all"`
		URL      string   `json:"url"`
		Kinds    []string `json:"kinds"`
	}
	if !c.readJSON(w, r, &in) {
		return
	}
	if in.All == (in.ClientID != "") {
		c.refuse(w, http.StatusBadRequest, codeInvalidParameter, "One of clientId and all is wanted.")
		return
	}
	e, secret, err := c.createWebhook(r.Context(), in.ClientID, in.URL, in.Kinds)
	if err != nil {
		c.refuseWebhook(w, r, err)
		return
	}
	w.Header().Set("ETag", webhookTag(r, &e))
	writeJSON(w, http.StatusCreated, struct {
		webhook.View

		Secret string `json:"secret"`
	}{e.View(), secret})
}

// updateWebhookJSON is PATCH /admin/v1/webhooks/{id}.
func (c *Console) updateWebhookJSON(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Revision int64  `json:"revision"`
		URL      string `json:"url"`
		// Kinds is left alone when it is not there; [] means all.
		Kinds []string `json:"kinds"`
	}
	if !c.readJSON(w, r, &in) {
		return
	}
	e, revision, ok := c.webhookCondition(w, r, in.Revision)
	if !ok {
		return
	}
	e, err := c.cfg.Webhooks.Seen(revision).Update(r.Context(), actor(r.Context()), e.ID, in.URL, in.Kinds)
	if err != nil {
		c.refuseWebhook(w, r, err)
		return
	}
	w.Header().Set("ETag", webhookTag(r, &e))
	writeJSON(w, http.StatusOK, viewWebhook(r, &e))
}

// hookAsk is what an action is told.
type hookAsk struct {
	// Revision is which one is meant; webhook.Any for whichever there is.
	Revision int64  `json:"revision"`
	Event    string `json:"eventId"`
	// Since is how far back a replay goes; the zero time for all that is kept.
	Since time.Time `json:"since"`
	// All: also what was delivered.
	All bool `json:"all"`
}

// hookDone is what an action did.
type hookDone struct {
	ID       string `json:"id"`
	Secret   string `json:"secret,omitempty"`
	Event    string `json:"eventId,omitempty"`
	Replayed *int   `json:"replayed,omitempty"`
}

// hookAction is something that is done with an endpoint by one button.
type hookAction struct {
	// done names the sentence of the page that follows.
	done string
	// do changes that revision of an endpoint, or has its deliveries posted, whatever the
	// revision is.
	do func(ctx context.Context, hooks *webhook.Registry, id store.EndpointID, in hookAsk, out *hookDone) error
}

var hookActions = map[string]hookAction{
	"disable": {"hook-disabled", func(ctx context.Context, hooks *webhook.Registry, id store.EndpointID, in hookAsk, _ *hookDone) error {
		_, err := hooks.Seen(in.Revision).Disable(ctx, actor(ctx), id, webhook.ReasonOperator)
		return err
	}},
	"enable": {"hook-enabled", func(ctx context.Context, hooks *webhook.Registry, id store.EndpointID, in hookAsk, _ *hookDone) error {
		_, err := hooks.Seen(in.Revision).Enable(ctx, actor(ctx), id)
		return err
	}},
	"delete": {"hook-deleted", func(ctx context.Context, hooks *webhook.Registry, id store.EndpointID, in hookAsk, _ *hookDone) error {
		return hooks.Seen(in.Revision).Delete(ctx, actor(ctx), id)
	}},
	"start-rotation": {"", func(ctx context.Context, hooks *webhook.Registry, id store.EndpointID, in hookAsk, out *hookDone) (err error) {
		out.Secret, err = hooks.Seen(in.Revision).StartRotation(ctx, actor(ctx), id)
		return err
	}},
	"finish-rotation": {"finished", func(ctx context.Context, hooks *webhook.Registry, id store.EndpointID, in hookAsk, _ *hookDone) error {
		return hooks.Seen(in.Revision).FinishRotation(ctx, actor(ctx), id)
	}},
	"cancel-rotation": {"canceled", func(ctx context.Context, hooks *webhook.Registry, id store.EndpointID, in hookAsk, _ *hookDone) error {
		return hooks.Seen(in.Revision).CancelRotation(ctx, actor(ctx), id)
	}},
	"test": {"hook-tested", func(ctx context.Context, hooks *webhook.Registry, id store.EndpointID, _ hookAsk, out *hookDone) error {
		event, err := hooks.Test(ctx, actor(ctx), id)
		out.Event = event.String()
		return err
	}},
	"replay": {"hook-replayed", replayHook},
}

func replayHook(ctx context.Context, hooks *webhook.Registry, id store.EndpointID, in hookAsk, out *hookDone) error {
	replay := store.WebhookReplay{Endpoint: id, Since: in.Since}
	if in.Event != "" {
		var ok bool
		if replay.Event, ok = store.ParseEventID(in.Event); !ok || in.All || !in.Since.IsZero() {
			return webhook.Invalid("eventId: not the id of an event, or with something else beside it")
		}
	} else if !in.All {
		replay.State = store.DeliveryFailed
	}
	n, err := hooks.Replay(ctx, actor(ctx), replay)
	out.Replayed = &n
	return err
}

// actWebhookJSON is POST /admin/v1/webhooks/{id}/ and the name of an action.
func (c *Console) actWebhookJSON(act hookAction) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in hookAsk
		if !c.readJSON(w, r, &in) {
			return
		}
		e, revision, ok := c.webhookCondition(w, r, in.Revision)
		if !ok {
			return
		}
		in.Revision = revision
		out := hookDone{ID: e.ID.String()}
		if err := act.do(r.Context(), c.cfg.Webhooks, e.ID, in, &out); err != nil {
			c.refuseWebhook(w, r, err)
			return
		}
		writeJSON(w, http.StatusOK, out)
	}
}

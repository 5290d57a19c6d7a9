package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"codeword/api"
	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/webhook"
)

// webhooksView is the page of all endpoints.
type webhooksView struct {
	frame

	Filter   url.Values
	Webhooks []webhookItem
	More     string
}

// webhookItem is an endpoint in the list.
type webhookItem struct {
	webhook.View

	// Latest is the newest delivery of which something is known; see latestDelivery.
	Latest *webhook.DeliveryView
}

// Given is a filter as it was given.
func (v webhooksView) Given(name string) string { return v.Filter.Get(name) }

// webhooksPage is GET /webhooks.
func (c *Console) webhooksPage(w http.ResponseWriter, r *http.Request) {
	v, status := webhooksView{frame: c.frame(r, sectionWebhooks, "Webhooks"), Filter: r.URL.Query()}, http.StatusOK
	c.know(r, &v.frame)
	v.tell(r)
	v.Filter.Del("done")
	q, wrong := parseEndpointQuery(asking(r.URL, v.Filter.Encode()))
	if wrong != "" {
		v.Error = wrong
		c.render(w, http.StatusBadRequest, "webhooks.html", v)
		return
	}
	var next string
	var err error
	if v.Webhooks, next, err = c.webhookItems(r, q); err != nil {
		status, _, v.Error = c.webhookFailed(r, err)
	}
	if next != "" {
		v.More = withParameter(sectionWebhooks, v.Filter, "cursor", next)
	}
	c.render(w, status, "webhooks.html", v)
}

// webhookItems are the endpoints of a page, and where the next begins. After an error
// they are those that could be told.
func (c *Console) webhookItems(r *http.Request, q endpointQuery) (out []webhookItem, next string, err error) {
	page, next, err := c.listWebhooks(r, q)
	for i := range page {
		item := webhookItem{View: page[i]}
		if id, ok := store.ParseEndpointID(item.ID); ok && err == nil {
			item.Latest, err = c.latestDelivery(r.Context(), id)
		}
		out = append(out, item)
	}
	return out, next, err
}

// latestDelivery is the newest delivery to an endpoint that was tried, or else the newest
// one; nil for none. It looks at few, which the queue has in order: an endpoint that does
// nothing but fail has many that were not tried yet.
func (c *Console) latestDelivery(ctx context.Context, id store.EndpointID) (*webhook.DeliveryView, error) {
	const looks = 10
	found, err := c.cfg.Webhooks.Deliveries(ctx, store.WebhookQuery{Endpoint: id, Limit: looks})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	tried := func(d store.WebhookDelivery) bool { return d.Attempts > 0 || d.State != store.DeliveryPending }
	v := webhook.ViewDelivery(&found[max(0, slices.IndexFunc(found, tried))])
	return &v, nil
}

// hookKind is a kind in a form.
type hookKind struct {
	Name   string
	Chosen bool
}

func hookKinds(chosen []string) []hookKind {
	var out []hookKind
	for _, k := range webhook.Kinds() {
		out = append(out, hookKind{k, slices.Contains(chosen, k)})
	}
	return out
}

// newWebhookView is the form for an endpoint, and the page that shows its secret.
type newWebhookView struct {
	frame

	Client, URL string
	AllClients  bool
	Kinds       []hookKind
	// ID and Secret are those of the endpoint that was made.
	ID, Secret string
}

// newWebhookPage is GET /webhooks/new.
func (c *Console) newWebhookPage(w http.ResponseWriter, r *http.Request) {
	v := newWebhookView{
		frame: c.frame(r, sectionWebhooks, "New endpoint", link{sectionWebhooks, "Webhooks"}), Kinds: hookKinds(nil),
		Client: r.URL.Query().Get("client"),
	}
	c.know(r, &v.frame)
	c.render(w, http.StatusOK, "webhook-new.html", v)
}

// createWebhookForm is POST /webhooks. The secret is in the answer alone.
func (c *Console) createWebhookForm(w http.ResponseWriter, r *http.Request) {
	if !c.readForm(w, r) {
		return
	}
	kinds := r.PostForm["kind"]
	v := newWebhookView{
		frame:  c.frame(r, sectionWebhooks, "New endpoint", link{sectionWebhooks, "Webhooks"}),
		Client: strings.TrimSpace(r.PostFormValue("client")), URL: strings.TrimSpace(r.PostFormValue("url")),
		AllClients: r.PostFormValue("all") != "", Kinds: hookKinds(kinds),
	}
	c.know(r, &v.frame)
	if v.AllClients == (v.Client != "") {
		v.Error = "The endpoint was not made: write a client's id, or choose all clients."
		c.render(w, http.StatusBadRequest, "webhook-new.html", v)
		return
	}
	status := http.StatusCreated
	e, secret, err := c.createWebhook(r.Context(), v.Client, v.URL, kinds)
	if err != nil {
		var text string
		status, _, text = c.webhookFailed(r, err)
		v.Error = "The endpoint was not made. " + text
	} else {
		v.Title, v.ID, v.Secret = "Endpoint "+e.View().Host, e.ID.String(), secret
	}
	c.render(w, status, "webhook-new.html", v)
}

// webhookView is the page of one endpoint.
type webhookView struct {
	frame
	webhook.View

	// Secret is a new secret, shown this once.
	Secret string
	// Edit is the URL as it is, or was sent.
	Edit string
	// Sent is what was sent and not made so, since somebody else was faster.
	Sent       *hookSent
	AllKinds   []hookKind
	Filter     url.Values
	Deliveries []webhook.DeliveryView
	More       string
}

// hookSent is what a form of an endpoint says.
type hookSent struct {
	URL   string
	Kinds []string
}

// Given is a filter as it was given.
func (v webhookView) Given(name string) string { return v.Filter.Get(name) }

// Rotating tells whether there are two secrets.
func (v webhookView) Rotating() bool { return len(v.SecretTimes) > 1 }

// webhookPage is GET /webhooks/{id}.
func (c *Console) webhookPage(w http.ResponseWriter, r *http.Request) {
	c.showWebhook(w, r, http.StatusOK, hookChange{})
}

// hookChange is what came of a form.
type hookChange struct {
	// wrong is what went wrong, and stale that somebody else was faster.
	wrong string
	stale bool
	// secret is a new secret.
	secret string
}

// showWebhook shows the endpoint of the path, after a form with what came of it.
func (c *Console) showWebhook(w http.ResponseWriter, r *http.Request, status int, done hookChange) {
	e, err := c.endpointOf(r)
	if err != nil && done.secret == "" {
		failed, _, text := c.webhookFailed(r, err)
		c.problem(w, r, failed, sectionWebhooks, "Endpoint", text)
		return
	}
	view := viewWebhook(r, &e) // of nothing when it cannot be read: the secret must not get lost
	v := webhookView{
		frame: c.frame(r, sectionWebhooks, "Endpoint "+view.Host, link{sectionWebhooks, "Webhooks"}), View: view, Secret: done.secret,
		Edit: view.URL, AllKinds: hookKinds(view.Kinds), Filter: r.URL.Query(),
	}
	v.tell(r)
	v.Error = done.wrong
	if sent := (hookSent{r.PostForm.Get("url"), r.PostForm["kind"]}); r.PostForm.Has("url") && done.stale {
		v.Sent = &sent
	} else if r.PostForm.Has("url") && done.wrong != "" {
		v.Edit, v.AllKinds = sent.URL, hookKinds(sent.Kinds)
	}
	v.Filter.Del("done")
	q, misread := parseDeliveryQuery(asking(r.URL, v.Filter.Encode()))
	if misread != "" {
		status, v.Error = http.StatusBadRequest, misread
		c.render(w, status, "webhook.html", v)
		return
	}
	var next string
	q.Endpoint = e.ID
	if v.Deliveries, next, err = c.listDeliveries(r.Context(), q); err != nil {
		status, _, v.Error = c.webhookFailed(r, err)
	}
	if next != "" {
		v.More = withParameter(webhookPath(v.ID), v.Filter, "cursor", next)
	}
	c.render(w, status, "webhook.html", v)
}

func webhookPath(id string) string { return sectionWebhooks + "/" + url.PathEscape(id) }

// updateWebhookForm is POST /webhooks/{id}.
func (c *Console) updateWebhookForm(w http.ResponseWriter, r *http.Request) {
	if !c.readForm(w, r) {
		return
	}
	e, err := c.endpointOf(r)
	if err == nil {
		kinds := append([]string{}, r.PostForm["kind"]...)
		to := strings.TrimSpace(r.PostFormValue("url"))
		_, err = c.cfg.Webhooks.Seen(revisionOf(r)).Update(r.Context(), actor(r.Context()), e.ID, to, kinds)
	}
	if err != nil {
		c.showHookFailed(w, r, "Nothing was changed. ", err)
		return
	}
	http.Redirect(w, r, webhookPath(e.ID.String())+"?done=hook-saved", http.StatusSeeOther)
}

// showHookFailed shows the endpoint with why a form brought nothing about.
func (c *Console) showHookFailed(w http.ResponseWriter, r *http.Request, lead string, err error) {
	status, _, text := c.webhookFailed(r, err)
	done := hookChange{wrong: lead + text, stale: fault.Is(err, fault.Conflict)}
	if done.stale {
		done.wrong = "The endpoint was changed after you opened the page, so your change was not made. The page shows it as it is now."
	}
	c.showWebhook(w, r, status, done)
}

// actWebhookForm is POST /webhooks/{id}/{action}.
func (c *Console) actWebhookForm(w http.ResponseWriter, r *http.Request) {
	act, ok := hookActions[r.PathValue("action")]
	if !ok {
		c.problem(w, r, http.StatusNotFound, sectionWebhooks, "Endpoint", api.CodeNotFoundEndpoint.Message())
		return
	}
	if !c.readForm(w, r) {
		return
	}
	in := hookAsk{Revision: revisionOf(r), Event: r.PostFormValue("event"), All: r.PostFormValue("all") != ""}
	if since := r.PostFormValue("since"); since != "" {
		if in.Since, ok = parseTime(minutely(since)); !ok {
			c.showWebhook(w, r, http.StatusBadRequest, hookChange{wrong: "Nothing was posted again. The time is none."})
			return
		}
	}
	e, err := c.endpointOf(r)
	out := hookDone{}
	if err == nil {
		err = act.do(r.Context(), c.cfg.Webhooks, e.ID, in, &out)
	}
	switch {
	case err != nil:
		c.showHookFailed(w, r, "", err)
	case out.Secret != "":
		c.showWebhook(w, r, http.StatusOK, hookChange{secret: out.Secret})
	case r.PathValue("action") == "delete":
		http.Redirect(w, r, sectionWebhooks+"?done="+act.done, http.StatusSeeOther)
	default:
		http.Redirect(w, r, webhookPath(e.ID.String())+"?done="+act.done, http.StatusSeeOther)
	}
}

// minutely is a time of a form field, which is in UTC and has no seconds, as parseTime
// reads it.
func minutely(field string) string {
	if len(field) == len("2006-01-02T15:04") {
		field += ":00"
	}
	return field + "Z"
}

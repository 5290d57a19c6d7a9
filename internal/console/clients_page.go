package console

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"codeword/api"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

type clientsView struct {
	frame

	Clients []ClientView
}

// clientsPage is GET /clients.
func (c *Console) clientsPage(w http.ResponseWriter, r *http.Request) {
	v, status := clientsView{frame: c.frame(r, sectionClients, "Clients")}, http.StatusOK
	rows, err := c.cfg.Clients.List(r.Context())
	if err != nil {
		var code api.Code
		status, code = c.failed(r, "clients", err)
		v.Error = code.Message()
	}
	for i := range rows {
		v.Clients = append(v.Clients, viewClient(r, &rows[i]))
	}
	c.render(w, status, "clients.html", v)
}

// newClientView is the form for a client, and the page that shows its secret.
type newClientView struct {
	frame

	// Key makes the id, so that a form that is sent twice makes one client.
	Key, Name string
	Live      bool
	Wrong     string
	// ID and Secret are those of the client that was made.
	ID, Secret string
}

// newClientPage is GET /clients/new.
func (c *Console) newClientPage(w http.ResponseWriter, r *http.Request) {
	c.render(w, http.StatusOK, "client-new.html", newClientView{
		frame: c.frame(r, sectionClients, "New client", link{sectionClients, "Clients"}), Key: uuid.NewString(),
	})
}

// createClientForm is POST /clients. The secret is in the answer alone.
func (c *Console) createClientForm(w http.ResponseWriter, r *http.Request) {
	if !c.readForm(w, r) {
		return
	}
	v := newClientView{
		frame: c.frame(r, sectionClients, "New client", link{sectionClients, "Clients"}),
		Key:   r.PostFormValue("key"), Name: strings.TrimSpace(r.PostFormValue("name")), Live: r.PostFormValue("env") == tenant.Env(true),
	}
	key, err := uuid.Parse(v.Key)
	if err != nil {
		key = uuid.New()
	}
	v.Key = key.String()
	row, secret, err := c.cfg.Clients.Create(r.Context(), actor(r.Context()), "client-"+tenant.Env(v.Live)+"-"+v.Key, v.Name, v.Live, nil)
	status := http.StatusCreated
	switch kindOf(err) {
	case noChange:
		v.Title, v.ID, v.Secret = "Client "+v.Name, row.ID, secret
	case staleChange:
		status, v.Error = http.StatusConflict, "This form was sent before and has made a client: look at the list. Its secret is not shown again."
		v.Key = uuid.NewString()
	case wrongChange:
		status, v.Wrong = http.StatusBadRequest, err.Error()
		v.Error = "The client was not made. " + err.Error()
	default:
		var code api.Code
		status, code = c.failed(r, "client", err)
		v.Error = code.Message()
	}
	c.render(w, status, "client-new.html", v)
}

// clientPage is what the page of one client shows.
type clientPage struct {
	frame
	ClientView

	// Secret is a new secret, shown this once.
	Secret string
	Groups []formGroup
	// Wrong are the errors of fields, as links to them.
	Wrong []fieldError
	// NameGiven and Patch are what was sent.
	NameGiven, NameWrong, Patch, PatchWrong string
	// Stale: somebody else was faster. Differing is what was sent and is not so.
	Stale     bool
	Differing []difference
	// Stored are settings that cannot be used.
	Stored   string
	Inbox    bool
	Spent    *spendingView
	Events   []eventItem
	NoEvents bool
}

type fieldError struct{ Name, Label, Error string }

// difference is a setting that was sent and holds otherwise.
type difference struct{ Label, Sent, Now string }

// Rotating tells whether there are two secrets.
func (p clientPage) Rotating() bool { return len(p.Secrets) > 1 }

// change is what became of a form about a client.
type change struct {
	given  url.Values
	wrong  map[string]string
	others []string
	secret string
	stale  bool
	// state is why there was nothing to do.
	state string
}

// clientPage is GET /clients/{id}.
func (c *Console) clientPage(w http.ResponseWriter, r *http.Request) {
	c.showClient(w, r, http.StatusOK, change{})
}

// showClient shows the client of the path after a change.
func (c *Console) showClient(w http.ResponseWriter, r *http.Request, status int, done change) {
	id := r.PathValue("id")
	row, err := c.cfg.Clients.Find(r.Context(), id)
	switch {
	case kindOf(err) == noClient:
		c.problem(w, r, http.StatusNotFound, sectionClients, "Client", "There is no such client.")
		return
	case err != nil && done.secret == "":
		c.problemOf(w, r, sectionClients, "Client", err)
		return
	case err != nil: // the secret must not get lost
		row = store.Client{ID: id, Name: id}
	}
	v := clientPage{
		frame: c.frame(r, sectionClients, row.Name, link{sectionClients, "Clients"}), ClientView: viewClient(r, &row),
		Secret: done.secret, Stale: done.stale, NameGiven: row.Name, Patch: done.given.Get("patch"),
	}
	v.tell(r)
	v.Inbox = !row.Live || slices.Contains(v.Settings.Routes, tenant.RouteInbox)
	v.fill(&row, done)
	if c.cfg.Guard != nil {
		spent := c.cfg.Guard.Spent(id)
		v.Spent = &spendingView{Hour: spent.Hour, Day: spent.Day}
	}
	const recent = 5
	v.Events, err = c.lastEvents(r, store.EventQuery{Client: id, Limit: recent})
	if v.NoEvents = err != nil; v.NoEvents {
		_, _ = c.failed(r, "events", err) // the page is of use without them
	}
	c.render(w, status, "client.html", v)
}

// fill makes the form, and says what is wrong with what was sent.
func (p *clientPage) fill(row *store.Client, done change) {
	if p.Problem != "" {
		if p.May("admin") { // whole numbers may stand in them
			p.Stored = string(row.Settings)
		}
	} else {
		holds := settingsMap(&p.Settings)
		given := done.given
		if done.stale {
			p.Differing, given = differing(holds, done.given), nil
		}
		p.Groups = settingsForm(holds, given, done.wrong)
	}
	if name, ok := done.given["name"]; ok && !done.stale {
		p.NameGiven = strings.Join(name, "")
	}
	p.NameWrong = done.wrong["name"]
	if done.given.Has("patch") && (len(done.others) > 0 || len(done.wrong) > 0) {
		p.PatchWrong = "These changes are refused; see above."
	}
	for _, name := range slices.Sorted(maps.Keys(done.wrong)) {
		p.Wrong = append(p.Wrong, fieldError{name, labelOf(name), done.wrong[name]})
	}
	for _, other := range done.others {
		p.Wrong = append(p.Wrong, fieldError{Error: other})
	}
	switch {
	case done.stale:
		p.Error = "The client was changed after you opened the page, so your change was not made. The page shows it as it is now."
	case done.state != "":
		p.Error = done.state
	case len(p.Wrong) > 0:
		p.Error = "Nothing was changed: something is wrong with what you sent."
	}
}

func labelOf(name string) string {
	for _, g := range settingGroups {
		for _, f := range g.fields {
			if f.name == name {
				return f.label
			}
		}
	}
	return "Name"
}

// differing lists what a form says and does not hold.
func differing(holds map[string]any, form url.Values) (out []difference) {
	for _, g := range settingGroups {
		for _, f := range g.fields {
			sent, ok := form[f.name]
			if !ok {
				continue
			}
			held := at(holds, f.name)
			if value, wrong := f.read(sent); wrong != "" || !same(f, value, held) {
				out = append(out, difference{f.label, strings.Join(sent, " "), strings.Join(f.texts(held), " ")})
			}
		}
	}
	return out
}

// revisionOf is the revision that a form was made from; one that nobody has when it
// does not tell.
func revisionOf(r *http.Request) int64 {
	n, err := strconv.ParseInt(r.PostFormValue("revision"), 10, 64)
	if err != nil || n == tenant.Any {
		return -1
	}
	return n
}

// updateClientForm is POST /clients/{id}.
func (c *Console) updateClientForm(w http.ResponseWriter, r *http.Request) {
	if !c.readForm(w, r) {
		return
	}
	id := r.PathValue("id")
	row, err := c.cfg.Clients.Find(r.Context(), id)
	if err != nil {
		c.showFailed(w, r, err, change{})
		return
	}
	revision := revisionOf(r)
	if row.Revision != revision {
		c.showClient(w, r, http.StatusConflict, change{given: r.PostForm, stale: true})
		return
	}
	patch, wrong := c.patchOf(&row, r.PostForm)
	if len(wrong) > 0 {
		c.showClient(w, r, http.StatusBadRequest, change{given: r.PostForm, wrong: wrong})
		return
	}
	name := strings.TrimSpace(r.PostFormValue("name"))
	if _, ok := r.PostForm["name"]; ok && name == "" {
		c.showClient(w, r, http.StatusBadRequest, change{given: r.PostForm, wrong: map[string]string{"name": "a client has to have a name"}})
		return
	}
	if string(patch) == "{}" && (name == "" || name == row.Name) {
		http.Redirect(w, r, clientPath(id)+"?done=same", http.StatusSeeOther)
		return
	}
	if _, err = c.cfg.Clients.Seen(revision).Update(r.Context(), actor(r.Context()), id, name, patch); err != nil {
		c.showFailed(w, r, err, change{given: r.PostForm})
		return
	}
	http.Redirect(w, r, clientPath(id)+"?done=saved", http.StatusSeeOther)
}

func clientPath(id string) string { return sectionClients + "/" + url.PathEscape(id) }

// patchOf is what a form changes of the settings: by its fields, or as JSON.
func (c *Console) patchOf(row *store.Client, form url.Values) (patch []byte, wrong map[string]string) {
	if raw := strings.TrimSpace(form.Get("patch")); raw != "" {
		return []byte(raw), nil
	}
	s, err := tenant.ParseSettings(row.Settings)
	if err != nil {
		return []byte("{}"), nil // its form has no fields
	}
	changes, wrong := settingsPatch(settingsMap(&s), form)
	patch, err = json.Marshal(changes)
	if err != nil {
		wrong["name"] = "the changes cannot be written"
	}
	return patch, wrong
}

// showFailed shows why a change was not made.
func (c *Console) showFailed(w http.ResponseWriter, r *http.Request, err error, done change) {
	switch kindOf(err) {
	case noClient:
		c.problem(w, r, http.StatusNotFound, sectionClients, "Client", "There is no such client.")
	case staleChange:
		done.stale = true
		c.showClient(w, r, http.StatusConflict, done)
	case wrongState:
		done.state = "Nothing was changed: " + err.Error() + "."
		c.showClient(w, r, http.StatusConflict, done)
	case wrongChange:
		done.wrong, done.others = settingErrors(err)
		c.showClient(w, r, http.StatusBadRequest, done)
	default:
		c.problemOf(w, r, sectionClients, "Client", err)
	}
}

// actClientForm is POST /clients/{id}/{action}.
func (c *Console) actClientForm(w http.ResponseWriter, r *http.Request) {
	act, ok := clientActions[r.PathValue("action")]
	if !ok {
		c.problem(w, r, http.StatusNotFound, sectionClients, "Client", "There is no such page.")
		return
	}
	if !c.readForm(w, r) {
		return
	}
	id := r.PathValue("id")
	secret, err := act.do(r.Context(), c.cfg.Clients.Seen(revisionOf(r)), id)
	switch {
	case err != nil:
		c.showFailed(w, r, err, change{})
	case secret != "":
		c.showClient(w, r, http.StatusOK, change{secret: secret})
	default:
		http.Redirect(w, r, clientPath(id)+"?done="+act.done, http.StatusSeeOther)
	}
}

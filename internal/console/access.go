package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"codeword/api"
	"codeword/internal/console/login"
)

// needs says which role each route needs; whoever has a higher one may as well. What is
// not in it cannot be registered.
var needs = map[string]login.Role{
	"GET /{$}":                                     login.Viewer,
	"GET " + sectionMessages:                       login.Viewer,
	"GET /messages/{id}":                           login.Viewer,
	"POST /messages/{id}/reveal":                   login.Operator,
	"GET " + sectionPhones:                         login.Operator, // who may try numbers finds masked ones
	"POST " + sectionPhones:                        login.Operator,
	"POST /phones/erase":                           login.Admin,
	"GET " + sectionInbox:                          login.Operator, // codes can be read there
	"GET " + sectionRoutes:                         login.Viewer,
	"POST /routes/{name}/test-send":                login.Operator,
	"GET " + sectionGuard:                          login.Viewer,
	"POST /guard/release":                          login.Operator,
	"GET " + sectionClients:                        login.Viewer,
	"POST " + sectionClients:                       login.Admin,
	"GET /clients/new":                             login.Admin,
	"GET /clients/{id}":                            login.Viewer,
	"POST /clients/{id}":                           login.Admin,
	"POST /clients/{id}/{action}":                  login.Admin,
	"GET " + sectionWebhooks:                       login.Viewer,
	"POST " + sectionWebhooks:                      login.Admin,
	"GET /webhooks/new":                            login.Admin,
	"GET /webhooks/{id}":                           login.Viewer,
	"POST /webhooks/{id}":                          login.Admin,
	"POST /webhooks/{id}/{action}":                 login.Admin,
	"POST /webhooks/{id}/replay":                   login.Operator,
	"POST /webhooks/{id}/test":                     login.Operator,
	"GET " + sectionKeys:                           login.Viewer,
	"POST /keys/rotate":                            login.Admin,
	"GET " + sectionAudit:                          login.Viewer,
	"GET /admin/v1/inbox":                          login.Operator,
	"GET /admin/v1/messages":                       login.Viewer,
	"GET /admin/v1/messages/{id}":                  login.Viewer,
	"GET /admin/v1/overview":                       login.Viewer,
	"POST /admin/v1/messages/{id}/reveal":          login.Operator,
	"GET /admin/v1/events":                         login.Viewer,
	"GET /admin/v1/routes":                         login.Viewer,
	"GET /admin/v1/queue":                          login.Viewer,
	"GET /admin/v1/spending":                       login.Viewer,
	"GET /admin/v1/guard/holds":                    login.Viewer,
	"POST /admin/v1/guard/release":                 login.Operator,
	"GET /admin/v1/clients":                        login.Viewer,
	"POST /admin/v1/clients":                       login.Admin,
	"GET /admin/v1/clients/{id}":                   login.Viewer,
	"PATCH /admin/v1/clients/{id}":                 login.Admin,
	"POST /admin/v1/clients/{id}/disable":          login.Admin,
	"POST /admin/v1/clients/{id}/enable":           login.Admin,
	"POST /admin/v1/clients/{id}/start-rotation":   login.Admin,
	"POST /admin/v1/clients/{id}/finish-rotation":  login.Admin,
	"POST /admin/v1/clients/{id}/cancel-rotation":  login.Admin,
	"GET /admin/v1/webhooks":                       login.Viewer,
	"POST /admin/v1/webhooks":                      login.Admin,
	"GET /admin/v1/webhooks/{id}":                  login.Viewer,
	"PATCH /admin/v1/webhooks/{id}":                login.Admin,
	"GET /admin/v1/webhooks/{id}/deliveries":       login.Viewer,
	"POST /admin/v1/webhooks/{id}/disable":         login.Admin,
	"POST /admin/v1/webhooks/{id}/enable":          login.Admin,
	"POST /admin/v1/webhooks/{id}/delete":          login.Admin,
	"POST /admin/v1/webhooks/{id}/start-rotation":  login.Admin,
	"POST /admin/v1/webhooks/{id}/finish-rotation": login.Admin,
	"POST /admin/v1/webhooks/{id}/cancel-rotation": login.Admin,
	"POST /admin/v1/webhooks/{id}/replay":          login.Operator,
	"POST /admin/v1/webhooks/{id}/test":            login.Operator,
	"POST /admin/v1/routes/{name}/test-send":       login.Operator, // it costs money
	"GET /admin/v1/openapi.yaml":                   login.Viewer,
	"GET /admin/v1/live":                           login.Viewer,
	"GET /admin/v1/keys":                           login.Viewer,
	"POST /admin/v1/keys/rotate":                   login.Admin,
	"POST /admin/v1/phones/find":                   login.Operator,
	"DELETE /admin/v1/phones/{phoneId}":            login.Admin,
	"GET /admin/v1/phones/{phoneId}/export":        login.Admin,
	"GET /metrics":                                 login.Viewer,
	"GET /debug/pprof/":                            login.Admin, // memory holds secrets
	"GET /debug/pprof/cmdline":                     login.Admin,
	"GET /debug/pprof/profile":                     login.Admin,
	"GET /debug/pprof/symbol":                      login.Admin,
	"POST /debug/pprof/symbol":                     login.Admin,
	"GET /debug/pprof/trace":                       login.Admin,
}

// open are the routes that ask nobody who he is.
var open = map[string]bool{
	"/": true, "/healthz": true, "/login": true, "/logout": true, "/assets/{name}": true,
	login.BeginPath: true, login.CallbackPath: true,
}

// kind is how a route answers those whom it does not admit.
type kind int

const (
	asJSON kind = iota
	asPage
)

// handlers are what serves a path, by method. GET serves HEAD as well, but for what is
// in noHead.
type handlers map[string]http.HandlerFunc

// noHead are the routes whose GET does something that a HEAD would do for nothing.
var noHead = map[string]bool{"/admin/v1/phones/{phoneId}/export": true}

// at registers a path for those who have the role that each method needs.
func (c *Console) at(mux *http.ServeMux, path string, as kind, by handlers) {
	admitted := handlers{}
	for method, h := range by {
		if h == nil {
			continue
		}
		role, ok := needs[method+" "+path]
		if !ok || role < login.Viewer {
			panic(fmt.Sprintf("console: nothing says which role %s %s needs (access.go)", method, path))
		}
		if !ungated(path) {
			h = c.gated(as, h)
		}
		admitted[method] = c.admitting(role, as, h)
		if strings.HasPrefix(path, apiPrefix) {
			c.operations = append(c.operations, Operation{method, path})
		}
	}
	mux.Handle(path, c.methods(admitted, !noHead[path]))
}

// free registers a path that is there for everybody.
func (*Console) free(mux *http.ServeMux, path string, h http.Handler) {
	if !open[path] {
		panic("console: " + path + " is not among what is open to everybody (access.go)")
	}
	mux.Handle(path, h)
}

// personKey is the key of who asks in a request's context.
type personKey struct{}

// who tells who asks; nobody where nobody was admitted.
func who(ctx context.Context) login.Person {
	p, _ := ctx.Value(personKey{}).(login.Person)
	return p
}

// actor names who asks in the audit trail.
func actor(ctx context.Context) string {
	p := who(ctx)
	if p.Role == login.Nobody {
		return "" // which the trail refuses
	}
	return p.Actor()
}

// may tells whether who asks has that role.
func may(r *http.Request, role login.Role) bool { return who(r.Context()).Role >= role }

// admitting lets those pass who have the role. Others get JSON, or are led to the login.
func (c *Console) admitting(role login.Role, as kind, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, code := c.logins.Admit(w, r)
		switch {
		case code != "" && as == asPage:
			http.Redirect(w, r, loginPath(r), http.StatusSeeOther)
			return
		case code != "":
			w.Header().Set("WWW-Authenticate", `Bearer realm="codeword admin"`)
			c.refuseCode(w, http.StatusUnauthorized, code)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), personKey{}, p))
		switch text := fmt.Sprintf("This needs the role %s; yours is %s.", role, p.Role); {
		case p.Role >= role && as == asPage && c.logins.Recheck(w, r, p):
		case p.Role >= role:
			h(w, r)
		case as == asPage:
			c.problem(w, r, http.StatusForbidden, "", "Not allowed", text)
		default:
			c.refuse(w, http.StatusForbidden, codeForbiddenRole, text)
		}
	}
}

// codeForbiddenRole is for who is known and has too little of a role.
const codeForbiddenRole api.Code = "FORBIDDEN_ROLE"

// loginPath leads to the login and from there back to a page, without the page's query:
// numbers can stand in it.
func loginPath(r *http.Request) string {
	next := login.LocalPath(r.URL.EscapedPath())
	if r.Method != http.MethodGet || next == sectionOverview {
		return "/login"
	}
	return "/login?next=" + url.QueryEscape(next)
}

// loginView is what the login page shows.
type loginView struct {
	Error string
	// Next is where to go afterwards. Provider tells whether people can log in elsewhere.
	Next     string
	Provider bool
}

// Begin is the path that leads to the provider.
func (v loginView) Begin() string { return login.BeginPath + "?next=" + url.QueryEscape(v.Next) }

// maxLoginBody bounds the login form.
const maxLoginBody = 4 << 10

// login is GET and POST /login.
func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	view := loginView{Next: login.LocalPath(r.URL.Query().Get("next")), Provider: c.logins.HasProvider()}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if _, code := c.logins.Admit(w, r); code == "" {
			http.Redirect(w, r, view.Next, http.StatusSeeOther)
			return
		}
		c.render(w, http.StatusOK, "login.html", view)
	case http.MethodPost:
		r.Body = http.MaxBytesReader(w, r.Body, maxLoginBody)
		// PostFormValue does not read the query, where a token would end up in
		// histories and logs.
		token := r.PostFormValue("token")
		view.Next = login.LocalPath(r.PostFormValue("next"))
		if !c.logins.IsToken(token) {
			c.cfg.Log.WarnContext(r.Context(), "console login refused", "remote", r.RemoteAddr)
			view.Error = "That is not the admin token."
			c.render(w, http.StatusUnauthorized, "login.html", view)
			return
		}
		if err := c.logins.EnterByToken(w, r); err != nil {
			c.loginFailed(w, r, err)
			return
		}
		http.Redirect(w, r, view.Next, http.StatusSeeOther)
	default:
		c.methodNotAllowed(w, r, "GET, HEAD, POST")
	}
}

// loginBegin is GET /login/oidc. Another site may not make somebody log in.
func (c *Console) loginBegin(w http.ResponseWriter, r *http.Request) {
	next := login.LocalPath(r.URL.Query().Get("next"))
	if r.Method == http.MethodHead || r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		http.Redirect(w, r, "/login?next="+url.QueryEscape(next), http.StatusSeeOther)
		return
	}
	if err := c.logins.Begin(w, r, next); err != nil {
		c.loginFailed(w, r, err)
	}
}

// loginFinish is GET /login/callback, where the provider leads back to. The page that
// follows is asked for by a page of ours: the session's cookie does not come along with
// what another site began.
func (c *Console) loginFinish(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		c.methodNotAllowed(w, r, "GET")
		return
	}
	next, err := c.logins.Finish(w, r)
	switch {
	case errors.Is(err, login.ErrLed):
	case err != nil:
		c.loginFailed(w, r, err)
	default:
		c.render(w, http.StatusOK, "landing.html", struct{ Next string }{next})
	}
}

// loginFailed shows the login again, with why it came to nothing.
func (c *Console) loginFailed(w http.ResponseWriter, r *http.Request, err error) {
	view, status := loginView{Next: sectionOverview, Provider: c.logins.HasProvider()}, http.StatusInternalServerError
	if problem := (*login.Problem)(nil); errors.As(err, &problem) {
		status, view.Error = problem.Status, problem.Text
	} else {
		c.cfg.Log.ErrorContext(r.Context(), "failed", "what", "login", "error", err)
		view.Error = api.CodeInternal.Message()
	}
	c.render(w, status, "login.html", view)
}

// logout is POST /logout.
func (c *Console) logout(w http.ResponseWriter, r *http.Request) {
	c.logins.Leave(w, r)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

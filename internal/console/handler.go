package console

import (
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"codeword/internal/console/login"
)

// Handler returns the handler of the admin listener.
func (c *Console) Handler() http.Handler { return c.handler }

func (c *Console) route() http.Handler {
	mux := http.NewServeMux()
	c.free(mux, "/", http.HandlerFunc(c.notFound))
	c.free(mux, "/healthz", c.only(http.MethodGet, http.HandlerFunc(healthz)))
	c.free(mux, "/login", http.HandlerFunc(c.login))
	c.free(mux, login.BeginPath, c.only(http.MethodGet, http.HandlerFunc(c.loginBegin)))
	c.free(mux, login.CallbackPath, c.only(http.MethodGet, http.HandlerFunc(c.loginFinish)))
	c.free(mux, "/logout", c.only(http.MethodPost, http.HandlerFunc(c.logout)))
	c.free(mux, "/assets/{name}", c.only(http.MethodGet, http.HandlerFunc(c.asset)))
	c.handleViews(mux)
	c.handleTestSends(mux)
	c.handleGuard(mux)
	c.handleClients(mux)
	c.handlePhones(mux)
	c.handleWebhooks(mux)
	c.jsonAt(mux, "/admin/v1/openapi.yaml", c.descriptionYAML, nil)
	c.jsonAt(mux, livePath, c.live, nil)
	metrics := promhttp.HandlerFor(c.cfg.Metrics, promhttp.HandlerOpts{})
	c.jsonAt(mux, "/metrics", metrics.ServeHTTP, nil)
	for path, h := range map[string]http.HandlerFunc{
		"/debug/pprof/":        pprof.Index,
		"/debug/pprof/cmdline": pprof.Cmdline,
		"/debug/pprof/profile": pprof.Profile,
		"/debug/pprof/trace":   pprof.Trace,
	} {
		c.jsonAt(mux, path, h, nil)
	}
	c.jsonAt(mux, "/debug/pprof/symbol", pprof.Symbol, pprof.Symbol)
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c.refuse(w, http.StatusForbidden, codeCrossOrigin, "The request comes from another site.")
	}))
	return c.observed(protection.Handler(mux))
}

// pageAt registers what serves GET and POST of a path; nil for no such method.
func (c *Console) pageAt(mux *http.ServeMux, path string, get, post http.HandlerFunc) {
	c.at(mux, path, asPage, handlers{http.MethodGet: get, http.MethodPost: post})
}

func (c *Console) jsonAt(mux *http.ServeMux, path string, get, post http.HandlerFunc) {
	c.at(mux, path, asJSON, handlers{http.MethodGet: get, http.MethodPost: post})
}

// handleViews registers what only tells, but for the number of a message.
func (c *Console) handleViews(mux *http.ServeMux) {
	c.pageAt(mux, "/{$}", c.overview, nil)
	c.pageAt(mux, sectionInbox, c.inboxPage, nil)
	c.jsonAt(mux, "/admin/v1/inbox", c.inboxJSON, nil)
	if c.cfg.Messages != nil {
		c.pageAt(mux, sectionMessages, c.messagesPage, nil)
		c.pageAt(mux, "/messages/{id}", c.messagePage, nil)
		c.pageAt(mux, "/messages/{id}/reveal", nil, c.revealForm)
		c.jsonAt(mux, "/admin/v1/messages", c.messagesJSON, nil)
		c.jsonAt(mux, "/admin/v1/messages/{id}", c.messageJSON, nil)
		c.jsonAt(mux, "/admin/v1/messages/{id}/reveal", nil, c.revealJSON)
	}
	if c.cfg.Rollups != nil {
		c.jsonAt(mux, "/admin/v1/overview", c.figuresJSON, nil)
	}
	if c.cfg.Events != nil {
		c.pageAt(mux, sectionAudit, c.auditPage, nil)
		c.jsonAt(mux, "/admin/v1/events", c.eventsJSON, nil)
	}
	if c.cfg.Routes != nil {
		c.pageAt(mux, sectionRoutes, c.routesPage, nil)
		c.jsonAt(mux, "/admin/v1/routes", c.routesJSON, nil)
	}
	if c.cfg.Queue != nil {
		c.jsonAt(mux, "/admin/v1/queue", c.queueJSON, nil)
	}
}

// handleGuard registers the guard and the keys.
func (c *Console) handleGuard(mux *http.ServeMux) {
	if c.cfg.Guard != nil {
		c.pageAt(mux, sectionGuard, c.guardPage, nil)
		c.pageAt(mux, "/guard/release", nil, c.releaseForm)
		c.jsonAt(mux, "/admin/v1/guard/holds", c.holdsJSON, nil)
		c.jsonAt(mux, "/admin/v1/guard/release", nil, c.releaseJSON)
	}
	if c.cfg.Guard != nil && c.cfg.Clients != nil {
		c.jsonAt(mux, "/admin/v1/spending", c.spendingJSON, nil)
	}
	if c.cfg.Keys != nil {
		c.pageAt(mux, sectionKeys, c.keysPage, nil)
		c.pageAt(mux, "/keys/rotate", nil, c.rotateKeyForm)
		c.jsonAt(mux, "/admin/v1/keys", c.keysJSON, nil)
		c.jsonAt(mux, "/admin/v1/keys/rotate", nil, c.rotateKeyJSON)
	}
}

func (c *Console) handleClients(mux *http.ServeMux) {
	if c.cfg.Clients == nil {
		return
	}
	c.pageAt(mux, sectionClients, c.clientsPage, c.createClientForm)
	c.pageAt(mux, "/clients/new", c.newClientPage, nil)
	c.pageAt(mux, "/clients/{id}", c.clientPage, c.updateClientForm)
	c.pageAt(mux, "/clients/{id}/{action}", nil, c.actClientForm)
	c.jsonAt(mux, "/admin/v1/clients", c.clientsJSON, c.createClientJSON)
	c.at(mux, "/admin/v1/clients/{id}", asJSON, handlers{http.MethodGet: c.clientJSON, http.MethodPatch: c.updateClientJSON})
	for name, act := range clientActions {
		c.jsonAt(mux, "/admin/v1/clients/{id}/"+name, nil, c.actClientJSON(act))
	}
}

package console

import (
	"net/http"

	"codeword/api"
)

// RouteView is a route over which messages leave, and how it fares.
type RouteView struct {
	Name string `json:"name"`
	// Carrier is the kind of carrier behind it, such as "smpp".
	Carrier string `json:"carrier"`
	// Priority: the lowest number is used while it works. Weight is the share
	// among routes of one priority.
	Priority int `json:"priority"`
	Weight   int `json:"weight"`
	// Rate is the most messages a second; 0 for no limit.
	Rate float64 `json:"rate"`
	// PriceMicros is what one segment costs by the carriers file, in millionths of a US
	// dollar; 0 when it tells no price.
	PriceMicros int64 `json:"priceMicros"`
	// Breaker is "closed" while the route works, "open" while it is spared, and
	// "half-open" while it is tried again.
	Breaker string `json:"breaker"`
	// OpenUntil is when an open breaker is tried again, PausedUntil when a route
	// that was throttled is used again; zero when it is not.
	OpenUntil   api.Time `json:"openUntil,omitzero"`
	PausedUntil api.Time `json:"pausedUntil,omitzero"`
	// Stalled: the carrier has messages and does not answer.
	Stalled bool `json:"stalled"`
	// Unhealthy: another route brings far more codes that are used.
	Unhealthy bool `json:"unhealthy"`
	// Health is the expected share of messages whose codes are used, 0 to 1, and
	// Samples how many messages that rests on, older ones counting less.
	Health  float64 `json:"health"`
	Samples float64 `json:"samples"`
	// InFlight is how many messages are with the carrier right now. Sent counts
	// those that it took, and Failures those that it did not, by reason.
	InFlight int               `json:"inFlight"`
	Sent     uint64            `json:"sent"`
	Failures map[string]uint64 `json:"failures,omitempty"`
}

// routesDocument is the answer of GET /admin/v1/routes.
type routesDocument struct {
	Routes []RouteView `json:"routes"`
}

// routesJSON is GET /admin/v1/routes.
func (c *Console) routesJSON(w http.ResponseWriter, r *http.Request) {
	routes := c.cfg.Routes()
	if routes == nil {
		routes = []RouteView{}
	}
	c.answerList(w, r, routesDocument{routes})
}

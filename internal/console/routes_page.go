package console

import (
	"maps"
	"net/http"
	"slices"

	"codeword/internal/console/login"
)

// routeItem is a route as the page shows it.
type routeItem struct {
	RouteView

	// Share is the part of the messages of its priority that its weight gives it, and
	// Traffic the part of all messages that it has taken.
	Share, Traffic float64
	Lost           []routeLoss
	// Trouble is what keeps it from working as it should, in words.
	Trouble []string
}

type routeLoss struct {
	Reason string
	Count  uint64
}

type routesView struct {
	frame

	Routes []routeItem
	// Tests: routes can be tried. Outcome is what became of a try.
	Tests   bool
	Outcome *TestOutcome
}

// routesPage is GET /routes.
func (c *Console) routesPage(w http.ResponseWriter, r *http.Request) {
	c.render(w, http.StatusOK, "routes.html", c.routesView(r))
}

func (c *Console) routesView(r *http.Request) routesView {
	v := routesView{frame: c.frame(r, sectionRoutes, "Routes"), Routes: routeItems(c.cfg.Routes())}
	v.Script, v.Tests = liveScript, c.cfg.TestSends != nil && may(r, login.Operator)
	return v
}

func routeItems(routes []RouteView) []routeItem {
	weights, sent := make(map[int]int), uint64(0)
	for i := range routes {
		weights[routes[i].Priority] += routes[i].Weight
		sent += routes[i].Sent
	}
	out := make([]routeItem, len(routes))
	for i := range routes {
		out[i] = routeItem{RouteView: routes[i], Trouble: routeTrouble(&routes[i])}
		if all := weights[routes[i].Priority]; all > 0 {
			out[i].Share = float64(routes[i].Weight) / float64(all)
		}
		if sent > 0 {
			out[i].Traffic = float64(routes[i].Sent) / float64(sent)
		}
		for _, reason := range slices.Sorted(maps.Keys(routes[i].Failures)) {
			out[i].Lost = append(out[i].Lost, routeLoss{reason, routes[i].Failures[reason]})
		}
	}
	return out
}

func routeTrouble(v *RouteView) []string {
	var out []string
	if v.Breaker != "closed" {
		out = append(out, word(breakers)(v.Breaker))
	}
	if v.Stalled {
		out = append(out, "the carrier has messages and does not answer")
	}
	if v.Unhealthy {
		out = append(out, "another route brings far more codes that are used")
	}
	if !v.PausedUntil.IsZero() {
		out = append(out, "the carrier wants fewer messages")
	}
	return out
}

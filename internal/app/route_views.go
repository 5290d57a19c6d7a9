package app

import "codeword/internal/console"

// routeViews tells the console of the routes and how they fare.
func (n *node) routeViews() []console.RouteView {
	var out []console.RouteView
	for _, s := range n.router.Status() {
		v := console.RouteView{
			Name: s.Route, Priority: s.Priority, Weight: s.Weight,
			Breaker: s.Breaker, OpenUntil: optionalTime(s.OpenUntil), PausedUntil: optionalTime(s.PausedUntil),
			Stalled: s.Stalled, Unhealthy: s.Unhealthy, Health: s.Health, Samples: s.Samples,
			InFlight: s.InFlight, Sent: s.Sent, Failures: s.Failures,
		}
		if l, ok := n.carriers.find(s.Route); ok {
			v.Rate, v.PriceMicros = l.settings.Rate, l.settings.route(l.carrier).PriceMicros
			for _, kind := range l.settings.kinds() { // there is one
				v.Carrier = kind
			}
		}
		out = append(out, v)
	}
	return out
}

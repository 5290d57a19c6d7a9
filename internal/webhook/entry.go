package webhook

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"codeword/internal/store"
)

// entryData are those members of entries in the trail that webhooks tell, too.
type entryData struct {
	Scope    string         `json:"scope"`
	Name     string         `json:"name"`
	Mode     string         `json:"mode"`
	Until    *time.Time     `json:"until"`
	Period   string         `json:"period"`
	SpentUSD *float64       `json:"spentUsd"`
	LimitUSD *float64       `json:"limitUsd"`
	Changes  map[string]any `json:"changes"`
}

// entry makes the webhook of an entry in the trail, under the entry's own id.
func (e *Emitter) entry(ev *store.Event) (store.Webhook, bool) {
	kind := ""
	switch ev.Kind {
	case "guard.hold":
		kind = KindGuardBlocked
	case "guard.release":
		kind = KindGuardReleased
	case "spend.warning", "spend.stop":
		kind = KindLimitWarned
	default:
		if strings.HasPrefix(ev.Kind, "client.") {
			kind = KindClientChanged
		}
	}
	if kind == "" || ev.Client == "" || !e.wants(ev.Client, kind) {
		return store.Webhook{}, false
	}
	var in entryData
	if err := json.Unmarshal(ev.Data, &in); err != nil {
		return store.Webhook{}, false
	}
	d := &Data{ClientID: ev.Client}
	switch kind {
	case KindClientChanged:
		// Names alone: the values are for those who may read the trail.
		d.Change, d.Settings = ev.Kind, slices.Sorted(maps.Keys(in.Changes))
	case KindLimitWarned:
		d.Reason, d.Period, d.SpentUSD, d.LimitUSD = "warning", in.Period, in.SpentUSD, in.LimitUSD
		if ev.Kind == "spend.stop" {
			d.Reason = "stop"
		}
	default:
		d.Scope, d.Mode, d.Until = in.Scope, in.Mode, in.Until
		if in.Scope == "exchange" || in.Scope == "network" {
			d.Name = in.Name // a block or an address tells more of a person
		}
	}
	return e.webhook(ev.ID, kind, ev.At, d)
}

// Events is what keeps what the service decides by itself.
type Events interface {
	AppendEvents(ctx context.Context, events []store.Event) error
}

// Events returns s with webhooks of what is kept. They are queued first: whoever gets an
// error repeats both, and each is known by its id.
func (e *Emitter) Events(s Events) Events { return events{s, e} }

type events struct {
	Events
	e *Emitter
}

func (s events) AppendEvents(ctx context.Context, all []store.Event) error {
	var webhooks []store.Webhook
	for i := range all {
		if w, ok := s.e.entry(&all[i]); ok {
			webhooks = append(webhooks, w)
		}
	}
	if err := s.e.queue(ctx, webhooks); err != nil {
		return err
	}
	return s.Events.AppendEvents(ctx, all)
}

// Changed tells of a change that an operator made, after it was made; see
// audit.Trail.Made. That it could not be told does not undo it.
func (e *Emitter) Changed(ctx context.Context, ev *store.Event) {
	w, ok := e.entry(ev)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if err := e.queue(ctx, []store.Webhook{w}); err != nil {
		e.cfg.Dropped(w.Kind)
		e.cfg.Log.WarnContext(ctx, "a webhook of a change was not queued", "event", ev.Kind, "client", ev.Client, "error", err)
	}
}

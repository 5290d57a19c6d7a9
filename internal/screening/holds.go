package screening

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"codeword/internal/audit"
	"codeword/internal/fault"
	"codeword/internal/guard/fraud"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// Hold is something that is held back, as an operator sees it.
type Hold struct {
	// Key names it for Release.
	Key    string
	Client string
	HoldData
}

// Effect is what a hold brings about.
type Effect uint8

// The effects of holds.
const (
	// Alarms: its client counts as under attack, and nothing is held back by it.
	Alarms Effect = iota + 1
	// HoldsBack: sends are held back.
	HoldsBack
	// Watches: sends would be held back if the guard might.
	Watches
)

// Effect tells what the hold brings about.
func (h *Hold) Effect() Effect {
	switch {
	case h.Scope == fraud.Client.String():
		return Alarms
	case h.Mode == tenant.GuardEnforce:
		return HoldsBack
	default:
		return Watches
	}
}

// ListHolds lists what is held back at a time on all nodes, the latest first.
func ListHolds(ctx context.Context, notes Notes, now time.Time) ([]Hold, error) {
	rows, err := notes.Notes(ctx, now, topicHolds, time.Time{})
	if err != nil {
		return nil, err
	}
	var out []Hold
	for i := range rows {
		h, ok := holdOf(&rows[i])
		if ok && !h.Released && now.Before(h.Until) {
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b Hold) int { return b.At.Compare(a.At) })
	return out, nil
}

func holdOf(n *store.Note) (Hold, bool) {
	h := Hold{Key: n.Key}
	h.Client, _, _ = strings.Cut(n.Key, "/")
	return h, json.Unmarshal(n.Body, &h.HoldData) == nil
}

// ReleaseHold ends a hold on all nodes within seconds, and lets its history of
// holds begin anew; fault.NotFound when there is none. It is recorded
// for the actor, and not done when that fails.
func ReleaseHold(ctx context.Context, notes Notes, trail *audit.Trail, now time.Time, key, actor string) error {
	holds, err := ListHolds(ctx, notes, now)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(holds, func(h Hold) bool { return h.Key == key })
	if i < 0 {
		return fault.New(fault.NotFound, "nothing of that name is held back")
	}
	h := &holds[i]
	// Clocks differ: a release is never from before what it ends.
	if h.Released = true; now.After(h.At) {
		h.At = now
	}
	body, err := json.Marshal(h.HoldData)
	if err != nil {
		return err
	}
	d := h.Decision(h.Client)
	return trail.Record(ctx, audit.Entry{Actor: actor, Client: h.Client, Kind: eventRelease, Data: publicData(h.HoldData, &d)}, func() error {
		return notes.PutNotes(ctx, now, []store.Note{{
			Topic: topicHolds, Key: key, At: now, Until: h.Until.Add(overlap), Body: body,
		}})
	})
}

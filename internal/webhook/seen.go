package webhook

import (
	"context"
	"slices"
	"time"

	"codeword/internal/audit"
	"codeword/internal/fault"
	"codeword/internal/store"
)

// Any is the revision of those who do not care which one they change.
const Any = 0

// Seen changes endpoints for somebody who looks at one revision: when the endpoint has
// another one by then, nothing is changed and the error is fault.Conflict.
type Seen struct {
	r        *Registry
	revision int64
}

// Seen returns the changes of an endpoint whose revision is known.
func (r *Registry) Seen(revision int64) Seen { return Seen{r, revision} }

// Update is Seen.Update of any revision.
func (r *Registry) Update(ctx context.Context, actor string, id store.EndpointID, url string, kinds []string) (Endpoint, error) {
	return r.Seen(Any).Update(ctx, actor, id, url, kinds)
}

// Disable is Seen.Disable of any revision.
func (r *Registry) Disable(ctx context.Context, actor string, id store.EndpointID, reason string) (Endpoint, error) {
	return r.Seen(Any).Disable(ctx, actor, id, reason)
}

// Enable is Seen.Enable of any revision.
func (r *Registry) Enable(ctx context.Context, actor string, id store.EndpointID) (Endpoint, error) {
	return r.Seen(Any).Enable(ctx, actor, id)
}

// Delete is Seen.Delete of any revision.
func (r *Registry) Delete(ctx context.Context, actor string, id store.EndpointID) error {
	return r.Seen(Any).Delete(ctx, actor, id)
}

// StartRotation is Seen.StartRotation of any revision.
func (r *Registry) StartRotation(ctx context.Context, actor string, id store.EndpointID) (clear string, err error) {
	return r.Seen(Any).StartRotation(ctx, actor, id)
}

// FinishRotation is Seen.FinishRotation of any revision.
func (r *Registry) FinishRotation(ctx context.Context, actor string, id store.EndpointID) error {
	return r.Seen(Any).FinishRotation(ctx, actor, id)
}

// CancelRotation is Seen.CancelRotation of any revision.
func (r *Registry) CancelRotation(ctx context.Context, actor string, id store.EndpointID) error {
	return r.Seen(Any).CancelRotation(ctx, actor, id)
}

// check refuses another revision than the one that was seen.
func (s Seen) check(e *Endpoint) error {
	if s.revision != Any && s.revision != e.Revision {
		return fault.New(fault.Conflict, "the endpoint was changed since")
	}
	return nil
}

// change applies f to one endpoint. f returns what the entry of that kind tells.
func (s Seen) change(ctx context.Context, actor, kind string, id store.EndpointID, f func(*Endpoint) (any, error)) (out Endpoint, err error) {
	err = s.r.write(ctx, func(all []Endpoint) ([]Endpoint, audit.Entry, error) {
		i := slices.IndexFunc(all, func(e Endpoint) bool { return e.ID == id })
		if i < 0 {
			return nil, audit.Entry{}, notFound(id)
		}
		if err := s.check(&all[i]); err != nil {
			return nil, audit.Entry{}, err
		}
		data, err := f(&all[i])
		if err != nil {
			return nil, audit.Entry{}, err
		}
		all[i].Revision++
		out = all[i]
		return all, audit.Entry{Actor: actor, Client: out.Client, Kind: kind, Data: data}, nil
	})
	return out, err
}

// Update changes the URL, unless it is empty, and the kinds, unless they are nil.
func (s Seen) Update(ctx context.Context, actor string, id store.EndpointID, url string, kinds []string) (Endpoint, error) {
	if url != "" {
		if err := checkURL(url); err != nil {
			return Endpoint{}, err
		}
	}
	if err := checkKinds(kinds); err != nil {
		return Endpoint{}, err
	}
	return s.change(ctx, actor, EventUpdate, id, func(e *Endpoint) (any, error) {
		changes := make(map[string]delta)
		if url != "" && url != e.URL {
			changes["url"] = delta{host(e.URL), host(url)}
			e.URL = url
		}
		if kinds != nil && !slices.Equal(kinds, e.Kinds) {
			changes["kinds"] = delta{e.Kinds, kinds}
			e.Kinds = kinds
		}
		return endpointData{Endpoint: id.String(), Host: host(e.URL), Kinds: e.Kinds, Changes: changes}, nil
	})
}

// Disable ends deliveries; what is queued waits.
func (s Seen) Disable(ctx context.Context, actor string, id store.EndpointID, reason string) (Endpoint, error) {
	kind := EventDisable
	if actor == audit.Service {
		kind = EventDisabled
	}
	return s.change(ctx, actor, kind, id, func(e *Endpoint) (any, error) {
		if e.Enabled() {
			e.DisabledAt, e.Reason = s.r.cfg.Now().UTC(), reason
		}
		return endpointData{Endpoint: id.String(), Host: host(e.URL), Reason: e.Reason}, nil
	})
}

// Enable starts deliveries again, and gives what waited a day of its own.
func (s Seen) Enable(ctx context.Context, actor string, id store.EndpointID) (Endpoint, error) {
	e, err := s.change(ctx, actor, EventEnable, id, func(e *Endpoint) (any, error) {
		e.DisabledAt, e.Reason = time.Time{}, ""
		return endpointData{Endpoint: id.String(), Host: host(e.URL)}, nil
	})
	if err != nil {
		return e, err
	}
	now := s.r.cfg.Now()
	_, err = s.r.replay(ctx, store.WebhookReplay{Now: now, Until: now.Add(GiveUpAfter), Endpoint: id, State: store.DeliveryPending})
	return e, err
}

// Delete removes an endpoint. What is queued for it is never delivered.
func (s Seen) Delete(ctx context.Context, actor string, id store.EndpointID) error {
	return s.r.write(ctx, func(all []Endpoint) ([]Endpoint, audit.Entry, error) {
		i := slices.IndexFunc(all, func(e Endpoint) bool { return e.ID == id })
		if i < 0 {
			return nil, audit.Entry{}, notFound(id)
		}
		if err := s.check(&all[i]); err != nil {
			return nil, audit.Entry{}, err
		}
		entry := audit.Entry{Actor: actor, Client: all[i].Client, Kind: EventDelete, Data: endpointData{Endpoint: id.String(), Host: host(all[i].URL)}}
		return slices.Delete(all, i, i+1), entry, nil
	})
}

// StartRotation adds a second secret and returns it; both sign until Finish or Cancel.
func (s Seen) StartRotation(ctx context.Context, actor string, id store.EndpointID) (clear string, err error) {
	_, err = s.change(ctx, actor, EventSecretStart, id, func(e *Endpoint) (any, error) {
		if len(e.Secrets) >= maxSecrets {
			return nil, ErrRotating
		}
		var sealed SealedSecret
		if clear, sealed, err = newSecret(s.r.cfg.Keys, id, s.r.cfg.Now().UTC()); err != nil {
			return nil, err
		}
		e.Secrets = append(slices.Clone(e.Secrets), sealed)
		return endpointData{Endpoint: id.String()}, nil
	})
	if err != nil {
		return "", err
	}
	return clear, nil
}

// FinishRotation ends the old secret.
func (s Seen) FinishRotation(ctx context.Context, actor string, id store.EndpointID) error {
	return s.endRotation(ctx, actor, EventSecretFinish, id, 0)
}

// CancelRotation ends the new secret.
func (s Seen) CancelRotation(ctx context.Context, actor string, id store.EndpointID) error {
	return s.endRotation(ctx, actor, EventSecretCancel, id, 1)
}

func (s Seen) endRotation(ctx context.Context, actor, kind string, id store.EndpointID, n int) error {
	_, err := s.change(ctx, actor, kind, id, func(e *Endpoint) (any, error) {
		if len(e.Secrets) < maxSecrets {
			return nil, ErrNotRotating
		}
		e.Secrets = slices.Delete(slices.Clone(e.Secrets), n, n+1)
		return endpointData{Endpoint: id.String()}, nil
	})
	return err
}

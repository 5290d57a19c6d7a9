package tenant

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

// Seen changes clients for somebody who looks at one revision: when the client has
// another one by then, nothing is changed and the error is fault.Conflict.
type Seen struct {
	r        *Registry
	revision int64
}

// Seen returns the changes of a client whose revision is known.
func (r *Registry) Seen(revision int64) Seen { return Seen{r, revision} }

// Update is Seen.Update of any revision.
func (r *Registry) Update(ctx context.Context, actor, id, name string, patch []byte) (store.Client, error) {
	return r.Seen(Any).Update(ctx, actor, id, name, patch)
}

// SetDisabled is Seen.SetDisabled of any revision.
func (r *Registry) SetDisabled(ctx context.Context, actor, id string, disabled bool) (store.Client, error) {
	return r.Seen(Any).SetDisabled(ctx, actor, id, disabled)
}

// StartRotation is Seen.StartRotation of any revision.
func (r *Registry) StartRotation(ctx context.Context, actor, id string) (clear string, err error) {
	return r.Seen(Any).StartRotation(ctx, actor, id)
}

// FinishRotation is Seen.FinishRotation of any revision.
func (r *Registry) FinishRotation(ctx context.Context, actor, id string) error {
	return r.Seen(Any).FinishRotation(ctx, actor, id)
}

// CancelRotation is Seen.CancelRotation of any revision.
func (r *Registry) CancelRotation(ctx context.Context, actor, id string) error {
	return r.Seen(Any).CancelRotation(ctx, actor, id)
}

// change applies f to the stored client and writes it back, once more from the
// start when somebody else was faster. f returns what the entry of that kind tells.
func (s Seen) change(ctx context.Context, actor, kind, id string, f func(*store.Client) (any, error)) (store.Client, error) {
	const tries = 5
	for i := 0; ; i++ {
		row, err := s.r.Find(ctx, id)
		if err != nil {
			return row, err
		}
		if s.revision != Any && row.Revision != s.revision {
			return row, fault.New(fault.Conflict, "the client was changed since")
		}
		data, err := f(&row)
		if err != nil {
			return row, err
		}
		err = s.r.audit.Record(ctx, audit.Entry{Actor: actor, Client: id, Kind: kind, Data: data}, func() error {
			return s.r.store.UpdateClient(ctx, row)
		})
		if err == nil {
			row.Revision++
			return row, nil
		}
		if !fault.Is(err, fault.Conflict) || i == tries {
			return row, err
		}
	}
}

// Update renames a client (unless name is empty) and merges changed settings
// over the stored ones (RFC 7396: null resets a field to its default, objects
// merge field by field, lists are replaced).
func (s Seen) Update(ctx context.Context, actor, id, name string, patch []byte) (store.Client, error) {
	return s.change(ctx, actor, EventUpdate, id, func(c *store.Client) (any, error) {
		merged, err := mergeSettings(c.Settings, patch)
		if err != nil {
			return nil, err
		}
		changes, err := settingChanges(c.Settings, merged)
		if err != nil {
			return nil, err
		}
		if name != "" && name != c.Name {
			if err := checkName(name); err != nil {
				return nil, err
			}
			changes["name"] = delta{c.Name, name}
			c.Name = name
		}
		c.Settings = merged
		return updateData{changes}, nil
	})
}

// SetDisabled switches a client off or on again.
func (s Seen) SetDisabled(ctx context.Context, actor, id string, disabled bool) (store.Client, error) {
	kind := EventEnable
	if disabled {
		kind = EventDisable
	}
	return s.change(ctx, actor, kind, id, func(c *store.Client) (any, error) {
		switch {
		case !disabled:
			c.DisabledAt = time.Time{}
		case c.DisabledAt.IsZero():
			c.DisabledAt = s.r.now()
		}
		return nil, nil
	})
}

// StartRotation adds a second secret and returns it; both work until Finish or
// Cancel.
func (s Seen) StartRotation(ctx context.Context, actor, id string) (clear string, err error) {
	_, err = s.change(ctx, actor, EventSecretStart, id, func(c *store.Client) (any, error) {
		if len(c.Secrets) >= maxSecrets {
			return nil, ErrRotating
		}
		var secret store.Secret
		if clear, secret, err = s.r.NewSecret(id); err != nil {
			return nil, err
		}
		// Age tells the old secret from the new one, so a clock that was set
		// back, or stands, must not turn them round.
		if last := c.Secrets[len(c.Secrets)-1].CreatedAt; !secret.CreatedAt.After(last) {
			secret.CreatedAt = last.Add(time.Millisecond)
		}
		c.Secrets = append(c.Secrets, secret)
		return secretData{secret.ID}, nil
	})
	if err != nil {
		return "", err // what was made is kept nowhere
	}
	return clear, nil
}

// FinishRotation ends the old secret.
func (s Seen) FinishRotation(ctx context.Context, actor, id string) error {
	return s.endRotation(ctx, actor, EventSecretFinish, id, 0)
}

// CancelRotation ends the new secret.
func (s Seen) CancelRotation(ctx context.Context, actor, id string) error {
	return s.endRotation(ctx, actor, EventSecretCancel, id, maxSecrets-1)
}

// endRotation ends the secret that is the nth in age.
func (s Seen) endRotation(ctx context.Context, actor, kind, id string, n int) error {
	_, err := s.change(ctx, actor, kind, id, func(c *store.Client) (any, error) {
		if len(c.Secrets) < maxSecrets {
			return nil, ErrNotRotating
		}
		ended := c.Secrets[n].ID
		c.Secrets = slices.Delete(slices.Clone(c.Secrets), n, n+1)
		return secretData{ended}, nil
	})
	return err
}

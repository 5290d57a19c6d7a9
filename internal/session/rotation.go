package session

import (
	"context"
	"time"

	"codeword/internal/audit"
	"codeword/internal/fault"
	"codeword/internal/store"
)

const (
	// clockMargin is how far the clocks of nodes and verifiers may differ.
	clockMargin = time.Minute
	// keepRetired is how long a retired key is still listed before it is
	// deleted.
	keepRetired = 24 * time.Hour
	// loadTimeout bounds one load, which others may be waiting for.
	loadTimeout = 5 * time.Second
	// unknownEvery is the shortest time between two loads that tokens bring about by
	// naming unknown keys.
	unknownEvery = time.Second / 10
	// sweepEvery is how often what has ended is removed from the caches.
	sweepEvery = 10 * time.Second
)

// Load reads the signing keys, makes the first one if there is none, and takes
// the steps of the rotation that are due.
func (m *Manager) Load(ctx context.Context) error { return m.reload(ctx, 0) }

// Run loads the keys every ReloadEvery, and clears the caches now and then, until
// the context ends, and then returns nil. Failures are logged, at most once every
// sweepEvery; the keys of the last load stay in use.
func (m *Manager) Run(ctx context.Context) error {
	load, sweep := time.NewTicker(ReloadEvery), time.NewTicker(sweepEvery)
	defer load.Stop()
	defer sweep.Stop()
	quiet := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-sweep.C:
			now := m.cfg.Now()
			m.tokens.sweep(now)
			m.live.sweep(now)
			m.refreshed.sweep(now)
			quiet = false
		case <-load.C:
			if err := m.Load(ctx); err != nil && ctx.Err() == nil && !quiet {
				quiet = true
				m.cfg.Log.Warn("signing keys could not be reloaded", "error", err)
			}
		}
	}
}

// reload loads the keys unless a load is younger than age, whose outcome it
// then returns. One load runs at a time.
func (m *Manager) reload(ctx context.Context, age time.Duration) error {
	select {
	case m.loading <- struct{}{}:
		defer func() { <-m.loading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	now := m.cfg.Now()
	if age > 0 && now.Sub(m.tried) < age {
		return m.failed
	}
	// The outcome is shared, so one caller's cancellation must not be it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
	defer cancel()
	m.tried, m.failed = now, m.load(ctx, now)
	return m.failed
}

func (m *Manager) load(ctx context.Context, now time.Time) error {
	// A rotation takes a step for the new key and one for each older one; each
	// may be lost to another node.
	const maxSteps = 16
	for range maxSteps {
		rows, err := m.cfg.KeyStore.SigningKeys(ctx)
		if err != nil {
			return err
		}
		switch done, err := m.step(ctx, rows, now); {
		case fault.Is(err, fault.Conflict), fault.Is(err, fault.NotFound):
			continue // another node took the step
		case err != nil:
			return err
		case done:
			continue
		}
		next, err := m.build(rows, now)
		if err != nil {
			return err
		}
		m.ring.Store(next)
		return nil
	}
	return fault.New(fault.Unavailable, "the signing keys keep changing")
}

// step takes the first step of the rotation that is due, if any. All nodes run
// it, in any order and again after a crash: each step follows from the rows
// alone, and of those who add a key the store lets one.
//
// A key is published PublishAhead before it signs, and its predecessor stays
// published until the last JWT that it can have signed has expired.
func (m *Manager) step(ctx context.Context, rows []store.SigningKey, now time.Time) (bool, error) {
	if active, due := m.next(rows, now); due {
		_, err := m.add(ctx, rows, now, active)
		return true, err
	}
	for i, row := range rows {
		if row.RetireAt.IsZero() && i+1 < len(rows) {
			at := rows[i+1].ActiveAt.Add(MaxTokenLifetime + clockMargin)
			m.cfg.Log.Info("signing key will retire", "kid", row.KID, "retire_at", at)
			return true, m.cfg.KeyStore.RetireSigningKey(ctx, row.KID, at)
		}
	}
	for _, row := range rows {
		if !row.RetireAt.IsZero() && now.Sub(row.RetireAt) >= keepRetired {
			m.cfg.Log.Info("signing key deleted", "kid", row.KID)
			return true, m.cfg.KeyStore.DeleteSigningKey(ctx, row.KID)
		}
	}
	return false, nil
}

// SignerDue is when the next key should take over from the one that signs; zero while
// none signs.
func (m *Manager) SignerDue() time.Time {
	k := m.ring.Load().signer(m.cfg.Now())
	if k == nil {
		return time.Time{}
	}
	return k.row.ActiveAt.Add(m.cfg.KeyLifetime)
}

// next tells whether a new key is due and when it is to sign.
func (m *Manager) next(rows []store.SigningKey, now time.Time) (active time.Time, due bool) {
	signer := false
	for _, row := range rows {
		signer = signer || signs(row, now)
	}
	if !signer {
		return now, true
	}
	newest := rows[len(rows)-1]
	ends := newest.ActiveAt.Add(m.cfg.KeyLifetime)
	ahead := now.Add(m.cfg.PublishAhead)
	switch {
	case !newest.RetireAt.IsZero():
		return now, true // the operator withdrew it before it was due
	case newest.ActiveAt.After(now):
		return time.Time{}, false // the next key is published already
	default:
		return ahead, newest.Algorithm != m.cfg.Algorithm || !ends.After(ahead)
	}
}

func (m *Manager) add(ctx context.Context, rows []store.SigningKey, now, active time.Time) (store.SigningKey, error) {
	row, err := m.fresh(now, active)
	if err != nil {
		return row, err
	}
	return row, m.publish(ctx, rows, row)
}

// fresh makes a key.
func (m *Manager) fresh(now, active time.Time) (store.SigningKey, error) {
	// Whole seconds, rounded down: no store's precision makes a key that signs
	// now into one that signs in a moment.
	return m.generate(now.UTC().Truncate(time.Second), active.UTC().Truncate(time.Second))
}

// publish stores a key after those of rows.
func (m *Manager) publish(ctx context.Context, rows []store.SigningKey, row store.SigningKey) error {
	after := ""
	if len(rows) > 0 {
		after = rows[len(rows)-1].KID
	}
	if err := m.cfg.KeyStore.AddSigningKey(ctx, row, after); err != nil {
		return err
	}
	m.cfg.Log.Info("signing key published", "kid", row.KID, "algorithm", row.Algorithm, "active_at", row.ActiveAt)
	return nil
}

// The kinds of entries about keys, of any purpose.
const (
	EventRotate = "keys.rotate"
	EventRetire = "keys.retire"
)

// KeyData is what an entry about a key tells.
type KeyData struct {
	// Purpose is "signing", or that of a master key.
	Purpose string `json:"purpose"`
	// Key is the key as 'codeword keys list' shows it: the new one of a rotation.
	Key string `json:"key"`
	// ActiveTime is when a new signing key signs.
	ActiveTime time.Time `json:"activeTime,omitzero"`
}

// purposeSigning is the KeyData.Purpose of the keys of this package.
const purposeSigning = "signing"

// KeyState is a key's place in the rotation.
type KeyState string

// The states, in the order in which a key passes them.
const (
	KeyNext     KeyState = "next"
	KeyActive   KeyState = "active"
	KeyRetiring KeyState = "retiring"
	KeyRetired  KeyState = "retired"
)

// KeyInfo tells the operator about one signing key.
type KeyInfo struct {
	KID       string
	Algorithm string
	State     KeyState
	CreatedAt time.Time
	ActiveAt  time.Time
	// RetireAt is zero while no successor is published.
	RetireAt time.Time
}

// ListKeys tells all signing keys, oldest first.
func (m *Manager) ListKeys(ctx context.Context) ([]KeyInfo, error) {
	rows, err := m.cfg.KeyStore.SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	now := m.cfg.Now()
	out := make([]KeyInfo, len(rows))
	signed := false
	for i := len(rows) - 1; i >= 0; i-- {
		out[i] = info(rows[i], now)
		switch {
		case out[i].State != KeyActive:
		case signed:
			out[i].State = KeyRetiring // a newer one signs in its place
		default:
			signed = true
		}
	}
	return out, nil
}

func info(row store.SigningKey, now time.Time) KeyInfo {
	k := KeyInfo{
		KID: row.KID, Algorithm: row.Algorithm, State: KeyRetiring,
		CreatedAt: row.CreatedAt, ActiveAt: row.ActiveAt, RetireAt: row.RetireAt,
	}
	switch {
	case !row.RetireAt.IsZero() && !row.RetireAt.After(now):
		k.State = KeyRetired
	case row.ActiveAt.After(now):
		k.State = KeyNext
	case signs(row, now):
		k.State = KeyActive
	}
	return k
}

// RotateNow publishes the next key without waiting for the present one's end.
// It signs after PublishAhead; if a next key is published already, that one is
// returned. With immediate it signs at once, for when a key may be known to
// others: verifiers that hold an older key set must then fetch it again, as
// they do for any unknown kid, and the present key is to be retired next. What is
// done for the actor is recorded, and not done when that fails.
func (m *Manager) RotateNow(ctx context.Context, actor string, immediate bool) (KeyInfo, error) {
	now := m.cfg.Now()
	rows, err := m.cfg.KeyStore.SigningKeys(ctx)
	if err != nil {
		return KeyInfo{}, err
	}
	active := now.Add(m.cfg.PublishAhead)
	if immediate || len(rows) == 0 {
		active = now
	} else if row, ok := upcoming(rows, now); ok {
		return info(row, now), nil
	}
	row, err := m.fresh(now, active)
	if err != nil {
		return KeyInfo{}, err
	}
	data := KeyData{Purpose: purposeSigning, Key: row.KID, ActiveTime: row.ActiveAt}
	err = m.cfg.Audit.Record(ctx, audit.Entry{Actor: actor, Kind: EventRotate, Data: data}, func() error {
		return m.publish(ctx, rows, row)
	})
	if fault.Is(err, fault.Conflict) && !immediate { // somebody else was faster, perhaps with the next key
		if rows, wrong := m.cfg.KeyStore.SigningKeys(ctx); wrong == nil {
			if next, ok := upcoming(rows, now); ok {
				return info(next, now), m.Load(ctx)
			}
		}
	}
	if err != nil {
		return KeyInfo{}, err
	}
	return info(row, now), m.Load(ctx)
}

// upcoming is the key that is published and does not sign yet.
func upcoming(rows []store.SigningKey, now time.Time) (row store.SigningKey, ok bool) {
	if len(rows) > 0 {
		row = rows[len(rows)-1]
	}
	return row, row.RetireAt.IsZero() && row.ActiveAt.After(now)
}

// Retire withdraws a key at once: it leaves the key set, and what it signed is
// refused by this node now and by the others within a second. If it is the
// one that signs, another is made first. fault.NotFound for an unknown KID. It is
// recorded as RotateNow is.
func (m *Manager) Retire(ctx context.Context, actor, kid string) error {
	now := m.cfg.Now()
	rows, err := m.cfg.KeyStore.SigningKeys(ctx)
	if err != nil {
		return err
	}
	found, spare := false, false
	for _, row := range rows {
		if row.KID == kid {
			found, spare = true, false // an older one must not sign again
			continue
		}
		spare = spare || signs(row, now)
	}
	if !found {
		return fault.New(fault.NotFound, "no such signing key")
	}
	data := KeyData{Purpose: purposeSigning, Key: kid}
	err = m.cfg.Audit.Record(ctx, audit.Entry{Actor: actor, Kind: EventRetire, Data: data}, func() error {
		if !spare {
			if _, err := m.RotateNow(ctx, actor, true); err != nil {
				return err
			}
		}
		return m.cfg.KeyStore.RetireSigningKey(ctx, kid, now)
	})
	if err != nil {
		return err
	}
	return m.Load(ctx)
}

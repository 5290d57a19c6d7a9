package postgres

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// Clients lists all clients with their secrets, oldest first.
func (s *Store) Clients(ctx context.Context) ([]store.Client, error) {
	var out []store.Client
	err := s.snapshot(ctx, func(t *tx) error {
		out = nil
		byNo := make(map[int64]int)
		t.each(func(c row) {
			byNo[c.int(0)] = len(out)
			out = append(out, store.Client{
				ID:         c.text(1),
				Name:       c.text(2),
				Live:       c.bool(3),
				Settings:   c.bytes(4),
				CreatedAt:  c.time(5),
				DisabledAt: c.time(6),
				Revision:   c.int(7),
			})
		}, `SELECT client_no, client_id, name, live, settings, created_at, disabled_at, revision FROM clients ORDER BY client_no`)
		t.each(func(c row) {
			i := byNo[c.int(0)]
			out[i].Secrets = append(out[i].Secrets, store.Secret{
				ID:         c.text(1),
				KeyVersion: uint32(c.int(2)),
				Hash:       c.bytes(3),
				CreatedAt:  c.time(4),
				LastUsedAt: c.time(5),
			})
		}, `SELECT client_no, secret_id, key_version, hash, created_at, last_used_at FROM client_secrets ORDER BY client_no, created_at, secret_id`)
		return nil
	})
	return out, err
}

// CreateClient stores a new client with its secrets; fault.Conflict when the id
// is taken.
func (s *Store) CreateClient(ctx context.Context, c store.Client) error {
	return s.transact(ctx, func(t *tx) error {
		var no int64
		t.each(func(r row) { no = r.int(0) },
			`INSERT INTO clients (client_id, name, live, settings, created_at, disabled_at, revision) VALUES ($1, $2, $3, $4, $5, $6, 1)
				ON CONFLICT (client_id) DO NOTHING RETURNING client_no`,
			c.ID, c.Name, c.Live, c.Settings, micros(c.CreatedAt), micros(c.DisabledAt))
		if err := t.flush(); err != nil {
			return err
		}
		if no == 0 {
			return fault.New(fault.Conflict, "client id is taken")
		}
		t.replaceSecrets(no, c.Secrets)
		return nil
	})
}

// UpdateClient replaces a client's name, settings, secrets and disabled time if
// its revision is still the one given; otherwise fault.Conflict, or
// fault.NotFound.
func (s *Store) UpdateClient(ctx context.Context, c store.Client) error {
	return s.transact(ctx, func(t *tx) error {
		var no, revision int64
		t.each(func(r row) { no, revision = r.int(0), r.int(1) }, `SELECT client_no, revision FROM clients WHERE client_id = $1 FOR UPDATE`, c.ID)
		if err := t.flush(); err != nil {
			return err
		}
		switch {
		case no == 0:
			return fault.New(fault.NotFound, "no such client")
		case revision != c.Revision:
			return fault.New(fault.Conflict, "the client was changed by somebody else")
		}
		t.exec(`UPDATE clients SET name = $1, settings = $2, disabled_at = $3, revision = revision + 1 WHERE client_no = $4`,
			c.Name, c.Settings, micros(c.DisabledAt), no)
		t.replaceSecrets(no, c.Secrets)
		return nil
	})
}

// replaceSecrets makes the stored secrets those given. Last use is kept by
// RecordSecretUse alone, so that a change does not set it back.
func (t *tx) replaceSecrets(client int64, secrets []store.Secret) {
	keep := make([]string, 0, len(secrets))
	for _, sec := range secrets {
		keep = append(keep, sec.ID)
		t.exec(`INSERT INTO client_secrets (client_no, secret_id, key_version, hash, created_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (client_no, secret_id) DO UPDATE SET key_version = excluded.key_version, hash = excluded.hash`,
			client, sec.ID, int64(sec.KeyVersion), sec.Hash, micros(sec.CreatedAt))
	}
	t.exec(`DELETE FROM client_secrets WHERE client_no = $1 AND secret_id <> ALL ($2)`, client, keep)
}

// RecordSecretUse moves the last-used times forward; unknown secrets are
// skipped.
func (s *Store) RecordSecretUse(ctx context.Context, uses []store.SecretUse) error {
	// In one order on all nodes, so that none waits for another in a circle.
	uses = slices.SortedFunc(slices.Values(uses), func(a, b store.SecretUse) int {
		return cmp.Or(strings.Compare(a.Client, b.Client), strings.Compare(a.Secret, b.Secret))
	})
	return s.transact(ctx, func(t *tx) error {
		for _, u := range uses {
			t.exec(`UPDATE client_secrets SET last_used_at = GREATEST(last_used_at, $1)
				WHERE secret_id = $2 AND client_no = (SELECT client_no FROM clients WHERE client_id = $3)`, micros(u.At), u.Secret, u.Client)
		}
		return nil
	})
}

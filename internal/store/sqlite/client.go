package sqlite

import (
	"context"

	"zombiezen.com/go/sqlite"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// Clients lists all clients with their secrets, oldest first.
func (s *Store) Clients(ctx context.Context) ([]store.Client, error) {
	var out []store.Client
	err := s.read(ctx, func(conn *sqlite.Conn) error {
		out = nil
		byNo := make(map[int64]int)
		err := prepare(conn, `SELECT client_no, client_id, name, live, settings, created_at, disabled_at, revision FROM clients ORDER BY client_no`).
			each(func(st *sqlite.Stmt) {
				byNo[st.ColumnInt64(0)] = len(out)
				out = append(out, store.Client{
					ID:         st.ColumnText(1),
					Name:       st.ColumnText(2),
					Live:       st.ColumnBool(3),
					Settings:   columnBlob(st, 4),
					CreatedAt:  columnTime(st, 5),
					DisabledAt: columnTime(st, 6),
					Revision:   st.ColumnInt64(7),
				})
			})
		if err != nil {
			return err
		}
		return prepare(conn, `SELECT client_no, secret_id, key_version, hash, created_at, last_used_at FROM client_secrets ORDER BY client_no, created_at, secret_id`).
			each(func(st *sqlite.Stmt) {
				i, ok := byNo[st.ColumnInt64(0)]
				if !ok {
					return // its client was added between the two statements
				}
				out[i].Secrets = append(out[i].Secrets, store.Secret{
					ID:         st.ColumnText(1),
					KeyVersion: uint32(st.ColumnInt64(2)),
					Hash:       columnBlob(st, 3),
					CreatedAt:  columnTime(st, 4),
					LastUsedAt: columnTime(st, 5),
				})
			})
	})
	return out, err
}

// CreateClient stores a new client with its secrets; fault.Conflict when the id
// is taken.
func (s *Store) CreateClient(ctx context.Context, c store.Client) error {
	return s.writer.do(ctx, func(t *tx) error {
		taken, err := prepare(t.conn, `SELECT 1 FROM clients WHERE client_id = ?`).text(c.ID).one(func(*sqlite.Stmt) {})
		if err != nil {
			return err
		}
		if taken {
			return fault.New(fault.Conflict, "client id is taken")
		}
		err = prepare(t.conn, `INSERT INTO clients (client_id, name, live, settings, created_at, disabled_at, revision) VALUES (?, ?, ?, ?, ?, ?, 1)`).
			text(c.ID).text(c.Name).int(boolInt(c.Live)).blob(c.Settings).time(c.CreatedAt).time(c.DisabledAt).exec()
		if err != nil {
			return err
		}
		return t.replaceSecrets(t.conn.LastInsertRowID(), c.Secrets)
	})
}

// UpdateClient replaces a client's name, settings, secrets and disabled time if
// its revision is still the one given; otherwise fault.Conflict, or
// fault.NotFound.
func (s *Store) UpdateClient(ctx context.Context, c store.Client) error {
	return s.writer.do(ctx, func(t *tx) error {
		var no, revision int64
		found, err := prepare(t.conn, `SELECT client_no, revision FROM clients WHERE client_id = ?`).text(c.ID).
			one(func(st *sqlite.Stmt) { no, revision = st.ColumnInt64(0), st.ColumnInt64(1) })
		switch {
		case err != nil:
			return err
		case !found:
			return fault.New(fault.NotFound, "no such client")
		case revision != c.Revision:
			return fault.New(fault.Conflict, "the client was changed by somebody else")
		}
		err = prepare(t.conn, `UPDATE clients SET name = ?, settings = ?, disabled_at = ?, revision = revision + 1 WHERE client_no = ?`).
			text(c.Name).blob(c.Settings).time(c.DisabledAt).int(no).exec()
		if err != nil {
			return err
		}
		return t.replaceSecrets(no, c.Secrets)
	})
}

// replaceSecrets makes the stored secrets those given. Last use is kept by
// RecordSecretUse alone, so that a change does not set it back.
func (t *tx) replaceSecrets(client int64, secrets []store.Secret) error {
	var stored []string
	err := prepare(t.conn, `SELECT secret_id FROM client_secrets WHERE client_no = ?`).int(client).
		each(func(st *sqlite.Stmt) { stored = append(stored, st.ColumnText(0)) })
	if err != nil {
		return err
	}
	keep := make(map[string]bool, len(secrets))
	for _, sec := range secrets {
		keep[sec.ID] = true
		err := prepare(t.conn, `INSERT INTO client_secrets (client_no, secret_id, key_version, hash, created_at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (client_no, secret_id) DO UPDATE SET key_version = excluded.key_version, hash = excluded.hash`).
			int(client).text(sec.ID).int(int64(sec.KeyVersion)).blob(sec.Hash).time(sec.CreatedAt).exec()
		if err != nil {
			return err
		}
	}
	for _, id := range stored {
		if keep[id] {
			continue
		}
		if err := prepare(t.conn, `DELETE FROM client_secrets WHERE client_no = ? AND secret_id = ?`).int(client).text(id).exec(); err != nil {
			return err
		}
	}
	return nil
}

// RecordSecretUse moves the last-used times forward; unknown secrets are
// skipped.
func (s *Store) RecordSecretUse(ctx context.Context, uses []store.SecretUse) error {
	return s.writer.do(ctx, func(t *tx) error {
		for _, u := range uses {
			err := prepare(t.conn, `UPDATE client_secrets SET last_used_at = MAX(last_used_at, ?)
				WHERE secret_id = ? AND client_no = (SELECT client_no FROM clients WHERE client_id = ?)`).
				time(u.At).text(u.Secret).text(u.Client).exec()
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

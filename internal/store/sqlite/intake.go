package sqlite

import (
	"context"

	"zombiezen.com/go/sqlite"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// PhoneFacts tells what is known of a phone: under the primary id, or else under
// that of an older index key. One that is not known gets the primary one.
// Refusal: fault.NotFound for a client that is not stored.
func (s *Store) PhoneFacts(ctx context.Context, client string, primary store.PhoneID, former []store.PhoneID) (store.PhoneFacts, error) {
	no, err := s.clientNo(ctx, client)
	if err != nil {
		return store.PhoneFacts{}, err
	}
	facts := store.PhoneFacts{ID: primary}
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		for i := -1; i < len(former) && !facts.Known; i++ {
			id := primary
			if i >= 0 {
				id = former[i]
			}
			_, err := prepare(conn, `SELECT opted_out_at, blocked_until, user_id, devices FROM phones WHERE phone_id = ? AND client_no = ?`).
				blob(id[:]).int(no).one(func(st *sqlite.Stmt) {
				facts = store.PhoneFacts{
					ID: id, Known: true, OptedOut: st.ColumnInt64(0) != 0, BlockedUntil: columnTime(st, 1),
					User: columnID(st, 2), HasUser: !st.ColumnIsNull(2), Devices: store.Devices(columnBlob(st, 3)),
				}
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return store.PhoneFacts{}, err
	}
	return facts, nil
}

// OwnPhone notes whose phone it is, now that possession was proved, and returns
// its user. Refusals: fault.MismatchPhone and PhoneTaken as for an Attempt, and
// fault.NotFound for a client that is not stored.
func (s *Store) OwnPhone(ctx context.Context, in store.Own) (owner store.UserID, err error) {
	client, err := s.clientNo(ctx, in.Client)
	if err != nil {
		return store.UserID{}, err
	}
	err = s.writer.do(ctx, func(t *tx) error {
		owner, err = t.ownAlone(client, &in)
		return err
	})
	if err != nil {
		return store.UserID{}, err
	}
	return owner, nil
}

func (t *tx) ownAlone(client int64, in *store.Own) (store.UserID, error) {
	p, err := t.phone(client, in.Phone)
	if err != nil {
		return store.UserID{}, err
	}
	grant := store.Grant{Session: store.Session{User: in.User}, Known: in.Known}
	other, err := t.phoneOf(&grant)
	if err != nil {
		return store.UserID{}, err
	}
	if intent.Late(p.ErasedAt, in.Now) {
		return store.UserID{}, intent.ErrLate()
	}
	owner, first, refusal := p.Owner(in.User, in.Known, other)
	if refusal != nil {
		return owner, refusal
	}
	if err := t.restore(&p, in.Sealed, in.Now); err != nil {
		return owner, err
	}
	changed := p.Remember(in.Device)
	if !first && changed {
		return owner, prepare(t.conn, `UPDATE phones SET devices = ? WHERE phone_id = ?`).blob([]byte(p.Devices)).blob(in.Phone[:]).exec()
	}
	if !first {
		return owner, nil
	}
	if !p.Known {
		err := prepare(t.conn, `INSERT INTO phones (phone_id, client_no, sealed, created_at) VALUES (?, ?, ?, ?)`).
			blob(in.Phone[:]).int(client).blob(in.Sealed).time(in.Now).exec()
		if err != nil {
			return owner, err
		}
	}
	return owner, t.own(client, in.Now, &p, owner)
}

// QueueMessages logs and queues messages that were accepted elsewhere, each once
// however often it is called with it, and makes their phones known. The messages
// of one phone are chained in the order given. Those whose client is not stored
// are left out, and then the answer is fault.NotFound; the others are queued.
func (s *Store) QueueMessages(ctx context.Context, accepted []store.Accepted) error {
	clients := make([]int64, len(accepted))
	left := false
	for i := range accepted {
		no, err := s.clientNo(ctx, accepted[i].Client)
		switch {
		case fault.Is(err, fault.NotFound):
			left = true
		case err != nil:
			return err
		default:
			clients[i] = no
		}
	}
	err := s.writer.do(ctx, func(t *tx) error {
		for i := range accepted {
			if clients[i] == 0 {
				continue
			}
			if err := t.accept(clients[i], &accepted[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && left {
		return fault.New(fault.NotFound, "a message is of a client that is not stored")
	}
	return err
}

// accept adds a message behind the last one of its phone, unless it is there.
func (t *tx) accept(client int64, a *store.Accepted) error {
	stored, err := prepare(t.conn, `SELECT 1 FROM messages WHERE message_id = ?`).blob(a.ID[:]).one(func(*sqlite.Stmt) {})
	if err != nil || stored {
		return err
	}
	p, err := t.phone(client, a.Phone)
	if err != nil {
		return err
	}
	if intent.Late(p.ErasedAt, a.CreatedAt) {
		return nil
	}
	if err := t.restore(&p, a.Sealed, a.CreatedAt); err != nil {
		return err
	}
	in := store.Start{Now: a.CreatedAt, Message: a.ID, Locale: a.Locale}
	sent := intent.Sent{
		Challenge: store.Challenge{ID: a.Challenge, KeyVersion: a.KeyVersion, Digits: a.Digits, ExpiresAt: a.ExpiresAt},
		Previous:  p.LastMessage,
	}
	if err := t.insertMessage(client, &in, a.Phone, &sent); err != nil {
		return err
	}
	if p.Known {
		return prepare(t.conn, `UPDATE phones SET last_message = ?, last_send_at = MAX(last_send_at, ?) WHERE phone_id = ?`).
			blob(a.ID[:]).time(a.CreatedAt).blob(a.Phone[:]).exec()
	}
	return prepare(t.conn, `INSERT INTO phones (phone_id, client_no, sealed, created_at, last_message, last_send_at) VALUES (?, ?, ?, ?, ?, ?)`).
		blob(a.Phone[:]).int(client).blob(a.Sealed).time(a.CreatedAt).blob(a.ID[:]).time(a.CreatedAt).exec()
}

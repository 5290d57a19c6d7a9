package redis

import (
	"context"

	"codeword/internal/store"
)

// Drain moves what was accepted for the phones into the ledger, whoever has it in hand.
func (s *Store) Drain(ctx context.Context, phones []store.PhoneID) error {
	var seen [groups]bool
	var parts []byte
	for _, phone := range phones {
		if part := phonePart(phone); !seen[part] {
			seen[part], parts = true, append(parts, part)
		}
	}
	for {
		entries, err := s.mover.collect(ctx, parts, 0)
		if len(entries) == 0 || err != nil {
			return err
		}
		if _, err := s.mover.queue(ctx, entries); err != nil {
			return err
		}
	}
}

// StreamKey is where messages to a phone wait for the ledger.
func (s *Store) StreamKey(phone store.PhoneID) string { return s.streamKey(phonePart(phone)) }

// PhoneKey is where a phone is, and SessionKey where a session is.
func (s *Store) PhoneKey(client string, phone store.PhoneID) string { return s.phoneKey(client, phone) }

func (s *Store) SessionKey(id store.SessionID) string { return s.sessionKey(id) }

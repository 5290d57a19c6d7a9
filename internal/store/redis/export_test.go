package redis

import (
	"context"

	"codeword/internal/store"
)

// Drain moves what was accepted for the phones into the ledger, whoever has it in hand.
func (s *Store) Drain(ctx context.Context, phones []store.PhoneID) error {
	return s.mover.moveAll(ctx, partsOf(phones))
}

// StreamKey is where messages to a phone wait for the ledger.
func (s *Store) StreamKey(phone store.PhoneID) string { return s.streamKey(phonePart(phone)) }

// PhoneKey is where a phone is, and SessionKey where a session is.
func (s *Store) PhoneKey(client string, phone store.PhoneID) string { return s.phoneKey(client, phone) }

func (s *Store) SessionKey(id store.SessionID) string { return s.sessionKey(id) }

func (s *Store) NotesKeys(topic string) []string { return s.notesKeys(topic) }

func (s *Store) LineKey(phone [16]byte) string { return s.lineKey(phone) }

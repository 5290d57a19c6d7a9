package redis

import (
	"fmt"
	"hash/fnv"

	"codeword/internal/store"
)

// groups is how many parts the keys are in. All keys of a phone, and the stream of
// its messages, are in one part and so on one primary.
const groups = 256

// key names a key of a part. The tag comes first, so that no brace in what follows
// can be taken for it.
func (s *Store) key(part byte, kind, rest string) string {
	return fmt.Sprintf("%s{%03x}:%s:%s", s.settings.prefix, part, kind, rest)
}

// phonePart is the part of a phone. Its id is evenly spread.
func phonePart(id store.PhoneID) byte { return id[len(id)-1] }

// phoneKey is a client's phone; another client never meets it.
func (s *Store) phoneKey(client string, id store.PhoneID) string {
	return s.key(phonePart(id), "p", string(id[:])+client)
}

func (s *Store) streamKey(part byte) string { return s.key(part, "q", "") }

// decoyKey is what guesses at nothing are counted on.
func (s *Store) decoyKey(part byte) string { return s.key(part, "d", "") }

func (s *Store) padKey(part byte) string { return s.key(part, "n", "") }

// sentKey is what a phone's part knows of an idempotency key: that it was used.
func (s *Store) sentKey(phone store.PhoneID, key [32]byte) string {
	return s.key(phonePart(phone), "i", string(key[:]))
}

// reservationKey is what everybody knows of an idempotency key: with what body.
func (s *Store) reservationKey(key [32]byte) string {
	return s.key(key[len(key)-1], "r", string(key[:]))
}

// sessionKey: the end of the id is random, its beginning is the time.
func (s *Store) sessionKey(id store.SessionID) string {
	return s.key(id[len(id)-1], "s", string(id[:]))
}

func (s *Store) limitKey(key string) string { return s.key(spreadPart(key), "l", key) }

// notesKeys are the notes of a topic, and when they end.
func (s *Store) notesKeys(topic string) []string {
	part := spreadPart(topic)
	return []string{s.key(part, "t", topic), s.key(part, "e", topic)}
}

// lineKey: the digest is evenly spread.
func (s *Store) lineKey(phone [16]byte) string {
	return s.key(phone[len(phone)-1], "f", string(phone[:]))
}

// spreadPart is the part of a name that is not spread by itself.
func spreadPart(name string) byte {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return byte(h.Sum32())
}

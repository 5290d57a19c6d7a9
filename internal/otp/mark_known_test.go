package otp_test

import (
	"testing"

	"codeword/internal/fault"
	"codeword/internal/keyring"
	"codeword/internal/phone"
	"codeword/internal/store"
)

// TestMarkKnown marks a number for the client that sent to it, under whichever
// index key that was, and leaves it unknown to the other.
func TestMarkKnown(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	number, err := phone.Parse(markedNumber)
	if err != nil {
		t.Fatal(err)
	}
	stop, start := store.Mark{OptedOut: new(true)}, store.Mark{OptedOut: new(false)}
	wantKind(t, b.MarkKnown(t.Context(), b.live, number, stop), fault.NotFound)
	b.send(b.live, markedNumber) // the refused mark left nothing behind
	b.rotate(keyring.Index)
	for range 2 { // a mark may be repeated
		if err := b.MarkKnown(t.Context(), b.live, number, stop); err != nil {
			t.Fatal(err)
		}
	}
	_, err = b.trySend(b.live, markedNumber)
	wantKind(t, err, fault.OptedOut)
	if err := b.MarkKnown(t.Context(), b.live, number, store.Mark{}); err != nil { // changes nothing
		t.Fatal(err)
	}
	_, err = b.trySend(b.live, markedNumber)
	wantKind(t, err, fault.OptedOut)
	if err := b.MarkKnown(t.Context(), b.live, number, start); err != nil {
		t.Fatal(err)
	}
	b.send(b.live, markedNumber)
	wantKind(t, b.MarkKnown(t.Context(), b.test, number, stop), fault.NotFound)
	b.send(b.test, markedNumber)
	stranger := *b.live
	stranger.ID = "client-live-nobody"
	wantKind(t, b.MarkKnown(t.Context(), &stranger, number, stop), fault.NotFound)
}

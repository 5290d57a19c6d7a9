package client

import (
	"fmt"
	"log/slog"
)

// Secret is a string that does not show itself: fmt, log/slog and encoders
// of text get "[redacted]". Convert or call Reveal to use the value.
type Secret string

const redacted = "[redacted]"

// Reveal returns the value.
func (s Secret) Reveal() string { return string(s) }

// Format implements [fmt.Formatter] for all verbs.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.shown())) }

// LogValue implements [slog.LogValuer].
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.shown()) }

// MarshalText implements [encoding.TextMarshaler], so that JSON does not show
// the value either. Store a token as string(s) where it is to be kept.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.shown()), nil }

func (s Secret) shown() string {
	if s == "" {
		return ""
	}
	return redacted
}

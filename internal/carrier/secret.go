package carrier

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a credential of a carrier. It prints redacted with every verb of
// package fmt, with log/slog, in JSON and in YAML; converting it to a string is
// the only way to it.
type Secret string

const redactedSecret = "[redacted]"

// String returns "[redacted]", or "" for the empty secret, which hides nothing.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redactedSecret
}

// Format implements [fmt.Formatter] with what String returns.
func (s Secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, s.String()) // a Formatter has nowhere to report to
}

// LogValue implements [slog.LogValuer] with what String returns.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements [encoding.TextMarshaler] with what String returns.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

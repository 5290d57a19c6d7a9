// Package message writes the texts that a phone receives: in the language of
// its owner, from a client's template or a built-in one, counted in segments
// before any is sent. It also reads the keywords that come back.
package message

import (
	"fmt"
	"io"
	"log/slog"
)

// Text is a message's text. It holds a code, so it prints as "[text]" with
// every verb of package fmt, with log/slog and in JSON. Converting it to a
// string is the only way to the words: do so for a carrier or the inbox only.
type Text string

// redacted stands for a text wherever one might be printed.
const redacted = "[text]"

// String returns "[text]".
func (Text) String() string { return redacted }

// Format implements [fmt.Formatter] with what [Text.String] returns.
func (Text) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, redacted) // a Formatter has nowhere to report to
}

// LogValue implements [slog.LogValuer] with what [Text.String] returns.
func (Text) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements [encoding.TextMarshaler] with what [Text.String]
// returns, so that a struct logged or answered as JSON does not leak a code.
func (Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }

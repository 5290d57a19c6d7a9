// Package message writes the text that a phone receives.
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

// Render returns the text that brings a code. The code comes first, where
// notifications and the code autofill of phones look for it.
//
// With a brand of at most 32 bytes in the GSM-7 alphabet (3GPP TS 23.038,
// section 6.2.1) and a code of at most 10 digits the text is GSM-7 and fits one
// segment of 160 septets.
func Render(brand, code string) Text {
	return Text(code + " is your " + brand + " verification code. Don't share it.")
}

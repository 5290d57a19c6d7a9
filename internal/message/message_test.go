package message_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"codeword/internal/message"
	"codeword/internal/tenant"
)

// The basic alphabet and its extension of 3GPP TS 23.038, sections 6.2.1 and
// 6.2.1.1. A character of the extension takes two septets.
const (
	basic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	extension = "^{}\\[~]|€\f"
)

func septets(t *testing.T, text string) int {
	t.Helper()
	n := 0
	for _, r := range text {
		switch {
		case strings.ContainsRune(basic, r):
			n++
		case strings.ContainsRune(extension, r):
			n += 2
		default:
			t.Fatalf("%q is not in the GSM-7 alphabet", r)
		}
	}
	return n
}

func TestRenderFitsOneSegment(t *testing.T) {
	for _, brand := range []string{
		tenant.Defaults().Brand,
		"Acme",
		"Café Zoé & Co.",
		strings.Repeat("W", 32),
		strings.Repeat("[", 32), // two septets each
	} {
		text := string(message.Render(brand, "0123456789"))
		if n := septets(t, text); n > 160 {
			t.Errorf("brand %q: %d septets, want at most 160", brand, n)
		}
	}
}

func TestRender(t *testing.T) {
	got := string(message.Render("Acme", "123456"))
	if want := "123456 is your Acme verification code. Don't share it."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTextIsRedacted(t *testing.T) {
	text := message.Render("Acme", "271828")
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb, text)
		fmt.Fprintf(&out, verb, struct{ T message.Text }{text})
		fmt.Fprintf(&out, verb, []message.Text{text})
	}
	for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(h).Info("x", "text", text, "in", struct{ T message.Text }{text})
	}
	raw, err := json.Marshal(map[string]message.Text{"text": text})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(raw)
	hex := fmt.Sprintf("%x", "271828")
	if s := out.String(); strings.Contains(s, "271828") || strings.Contains(s, hex) || !strings.Contains(s, "[text]") {
		t.Errorf("the code leaked: %s", s)
	}
}

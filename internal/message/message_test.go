package message_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"codeword/internal/leaktest"
	"codeword/internal/message"
)

func TestTextIsRedacted(t *testing.T) {
	text := message.Text("271828 is your code")
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
	if s := out.String(); leaktest.Tells(s, "271828") || strings.Contains(s, hex) || !strings.Contains(s, "[text]") {
		t.Errorf("the code leaked: %s", s)
	}
}

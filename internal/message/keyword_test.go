package message_test

import (
	"strings"
	"testing"

	"codeword/internal/message"
)

func TestKeyword(t *testing.T) {
	stop, start, help, none := message.KeywordStop, message.KeywordStart, message.KeywordHelp, message.KeywordNone
	for text, want := range map[string]message.KeywordKind{
		"STOP": stop, "stop": stop, "Stop.": stop, " stop \r\n": stop, `"STOP"`: stop, "S T O P": stop, "STOP!!!": stop, "stop 🛑": stop, "STOP\x00": stop,
		"\ufeffSTOP": stop, "st\u200bop": stop, "ＳＴＯＰ": stop, "STOP ALL": stop, "stopall": stop, "Unsubscribe": stop, "CANCEL": stop, "End": stop, "quit": stop,
		"opt out": stop, "OPT-OUT": stop, "optout": stop, "Revoke": stop, "ALTO": stop, "¡Alto!": stop, "Parar": stop, "cancelar": stop, "ARRET": stop, "arrêt": stop, "Arre\u0302t": stop,
		"START": start, "start": start, "Yes": start, "yes!": start, "UNSTOP": start, "un-stop": start,
		"HELP": help, "help?": help, "INFO": help, "Ayuda": help, "aide": help,
		"": none, " ": none, "?": none, "STOPP": none, "please stop": none, "STOP it": none, "stop 2": none, "don't stop": none, "STOPSTOP": none,
		"no": none, "y": none, "SI": none, "OK": none, "123456": none, "START STOP": none, "ѕtop": none, "stор": none, "НELP": none, "停止": none,
		"STOP" + strings.Repeat(".", 156): stop, "STOP" + strings.Repeat(".", 157): none, strings.Repeat("STOP ", 1<<18): none, "\xffSTOP": stop, "STOP\xff": stop,
	} {
		if got := message.Keyword(message.Text(text)); got != want {
			t.Errorf("%.40q: %s, want %s", text, got, want)
		}
	}
}

func FuzzKeyword(f *testing.F) {
	for _, s := range []string{"STOP", "opt-out", "arrêt", "ＨＥＬＰ", "\xff", "yes\x00", strings.Repeat("\u0301", 100), "ﷺ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		kind := message.Keyword(message.Text(text))
		if len(text) > 160 && kind != message.KeywordNone {
			t.Errorf("%d bytes are a keyword", len(text))
		}
		if kind.String() == "invalid" {
			t.Error("no kind")
		}
		if len(text) <= 150 {
			if got := message.Keyword(message.Text("\t" + strings.ToLower(strings.ToUpper(text)) + " !")); kind != message.KeywordNone && got != kind {
				t.Errorf("%q: %s, and in lower case %s", text, kind, got)
			}
		}
	})
}

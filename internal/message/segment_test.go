package message_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"codeword/internal/message"
	"codeword/test/peers"
)

// The basic alphabet and its extension of 3GPP TS 23.038, sections 6.2.1 and
// 6.2.1.1. A character of the extension takes two septets.
const (
	basic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	extension = "^{}\\[~]|€\f"
)

func TestCount(t *testing.T) {
	x := strings.Repeat
	for _, tc := range []struct {
		name, text   string
		encoding     message.Encoding
		units, parts int
	}{
		{"empty", "", message.GSM7, 0, 1},
		{"one", "a", message.GSM7, 1, 1},
		{"basic alphabet", basic, message.GSM7, 127, 1},
		{"extension", extension, message.GSM7, 20, 1},
		{"160", x("a", 160), message.GSM7, 160, 1},
		{"161", x("a", 161), message.GSM7, 161, 2},
		{"306", x("a", 306), message.GSM7, 306, 2},
		{"307", x("a", 307), message.GSM7, 307, 3},
		{"80 extended", x("€", 80), message.GSM7, 160, 1},
		{"159 and an extended one", x("a", 159) + "€", message.GSM7, 161, 2},
		// 153 is odd, so each part of extended characters leaves a septet empty.
		{"152 extended", x("€", 152), message.GSM7, 304, 2},
		{"153 extended", x("€", 153), message.GSM7, 306, 3},
		{"an escape at the boundary", x("a", 152) + "€" + x("a", 152), message.GSM7, 306, 3},
		{"one GSM-7 has not", "ç", message.UCS2, 1, 1},
		{"a tab", "\t", message.UCS2, 1, 1},
		{"a grave accent", "`", message.UCS2, 1, 1},
		{"70", x("я", 70), message.UCS2, 70, 1},
		{"71", x("я", 71), message.UCS2, 71, 2},
		{"134", x("я", 134), message.UCS2, 134, 2},
		{"135", x("я", 135), message.UCS2, 135, 3},
		{"extended ones are single in UCS-2", "я" + x("€", 69), message.UCS2, 70, 1},
		{"35 pairs", x("😀", 35), message.UCS2, 70, 1},
		{"36 pairs", x("😀", 36), message.UCS2, 72, 2},
		// 67 is odd, so each part of pairs leaves a unit empty.
		{"66 pairs", x("😀", 66), message.UCS2, 132, 2},
		{"67 pairs", x("😀", 67), message.UCS2, 134, 3},
		{"a pair at the boundary", x("я", 66) + "😀" + x("я", 66), message.UCS2, 134, 3},
		{"not UTF-8", "a\xffb", message.UCS2, 3, 1},
		{"U+FFFD is no escape", "\uFFFD", message.UCS2, 1, 1},
	} {
		got := message.Count(tc.text)
		if want := (message.Segments{Encoding: tc.encoding, Units: tc.units, Parts: tc.parts}); got != want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, want)
		}
		checkCount(t, tc.text)
	}
}

// checkCount checks what holds for every text.
func checkCount(t *testing.T, text string) {
	t.Helper()
	s := message.Count(text)
	parts := message.Split(text)
	if len(parts) != s.Parts || strings.Join(parts, "") != text {
		t.Fatalf("%.40q: %d parts, counted %d, joined %v", text, len(parts), s.Parts, strings.Join(parts, "") == text)
	}
	septets, gsm := message.EncodeGSM7(text)
	if gsm != (s.Encoding == message.GSM7) || gsm && len(septets) != s.Units {
		t.Fatalf("%.40q: %d septets, %v; counted %+v", text, len(septets), gsm, s)
	}
	limit := map[bool]int{true: 160, false: 70}[gsm]
	if s.Parts > 1 {
		limit = map[bool]int{true: 153, false: 67}[gsm]
	}
	for i, part := range parts {
		units := len(utf16.Encode([]rune(part)))
		if gsm {
			septets, _ := message.EncodeGSM7(part)
			units = len(septets)
		}
		if units > limit || s.Parts > 1 && part == "" {
			t.Fatalf("%.40q: part %d has %d units, of %d", text, i, units, limit)
		}
		if utf8.ValidString(text) && !utf8.ValidString(part) {
			t.Fatalf("%.40q: part %d breaks a character", text, i)
		}
		// Nothing more of the next part would have fitted.
		if i+1 < len(parts) {
			first, _ := utf8.DecodeRuneInString(parts[i+1])
			width := utf16.RuneLen(first)
			if gsm {
				septets, _ := message.EncodeGSM7(string(first))
				width = len(septets)
			}
			if units+width <= limit {
				t.Fatalf("%.40q: part %d has room for more", text, i)
			}
		}
	}
}

func TestEncodeGSM7(t *testing.T) {
	for _, tc := range []struct {
		text string
		want string
		ok   bool
	}{
		{"", "", true},
		{"@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ", "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f" +
			"\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a", true},
		{"ÆæßÉ !¤?", "\x1c\x1d\x1e\x1f\x20\x21\x24\x3f", true},
		{"¡AZÄÖÑÜ§", "\x40\x41\x5a\x5b\x5c\x5d\x5e\x5f", true},
		{"¿azäöñüà", "\x60\x61\x7a\x7b\x7c\x7d\x7e\x7f", true},
		{extension, "\x1b\x14\x1b\x28\x1b\x29\x1b\x2f\x1b\x3c\x1b\x3d\x1b\x3e\x1b\x40\x1b\x65\x1b\x0a", true},
		{"a’b", "", false},
		{"\x1b", "", false},
		{"\x00", "", false},
		{"\uFFFD", "", false},
		{"ϒ", "", false},
		{"ΩЀ", "", false},
		{"😀", "", false},
	} {
		got, ok := message.EncodeGSM7(tc.text)
		if string(got) != tc.want || ok != tc.ok {
			t.Errorf("%q: % x, %v; want % x, %v", tc.text, got, ok, tc.want, tc.ok)
		}
	}
	if got, _ := message.EncodeGSM7(basic); len(got) != 127 {
		t.Errorf("the basic alphabet is %d septets", len(got))
	}
}

// TestCountAgainstPeer counts generated texts with npm's sms-segments-calculator
// as well. The two agree but where that one goes by what a person sees as one
// character (a grapheme cluster): it takes CR LF for UCS-2, though both are in
// GSM-7, and never splits an emoji of several code points between two parts, for
// which it may take more. The standards know neither; there such texts may only
// differ in that way.
func TestCountAgainstPeer(t *testing.T) {
	texts := append(generate(rand.New(rand.NewPCG(1, 2)), 1500),
		strings.Repeat("я", 65)+"👍🏽"+strings.Repeat("я", 65), "line\r\nline")
	var theirs []struct {
		Encoding  string
		Units     int
		Parts     int
		Graphemes int
		Scalars   int
	}
	peers.Call(t, "segments.js", texts, &theirs)
	if len(theirs) != len(texts) {
		t.Fatalf("%d answers to %d texts", len(theirs), len(texts))
	}
	clusters, longer := 0, 0
	for i, text := range texts {
		ours, peer := message.Count(text), theirs[i]
		if peer.Graphemes == peer.Scalars {
			if ours.Encoding.String() != peer.Encoding || ours.Units != peer.Units || ours.Parts != peer.Parts {
				t.Errorf("%q: %+v, the peer says %+v", text, ours, peer)
			}
			continue
		}
		clusters++
		switch {
		case strings.Contains(text, "\r\n"):
		case ours.Encoding.String() != peer.Encoding, ours.Units != peer.Units, ours.Parts > peer.Parts:
			t.Errorf("%q: %+v, the peer says %+v", text, ours, peer)
		case ours.Parts < peer.Parts:
			longer++
		}
	}
	t.Logf("%d texts; %d with clusters, of which the peer takes a part more for %d", len(texts), clusters, longer)
	if clusters == 0 || clusters > len(texts)/2 || longer == 0 {
		t.Error("the texts do not tell the two apart as they should")
	}
}

// generate makes texts, many of them about as long as a number of whole parts.
func generate(r *rand.Rand, n int) []string {
	alphabets := [][]rune{
		[]rune(basic), []rune(basic + extension), []rune(extension), []rune("ab€"), []rune("ab😀"), []rune("яш€ a"),
		[]rune("验证码，。a1"), []rune("ảạếộ"), []rune("😀🎉🔐"), []rune(basic + extension + "’“—…\u00a0"), []rune("a1 ❤👍"),
	}
	pieces := []string{"👨‍👩‍👧‍👦", "🇺🇸", "👍🏽", "e\u0301", "\r\n", "❤️"}
	lengths := []int{0, 1, 33, 35, 66, 67, 70, 76, 80, 134, 152, 153, 160, 201, 268, 306, 459}
	texts := make([]string, n)
	for i := range texts {
		alphabet := alphabets[r.IntN(len(alphabets))]
		var b strings.Builder
		for range max(0, lengths[r.IntN(len(lengths))]+r.IntN(5)-2) {
			c := alphabet[r.IntN(len(alphabet))]
			if c == '\n' && strings.HasSuffix(b.String(), "\r") {
				c = 'x' // one cluster, see below
			}
			b.WriteRune(c)
			if i%5 == 0 && r.IntN(8) == 0 {
				b.WriteString(pieces[r.IntN(len(pieces))])
			}
		}
		texts[i] = b.String()
	}
	return texts
}

func FuzzCount(f *testing.F) {
	for _, s := range []string{"", basic, extension, strings.Repeat("€", 153), strings.Repeat("😀", 67), "\xff\xfe", "a\u200db"} {
		f.Add(s)
	}
	for _, s := range generate(rand.New(rand.NewPCG(3, 4)), 20) {
		f.Add(s)
	}
	f.Fuzz(checkCount)
}

func BenchmarkCount(b *testing.B) {
	for name, text := range map[string]string{
		"gsm":  "123456 is your Acme verification code. Don't share it.",
		"ucs2": "123456 - ваш код Acme. Никому его не сообщайте.",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				message.Count(text)
			}
		})
	}
}

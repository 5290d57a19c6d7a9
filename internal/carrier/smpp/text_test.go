package smpp_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"codeword/internal/carrier/smpp"
	"codeword/internal/message"
)

func TestEncode(t *testing.T) {
	for name, tc := range map[string]struct {
		text   string
		latin1 bool
		coding byte
		parts  []int // their lengths in bytes
		want   string
	}{
		"ASCII":                  {"abc", false, 0, []int{3}, "abc"},
		"empty":                  {"", false, 0, []int{0}, ""},
		"GSM-7":                  {"@£_é{€", false, 0, []int{8}, "\x00\x01\x11\x05\x1b\x28\x1b\x65"},
		"Latin-1":                {"@é{", true, 0, []int{3}, "@\xe9{"},
		"no Latin-1, but GSM-7":  {"€", true, 8, []int{2}, "\x20\xac"},
		"no GSM-7, but Latin-1":  {"ç", true, 8, []int{2}, "\x00\xe7"},
		"UCS-2":                  {"код", false, 8, []int{6}, "\x04\x3a\x04\x3e\x04\x34"},
		"surrogates":             {"😀", false, 8, []int{4}, "\xd8\x3d\xde\x00"},
		"no UTF-8":               {"a\xff", false, 8, []int{4}, "\x00a\xff\xfd"},
		"160 septets":            {strings.Repeat("a", 160), false, 0, []int{160}, ""},
		"161 septets":            {strings.Repeat("a", 161), false, 0, []int{153, 8}, ""},
		"an escape at the cut":   {strings.Repeat("a", 152) + "€" + strings.Repeat("a", 10), false, 0, []int{152, 12}, ""},
		"Latin-1 counts septets": {strings.Repeat("{", 81), true, 0, []int{76, 5}, ""},
		"70 units":               {strings.Repeat("я", 70), false, 8, []int{140}, ""},
		"71 units":               {strings.Repeat("я", 71), false, 8, []int{134, 8}, ""},
		"a surrogate at the cut": {strings.Repeat("я", 66) + "😀" + strings.Repeat("я", 9), false, 8, []int{132, 22}, ""},
		"Latin-1 mode, 71 of €":  {strings.Repeat("€", 71), true, 8, []int{134, 8}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			coding, parts := smpp.Encode(tc.text, tc.latin1)
			if coding != tc.coding || len(parts) != len(tc.parts) {
				t.Fatalf("coding %d, %d parts, want %d, %d", coding, len(parts), tc.coding, len(tc.parts))
			}
			for i, p := range parts {
				if len(p) != tc.parts[i] {
					t.Errorf("part %d has %d bytes, want %d", i, len(p), tc.parts[i])
				}
			}
			if tc.want != "" && string(parts[0]) != tc.want {
				t.Errorf("got % x, want % x", parts[0], tc.want)
			}
			if !tc.latin1 && len(parts) != message.Count(tc.text).Parts {
				t.Errorf("message.Count says %d parts", message.Count(tc.text).Parts)
			}
		})
	}
}

// TestAlphabetBothWays: every septet that has a character comes back.
func TestAlphabetBothWays(t *testing.T) {
	n := 0
	for r := range rune(0x3000) {
		coding, parts := smpp.Encode(string(r), false)
		if coding != 0 {
			continue
		}
		n++
		if back, ok := smpp.DecodeText(0, parts[0], false); !ok || back != string(r) {
			t.Errorf("%q became % x and %q", r, parts[0], back)
		}
	}
	if n != 127+10 { // 128 less the escape, and the extension
		t.Errorf("the alphabet has %d characters", n)
	}
	for in, want := range map[string]string{"\x1b": " ", "\x1b\x01": " ", "a\x1b\x1bb": "a b", "\xc1": "A"} {
		if got, _ := smpp.DecodeText(0, []byte(in), false); got != want {
			t.Errorf("% x became %q, want %q", in, got, want)
		}
	}
}

func TestInboundTextIsBounded(t *testing.T) {
	for _, coding := range []byte{0, 3, 8} {
		got, ok := smpp.DecodeText(coding, bytes.Repeat([]byte("A"), 60_000), false)
		if !ok || len(got) > 5000 {
			t.Errorf("coding %d: %d bytes", coding, len(got))
		}
	}
}

func TestRelativeTime(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Nanosecond:                "000000000001000R",
		10 * time.Minute:               "000000001000000R",
		9*time.Minute + 59*time.Second: "000000000959000R",
		26*time.Hour + 61*time.Second:  "000001020101000R",
		400 * 24 * time.Hour:           "000028000000000R",
		1999 * time.Millisecond:        "000000000001000R",
	} {
		if got := smpp.RelativeTime(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

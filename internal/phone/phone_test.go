package phone_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"codeword/internal/phone"
)

// verdict parses s and checks it under the rule, as the send call does.
func verdict(rule phone.Rule, s string) error {
	n, err := phone.Parse(s)
	if err != nil {
		return err
	}
	return rule.Check(n)
}

func mustParse(tb testing.TB, s string) phone.Number {
	tb.Helper()
	n, err := phone.Parse(s)
	if err != nil {
		tb.Fatalf("Parse(%q) = %v", s, err)
	}
	return n
}

var notE164 = map[string]string{
	"empty":                     "",
	"plus alone":                "+",
	"two pluses":                "++16502530000",
	"no plus":                   "16502530000",
	"national":                  "6502530000",
	"double zero prefix":        "0016502530000",
	"trunk prefix 011":          "01116502530000",
	"space after country":       "+1 650-253-0000",
	"hyphens":                   "+1-650-253-0000",
	"dots":                      "+1.650.253.0000",
	"parentheses":               "+1(650)2530000",
	"trailing space":            "+16502530000 ",
	"leading space":             " +16502530000",
	"trailing newline":          "+16502530000\n",
	"trailing carriage return":  "+16502530000\r",
	"trailing NUL":              "+16502530000\x00",
	"inner NUL":                 "+1650253\x000000",
	"byte order mark":           "\ufeff+16502530000",
	"right-to-left mark":        "\u200f+16502530000",
	"zero-width space":          "+1650\u200b2530000",
	"no-break space":            "+16502530000\u00a0",
	"full-width area code":      "+1\uff16\uff15\uff102530000",
	"full-width plus":           "\uff0b16502530000",
	"all full-width":            "\uff0b\uff11\uff16\uff15\uff10\uff12\uff15\uff13\uff10\uff10\uff10\uff10",
	"Arabic-Indic digits":       "+\u0661\u0666\u0665\u0660\u0662\u0665\u0663\u0660\u0660\u0660\u0660",
	"Devanagari digit":          "+1650253000\u0966",
	"superscript digit":         "+1650253000\u00b2",
	"invalid UTF-8":             "+1650253\xff000",
	"tel URI":                   "tel:+16502530000",
	"tel URI, capitals":         "TEL:+16502530000",
	"sip URI":                   "sip:+16502530000@example.com",
	"extension x":               "+16502530000x12",
	"extension ext":             "+16502530000;ext=12",
	"pause":                     "+16502530000,1",
	"hash":                      "+1650253000#",
	"letters":                   "+1650CALLNOW",
	"hexadecimal":               "+0x1650253000",
	"exponent":                  "+1650253e4",
	"negative":                  "-16502530000",
	"slash, before 0 in ASCII":  "+1650253000/",
	"colon, after 9 in ASCII":   "+1650253000:",
	"SQL":                       "+1650253' OR 1",
	"one digit":                 "+1",
	"six digits":                "+441234",
	"six digits of one":         "+165025",
	"ten digits of one":         "+1650253000",
	"twelve digits of one":      "+165025300001",
	"fifteen digits of one":     "+165025300001234",
	"sixteen digits":            "+4477009001234567",
	"country code zero":         "+0123456789",
	"area code 0":               "+10502530000",
	"area code 1":               "+11502530000",
	"exchange 0":                "+16500530000",
	"exchange 1":                "+16501530000",
	"all zeros":                 "+10000000000",
	"sixty-four digits":         "+1" + strings.Repeat("6", 63),
	"wraps an unsigned integer": "+118446744073709551616",
	"a mebibyte":                "+" + strings.Repeat("1", 1<<20),
}

func TestParseRefusesWhatIsNotE164(t *testing.T) {
	for name, s := range notE164 {
		t.Run(name, func(t *testing.T) {
			n, err := phone.Parse(s)
			if !errors.Is(err, phone.ErrNotE164) || n.IsValid() {
				t.Errorf("got %v, %v, want ErrNotE164 and no number", n, err)
			}
		})
	}
}

func TestParseTellsForeignNumbersApart(t *testing.T) {
	for _, s := range []string{
		"+447700900123", "+4915123456789", "+33612345678", "+5215512345678", "+819012345678", "+861069445464",
		"+74951234567", "+200123456789", "+27821234567", "+999123456789012", "+6834001", "+2908123", "+9991234",
	} {
		if n, err := phone.Parse(s); !errors.Is(err, phone.ErrCountry) || n.IsValid() {
			t.Errorf("Parse(%q) = %v, %v, want ErrCountry and no number", s, n, err)
		}
	}
}

func TestNumberParts(t *testing.T) {
	for _, tc := range []struct {
		s, mask  string
		npa, nxx int
	}{
		{"+16502530000", "0000", 650, 253},
		{"+14165551234", "1234", 416, 555},
		{"+12002000000", "0000", 200, 200},
		{"+19999999999", "9999", 999, 999},
		{"+12012000007", "0007", 201, 200},
	} {
		n := mustParse(t, tc.s)
		if n.E164() != tc.s || n.Mask() != tc.mask || n.NPA() != tc.npa || n.NXX() != tc.nxx || !n.IsValid() {
			t.Errorf("%s: got %q, %q, %d, %d", tc.s, n.E164(), n.Mask(), n.NPA(), n.NXX())
		}
		if got := string(n.AppendE164([]byte("to="))); got != "to="+tc.s {
			t.Errorf("AppendE164 = %q", got)
		}
		if n != mustParse(t, tc.s) {
			t.Errorf("%s parsed twice is not equal to itself", tc.s)
		}
	}
	if mustParse(t, "+16502530000") == mustParse(t, "+16502530001") {
		t.Error("two numbers are equal")
	}
}

func TestZeroNumberIsNoNumber(t *testing.T) {
	var n phone.Number
	if n.IsValid() || n.E164() != "" || n.Mask() != "" || n.NPA() != 0 || n.NXX() != 0 || len(n.AppendE164(nil)) != 0 {
		t.Errorf("the zero Number shows %q, %q, %d, %d", n.E164(), n.Mask(), n.NPA(), n.NXX())
	}
	if got := fmt.Sprint(n); got != "[no phone]" {
		t.Errorf("the zero Number prints %q", got)
	}
	if err := (phone.Rule{}).Check(n); !errors.Is(err, phone.ErrNotE164) {
		t.Errorf("Check of the zero Number = %v", err)
	}
}

func TestNumberPrintsMasked(t *testing.T) {
	const digits = "6502531234"
	n := mustParse(t, "+1"+digits)
	for _, verb := range []string{"%v", "%+v", "%s", "%q", "%d", "%x", "%X", "%o", "%b", "%c", "%U", "%e", "%20v", "%-20s", "%08d"} {
		if got := fmt.Sprintf(verb, n); got != "+1******1234" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
	if got := fmt.Sprintf("%#v", n); got != "[phone]" {
		t.Errorf("%%#v prints %q", got)
	}

	type hidden struct{ number phone.Number }
	type shown struct {
		Number  phone.Number
		Pointer *phone.Number
		Map     map[phone.Number]int
		hidden
	}
	holder := shown{n, &n, map[phone.Number]int{n: 1}, hidden{n}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%p"} { // %p asks no Formatter
		assertNoLeak(t, verb, fmt.Sprintf(verb, n), digits)
		for _, v := range []any{holder, &holder, hidden{n}, []phone.Number{n}, map[string]phone.Number{"a": n}} {
			assertNoLeak(t, verb, fmt.Sprintf(verb, v), digits)
		}
	}
	assertNoLeak(t, "Errorf", fmt.Errorf("send to %v: %w", n, phone.ErrType).Error(), digits)
	encoded, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	assertNoLeak(t, "JSON", string(encoded), digits)
	if !strings.Contains(string(encoded), "+1******1234") {
		t.Errorf("JSON lacks the mask: %s", encoded)
	}
}

func TestNumberLogsMasked(t *testing.T) {
	const digits = "6502531234"
	n := mustParse(t, "+1"+digits)
	type event struct{ To phone.Number }
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			log := slog.New(handler(&b)).With("with", n)
			log.Info("sent", "number", n, "pointer", &n, "list", []phone.Number{n}, "event", event{n}, slog.Group("g", "n", n))
			if strings.Count(b.String(), "+1******1234") < 5 {
				t.Errorf("the mask is missing: %s", b.String())
			}
			assertNoLeak(t, name, b.String(), digits)
		})
	}
}

// assertNoLeak fails if text has the number, in decimal or hexadecimal, or more
// of it than its last four digits.
func assertNoLeak(t *testing.T, how, text, digits string) {
	t.Helper()
	var v uint64
	for _, d := range digits {
		v = v*10 + uint64(d-'0')
	}
	for _, leak := range []string{
		digits, digits[3:], digits[:6], fmt.Sprintf("%x", v), fmt.Sprintf("%x", "+1"+digits),
	} {
		if strings.Contains(strings.ToLower(text), leak) {
			t.Errorf("%s: %q shows %q", how, text, leak)
		}
	}
}

func TestErrorsTellNoDigits(t *testing.T) {
	all := []string{"+447700900123", "+18005551212", "+17875550100", "+15005550006", "+12112340000", "+16505550123", "+16509761234"}
	for _, s := range notE164 {
		all = append(all, s)
	}
	for _, s := range all {
		err := verdict(phone.Rule{}, s)
		if err == nil {
			t.Fatalf("%.20q passes", s)
		}
		if text := strings.ReplaceAll(err.Error(), "E.164", ""); strings.ContainsAny(text, "0123456789") {
			t.Errorf("the error of %.20q has digits: %s", s, text)
		}
	}
}

func TestAllocations(t *testing.T) {
	n := mustParse(t, "+16502530000")
	rule := phone.Rule{}
	buf := make([]byte, 0, 16)
	for name, f := range map[string]func(){
		"Parse":      func() { _, _ = phone.Parse("+16502530000") },
		"Check":      func() { _ = rule.Check(n) },
		"AreaCode":   func() { _, _ = phone.AreaCode(650) },
		"AppendE164": func() { buf = n.AppendE164(buf[:0]) },
	} {
		if got := testing.AllocsPerRun(100, f); got != 0 {
			t.Errorf("%s allocates %v times", name, got)
		}
	}
	if got := testing.AllocsPerRun(100, func() { _ = n.E164() }); got > 1 {
		t.Errorf("E164 allocates %v times", got)
	}
}

// FuzzParse: what Parse accepts comes back byte for byte, what it refuses is
// one of the two errors, and no answer depends on anything but the text.
func FuzzParse(f *testing.F) {
	for _, s := range notE164 {
		if len(s) < 100 {
			f.Add(s)
		}
	}
	for _, tc := range rulings {
		f.Add(tc.s)
	}
	f.Add("+447700900123")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := phone.Parse(s)
		if err != nil {
			if errors.Is(err, phone.ErrNotE164) == errors.Is(err, phone.ErrCountry) || n != (phone.Number{}) {
				t.Fatalf("Parse(%q) = %v, %v", s, n, err)
			}
			return
		}
		if n.E164() != s || len(s) != 12 || n.Mask() != s[8:] || fmt.Sprintf("%03d%03d", n.NPA(), n.NXX()) != s[2:8] {
			t.Fatalf("Parse(%q) holds %q, %q, %d, %d", s, n.E164(), n.Mask(), n.NPA(), n.NXX())
		}
		err = phone.Rule{}.Check(n)
		area, ok := phone.AreaCode(n.NPA())
		if err == nil && (!ok || area.Kind != phone.Geographic || area.Country != "US" || area.State == "") {
			t.Fatalf("%s passes with area %+v", s, area)
		}
		if err != nil && errors.Is(err, phone.ErrCountry) == errors.Is(err, phone.ErrType) {
			t.Fatalf("Check(%s) = %v", s, err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, _ = phone.Parse("+16502530000")
	}
}

func BenchmarkParseAndCheck(b *testing.B) {
	b.ReportAllocs()
	rule := phone.Rule{}
	for b.Loop() {
		n, _ := phone.Parse("+16502530000")
		_ = rule.Check(n)
	}
}

func BenchmarkAreaCode(b *testing.B) {
	b.ReportAllocs()
	npa := 200
	for b.Loop() {
		_, _ = phone.AreaCode(npa)
		if npa++; npa > 999 {
			npa = 200
		}
	}
}

package message_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"codeword/internal/message"
)

func compile(tb testing.TB, cfg message.Config) *message.Texts {
	tb.Helper()
	texts, _, err := message.Compile(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return texts
}

// builtins are the built-in languages, with what the whole text looks like.
var builtins = map[string]string{
	"en":      "123456 is your Acme verification code. Don't share it.",
	"es":      "123456 es tu código de verificación de Acme. No lo compartas.",
	"fr":      "123456 est votre code de vérification Acme. Ne le partagez pas.",
	"zh":      "123456 是您的 Acme 验证码，请勿告知他人。",
	"zh-Hant": "123456 是您的 Acme 驗證碼，請勿告訴他人。",
	"vi":      "123456 là mã xác minh Acme của bạn. Không chia sẻ mã này.",
	"fil":     "123456 ang iyong verification code sa Acme. Huwag itong ibahagi.",
	"ko":      "123456 - Acme 인증번호입니다. 타인에게 알려주지 마세요.",
	"pt":      "123456 é seu código de verificação Acme. Não compartilhe.",
	"ru":      "123456 - ваш код Acme. Никому его не сообщайте.",
	"ar":      "123456 هو رمز التحقق الخاص بك من Acme. لا تشاركه مع أحد.",
}

func TestBuiltins(t *testing.T) {
	texts, warnings, err := message.Compile(message.Config{Brand: "Acme"})
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	gsm := []string{"en", "fr", "fil"}
	for locale, want := range builtins {
		got := string(texts.Render(locale, "123456"))
		s := message.Count(got)
		if got != want || s.Parts != 1 || (s.Encoding == message.GSM7) != slices.Contains(gsm, locale) {
			t.Errorf("%s: %q (%+v), want %q", locale, got, s, want)
		}
	}
	for _, unknown := range []string{"", "de", "EN", "xx"} {
		if got := string(texts.Render(unknown, "1")); !strings.HasPrefix(got, "1 is your Acme") {
			t.Errorf("%q: %q", unknown, got)
		}
	}
}

// TestBuiltinsAlwaysFit: whatever the brand, each language has a text of one
// segment, so that no client that was configured before there were languages is
// refused now.
func TestBuiltinsAlwaysFit(t *testing.T) {
	for _, brand := range []string{
		"Acme", "Café Zoé & Co.", strings.Repeat("W", 32), strings.Repeat("[", 32), strings.Repeat("a", 29) + "’",
		strings.Repeat("ê", 16), strings.Repeat("银", 10), strings.Repeat("😀", 8), strings.Repeat("𝅗𝅥", 4), "Café №1",
	} {
		texts, warnings, err := message.Compile(message.Config{Brand: brand, CodeLength: 10})
		if err != nil {
			t.Errorf("%q: %v", brand, err)
			continue
		}
		if message.Count(brand).Encoding == message.GSM7 && len(warnings) > 0 ||
			message.Count(brand).Encoding == message.UCS2 && (len(warnings) != 1 || !strings.HasPrefix(warnings[0], "brand: U+")) {
			t.Errorf("%q: %q", brand, warnings)
		}
		seen := make(map[string]bool)
		for locale := range builtins {
			got := string(texts.Render(locale, "0123456789"))
			seen[got] = true
			if s := message.Count(got); s.Parts != 1 || !strings.HasPrefix(got, "0123456789 ") || strings.ContainsAny(got, "{}\n") {
				t.Errorf("%q in %s: %q (%+v)", brand, locale, got, s)
			}
		}
		if len(seen) != len(builtins) {
			t.Errorf("%q: %d texts in %d languages", brand, len(seen), len(builtins))
		}
		for _, reply := range []message.Text{texts.Stopped(), texts.Started(), texts.Help()} {
			if s := message.Count(string(reply)); s.Parts != 1 || reply == "" || strings.Contains(string(reply), "{") {
				t.Errorf("%q: reply %q (%+v)", brand, string(reply), s)
			}
		}
	}
}

func TestReplies(t *testing.T) {
	texts := compile(t, message.Config{Brand: "Acme"})
	for want, got := range map[string]message.Text{
		"Acme: You have opted out and will get no more messages. Reply START to get them again.":                    texts.Stopped(),
		"Acme: You will get verification codes again. Reply HELP for help, STOP to opt out.":                        texts.Started(),
		"Acme: verification codes that you asked for. Msg & data rates may apply. Reply STOP to opt out.":           texts.Help(),
		"{brand}: You have opted out and will get no more messages. Reply START to get them again.":                 compile(t, message.Config{Brand: "{brand}"}).Stopped(),
		"{brand}{brand}: verification codes that you asked for. Msg & data rates may apply. Reply STOP to opt out.": compile(t, message.Config{Brand: "{brand}{brand}"}).Help(),
	} {
		if string(got) != want {
			t.Errorf("%q, want %q", string(got), want)
		}
	}
}

// one is a config with one template, in English.
func one(template string) message.Config {
	return message.Config{Brand: "Acme", Templates: map[string]string{"en": template}}
}

func TestTemplates(t *testing.T) {
	for _, tc := range []struct {
		name, template, brand, want string
	}{
		{"code alone", "{code}", "Acme", "123456"},
		{"no brand", "Code: {code}.", "Acme", "Code: 123456."},
		{"brands", "{brand}: {code} ({brand})", "Acme", "Acme: 123456 (Acme)"},
		{"lines", "{brand}\n\n{code}\n", "Acme", "Acme\n\n123456\n"},
		{"a brand is not read again", "{brand} {code}", "{code}", "{code} 123456"},
		{"nor that of a placeholder's half", "{brand}code} {code}", "{", ""},
		{"accents apart are put together", "Cafe\u0301 {code}", "Acme", "Café 123456"},
		{"and in the brand", "{brand} {code}", "Cafe\u0301", "Café 123456"},
	} {
		cfg := one(tc.template)
		cfg.Brand = tc.brand
		texts, warnings, err := message.Compile(cfg)
		if tc.want == "" {
			if err == nil {
				t.Errorf("%s: accepted", tc.name)
			}
			continue
		}
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %q, %v", tc.name, warnings, err)
			continue
		}
		if got := string(texts.Render("en", "123456")); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	// A code is not read for placeholders either.
	if got := string(compile(t, one("{code} {brand}")).Render("en", "{brand}")); got != "{brand} Acme" {
		t.Error(got)
	}
}

func TestRefused(t *testing.T) {
	many := make(map[string]string)
	for i := range 33 {
		many[fmt.Sprintf("en-%03d", i)] = "{code}"
	}
	for _, tc := range []struct {
		name string
		cfg  message.Config
		want []string
	}{
		{"empty template", one(""), []string{"templates.en: {code} must be in it exactly once, not 0"}},
		{"no code", one("hi {brand}"), []string{"templates.en: {code}"}},
		{"two codes", one("{code} {code}"), []string{"templates.en: {code} must be in it exactly once, not 2"}},
		{"unknown placeholder", one("{code} {minutes}"), []string{"templates.en: unknown placeholder {minutes}"}},
		{"another case", one("{CODE}"), []string{"unknown placeholder {CODE}"}},
		{"blanks", one("{ code }"), []string{"unknown placeholder { code }"}},
		{"nothing", one("{code} {}"), []string{"unknown placeholder {}"}},
		{"open", one("{code} {brand"), []string{"{ without }"}},
		{"open twice", one("{code} {{brand}"), []string{"{ without }"}},
		{"doubled", one("{{code}}"), []string{"{ without }"}},
		{"closed", one("{code} }"), []string{"} without {"}},
		{"closed first", one("}{code}"), []string{"} without {"}},
		{"control", one("{code}\r\n"), []string{"templates.en: U+000D is a control character"}},
		{"nul", one("{code}\x00"), []string{"U+0000 is a control"}},
		{"escape", one("{code}\x1b[2J"), []string{"U+001B is a control"}},
		{"line separator", one("{code}\u2028x"), []string{"U+2028 is a control"}},
		{"not UTF-8", one("{code}\xff"), []string{"templates.en: not UTF-8"}},
		{"huge", one("{code}" + strings.Repeat("x", 2048)), []string{"templates.en: over 2048 bytes"}},
		{"161 septets", one("{code}" + strings.Repeat("x", 155)), []string{"templates.en: takes 2 segments (161 units of GSM-7), and maxSegments is 1"}},
		{"71 units", one("{code}" + strings.Repeat("x", 64) + "’"), []string{"templates.en: takes 2 segments (71 units of UCS-2 because of U+2019 ’ (write '))"}},
		{"many units", one("{code}" + strings.Repeat("验证码短信", 14)), []string{"(76 units of UCS-2 because of U+9A8C 验, U+8BC1 证, U+7801 码, U+77ED 短 and 1 more)"}},
		{"longer code", message.Config{Brand: "Acme", CodeLength: 10, Templates: map[string]string{"en": "{code}" + strings.Repeat("x", 151)}}, []string{"(161 units"}},
		{"longer brand", message.Config{Brand: "Acme Co", Templates: map[string]string{"en": "{brand}{code}" + strings.Repeat("x", 148)}}, []string{"(161 units"}},
		{"all that is wrong", message.Config{
			Brand: "a\nb", Templates: map[string]string{"en": "", "zz-!": "{code}", "es": "{code} {nope}"}, Locale: "q", Locales: []string{"", "de"},
			WebOTPDomain: "https://x", RetrieverHash: "short", CodeLength: -1, MaxSegments: 9,
		}, []string{
			"brand: not 1 to 32 bytes", "templates.en: {code}", `templates: "zz-!" is not a language tag`, "templates.es: unknown placeholder {nope}",
			`locale: "q" is not a language tag`, `locales[0]: "" is not a language tag`, `locales[1]: there is no text in "de"; give one in templates`,
			"webOtpDomain: not a domain name", "androidAppHash: not the 11 characters", "androidAppHash: not together", "codeLength:", "maxSegments: 9 is not within 1 to 4",
		}},
		{"huge code", message.Config{Brand: "a", CodeLength: 1 << 40}, []string{"codeLength"}},
		{"no brand", message.Config{}, []string{"brand"}},
		{"long brand", message.Config{Brand: strings.Repeat("x", 33)}, []string{"brand"}},
		{"no segment", message.Config{Brand: "a", MaxSegments: -1}, []string{"maxSegments"}},
		{"many templates", message.Config{Brand: "a", Templates: many}, []string{"templates: more than 32"}},
		{"many locales", message.Config{Brand: "a", Locales: make([]string, 33)}, []string{"locales: more than 32"}},
		{"one language twice", message.Config{Brand: "a", Templates: map[string]string{"zh": "{code}", "zh-Hans": "{code}"}}, []string{"templates.zh-Hans: the same language as templates.zh"}},
		{"one language twice, renamed", message.Config{Brand: "a", Templates: map[string]string{"fil": "{code}", "tl": "{code}"}}, []string{"templates.tl: the same language as templates.fil"}},
		{"no language", message.Config{Brand: "a", Locale: "und"}, []string{"locale:"}},
		{"any language", message.Config{Brand: "a", Locale: "*"}, []string{"locale:"}},
		{"a long tag", message.Config{Brand: "a", Locale: "en" + strings.Repeat("-x", 40)}, []string{"locale:"}},
	} {
		texts, _, err := message.Compile(tc.cfg)
		if err == nil || texts != nil {
			t.Errorf("%s: accepted", tc.name)
			continue
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in\n%v", tc.name, want, err)
			}
		}
	}
}

func TestWarnings(t *testing.T) {
	for _, tc := range []struct {
		name, template string
		want           []string // of the one warning; none: no warning
	}{
		{"plain", "{code} is it", nil},
		{"apostrophe", "{code}. Don’t share", []string{"templates.en: U+2019 ’ (write ') makes it UCS-2, which leaves 70 units instead of 160"}},
		{"several", "“{code}” – x…", []string{`U+201C “ (write "), U+201D ” (write "), U+2013 – (write -), U+2026 … (write ...)`}},
		{"no-break space", "{code}\u00a0x", []string{"U+00A0 (write a space)"}},
		{"zero width", "{code}\u200bx\ufeff", []string{"U+200B (leave it out), U+FEFF (leave it out)"}},
		{"soft hyphen", "{code}\u00adx", []string{"U+00AD (leave it out)"}},
		{"Cyrillic letter", "{code} is yоur code", []string{"U+043E о (write o)"}},
		{"Greek letter", "{code} Αcme", []string{"U+0391 Α (write A)"}},
		{"full width", "{code}！", []string{"U+FF01 ！ (write !)"}},
		{"ligature", "{code} veriﬁcation", []string{"U+FB01 ﬁ (write fi)"}},
		{"trade mark", "{code} x™", []string{"U+2122 ™ (write TM)"}},
		{"back tick", "`{code}`", []string{"U+0060 ` (write ')"}},
		{"five", "{code} ‘’“”–", []string{"U+201D ” (write \") and 1 more"}},
		{"a language that needs it", "{code} – ваш код", nil},
		{"accents that need it", "{code} n’êtes", nil},
		{"an emoji that needs it", "{code} 🔐…", nil},
	} {
		texts, warnings, err := message.Compile(one(tc.template))
		if err != nil || texts == nil || len(warnings) != min(1, len(tc.want)) {
			t.Errorf("%s: %q, %v", tc.name, warnings, err)
			continue
		}
		for _, want := range tc.want {
			if !strings.Contains(warnings[0], want) {
				t.Errorf("%s: %q is not in %q", tc.name, want, warnings[0])
			}
		}
	}
}

// TestLastLine: what makes phones offer the code by themselves is the very last
// line, and counts.
func TestLastLine(t *testing.T) {
	texts, warnings, err := message.Compile(message.Config{Brand: "Acme", WebOTPDomain: "Login.Example.com"})
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	if got := string(texts.Render("en", "123456")); got != "123456 is your Acme verification code. Don't share it.\n@login.example.com #123456" {
		t.Errorf("%q", got)
	}
	// There is a shorter text for those in UCS-2.
	if got := string(texts.Render("es", "123456")); got != "123456 es tu código de Acme.\n@login.example.com #123456" {
		t.Errorf("%q", got)
	}
	texts = compile(t, message.Config{Brand: "Acme", RetrieverHash: "FA+9qCX9VS/"})
	if got := string(texts.Render("en", "123456")); got != "123456 is your Acme verification code. Don't share it.\nFA+9qCX9VS/" {
		t.Errorf("%q", got)
	}
	for locale := range builtins {
		if got := string(texts.Render(locale, "123456")); len(got) > 140 || !strings.HasSuffix(got, "\nFA+9qCX9VS/") {
			t.Errorf("%d bytes: %q", len(got), got)
		}
	}
}

func TestLastLineTakesRoom(t *testing.T) {
	long := strings.Repeat("long.", 11) + "example.com" // 66 characters
	texts, warnings, err := message.Compile(message.Config{Brand: "Acme", WebOTPDomain: long})
	if err != nil || len(warnings) != len(builtins)-3 {
		t.Fatal(warnings, err)
	}
	for _, w := range warnings {
		if !strings.HasPrefix(w, `the built-in text in "`) || !strings.Contains(w, "takes 2 segments (") || !strings.HasSuffix(w, `those who ask for it get "en"`) {
			t.Error(w)
		}
	}
	if got := texts.Locale("ru"); got != "en" {
		t.Errorf("a text that does not fit is picked: %s", got)
	}
	for name, tc := range map[string]struct {
		cfg  message.Config
		want string
	}{
		"listed":  {message.Config{Brand: "Acme", WebOTPDomain: long, Locales: []string{"en", "ru"}}, `locales[1]: the built-in text in "ru" takes 2 segments (`},
		"default": {message.Config{Brand: "Acme", WebOTPDomain: long, Locale: "ko"}, `locale: the built-in text in "ko" takes 2 segments (`},
		"bytes": {
			message.Config{Brand: "Acme", RetrieverHash: "abcdefghijk", Templates: map[string]string{"en": "{code}" + strings.Repeat("x", 123)}},
			"templates.en: takes 141 bytes, and androidAppHash allows 140",
		},
		"own": {
			message.Config{Brand: "Acme", WebOTPDomain: "a.example", Templates: map[string]string{"en": "{code}" + strings.Repeat("x", 137)}},
			"templates.en: takes 2 segments (162 units",
		},
	} {
		if _, _, err := message.Compile(tc.cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	if _, _, err := message.Compile(message.Config{Brand: "Acme", WebOTPDomain: long, Locales: []string{"ru"}, MaxSegments: 2}); err != nil {
		t.Error(err)
	}
}

func TestWebOTPDomain(t *testing.T) {
	for domain, want := range map[string]string{
		"example.com": "example.com", "EXAMPLE.com": "example.com", "bücher.example": "xn--bcher-kva.example", "xn--bcher-kva.example": "xn--bcher-kva.example",
		"a-b.example": "a-b.example", "1.example": "1.example",
		"localhost": "", "example.com.": "", "example.com:443": "", "https://example.com": "", "example.com/x": "", "a b.example": "", "a_b.example": "",
		"-a.example": "", "192.0.2.1": "", "[::1]": "", ".example.com": "", "a..example": "", "ex\nample.com": "", "a@b.example": "", "a.example #1": "",
		strings.Repeat("a", 64) + ".example": "", strings.Repeat("a.", 127) + "example": "", "xn--a.example": "", "\xff.example": "",
	} {
		texts, _, err := message.Compile(message.Config{Brand: "Acme", WebOTPDomain: domain})
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "webOtpDomain: ") {
				t.Errorf("%q: %v", domain, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", domain, err)
			continue
		}
		if got := string(texts.Render("en", "123456")); !strings.HasSuffix(got, "\n@"+want+" #123456") {
			t.Errorf("%q: %q", domain, got)
		}
	}
	for _, hash := range []string{"abcdefghij", "abcdefghijkl", "abcdefghij=", "abcdefghij-", "abcdefghij\n", "abcdefghié"} {
		if _, _, err := message.Compile(message.Config{Brand: "Acme", RetrieverHash: hash}); err == nil || !strings.Contains(err.Error(), "androidAppHash: not the 11") {
			t.Errorf("%q: %v", hash, err)
		}
	}
}

// checkTexts checks what holds for all texts that compile.
func checkTexts(t *testing.T, cfg message.Config) (compiled bool) {
	t.Helper()
	texts, warnings, err := message.Compile(cfg)
	if err != nil {
		if texts != nil || err.Error() == "" || !utf8.ValidString(cfg.Brand) && !strings.Contains(err.Error(), "brand") {
			t.Fatalf("%+v: %v", cfg, err)
		}
		return false
	}
	for _, w := range warnings {
		if w == "" || strings.ContainsAny(w, "\n\x1b") {
			t.Fatalf("warning %q", w)
		}
	}
	length, most := max(cfg.CodeLength, 1), max(cfg.MaxSegments, 1)
	if cfg.CodeLength == 0 {
		length = 6
	}
	locales := append(slices.Collect(func(yield func(string) bool) {
		for l := range builtins {
			if !yield(l) {
				return
			}
		}
	}), cfg.Locale, "", "de")
	for l := range cfg.Templates {
		locales = append(locales, l)
	}
	for _, l := range locales {
		for _, digit := range []string{"0", "7", "9"} {
			code := strings.Repeat(digit, length)
			text := string(texts.Render(texts.Locale(l), code))
			if s := message.Count(text); s.Parts > most {
				t.Fatalf("%+v: %q takes %+v", cfg, text, s)
			}
			if !strings.Contains(text, code) || !utf8.ValidString(text) {
				t.Fatalf("%+v: %q", cfg, text)
			}
			if cfg.RetrieverHash != "" && (len(text) > 140 || !strings.HasSuffix(text, "\n"+cfg.RetrieverHash)) {
				t.Fatalf("%+v: %q", cfg, text)
			}
			if cfg.WebOTPDomain != "" && !strings.HasSuffix(text, " #"+code) {
				t.Fatalf("%+v: %q", cfg, text)
			}
		}
	}
	return true
}

// TestAllowedSegments: no text takes more segments than were allowed, at any
// length of template, brand and code.
func TestAllowedSegments(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	alphabets := []string{"abc ", basic, extension, "я€ a", "😀a", "验证"}
	pick := func(alphabet string, n int) string {
		var b strings.Builder
		runes := []rune(strings.NewReplacer("{", "", "}", "", "\r", "", "\f", "").Replace(alphabet))
		for range n {
			b.WriteRune(runes[r.IntN(len(runes))])
		}
		return b.String()
	}
	compiled := 0
	const runs = 2000
	for range runs {
		alphabet := alphabets[r.IntN(len(alphabets))]
		cfg := message.Config{
			Brand:      "B" + pick("abc[]’é", r.IntN(12)),
			Templates:  map[string]string{"en": pick(alphabet, r.IntN(80)) + "{code}" + pick(alphabet, r.IntN(80)) + "{brand}"},
			CodeLength: 4 + r.IntN(7), MaxSegments: 1 + r.IntN(3),
			Locale: []string{"en", "es", "ar"}[r.IntN(3)],
		}
		switch r.IntN(3) {
		case 0:
			cfg.WebOTPDomain = "a" + pick("bc", r.IntN(40)) + ".example"
		case 1:
			cfg.RetrieverHash = pick("abc+/9", 11)
		}
		if checkTexts(t, cfg) {
			compiled++
		}
	}
	t.Logf("%d of %d configs compiled", compiled, runs)
	if compiled < runs/10 || compiled > runs*9/10 {
		t.Error("the configs do not lie on both sides of what is allowed")
	}
}

func FuzzCompile(f *testing.F) {
	f.Add("Acme", "en", "{code} is your {brand} code", "en", "", "", 6, 1)
	f.Add("Caf\u00e9", "zh-Hans", "{code}验证码", "zh", "example.com", "", 10, 2)
	f.Add("B", "tl", "{code}’\u200b", "fil", "", "FA+9qCX9VSu", 4, 4)
	f.Add("\xff", "x-\x00", "{{code}}", "und", "b\u00fccher.example", "x", -1, -1)
	f.Fuzz(func(t *testing.T, brand, tag, template, locale, domain, hash string, length, segments int) {
		checkTexts(t, message.Config{
			Brand: brand, Templates: map[string]string{tag: template}, Locale: locale,
			WebOTPDomain: domain, RetrieverHash: hash, CodeLength: length, MaxSegments: segments,
		})
	})
}

func BenchmarkRender(b *testing.B) {
	texts := compile(b, message.Config{Brand: "Acme"})
	b.ReportAllocs()
	for b.Loop() {
		texts.Render("es", "123456")
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		compile(b, message.Config{Brand: "Acme"})
	}
}

package message_test

import (
	"strings"
	"testing"
	"time"

	"codeword/internal/message"
	"codeword/internal/waittest"
)

func TestLocale(t *testing.T) {
	texts := compile(t, message.Config{Brand: "Acme"})
	for header, want := range map[string]string{
		"": "en", "en": "en", "es": "es", "ES": "es", "en-US,en;q=0.9": "en", "es-MX,es;q=0.9,en;q=0.8": "es",
		"es-419": "es", "es-US": "es", "fr-CA": "fr", "fr-HT, fr;q=0.8": "fr", "pt-BR": "pt", "pt-PT": "pt", "ru-RU": "ru", "ar-EG": "ar", "ko-KR": "ko", "vi-VN": "vi",
		"tl": "fil", "fil-PH": "fil", "tl-PH": "fil",
		"zh": "zh", "zh-CN": "zh", "zh-SG": "zh", "zh-Hans-HK": "zh", "zh-TW": "zh-Hant", "zh-HK": "zh-Hant", "zh-Hant": "zh-Hant", "zh-hant-cn": "zh-Hant",
		// Languages that there is no text in: the next wanted one, else the default.
		"de": "en", "de, es;q=0.5": "es", "uk": "en", "ja": "en", "uk, ru;q=0.3": "ru", "*": "en", "*, es;q=0.1": "es",
		// Order, quality and what is not wanted at all.
		"es;q=0.1, ru;q=0.9": "ru", "ru, es": "ru", "es;q=0, ru;q=0.1": "ru", "es;q=0.5, ru;q=0.5": "es",
		"es;q=NaN, ru": "ru", "es;q=2, ru": "ru", "es;q=-1, ru": "ru", "es;q=1e400": "en", "es;q=x, ru": "ru", "es;q, ru": "ru", "es;q=0.000": "en",
		// What cannot be read.
		"xx-!!, ru": "ru", ",,,ru": "ru", ";;;": "en", " ru ": "ru", "ru ;q=1": "ru", "\x00": "en", "\xff\xfe, ru": "ru",
		strings.Repeat("a", 10000): "en", "ru" + strings.Repeat(",de", 5000): "ru",
		// Only the first ranges are read, and none that is cut in two.
		strings.Repeat("de,", 15) + "ru": "ru", strings.Repeat("de,", 16) + "ru": "en",
		strings.Repeat(" ", 511) + "ru": "en", strings.Repeat(" ", 509) + ",ru-RU": "en", "ru," + strings.Repeat(" ", 600): "ru",
		"en-" + strings.Repeat("x-", 300) + "a": "en", strings.Repeat("-", 512): "en",
	} {
		if got := texts.Locale(header); got != want {
			t.Errorf("%.60q: %q, want %q", header, got, want)
		}
	}
}

func TestLocaleOfClient(t *testing.T) {
	for _, tc := range []struct {
		name   string
		cfg    message.Config
		header map[string]string
	}{
		{"default", message.Config{Locale: "es-US"}, map[string]string{"": "es", "de": "es", "en": "en", "ru": "ru"}},
		{"listed", message.Config{Locales: []string{"tl", "zh-TW"}}, map[string]string{"": "en", "es": "en", "fil": "fil", "zh-HK": "zh-Hant", "zh-CN": "en", "es, tl;q=0.1": "fil"}},
		{"own beside", message.Config{Templates: map[string]string{"de": "{code}", "es-MX": "{code}"}}, map[string]string{
			"de-AT": "de", "es-MX": "es-MX", "es-ES": "es", "es": "es", "ru": "ru", "uk": "en", "ja": "en", "zh-TW": "zh-Hant",
		}},
		{"own in the place of", message.Config{Templates: map[string]string{"zh-Hans": "{code}"}, Locales: []string{"zh"}}, map[string]string{"zh-CN": "zh", "zh-SG": "zh", "es": "en"}},
		{"own default", message.Config{Locale: "de", Templates: map[string]string{"de": "{code}"}}, map[string]string{"": "de", "de-CH": "de", "ja": "de", "en": "en"}},
		{"own default by region", message.Config{Locale: "es-MX", Templates: map[string]string{"es-MX": "{code}"}, Locales: []string{"es"}}, map[string]string{"": "es-MX", "es-ES": "es", "en": "es-MX"}},
	} {
		tc.cfg.Brand = "Acme"
		texts := compile(t, tc.cfg)
		for header, want := range tc.header {
			if got := texts.Locale(header); got != want {
				t.Errorf("%s: %q: %q, want %q", tc.name, header, got, want)
			}
		}
	}
	texts := compile(t, message.Config{Brand: "Acme", Templates: map[string]string{"zh-Hans": "own {code}"}})
	if got := string(texts.Render(texts.Locale("zh-CN"), "1")); got != "own 1" {
		t.Error(got)
	}
}

// TestHostileHeaders: no header keeps a send waiting.
func TestHostileHeaders(t *testing.T) {
	texts := compile(t, message.Config{Brand: "Acme", Templates: map[string]string{"de": "{code}"}})
	for _, header := range []string{
		strings.Repeat("en-", 1<<18), strings.Repeat("x,", 1<<19), strings.Repeat("a-a-a-a-a-a-a-a;q=0.1,", 1<<15),
		strings.Repeat("zh-Hant-TW-u-nu-hanidec-x-a;q=0.123,", 1<<14), strings.Repeat(",", 1<<20),
	} {
		start := time.Now()
		for range 100 {
			texts.Locale(header)
		}
		if took := time.Since(start) / 100; took > waittest.Slack*5*time.Millisecond {
			t.Errorf("%.40q takes %s", header, took)
		}
	}
}

func FuzzLocale(f *testing.F) {
	for _, s := range []string{"", "en-US,en;q=0.9", "zh-Hant-TW;q=0.1", "*", "es;q=NaN", "x-y-z", "i-klingon", "und-Cyrl", "\xff"} {
		f.Add(s)
	}
	texts := compile(f, message.Config{Brand: "Acme", Templates: map[string]string{"de": "{code} de", "es-MX": "{code} mx"}})
	f.Fuzz(func(t *testing.T, header string) {
		locale := texts.Locale(header)
		if again := texts.Locale(locale); again != locale {
			t.Errorf("%q is %q, and that is %q", header, locale, again)
		}
	})
}

func BenchmarkLocale(b *testing.B) {
	texts := compile(b, message.Config{Brand: "Acme"})
	for name, header := range map[string]string{
		"none": "", "exact": "es", "browser": "en-US,en;q=0.9", "four": "es-MX,es;q=0.9,en-US;q=0.8,en;q=0.7",
		"hostile": strings.Repeat("zh-Hant-TW-u-nu-hanidec-x-a;q=0.123,", 100),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				texts.Locale(header)
			}
		})
	}
}

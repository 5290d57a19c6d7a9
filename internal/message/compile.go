package message

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Bounds of what a client may configure.
const (
	// MaxBrand bounds the brand, in bytes.
	MaxBrand = 32
	// MaxSegments bounds Config.MaxSegments.
	MaxSegments = 4

	maxLocales = 32
	maxDigits  = 32
)

// Config is what a client chose for its texts. Errors name the settings of the
// client by their JSON names.
type Config struct {
	// Brand is the name in the texts (brand).
	Brand string
	// Templates are texts by language tag, in the place of the built-in ones or
	// beside them, with the placeholders {code} and {brand} (templates).
	Templates map[string]string
	// Locale is the language to write in unless another one is asked for and
	// there (locale). Default "en".
	Locale string
	// Locales, when not empty, are the only languages beside Locale and those of
	// Templates (locales). When it is empty, all built-in ones that fit are there.
	Locales []string
	// WebOTPDomain, when set, puts "@domain #code" on a last line, so that
	// browsers offer the code on that site alone (webOtpDomain).
	WebOTPDomain string
	// RetrieverHash, when set, puts the hash of an Android app on a last line, so
	// that the app may read the message (androidAppHash). Not together with
	// WebOTPDomain.
	RetrieverHash string
	// CodeLength is how many digits the codes have (codeLength). Default 6.
	CodeLength int
	// MaxSegments is how many segments a text may take (maxSegments). Default 1.
	MaxSegments int
}

// Compile checks what a client chose and prepares the texts. The error names
// everything that is wrong, and wrong is also what would take more segments than
// allowed with a code of CodeLength digits. The warnings are sentences for an
// operator on what works, but perhaps not as meant: characters that force a
// text into UCS-2, and built-in languages that do not fit and are left out.
func Compile(cfg Config) (*Texts, []string, error) {
	c := compiler{cfg: cfg, texts: make(map[string][]string, len(builtins)+len(cfg.Templates))}
	c.checkFields()
	c.addTemplates()
	locale := c.require("locale", c.cfg.Locale)
	for i, raw := range cfg.Locales {
		c.require(fmt.Sprintf("locales[%d]", i), raw)
	}
	if len(cfg.Locales) == 0 {
		c.addBuiltins(locale)
	}
	if err := errors.Join(c.errs...); err != nil {
		return nil, c.warnings, err
	}
	return &Texts{
		texts: c.texts, locale: locale, matcher: c.matcher(locale),
		stopped: c.reply(stopped), started: c.reply(started), help: c.reply(help),
	}, c.warnings, nil
}

// compiler collects what Compile makes and finds.
type compiler struct {
	cfg      Config
	texts    map[string][]string
	errs     []error
	warnings []string
}

func (c *compiler) refuse(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

func (c *compiler) warn(format string, args ...any) {
	c.warnings = append(c.warnings, fmt.Sprintf(format, args...))
}

// checkFields checks each field by itself. What is wrong gets a value with
// which the rest can be checked all the same.
func (c *compiler) checkFields() {
	cfg := &c.cfg
	orDefault(&cfg.Locale, "en")
	orDefault(&cfg.CodeLength, 6)
	orDefault(&cfg.MaxSegments, 1)
	if !printable(cfg.Brand) {
		c.refuse("brand: not 1 to %d bytes of printable text", MaxBrand)
		cfg.Brand = "Brand"
	}
	// Letters with their accents apart are not in GSM-7. Some rare characters
	// get longer that way, and then might not fit any more.
	if composed := norm.NFC.String(cfg.Brand); len(composed) <= len(cfg.Brand) {
		cfg.Brand = composed
	}
	if forced := forcing(cfg.Brand); len(forced) > 0 {
		c.warn("brand: %s makes every text UCS-2, which leaves %d units instead of %d for one segment",
			describe(forced), wholeUCS2, wholeGSM7)
	}
	if cfg.CodeLength < 1 || cfg.CodeLength > maxDigits {
		c.refuse("codeLength: %d is not within 1 to %d", cfg.CodeLength, maxDigits)
		cfg.CodeLength = 6
	}
	if cfg.MaxSegments < 1 || cfg.MaxSegments > MaxSegments {
		c.refuse("maxSegments: %d is not within 1 to %d", cfg.MaxSegments, MaxSegments)
		cfg.MaxSegments = MaxSegments
	}
	if len(cfg.Templates) > maxLocales {
		c.refuse("templates: more than %d", maxLocales)
		cfg.Templates = nil
	}
	if len(cfg.Locales) > maxLocales {
		c.refuse("locales: more than %d", maxLocales)
		cfg.Locales = nil
	}
	c.checkLastLine()
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// printable: without controls, which would forge lines.
func printable(brand string) bool {
	return brand != "" && len(brand) <= MaxBrand && utf8.ValidString(brand) &&
		!strings.ContainsFunc(brand, func(r rune) bool { return !unicode.IsPrint(r) })
}

func (c *compiler) checkLastLine() {
	cfg := &c.cfg
	if cfg.WebOTPDomain != "" && cfg.RetrieverHash != "" {
		c.refuse("androidAppHash: not together with webOtpDomain, since each must be on the last line")
	}
	if cfg.RetrieverHash != "" {
		if err := checkHash(cfg.RetrieverHash); err != nil {
			c.refuse("androidAppHash: %w", err)
			cfg.RetrieverHash = ""
		}
	}
	if cfg.WebOTPDomain != "" {
		host, err := webOTPHost(cfg.WebOTPDomain)
		if err != nil {
			c.refuse("webOtpDomain: %w", err)
		}
		cfg.WebOTPDomain = host
	}
}

// addTemplates adds the texts that the client brings.
func (c *compiler) addTemplates() {
	seen := make(map[string]string)
	for _, raw := range slices.Sorted(maps.Keys(c.cfg.Templates)) {
		field := "templates." + raw
		locale, err := canonical(raw)
		if err != nil {
			c.refuse("templates: %q is %w", raw, err)
			continue
		}
		if other, ok := seen[locale]; ok {
			c.refuse("%s: the same language as %s", field, other)
			continue
		}
		seen[locale] = field
		t, err := parseTemplate(norm.NFC.String(c.cfg.Templates[raw]))
		if err != nil {
			c.refuse("%s: %w", field, err)
			continue
		}
		if forced := forcing(strings.Join(t.fill(""), "")); avoidable(forced) {
			c.warn("%s: %s makes it UCS-2, which leaves %d units instead of %d for one segment",
				field, describe(forced), wholeUCS2, wholeGSM7)
		}
		pieces, err := c.finish(t)
		if err != nil {
			c.refuse("%s: %w", field, err)
		}
		c.texts[locale] = pieces
	}
}

// require returns the locale that a field asks for, and adds its built-in text
// unless the client brings one.
func (c *compiler) require(field, raw string) string {
	locale, err := canonical(raw)
	if err != nil {
		c.refuse("%s: %q is %w", field, raw, err)
		return ""
	}
	if _, ok := c.texts[locale]; ok {
		return locale
	}
	if tag, err := parseTag(raw); err == nil && builtinOf(locale) == nil {
		locale = builtinMatcher().of(tag)
	}
	b := builtinOf(locale)
	if b == nil {
		c.refuse("%s: there is no text in %q; give one in templates", field, raw)
		return ""
	}
	if _, ok := c.texts[locale]; ok {
		return locale
	}
	if err := c.addBuiltin(b); err != nil {
		c.refuse("%s: the built-in text in %q %w", field, locale, err)
	}
	return locale
}

// addBuiltins adds the built-in texts that fit and that the client has none for.
func (c *compiler) addBuiltins(fallback string) {
	for i := range builtins {
		b := &builtins[i]
		if _, ok := c.texts[b.locale]; ok || b.locale == fallback {
			continue
		}
		if err := c.addBuiltin(b); err != nil {
			c.warn("the built-in text in %q %v; those who ask for it get %q", b.locale, err, fallback)
		}
	}
}

// addBuiltin adds the longest text of a language that fits.
func (c *compiler) addBuiltin(b *builtin) error {
	var last error
	for _, text := range b.texts {
		t, err := parseTemplate(text)
		if err != nil {
			return err
		}
		pieces, err := c.finish(t)
		if err == nil {
			c.texts[b.locale] = pieces
			return nil
		}
		last = err
	}
	return last
}

// finish fills a template in, adds the last line, and checks the size.
func (c *compiler) finish(t template) ([]string, error) {
	pieces := t.fill(c.cfg.Brand)
	last := &pieces[len(pieces)-1]
	switch {
	case c.cfg.WebOTPDomain != "":
		*last += "\n@" + c.cfg.WebOTPDomain + " #"
		pieces = append(pieces, "")
	case c.cfg.RetrieverHash != "":
		*last += "\n" + c.cfg.RetrieverHash
	}
	text := strings.Join(pieces, strings.Repeat("0", c.cfg.CodeLength))
	if s := Count(text); s.Parts > c.cfg.MaxSegments {
		why := ""
		if forced := forcing(text); len(forced) > 0 {
			why = " because of " + describe(forced)
		}
		return pieces, fmt.Errorf("takes %d segments (%d units of %s%s), and maxSegments is %d",
			s.Parts, s.Units, s.Encoding, why, c.cfg.MaxSegments)
	}
	if c.cfg.RetrieverHash != "" && len(text) > maxRetriever {
		return pieces, fmt.Errorf("takes %d bytes, and androidAppHash allows %d", len(text), maxRetriever)
	}
	return pieces, nil
}

// matcher returns the built-in one if it will do.
func (c *compiler) matcher(locale string) *matcher {
	locales := []string{locale}
	own := false
	for _, l := range slices.Sorted(maps.Keys(c.texts)) {
		own = own || builtinOf(l) == nil
		if l != locale {
			locales = append(locales, l)
		}
	}
	if !own {
		return builtinMatcher()
	}
	return newMatcher(locales)
}

// reply returns the longest of the texts that takes one segment.
func (c *compiler) reply(texts []string) Text {
	var text string
	for _, text = range texts {
		text = strings.ReplaceAll(text, "{brand}", c.cfg.Brand)
		if Count(text).Parts == 1 {
			break
		}
	}
	return Text(text)
}

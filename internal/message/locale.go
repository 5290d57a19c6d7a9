package message

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"golang.org/x/text/language"
)

// maxLocale bounds a language tag that a client configures, in bytes; longer
// ones are well-formed and name nothing (RFC 5646, section 4.4.1).
const maxLocale = 35

// canonical returns the one spelling of a language tag under which its text is
// kept: "tl" is "fil", and "zh-Hans" is "zh", since that is how zh is written.
func canonical(raw string) (string, error) {
	tag, err := parseTag(raw)
	if err != nil {
		return "", err
	}
	base, script, region := tag.Raw()
	if script == likelyScript(tag) {
		script = language.Script{}
	}
	if tag, err = language.Compose(base, script, region); err != nil {
		return "", errNoTag
	}
	return tag.String(), nil
}

var errNoTag = errors.New("not a language tag like en, es-MX or zh-Hant")

func parseTag(raw string) (language.Tag, error) {
	if raw == "" || len(raw) > maxLocale {
		return language.Tag{}, errNoTag
	}
	tag, err := language.Parse(raw)
	if err != nil {
		return language.Tag{}, errNoTag
	}
	if base, confidence := tag.Base(); confidence == language.No || base.String() == "und" || base.String() == "mul" {
		return language.Tag{}, errNoTag
	}
	return tag, nil
}

// likelyScript is the script in which a language is written unless told
// otherwise.
func likelyScript(tag language.Tag) language.Script {
	base, _ := tag.Base()
	plain, err := language.Compose(base)
	if err != nil {
		return language.Script{}
	}
	script, _ := plain.Script()
	return script
}

// matcher finds, for a language that somebody reads, the locale to write in.
type matcher struct {
	locales []string
	match   language.Matcher
}

func newMatcher(locales []string) *matcher {
	tags := make([]language.Tag, len(locales))
	for i, l := range locales {
		tags[i] = language.Make(l)
	}
	return &matcher{locales: locales, match: language.NewMatcher(tags)}
}

// of returns the locale for a tag, or "" when who reads the one cannot be
// expected to read the other as their own.
func (m *matcher) of(tag language.Tag) string {
	_, i, confidence := m.match.Match(tag)
	if confidence < language.High {
		return ""
	}
	return m.locales[i]
}

// What is read of an Accept-Language header: browsers send a few ranges, and
// whoever sends more does so to make us work.
const (
	maxHeader = 512
	maxRanges = 16
)

// preference is one language range of a header.
type preference struct {
	tag     language.Tag
	quality float32
}

// readHeader returns the language ranges of an Accept-Language header (RFC 9110,
// section 12.5.4), the most wanted first. Those that cannot be read, or are not
// wanted at all, are left out.
func readHeader(header string) []preference {
	if len(header) > maxHeader {
		// The last range of what is read may be cut in two.
		cut := strings.LastIndexByte(header[:maxHeader], ',')
		header = header[:max(cut, 0)]
	}
	var space [8]preference
	found := space[:0]
	ranges := 0
	for one := range strings.SplitSeq(header, ",") {
		if ranges++; ranges > maxRanges {
			break
		}
		tags, qualities, err := language.ParseAcceptLanguage(one)
		// The range of a quality is checked since the parser takes NaN for one.
		if err != nil || len(tags) != 1 || !(qualities[0] > 0 && qualities[0] <= 1) {
			continue
		}
		found = append(found, preference{tags[0], qualities[0]})
	}
	slices.SortStableFunc(found, func(a, b preference) int { return cmp.Compare(b.quality, a.quality) })
	return found
}

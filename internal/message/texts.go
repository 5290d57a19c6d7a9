package message

import "strings"

// Texts are the texts of one client, checked and ready. They never change and
// are safe for concurrent use.
type Texts struct {
	// texts maps a locale to its text, cut at the code.
	texts   map[string][]string
	locale  string
	matcher *matcher

	stopped, started, help Text
}

// Locale returns the locale in which to write to somebody with that
// Accept-Language header: the most wanted one that there is, else the client's
// default. Whatever the header holds, at most 512 bytes and 16 ranges of it are
// looked at.
func (t *Texts) Locale(acceptLanguage string) string {
	if acceptLanguage == "" {
		return t.locale
	}
	if _, ok := t.texts[acceptLanguage]; ok {
		return acceptLanguage
	}
	for _, p := range readHeader(acceptLanguage) {
		// The matcher may know more locales than the client has.
		locale := t.matcher.of(p.tag)
		if _, ok := t.texts[locale]; ok {
			return locale
		}
	}
	return t.locale
}

// Render returns the text that brings a code. A locale that there is no text in
// (any more) gets the client's default. With a code of the length that the texts
// were compiled for, it takes no more segments than were allowed.
func (t *Texts) Render(locale, code string) Text {
	pieces, ok := t.texts[locale]
	if !ok {
		pieces = t.texts[t.locale]
	}
	return Text(strings.Join(pieces, code))
}

// Stopped confirms that a phone gets no more messages. Like the other replies
// it is in English and takes one segment.
func (t *Texts) Stopped() Text { return t.stopped }

// Started confirms that a phone gets messages again.
func (t *Texts) Started() Text { return t.started }

// Help says who writes and how to make it stop.
func (t *Texts) Help() Text { return t.help }

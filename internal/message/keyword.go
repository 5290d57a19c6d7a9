package message

import (
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// KeywordKind is what somebody asks for who answers with a keyword.
type KeywordKind uint8

// The kinds of keywords.
const (
	// KeywordNone: the message is no keyword.
	KeywordNone KeywordKind = iota
	// KeywordStop: send me no more.
	KeywordStop
	// KeywordStart: send me messages again.
	KeywordStart
	// KeywordHelp: who are you?
	KeywordHelp
)

func (k KeywordKind) String() string {
	switch k {
	case KeywordNone:
		return "none"
	case KeywordStop:
		return "stop"
	case KeywordStart:
		return "start"
	case KeywordHelp:
		return "help"
	default:
		return "invalid"
	}
}

// Bounds of a message that may be a keyword, in bytes: as a whole, and what is
// left of it without blanks and punctuation.
const (
	maxKeywordText = 160
	maxKeyword     = 16
)

// Keyword tells whether a message from a phone is a keyword. It has to be the
// whole message, but case, accents, blanks, punctuation and symbols do not
// matter: "Stop!", "opt-out" and "STOP ALL" count, "please stop" does not, since
// carriers do not count it either and what else it says is for a person to read.
func Keyword(text Text) KeywordKind {
	if len(text) > maxKeywordText {
		return KeywordNone
	}
	var space [maxKeyword]byte
	word := space[:0]
	for _, r := range norm.NFKD.String(string(text)) {
		switch {
		case unicode.IsMark(r):
			continue // an accent, now apart from its letter
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			continue
		case r >= unicode.MaxASCII, len(word) == maxKeyword:
			return KeywordNone
		}
		word = append(word, byte(unicode.ToUpper(r)))
	}
	return keywords[string(word)]
}

// keywords are those that the FCC names (47 CFR 64.1200(a)(10)), those that
// CTIA's Messaging Principles and the carriers add, and French and Spanish ones
// that mean nothing else. Opting in is for words that nobody sends
// by accident; YES is one of them at every large carrier.
var keywords = map[string]KeywordKind{
	"STOP":        KeywordStop,
	"STOPALL":     KeywordStop,
	"UNSUBSCRIBE": KeywordStop,
	"CANCEL":      KeywordStop,
	"END":         KeywordStop,
	"QUIT":        KeywordStop,
	"OPTOUT":      KeywordStop,
	"REVOKE":      KeywordStop,
	"ALTO":        KeywordStop, // Spanish
	"PARAR":       KeywordStop,
	"CANCELAR":    KeywordStop,
	"ARRET":       KeywordStop, // French, as Canadian carriers want it
	"START":       KeywordStart,
	"UNSTOP":      KeywordStart,
	"YES":         KeywordStart,
	"HELP":        KeywordHelp,
	"INFO":        KeywordHelp,
	"AYUDA":       KeywordHelp,
	"AIDE":        KeywordHelp,
}

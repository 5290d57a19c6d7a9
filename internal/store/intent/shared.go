package intent

import (
	"codeword/internal/fault"
	"codeword/internal/store"
)

// MaxDocument bounds the body of a document.
const MaxDocument = 8 << 20

// CheckDocument refuses, with fault.Internal, what no engine keeps: a document
// without a name, or one that is too large.
func CheckDocument(d *store.Document) error {
	switch {
	case d.Name == "":
		return fault.New(fault.Internal, "a document needs a name")
	case len(d.Body) > MaxDocument:
		return fault.New(fault.Internal, "the document is too large")
	}
	return nil
}

// Overtaken refuses a document whose revision does not follow the stored one.
func Overtaken() error {
	return fault.New(fault.Conflict, "the document was changed by somebody else")
}

// KindRange tells whether the kind of an EventQuery stands for several, and then
// where they begin and what comes after them, byte by byte.
func KindRange(kind string) (from, end string, several bool) {
	const dot, afterDot = '.', '.' + 1
	last := len(kind) - 1
	if last < 0 || kind[last] != dot {
		return "", "", false
	}
	return kind, kind[:last] + string(rune(afterDot)), true
}

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

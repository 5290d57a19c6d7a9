package console

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"codeword/api"
)

// maxBody bounds forms and documents: ten thousand safe numbers fit.
const maxBody = 1 << 20

// readForm reads a form, or answers that it cannot be read.
func (c *Console) readForm(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	err := r.ParseForm()
	if err == nil {
		return true
	}
	status := http.StatusBadRequest
	if large := new(http.MaxBytesError); errors.As(err, &large) {
		status = http.StatusRequestEntityTooLarge
	}
	c.problem(w, r, status, "", "Form", "The form cannot be read.")
	return false
}

// readJSON reads a document of known members, each there once, or answers that it cannot
// be read. A body without anything in it is an empty object.
func (c *Console) readJSON(w http.ResponseWriter, r *http.Request, into any) bool {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if large := new(http.MaxBytesError); errors.As(err, &large) {
		c.refuse(w, http.StatusRequestEntityTooLarge, codeInvalidParameter, "The body is too large.")
		return false
	}
	if len(body) == 0 && err == nil {
		return true
	}
	// Kind refuses null, which would be taken for an empty object.
	if err != nil || jsontext.Value(body).Kind() != '{' || json.Unmarshal(body, into, json.RejectUnknownMembers(true)) != nil {
		c.refuse(w, http.StatusBadRequest, codeInvalidParameter, "The body is not the JSON object that is wanted here.")
		return false
	}
	return true
}

// methods picks the handler of a method. GET includes HEAD, if that is wanted.
func (c *Console) methods(by handlers, head bool) http.Handler {
	if get, ok := by[http.MethodGet]; ok && head {
		by[http.MethodHead] = get
	}
	allow := strings.Join(slices.Sorted(maps.Keys(by)), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, ok := by[r.Method]
		if !ok {
			c.methodNotAllowed(w, r, allow)
			return
		}
		h(w, r)
	})
}

// Codes of what operators change.
const (
	codeNotFoundHold   api.Code = "NOT_FOUND_HOLD"
	codeNotFoundClient api.Code = "NOT_FOUND_CLIENT"
	codeConflict       api.Code = "CONFLICT"
)

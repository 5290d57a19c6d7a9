package tenant

import (
	"cmp"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// settingNames are the JSON names of all settings.
func settingNames() map[string]bool {
	known := map[string]bool{formerRoute: true}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Settings]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		known[name] = true
	}
	return known
}

// wrongSettings names the settings that an error of ParseSettings is about. The error
// itself quotes what they hold, whole phone numbers among it, which no log may have.
// What is wrong with the whole is named settings.
func wrongSettings(err error) []string {
	known := settingNames()
	var out []string
	for _, err := range parts(err) {
		name := wrongSetting(err)
		later := errors.Is(err, json.ErrUnknownName) && onlyLetters(name) // or misspelled
		if !known[name] && !later {
			name = "settings"
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// parts takes apart what was joined.
func parts(err error) (out []error) {
	joined, ok := err.(interface{ Unwrap() []error }) // itself, not what it wraps: that has no name
	if !ok {
		return []error{err}
	}
	for _, part := range joined.Unwrap() {
		out = append(out, parts(part)...)
	}
	return out
}

// wrongSetting is where in the document something is wrong, or the name with which the
// error begins.
func wrongSetting(err error) string {
	var at jsontext.Pointer
	if semantic := new(json.SemanticError); errors.As(err, &semantic) {
		at = semantic.JSONPointer
	}
	if syntactic := new(jsontext.SyntacticError); errors.As(err, &syntactic) {
		at = cmp.Or(at, syntactic.JSONPointer)
	}
	for name := range at.Tokens() {
		return name
	}
	text := err.Error()
	return text[:len(text)-len(strings.TrimLeft(text, letters))]
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// onlyLetters tells that a name is one of a setting by its form, and no value.
func onlyLetters(name string) bool {
	const longest = 64
	return len(name) <= longest && strings.Trim(name, letters) == ""
}

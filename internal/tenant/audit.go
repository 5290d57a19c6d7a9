package tenant

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"codeword/internal/store"
)

// The kinds of entries about clients. What their Data holds stands in
// docs/operations.md.
const (
	EventCreate       = "client.create"
	EventUpdate       = "client.update"
	EventDisable      = "client.disable"
	EventEnable       = "client.enable"
	EventSecretStart  = "client.secret.start"
	EventSecretFinish = "client.secret.finish"
	EventSecretCancel = "client.secret.cancel"
)

type createData struct {
	Name      string         `json:"name"`
	Env       string         `json:"env"`
	SecretIDs []string       `json:"secretIds"`
	Changes   map[string]any `json:"changes,omitempty"`
}

type updateData struct {
	// Changes are deltas, or a listDelta, by the name of the setting.
	Changes map[string]any `json:"changes"`
}

type secretData struct {
	SecretID string `json:"secretId"`
}

// delta is a value before and after a change; nil: not set.
type delta struct {
	From any `json:"from"`
	To   any `json:"to"`
}

// listDelta tells a change of a long list: how many there were and are, and which
// came and went, up to maxShown.
type listDelta struct {
	From    int      `json:"from"`
	To      int      `json:"to"`
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
	// NotShown is how many more came and went.
	NotShown int `json:"notShown,omitempty"`
}

const (
	// maxShown is how many elements of a long list an entry names.
	maxShown = 20
	// maxValue is how long a value in an entry may be, in bytes of JSON.
	maxValue = 4096
)

// longDigest stands for a value that is longer than maxValue.
type longDigest struct {
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

func secretIDs(secrets []store.Secret) []string {
	out := make([]string, len(secrets))
	for i, s := range secrets {
		out[i] = s.ID
	}
	return out
}

// settingChanges tells which stored settings differ, with the values that held before
// and hold now, defaults among them. So a value that is as it was is one that was set,
// or left, to its default. Settings hold no secrets, but whole phone numbers, of which
// the last four digits are told.
func settingChanges(before, after []byte) (map[string]any, error) {
	out := make(map[string]any)
	if bytes.Equal(before, after) {
		return out, nil
	}
	was, held, err := readSettings(before)
	if err != nil {
		return nil, err
	}
	is, holds, err := readSettings(after)
	if err != nil {
		return nil, err
	}
	for name := range joined(was, is) {
		if reflect.DeepEqual(was[name], is[name]) {
			continue
		}
		from, to := pick(name, held, was), pick(name, holds, is)
		if name == safeNumbersName {
			out[name] = numbersDelta(from, to)
			continue
		}
		d := delta{}
		if d.From, err = bounded(from); err != nil {
			return nil, err
		}
		if d.To, err = bounded(to); err != nil {
			return nil, err
		}
		out[name] = d
	}
	return out, nil
}

// safeNumbersName is the JSON name of Settings.SafeNumbers.
const safeNumbersName = "safeNumbers"

// readSettings returns what is stored, and what holds with the defaults; the latter is
// nil for settings that this version cannot read.
func readSettings(raw []byte) (stored, holds map[string]any, err error) {
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &stored); err != nil {
			return nil, nil, fmt.Errorf("stored settings: %w", err)
		}
	}
	s, err := ParseSettings(raw)
	if err != nil {
		return stored, nil, nil //nolint:nilerr // an operator must be able to mend them
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, nil, fmt.Errorf("settings: %w", err)
	}
	return stored, holds, json.Unmarshal(text, &holds)
}

func joined(a, b map[string]any) map[string]bool {
	names := make(map[string]bool, len(a)+len(b))
	for name := range a {
		names[name] = true
	}
	for name := range b {
		names[name] = true
	}
	return names
}

// pick is the value that holds, or if that is not known the stored one.
func pick(name string, holds, stored map[string]any) any {
	if v, ok := holds[name]; ok {
		return v
	}
	return stored[name]
}

// bounded keeps an entry small, whatever somebody put into a setting.
func bounded(v any) (any, error) {
	text, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	if len(text) <= maxValue {
		return v, nil
	}
	sum := sha256.Sum256(text)
	return longDigest{Bytes: len(text), SHA256: hex.EncodeToString(sum[:])}, nil
}

// numbersDelta tells how a list of numbers and blocks changed.
func numbersDelta(from, to any) listDelta {
	before, after := texts(from), texts(to)
	d := listDelta{From: len(before), To: len(after)}
	d.Added, d.NotShown = missing(after, before)
	removed, more := missing(before, after)
	d.Removed, d.NotShown = removed, d.NotShown+more
	return d
}

// texts reads a list that came from JSON.
func texts(v any) []string {
	list, _ := v.([]any)
	out := make([]string, 0, len(list))
	for _, e := range list {
		text, _ := e.(string)
		out = append(out, text)
	}
	return out
}

// missing lists those of a that are not in b, masked, and counts those beyond maxShown.
func missing(a, b []string) (shown []string, more int) {
	has := make(map[string]bool, len(b))
	for _, t := range b {
		has[t] = true
	}
	for _, t := range a {
		switch {
		case has[t]:
		case len(shown) == maxShown:
			more++
		default:
			shown = append(shown, masked(t))
		}
	}
	slices.Sort(shown)
	return shown, more
}

// masked leaves the last four digits of a whole number, and blocks as they are.
func masked(number string) string {
	const block = len("+1") + 7
	if len(number) <= block {
		return number
	}
	return strings.ToValidUTF8("…"+number[len(number)-4:], "")
}

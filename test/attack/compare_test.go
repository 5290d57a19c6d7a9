package attack_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	createTime = regexp.MustCompile(`"createTime":"[^"]*"`)
	retryable  = regexp.MustCompile(`"retryable":(true|false)`)
)

// shape is an answer without what differs by right: the time and the request.
func shape(a answer) string {
	var b strings.Builder
	fmt.Fprintln(&b, a.status)
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		value := strings.Join(a.header[name], ", ")
		if name == "Date" || name == "Request-Id" {
			value = fmt.Sprintf("(%d bytes)", len(value))
		}
		fmt.Fprintf(&b, "%s: %s\n", name, value)
	}
	b.Write(createTime.ReplaceAll(a.body, []byte(`"createTime":"…"`)))
	return b.String()
}

// comparable401 is the shape without data.retryable, whose two values differ in
// length, too.
func comparable401(a answer) string {
	text := retryable.ReplaceAllString(shape(a), `"retryable":…`)
	return regexp.MustCompile(`Content-Length: \d+`).ReplaceAllString(text, "Content-Length: …")
}

func unbase64(t *testing.T, s string) []byte {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

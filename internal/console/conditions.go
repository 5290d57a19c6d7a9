package console

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"codeword/api"
	"codeword/internal/console/login"
	"codeword/internal/store"
	"codeword/internal/webhook"
)

// Conditional requests (RFC 9110 section 13) of the admin API.

// codePrecondition: If-Match names no tag that the client, or the endpoint, has now.
const codePrecondition api.Code = "PRECONDITION_FAILED"

// revisionTag is the entity tag of what has revisions: the revision, a dot, and a digest of
// what changes without one.
func revisionTag(revision int64, beside ...any) string {
	h := sha256.New()
	for _, b := range beside {
		_ = binary.Write(h, binary.BigEndian, b) // a hash takes all
	}
	return `"` + strconv.FormatInt(revision, 10) + "." + hex.EncodeToString(h.Sum(nil)[:6]) + `"`
}

// clientTag is the entity tag of a client. Beside its revision there is when its secrets
// were used, and what who asks may see.
func clientTag(r *http.Request, row *store.Client) string {
	beside := []any{may(r, login.Admin)}
	for _, s := range row.Secrets {
		beside = append(beside, s.LastUsedAt.UnixMilli())
	}
	return revisionTag(row.Revision, beside...)
}

// webhookTag is the entity tag of an endpoint, whose URL not all may see.
func webhookTag(r *http.Request, e *webhook.Endpoint) string {
	return revisionTag(e.Revision, may(r, login.Admin))
}

// tagRevision is the revision in an entity tag: "7.0a1b…", or "7" alone. What follows the
// dot is not compared: nobody who changes a client overwrites the use of a secret.
func tagRevision(tag string) (int64, bool) {
	text, ok := strings.CutPrefix(tag, `"`)
	text, closed := strings.CutSuffix(text, `"`)
	text, _, _ = strings.Cut(text, ".")
	n, err := strconv.ParseInt(text, 10, 64)
	return n, ok && closed && err == nil && n > 0 && text == strconv.FormatInt(n, 10)
}

// maxTags bounds what is read of a list of tags.
const maxTags = 32

// readTags reads the values of If-Match or If-None-Match. All stands for "*". It refuses
// what is no list of entity tags (section 8.8.3).
func readTags(values []string) (tags []string, all, ok bool) {
	text := strings.Trim(strings.Join(values, ","), " \t")
	if text == "*" {
		return nil, true, true
	}
	for text != "" {
		rest, weak := strings.CutPrefix(text, "W/")
		if !strings.HasPrefix(rest, `"`) || len(tags) == maxTags {
			return nil, false, false
		}
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 {
			return nil, false, false
		}
		tag := rest[:end+2]
		if strings.ContainsFunc(tag, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return nil, false, false
		}
		if weak {
			tag = "W/" + tag
		}
		tags = append(tags, tag)
		rest = strings.TrimLeft(rest[end+2:], " \t")
		if rest != "" && rest[0] != ',' {
			return nil, false, false
		}
		text = strings.TrimLeft(rest, ", \t")
	}
	return tags, false, len(tags) > 0
}

// unmodified tells whether If-None-Match names the tag, by the weak comparison. What
// cannot be read names none: the answer is then given in full.
func unmodified(r *http.Request, tag string) bool {
	values := r.Header.Values("If-None-Match")
	if len(values) == 0 {
		return false
	}
	tags, all, ok := readTags(values)
	for _, t := range tags {
		all = all || strings.TrimPrefix(t, "W/") == strings.TrimPrefix(tag, "W/")
	}
	return ok && all
}

// condition tells which revision a change is for: the one that there is now when If-Match
// names it, else the one of the body. With ok false the answer was given, unless now
// failed: then its error is returned.
func (c *Console) condition(w http.ResponseWriter, r *http.Request, body int64, now func() (int64, error)) (revision int64, ok bool, err error) {
	values := r.Header.Values("If-Match")
	if len(values) == 0 {
		return body, true, nil
	}
	tags, all, ok := readTags(values)
	if !ok {
		c.refuse(w, http.StatusBadRequest, codeInvalidParameter, "If-Match is neither * nor a list of entity tags.")
		return 0, false, nil
	}
	held, err := now()
	if err != nil {
		return 0, false, err
	}
	for _, tag := range tags {
		seen, strong := tagRevision(tag)
		all = all || strong && seen == held
	}
	switch {
	case !all:
		c.refuseCondition(w)
		return 0, false, nil
	case body != 0:
		return body, true, nil // with another one it is a conflict, by the body
	default:
		return held, true, nil
	}
}

// unchanged answers GET of what has that tag with 304 if that is what the caller has.
func unchanged(w http.ResponseWriter, r *http.Request, tag string) bool {
	w.Header().Set("ETag", tag)
	if unmodified(r, tag) {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	return false
}

func (c *Console) refuseCondition(w http.ResponseWriter) {
	c.refuse(w, http.StatusPreconditionFailed, codePrecondition, "It has another entity tag by now: nothing was changed.")
}

// answerList answers GET with a document, or with 304 when the caller has it. The tag is
// weak, since a digest of what one moment shows is all there is of a list.
func (c *Console) answerList(w http.ResponseWriter, r *http.Request, document any) {
	b, err := json.Marshal(document)
	if err != nil {
		panic(fmt.Errorf("console: encode %T: %w", document, err))
	}
	c.answerTagged(w, r, api.ContentTypeJSON, b)
}

func (*Console) answerTagged(w http.ResponseWriter, r *http.Request, contentType string, body []byte) {
	sum := sha256.Sum256(body)
	tag := `W/"` + hex.EncodeToString(sum[:12]) + `"`
	if unchanged(w, r, tag) {
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // a failed write means that the caller is gone
}

package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"codeword/api"
	"codeword/internal/fault"
)

// Codes that only the admin listener knows.
const (
	codeCrossOrigin      api.Code = "CROSS_ORIGIN_REQUEST"
	codeInvalidParameter api.Code = "INVALID_PARAMETER"
	codeNotFoundMessage  api.Code = "NOT_FOUND_MESSAGE"
	codeNotFoundPhone    api.Code = "NOT_FOUND_PHONE"
)

func writeJSON(w http.ResponseWriter, status int, document any) {
	b, err := json.Marshal(document)
	if err != nil {
		panic(fmt.Errorf("console: encode %T: %w", document, err))
	}
	w.Header().Set("Content-Type", api.ContentTypeJSON)
	w.WriteHeader(status)
	_, _ = w.Write(b) // a failed write means that the caller is gone
}

// refuse answers with an error of the public API's shape.
func (c *Console) refuse(w http.ResponseWriter, status int, code api.Code, message string) {
	writeJSON(w, status, api.Error{Message: message, CreateTime: api.NewTime(c.cfg.Now()), Code: code})
}

func (c *Console) refuseCode(w http.ResponseWriter, status int, code api.Code) {
	c.refuse(w, status, code, code.Message())
}

// refuseFailed logs what could not be done and answers so.
func (c *Console) refuseFailed(w http.ResponseWriter, r *http.Request, what string, err error) {
	status, code := c.failed(r, what, err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	c.refuseCode(w, status, code)
}

// failed logs what could not be done and says how to tell it.
func (c *Console) failed(r *http.Request, what string, err error) (int, api.Code) {
	switch {
	case fault.Is(err, fault.InvalidPhone), fault.Is(err, fault.InvalidPhoneCountry):
		return http.StatusBadRequest, api.CodeInvalidPhone
	case fault.Is(err, fault.Unavailable):
		c.cfg.Log.WarnContext(r.Context(), "not available", "what", what, "error", err)
		return http.StatusServiceUnavailable, api.CodeUnavailable
	default:
		c.cfg.Log.ErrorContext(r.Context(), "failed", "what", what, "error", err)
		return http.StatusInternalServerError, api.CodeInternal
	}
}

func (c *Console) notFound(w http.ResponseWriter, r *http.Request) {
	if wantsPage(r) {
		c.nowhere(w, http.StatusNotFound, "Not found", "There is no page at this address.")
		return
	}
	c.refuseCode(w, http.StatusNotFound, api.CodeNotFoundEndpoint)
}

func (c *Console) methodNotAllowed(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	if wantsPage(r) {
		c.nowhere(w, http.StatusMethodNotAllowed, "Nothing to show", "This address belongs to a form of another page.")
		return
	}
	c.refuseCode(w, http.StatusMethodNotAllowed, api.CodeMethodNotAllowed)
}

// wantsPage tells a browser that shows what it gets from a program; below apiPrefix are
// programs alone.
func wantsPage(r *http.Request) bool {
	return !strings.HasPrefix(r.URL.Path, apiPrefix) && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// nowhere answers with a page that is the same for everybody, logged in or not.
func (c *Console) nowhere(w http.ResponseWriter, status int, title, text string) {
	c.render(w, status, "nowhere.html", struct{ Title, Text string }{title, text})
}

// recorder remembers the status for the log.
type recorder struct {
	http.ResponseWriter

	status int
}

// WriteHeader implements [http.ResponseWriter].
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap serves [http.ResponseController], by which profiles extend their
// deadline.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// observed gives each request an id, the headers that all answers have, a log
// line, and an answer if its handler panics. The query is not logged: it holds
// phone numbers.
func (c *Console) observed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start, id := c.cfg.Now(), uuid.Must(uuid.NewV7()).String()
		h := w.Header()
		h.Set(api.HeaderRequestID, id)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		rec := &recorder{ResponseWriter: w}
		defer func() {
			p := recover()
			if p != nil && rec.status == 0 {
				c.refuseCode(rec, http.StatusInternalServerError, api.CodeInternal)
			}
			c.log(r, rec.status, id, start, p)
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(http.ErrAbortHandler)
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

func (c *Console) log(r *http.Request, status int, id string, start time.Time, p any) {
	level, attrs := slog.LevelInfo, []slog.Attr{
		slog.String("route", r.Pattern),
		slog.Int("status", status),
		slog.Int64("duration_us", c.cfg.Now().Sub(start).Microseconds()),
		slog.String("request_id", id),
	}
	if r.Pattern == "/healthz" || r.Pattern == "/metrics" {
		level = slog.LevelDebug
	}
	if p != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.String("panic", fmt.Sprintf("%v\n%s", p, debug.Stack())))
	}
	c.cfg.Log.LogAttrs(r.Context(), level, "admin request", attrs...)
}

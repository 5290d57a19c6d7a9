package console

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"codeword/api"
	"codeword/internal/fault"
)

// TestSends hands a text without a code to the carrier of one route. It costs what a
// message costs.
type TestSends interface {
	// TestSend sends to a number in E.164 and returns what became of it, also when the
	// carrier did not take it. It refuses with ErrNoRoute, fault.InvalidPhone,
	// InvalidPhoneCountry, InvalidPhoneType, OptedOut, and LimitClient. Who asked is
	// recorded, and nothing sent when that fails.
	TestSend(ctx context.Context, actor, route, to string) (TestOutcome, error)
}

// ErrNoRoute means that there is no route of that name.
var ErrNoRoute = errors.New("there is no such route")

// TestOutcome is what became of a test send.
type TestOutcome struct {
	Route string `json:"route"`
	// PhoneMask is the last four digits.
	PhoneMask string `json:"phoneMask"`
	// Status is sent, delivered, failed, or unknown: nobody knows whether it left.
	Status string `json:"status"`
	// Class and Reason say why it was not taken; empty when it was.
	Class      string `json:"class,omitempty"`
	Reason     string `json:"reason,omitempty"`
	CarrierRef string `json:"carrierRef,omitempty"`
	// Time is when it was handed over, DurationMillis how long the answer took.
	Time           api.Time `json:"time"`
	DurationMillis int64    `json:"durationMillis"`
}

// Codes of test sends.
const (
	codeNotFoundRoute api.Code = "NOT_FOUND_ROUTE"
	codeTestSends     api.Code = "EXCEEDS_LIMIT_TEST_SEND"
)

// testSendJSON is POST /admin/v1/routes/{name}/test-send with {"to": "+1…"}.
func (c *Console) testSendJSON(w http.ResponseWriter, r *http.Request) {
	var in struct {
		To string `json:"to"`
	}
	if !c.readJSON(w, r, &in) {
		return
	}
	out, err := c.cfg.TestSends.TestSend(r.Context(), actor(r.Context()), r.PathValue("name"), in.To)
	if err != nil {
		status, code, text := c.testRefusal(w, r, err)
		var data *api.ErrorData
		if status == http.StatusTooManyRequests {
			data = &api.ErrorData{Limit: "test_send"}
		}
		writeJSON(w, status, api.Error{Message: text, CreateTime: api.NewTime(c.cfg.Now()), Code: code, Data: data})
		return
	}
	writeJSON(w, http.StatusOK, out)
}

// testRefusal says why a test was not sent, and when it may be.
func (c *Console) testRefusal(w http.ResponseWriter, r *http.Request, err error) (int, api.Code, string) {
	var f *fault.Error
	switch {
	case errors.Is(err, ErrNoRoute):
		return http.StatusNotFound, codeNotFoundRoute, "There is no such route."
	case fault.Is(err, fault.InvalidPhone):
		return http.StatusBadRequest, api.CodeInvalidPhone, "That is not a phone number in E.164 form, such as +16502180000."
	case fault.Is(err, fault.InvalidPhoneCountry):
		return http.StatusBadRequest, api.CodeInvalidPhoneCountryCode, "The number is not of the United States."
	case fault.Is(err, fault.InvalidPhoneType):
		return http.StatusBadRequest, api.CodeInvalidPhoneType, "The number is not a mobile number."
	case fault.Is(err, fault.OptedOut):
		return http.StatusBadRequest, api.CodePhoneOptedOut, "The phone replied STOP."
	case fault.Is(err, fault.LimitClient) && errors.As(err, &f):
		w.Header().Set("Retry-After", strconv.Itoa(int(max(f.RetryAfter, time.Second)/time.Second)))
		return http.StatusTooManyRequests, codeTestSends, "Enough test messages were sent within an hour."
	}
	status, code := c.failed(r, "test send", err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	return status, code, code.Message()
}

// testSendForm is POST /routes/{name}/test-send.
func (c *Console) testSendForm(w http.ResponseWriter, r *http.Request) {
	if !c.readForm(w, r) {
		return
	}
	v, status := c.routesView(r), http.StatusOK
	out, err := c.cfg.TestSends.TestSend(r.Context(), actor(r.Context()), r.PathValue("name"), r.PostFormValue("to"))
	if err != nil {
		status, _, v.Error = c.testRefusal(w, r, err)
	} else {
		v.Outcome = &out
	}
	c.render(w, status, "routes.html", v)
}

// handleTestSends registers the test sends.
func (c *Console) handleTestSends(mux *http.ServeMux) {
	if c.cfg.TestSends == nil || c.cfg.Routes == nil {
		return
	}
	c.pageAt(mux, "/routes/{name}/test-send", nil, c.testSendForm)
	c.jsonAt(mux, "/admin/v1/routes/{name}/test-send", nil, c.testSendJSON)
}

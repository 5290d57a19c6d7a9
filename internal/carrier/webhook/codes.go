package webhook

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"

	"codeword/internal/carrier"
	"codeword/internal/carrier/rest"
)

// reasons are those that the other side may give, in an answer or a receipt.
// They mean what the shared reasons of package carrier mean.
var reasons = map[string]bool{
	carrier.ReasonOptedOut:      true,
	carrier.ReasonInvalidNumber: true,
	carrier.ReasonLandline:      true,
	carrier.ReasonRejected:      true,
	carrier.ReasonExpired:       true,
	carrier.ReasonFiltered:      true,
	carrier.ReasonUnreachable:   true,
	carrier.ReasonUnavailable:   true,
	carrier.ReasonThrottled:     true,
	carrier.ReasonUnregistered:  true,
	carrier.ReasonMisconfigured: true,
	carrier.ReasonFunds:         true,
}

// maxRef bounds an id of the receiver's, in bytes.
const maxRef = 128

// taken is the body of a 2xx, refused that of a 4xx.
type (
	taken struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	}
	refused struct {
		Error string `json:"error"`
	}
)

// judge tells what an answer means, as the package comment lays down.
func (c *Carrier) judge(a *rest.Answer) (carrier.Receipt, error) {
	switch {
	case a.OK():
		return accepted(a.Body)
	case a.Status >= 400 && a.Status < 500:
		return carrier.Receipt{}, c.refusal(a)
	default:
		return carrier.Receipt{}, a.Failure(c.cfg.Now(), nil)
	}
}

func accepted(body []byte) (carrier.Receipt, error) {
	var t taken
	if body = bytes.TrimSpace(body); len(body) > 0 {
		if err := json.Unmarshal(body, &t); err != nil || body[0] == 'n' { // null decodes as nothing
			return carrier.Receipt{}, carrier.NewError(carrier.ReasonGarbage, errors.New("the body of a 2xx is no JSON object of the protocol"))
		}
	}
	switch {
	case len(t.ID) > maxRef:
		return carrier.Receipt{}, carrier.NewError(carrier.ReasonGarbage, errors.New("the id is too long"))
	case t.Status == "delivered":
		return carrier.Receipt{Ref: t.ID, Delivered: true}, nil
	case t.Status == "" || t.Status == "accepted":
		return carrier.Receipt{Ref: t.ID}, nil
	default:
		return carrier.Receipt{}, carrier.NewError(carrier.ReasonGarbage, errors.New("a 2xx with an unknown status"))
	}
}

func (c *Carrier) refusal(a *rest.Answer) error {
	cause := fmt.Errorf("HTTP status %d", a.Status)
	var r refused
	if err := json.Unmarshal(a.Body, &r); err != nil || !reasons[r.Error] {
		switch a.Status {
		case http.StatusRequestTimeout, http.StatusTooManyRequests:
			r.Error = carrier.ReasonThrottled
		case http.StatusUnprocessableEntity:
			r.Error = carrier.ReasonRejected
		default:
			r.Error = carrier.ReasonMisconfigured
		}
	}
	if r.Error == carrier.ReasonThrottled {
		return a.Throttled(c.cfg.Now(), cause)
	}
	return carrier.NewError(r.Error, cause)
}

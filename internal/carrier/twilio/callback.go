package twilio

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"codeword/internal/carrier"
	"codeword/internal/carrier/rest"
	"codeword/internal/message"
	"codeword/internal/phone"
)

// statuses are those of a status callback that say something new; the others
// (read, scheduled and the like) are left out.
var statuses = map[string]carrier.ReceiptStatus{
	"accepted":    carrier.ReceiptAccepted,
	"queued":      carrier.ReceiptAccepted,
	"sending":     carrier.ReceiptAccepted,
	"sent":        carrier.ReceiptAccepted,
	"delivered":   carrier.ReceiptDelivered,
	"undelivered": carrier.ReceiptFailed,
	"failed":      carrier.ReceiptFailed,
	"canceled":    carrier.ReceiptFailed,
}

// maxParams is far more than Twilio sends, media and add-ons included. Anybody
// may have us sort them before their signature is found wrong.
const maxParams = 1000

// ReadCallback implements carrier.Callback for status callbacks and for inbound
// messages. Twilio's requests bear no time, so there is no stale one: whoever
// takes the reports ignores repetitions.
func (c *Carrier) ReadCallback(r *http.Request, body []byte) (carrier.Reports, error) {
	params, err := c.verify(r, body)
	if err != nil {
		return carrier.Reports{}, err
	}
	if f := (fields{values: params}); f.one("AccountSid") != c.cfg.AccountSID {
		return carrier.Reports{}, fmt.Errorf("%w: of another account", carrier.ErrForged)
	}
	return read(params)
}

// verify returns the parameters of a request that Twilio has signed.
func (c *Carrier) verify(r *http.Request, body []byte) (url.Values, error) {
	signatures := r.Header.Values("X-Twilio-Signature")
	switch {
	case c.cfg.CallbackURL == "" || c.cfg.AuthToken == "":
		return nil, fmt.Errorf("%w: the route takes no callbacks", carrier.ErrForged)
	case len(signatures) != 1:
		return nil, fmt.Errorf("%w: no signature", carrier.ErrForged)
	case len(body) > rest.MaxAnswer:
		return nil, fmt.Errorf("%w: too long", carrier.ErrMalformed)
	}
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch mediaType {
	case "application/x-www-form-urlencoded":
		if bytes.Count(body, []byte("&")) >= maxParams {
			return nil, fmt.Errorf("%w: too many parameters", carrier.ErrForged)
		}
		params, err := url.ParseQuery(string(body))
		if err != nil || !signedBy(string(c.cfg.AuthToken), signatures[0], c.urls(r), params) {
			return nil, fmt.Errorf("%w: wrong signature", carrier.ErrForged)
		}
		return params, nil
	case "application/json":
		return c.verifyJSON(r, body, signatures[0])
	default:
		return nil, fmt.Errorf("%w: neither a form nor JSON", carrier.ErrForged)
	}
}

// verifyJSON: here the signature covers the URL alone, whose query has the hash
// of the body; so only the query that came with the request counts.
func (c *Carrier) verifyJSON(r *http.Request, body []byte, signature string) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	hashes := query["bodySHA256"]
	if err != nil || len(hashes) != 1 ||
		subtle.ConstantTimeCompare([]byte(hashes[0]), []byte(bodyHash(body))) != 1 ||
		!signedBy(string(c.cfg.AuthToken), signature, portVariants(c.requested(r)), nil) {
		return nil, fmt.Errorf("%w: wrong signature", carrier.ErrForged)
	}
	var object map[string]any
	if err := json.Unmarshal(body, &object); err != nil {
		return nil, fmt.Errorf("%w: not a JSON object", carrier.ErrMalformed)
	}
	params := make(url.Values, len(object))
	for name, value := range object {
		switch v := value.(type) {
		case string:
			params.Set(name, v)
		case float64:
			params.Set(name, strconv.FormatFloat(v, 'f', -1, 64))
		}
	}
	return params, nil
}

// urls are what Twilio may have called: the URL as configured (a proxy may have
// changed what arrives here), and the same with the query that came.
func (c *Carrier) urls(r *http.Request) []string {
	urls := portVariants(c.cfg.CallbackURL)
	if requested := c.requested(r); requested != c.cfg.CallbackURL {
		urls = append(urls, portVariants(requested)...)
	}
	return urls
}

// requested is the configured URL with the query that came.
func (c *Carrier) requested(r *http.Request) string {
	base, _, _ := strings.Cut(c.cfg.CallbackURL, "?")
	if r.URL.RawQuery == "" {
		return base
	}
	return base + "?" + r.URL.RawQuery
}

// fields reads parameters that must not come twice.
type fields struct {
	values url.Values
	twice  bool
}

// one returns a parameter, or "" if it is not there or there more than once.
func (f *fields) one(name string) string {
	switch values := f.values[name]; len(values) {
	case 0:
		return ""
	case 1:
		return values[0]
	default:
		f.twice = true
		return ""
	}
}

// read makes sense of signed parameters.
func read(params url.Values) (carrier.Reports, error) {
	f := fields{values: params}
	status, from, to, text := f.one("MessageStatus"), f.one("From"), f.one("To"), f.one("Body")
	keyword, sid, code := f.one("OptOutType"), f.one("MessageSid"), f.one("ErrorCode")
	_, hasBody := params["Body"]
	inbound := status == "" && (hasBody || f.one("SmsStatus") == "received")
	switch {
	case f.twice:
		return carrier.Reports{}, fmt.Errorf("%w: a parameter came twice", carrier.ErrMalformed)
	case inbound:
		return readInbound(from, to, text, keyword), nil
	case status == "" || !validSID(sid):
		return carrier.Reports{}, fmt.Errorf("%w: no status, or of no message", carrier.ErrMalformed)
	}
	receipt := carrier.DeliveryReceipt{Ref: sid, Status: statuses[status]}
	switch {
	case receipt.Status == 0:
		return carrier.Reports{}, nil
	case receipt.Status == carrier.ReceiptFailed && status == "canceled":
		receipt.Reason = carrier.ReasonCanceled
	case receipt.Status == carrier.ReceiptFailed:
		receipt.Reason = reasonOf(code)
	}
	return carrier.Reports{Receipts: []carrier.DeliveryReceipt{receipt}}, nil
}

// reasonOf is the reason of an ErrorCode, which may be missing.
func reasonOf(code string) string {
	n, err := strconv.Atoi(code)
	if err != nil {
		return carrier.ReasonCarrierError
	}
	if reason, ok := reasons[n]; ok {
		return reason
	}
	return ownReason(n)
}

// readInbound reads a message from a phone. A sender that is no phone of ours
// (a short code, another country) is left out. OptOutType is what Twilio's
// Advanced Opt-Out has made of the text, which may be a keyword that only
// Twilio's customer knows; it says so in the word that everybody knows.
func readInbound(from, to, text, keyword string) carrier.Reports {
	number, err := phone.Parse(from)
	if err != nil {
		return carrier.Reports{}
	}
	switch keyword {
	case "STOP", "START", "HELP":
		text = keyword
	}
	return carrier.Reports{Inbound: []carrier.Inbound{{From: number, To: to, Text: message.Text(text)}}}
}

package telnyx

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"codeword/internal/carrier"
	"codeword/internal/carrier/rest"
	"codeword/internal/message"
	"codeword/internal/phone"
)

// window is how far a report's time may be from ours, in both directions.
const window = 5 * time.Minute

// statuses are those of a message's recipient that say something new.
var statuses = map[string]carrier.ReceiptStatus{
	"queued":    carrier.ReceiptAccepted,
	"sending":   carrier.ReceiptAccepted,
	"sent":      carrier.ReceiptAccepted,
	"delivered": carrier.ReceiptDelivered,
	// The network gave no receipt and will not: as good as sent.
	"delivery_unconfirmed": carrier.ReceiptAccepted,
	"sending_failed":       carrier.ReceiptFailed,
	"delivery_failed":      carrier.ReceiptFailed,
	"expired":              carrier.ReceiptFailed,
	"cancelled":            carrier.ReceiptFailed, //nolint:misspell // Telnyx's word
}

// report is the part of a webhook that matters. See
// https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks.
type report struct {
	Data struct {
		EventType  string  `json:"event_type"`
		OccurredAt string  `json:"occurred_at"`
		Payload    payload `json:"payload"`
	} `json:"data"`
}

// payload is a message, ours or to us.
type payload struct {
	ID     string     `json:"id"`
	From   party      `json:"from"`
	To     []party    `json:"to"`
	Text   string     `json:"text"`
	Errors []apiError `json:"errors"`
}

// party is one end of a message.
type party struct {
	PhoneNumber string `json:"phone_number"`
	Status      string `json:"status"`
}

// ReadCallback implements carrier.Callback for message.sent, message.finalized
// and message.received; other events report nothing.
func (c *Carrier) ReadCallback(r *http.Request, body []byte) (carrier.Reports, error) {
	if err := c.verify(r.Header, body); err != nil {
		return carrier.Reports{}, err
	}
	var got report
	// A phone may send half a surrogate pair.
	if err := json.Unmarshal(body, &got, jsontext.AllowInvalidUTF8(true)); err != nil {
		return carrier.Reports{}, fmt.Errorf("%w: not an event in JSON", carrier.ErrMalformed)
	}
	switch p := got.Data.Payload; got.Data.EventType {
	case "message.sent", "message.finalized":
		return readReceipt(p, got.Data.OccurredAt)
	case "message.received":
		return readInbound(p, got.Data.OccurredAt)
	case "":
		return carrier.Reports{}, fmt.Errorf("%w: no event type", carrier.ErrMalformed)
	default:
		return carrier.Reports{}, nil
	}
}

// verify checks signature and time: ed25519 over the timestamp, "|", and the
// body as it came.
func (c *Carrier) verify(h http.Header, body []byte) error {
	signatures, stamps := h.Values("Telnyx-Signature-Ed25519"), h.Values("Telnyx-Timestamp")
	switch {
	case c.key == nil:
		return fmt.Errorf("%w: the route takes no callbacks", carrier.ErrForged)
	case len(signatures) != 1 || len(stamps) != 1 || len(stamps[0]) > 20:
		return fmt.Errorf("%w: no signature", carrier.ErrForged)
	case len(body) > rest.MaxAnswer:
		return fmt.Errorf("%w: too long", carrier.ErrMalformed)
	}
	signature, err := base64.StdEncoding.DecodeString(signatures[0])
	signed := append([]byte(stamps[0]+"|"), body...)
	if err != nil || !ed25519.Verify(c.key, signed, signature) {
		return fmt.Errorf("%w: wrong signature", carrier.ErrForged)
	}
	seconds, err := strconv.ParseInt(stamps[0], 10, 64)
	if err != nil {
		return fmt.Errorf("%w: no time", carrier.ErrMalformed)
	}
	if age := c.cfg.Now().Unix() - seconds; age > int64(window/time.Second) || age < -int64(window/time.Second) {
		return carrier.ErrStale
	}
	return nil
}

func readReceipt(p payload, occurred string) (carrier.Reports, error) {
	if !validID(p.ID) || len(p.To) != 1 || p.To[0].Status == "" {
		return carrier.Reports{}, fmt.Errorf("%w: no status, or of no message", carrier.ErrMalformed)
	}
	word := p.To[0].Status
	receipt := carrier.DeliveryReceipt{Ref: p.ID, Status: statuses[word]}
	if receipt.Status == 0 {
		return carrier.Reports{}, nil
	}
	if at, err := time.Parse(time.RFC3339, occurred); err == nil {
		receipt.At = at.UTC()
	}
	if receipt.Status == carrier.ReceiptFailed {
		receipt.Reason = reasonOf(word, p.Errors)
	}
	return carrier.Reports{Receipts: []carrier.DeliveryReceipt{receipt}}, nil
}

// reasonOf is why a message failed: what its errors say, or else the status.
func reasonOf(status string, errs []apiError) string {
	code := pick(errs)
	if reason, ok := reasons[code]; ok {
		return reason
	}
	switch {
	case code != 0:
		return ownReason(code)
	case status == "expired":
		return carrier.ReasonExpired
	default:
		return carrier.ReasonCarrierError
	}
}

// readInbound reads a message from a phone. A sender that is no phone of ours (a
// short code, another country) is left out.
func readInbound(p payload, occurred string) (carrier.Reports, error) {
	if len(p.To) == 0 {
		return carrier.Reports{}, fmt.Errorf("%w: to nobody", carrier.ErrMalformed)
	}
	number, err := phone.Parse(p.From.PhoneNumber)
	if err != nil {
		return carrier.Reports{}, nil //nolint:nilerr // nothing to report
	}
	at, _ := time.Parse(time.RFC3339, occurred) // none then
	return carrier.Reports{Inbound: []carrier.Inbound{
		{From: number, To: p.To[0].PhoneNumber, Text: message.Text(p.Text), At: at},
	}}, nil
}

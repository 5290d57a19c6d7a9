package aws

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"codeword/internal/carrier"
	"codeword/internal/message"
	"codeword/internal/phone"
)

// event is the Message of a notification: an SMS event (user guide, "Example
// event data"), or a message from a phone (user guide, "Example of a two-way SMS
// message payload").
type event struct {
	EventType string `json:"eventType"`
	// EventTimestamp is in milliseconds since 1970.
	EventTimestamp int64  `json:"eventTimestamp"`
	IsFinal        bool   `json:"isFinal"`
	MessageID      string `json:"messageId"`

	InboundMessageID  string `json:"inboundMessageId"`
	OriginationNumber string `json:"originationNumber"`
	DestinationNumber string `json:"destinationNumber"`
	MessageBody       string `json:"messageBody"`
}

// meaning of an event type.
type meaning struct {
	status carrier.ReceiptStatus
	reason string
}

// meanings are the event types of the user guide, "Event types for SMS, MMS, and
// voice". Others, such as those of voice calls, say nothing about our messages.
var meanings = map[string]meaning{
	"TEXT_QUEUED":              {carrier.ReceiptAccepted, ""},
	"TEXT_PENDING":             {carrier.ReceiptAccepted, ""},
	"TEXT_SENT":                {carrier.ReceiptAccepted, ""},
	"TEXT_SUCCESSFUL":          {carrier.ReceiptAccepted, ""}, // delivered if final: see receipt
	"TEXT_DELIVERED":           {carrier.ReceiptDelivered, ""},
	"TEXT_INVALID":             {carrier.ReceiptFailed, carrier.ReasonInvalidNumber},
	"TEXT_INVALID_MESSAGE":     {carrier.ReceiptFailed, carrier.ReasonRejected},
	"TEXT_UNREACHABLE":         {carrier.ReceiptFailed, carrier.ReasonUnreachable},
	"TEXT_CARRIER_UNREACHABLE": {carrier.ReceiptFailed, carrier.ReasonUnreachable},
	"TEXT_BLOCKED":             {carrier.ReceiptFailed, carrier.ReasonFiltered},
	"TEXT_CARRIER_BLOCKED":     {carrier.ReceiptFailed, carrier.ReasonFiltered},
	"TEXT_SPAM":                {carrier.ReceiptFailed, carrier.ReasonFiltered},
	"TEXT_PROTECT_BLOCKED":     {carrier.ReceiptFailed, carrier.ReasonMisconfigured}, // by the account's own rules
	"TEXT_TTL_EXPIRED":         {carrier.ReceiptFailed, carrier.ReasonExpired},
	"TEXT_UNKNOWN":             {carrier.ReceiptFailed, carrier.ReasonCarrierError},
}

// maxMillis is the end of the year 9999, in milliseconds since 1970.
const maxMillis = 253402300800000

// readMessage reads the Message of a notification that was verified, and was
// published at the time.
func readMessage(text, published string) (carrier.Reports, error) {
	var e event
	// A phone may send half a surrogate pair.
	if err := json.Unmarshal([]byte(text), &e, jsontext.AllowInvalidUTF8(true)); err != nil {
		return carrier.Reports{}, fmt.Errorf("%w: the message is not JSON", carrier.ErrMalformed)
	}
	switch {
	case e.EventType != "":
		return e.receipt()
	case e.InboundMessageID != "":
		return e.inbound(published)
	default:
		return carrier.Reports{}, fmt.Errorf("%w: neither an event nor a message from a phone", carrier.ErrMalformed)
	}
}

func (e *event) receipt() (carrier.Reports, error) {
	m, ok := meanings[e.EventType]
	if !ok {
		return carrier.Reports{}, nil
	}
	if e.MessageID == "" || len(e.MessageID) > maxRef {
		return carrier.Reports{}, fmt.Errorf("%w: an event without message id", carrier.ErrMalformed)
	}
	// Where the phone's carrier reports no more than that it took the message,
	// AWS calls that final, and uses TEXT_SUCCESSFUL and TEXT_DELIVERED
	// interchangeably.
	if e.EventType == "TEXT_SUCCESSFUL" && e.IsFinal {
		m.status = carrier.ReceiptDelivered
	}
	r := carrier.DeliveryReceipt{Ref: e.MessageID, Status: m.status, Reason: m.reason}
	if e.EventTimestamp > 0 && e.EventTimestamp < maxMillis {
		r.At = time.UnixMilli(e.EventTimestamp)
	}
	return carrier.Reports{Receipts: []carrier.DeliveryReceipt{r}}, nil
}

func (e *event) inbound(published string) (carrier.Reports, error) {
	from, err := phone.Parse(e.OriginationNumber)
	switch {
	case errors.Is(err, phone.ErrCountry):
		return carrier.Reports{}, nil // none that we ever wrote to
	case err != nil:
		return carrier.Reports{}, fmt.Errorf("%w: the sender is no phone number", carrier.ErrMalformed)
	}
	at, _ := time.Parse(time.RFC3339, published) // verify has parsed it
	return carrier.Reports{Inbound: []carrier.Inbound{{
		From: from, To: e.DestinationNumber, Text: message.Text(e.MessageBody), At: at,
	}}}, nil
}

package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"codeword/internal/carrier"
	"codeword/internal/message"
	"codeword/internal/phone"
)

// receipt is the data of "message.receipt".
type receipt struct {
	ID     string    `json:"id"`
	Status string    `json:"status"`
	Reason string    `json:"reason"`
	Time   time.Time `json:"time"`
}

// inbound is the data of "message.inbound".
type inbound struct {
	From string `json:"from"`
	To   string `json:"to"`
	Text string `json:"text"`
}

// ReadCallback implements [carrier.Callback].
func (c *Carrier) ReadCallback(r *http.Request, body []byte) (carrier.Reports, error) {
	if err := c.verifying.verify(r.Header, c.cfg.Now(), body); err != nil {
		return carrier.Reports{}, err
	}
	var d document[jsontext.Value]
	if err := decode(body, &d); err != nil {
		return carrier.Reports{}, err
	}
	switch d.Type {
	case typeReceipt:
		return readReceipt(d.Data)
	case typeInbound:
		return readInbound(d.Data)
	default:
		return carrier.Reports{}, fmt.Errorf("%w: unknown type", carrier.ErrMalformed)
	}
}

// decode reads strict JSON. Its error quotes nothing.
func decode(raw []byte, into any) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%w: not a JSON document of the protocol", carrier.ErrMalformed)
	}
	return nil
}

func readReceipt(data []byte) (carrier.Reports, error) {
	var r receipt
	if err := decode(data, &r); err != nil {
		return carrier.Reports{}, err
	}
	if r.ID == "" || len(r.ID) > maxRef {
		return carrier.Reports{}, fmt.Errorf("%w: no id, or one that is too long", carrier.ErrMalformed)
	}
	out := carrier.DeliveryReceipt{Ref: r.ID, At: r.Time}
	switch r.Status {
	case "accepted":
		out.Status = carrier.ReceiptAccepted
	case "delivered":
		out.Status = carrier.ReceiptDelivered
	case "failed":
		out.Status, out.Reason = carrier.ReceiptFailed, carrier.ReasonCarrierError
		if reasons[r.Reason] {
			out.Reason = r.Reason
		}
	default:
		return carrier.Reports{}, fmt.Errorf("%w: unknown status", carrier.ErrMalformed)
	}
	return carrier.Reports{Receipts: []carrier.DeliveryReceipt{out}}, nil
}

func readInbound(data []byte) (carrier.Reports, error) {
	var in inbound
	if err := decode(data, &in); err != nil {
		return carrier.Reports{}, err
	}
	from, err := phone.Parse(in.From)
	switch {
	case errors.Is(err, phone.ErrCountry):
		return carrier.Reports{}, nil // none that we ever wrote to
	case err != nil:
		return carrier.Reports{}, fmt.Errorf("%w: from is no phone number", carrier.ErrMalformed)
	}
	return carrier.Reports{Inbound: []carrier.Inbound{{From: from, To: in.To, Text: message.Text(in.Text)}}}, nil
}

package console

import (
	"context"
	"net/http"
	"time"

	"codeword/api"
	"codeword/internal/fault"
	"codeword/internal/store"
)

// Messages reads the message log.
type Messages interface {
	// List returns messages, newest first. It refuses a number that is none with
	// fault.InvalidPhone.
	List(ctx context.Context, q MessageQuery) (MessagePage, error)
	// Find returns one message with its history, or fault.NotFound.
	Find(ctx context.Context, id store.MessageID) (MessageDetail, error)
	// Reveal returns the whole number of a message in E.164, or fault.NotFound for
	// one that is not there or has no number any more. Who asked is recorded, and
	// nothing told when that fails.
	Reveal(ctx context.Context, actor string, id store.MessageID) (string, error)
}

// MessageQuery selects messages. Zero values select all.
type MessageQuery struct {
	// Client is the id of a client.
	Client string
	// To is a number in E.164, or the id of a phone as the client knows it.
	To     string
	Status store.MessageStatus
	Route  string
	// Since and Until bound the time of acceptance: from Since to before Until.
	Since, Until time.Time
	// Limit is how many at most; never zero.
	Limit int
	// Before continues after that message.
	Before store.MessageID
}

// MessagePage is one page of the log.
type MessagePage struct {
	Messages []MessageView
	// Next, when not zero, is the Before of the next page.
	Next store.MessageID
}

// MessageView is a message as operators see it: neither its text nor the whole
// number.
type MessageView struct {
	ID       string `json:"id"`
	ClientID string `json:"clientId"`
	// PhoneID is the id that the client knows.
	PhoneID string `json:"phoneId,omitempty"`
	// PhoneMask is the last four digits; empty when they are not known any more.
	PhoneMask string `json:"phoneMask,omitempty"`
	Status    string `json:"status"`
	Route     string `json:"route,omitempty"`
	// Error is a short stable reason.
	Error  string `json:"error,omitempty"`
	Locale string `json:"locale,omitempty"`
	// Claims is how often it was taken up to be sent.
	Claims     int      `json:"claims"`
	CreateTime api.Time `json:"createTime"`
	UpdateTime api.Time `json:"updateTime"`
	// ExpireTime is the end of the code.
	ExpireTime api.Time `json:"expireTime"`
	// VerifyTime is when the code was used; zero: not.
	VerifyTime api.Time `json:"verifyTime,omitzero"`
}

// MessageDetail is a message with its history, oldest first.
type MessageDetail struct {
	MessageView

	// Challenge is what is known of the code that it brought; nil where nobody asked.
	Challenge  *ChallengeView `json:"challenge,omitempty"`
	Dispatches []DispatchView `json:"dispatches"`
	Receipts   []ReceiptView  `json:"receipts"`
}

// The states of a challenge.
const (
	// ChallengeOpen: its code is accepted.
	ChallengeOpen = "open"
	// ChallengeUsed: the right code came back.
	ChallengeUsed = "used"
	// ChallengeExhausted: as many wrong codes came back as it takes.
	ChallengeExhausted = "exhausted"
	// ChallengeExpired: its time ran out.
	ChallengeExpired = "expired"
	// ChallengeUnknown: nothing is kept of it any more; another may have taken its place.
	ChallengeUnknown = "unknown"
	// ChallengeUnavailable: it cannot be read now.
	ChallengeUnavailable = "unavailable"
)

// ChallengeView is what is known of a challenge, the chance to enter a code.
type ChallengeView struct {
	State string `json:"state"`
	// Attempts is how many wrong codes came back; nil when that is not known any more.
	Attempts *int `json:"attempts,omitempty"`
	// MaxAttempts is how many its client allows now; 0 when its settings cannot be read.
	MaxAttempts int `json:"maxAttempts,omitempty"`
}

// DispatchView is one handing-over to a route.
type DispatchView struct {
	Time  api.Time `json:"time"`
	Route string   `json:"route"`
	// Decision tells why this route: what was made of each that was considered.
	Decision   []VerdictView `json:"decision"`
	Status     string        `json:"status"`
	CarrierRef string        `json:"carrierRef,omitempty"`
	Error      string        `json:"error,omitempty"`
	Segments   int           `json:"segments"`
	// PriceMicros is in millionths of a US dollar.
	PriceMicros int64 `json:"priceMicros"`
}

// VerdictView is what was made of a route.
type VerdictView struct {
	Route   string `json:"route"`
	Verdict string `json:"verdict"`
}

// ReceiptView is a delivery receipt.
type ReceiptView struct {
	Route      string `json:"route"`
	CarrierRef string `json:"carrierRef"`
	Status     string `json:"status"`
	Error      string `json:"error,omitempty"`
	// CarrierTime is the carrier's; zero when it told none.
	CarrierTime api.Time `json:"carrierTime,omitzero"`
	ReceiveTime api.Time `json:"receiveTime"`
}

// messagesDocument is the answer of GET /admin/v1/messages.
type messagesDocument struct {
	Messages   []MessageView `json:"messages"`
	NextCursor string        `json:"nextCursor,omitempty"`
}

// messagesJSON is GET /admin/v1/messages.
func (c *Console) messagesJSON(w http.ResponseWriter, r *http.Request) {
	q, wrong := parseMessageQuery(r, r.URL)
	if wrong != "" {
		c.refuse(w, http.StatusBadRequest, codeInvalidParameter, wrong)
		return
	}
	page, err := c.cfg.Messages.List(r.Context(), q)
	if err != nil {
		c.refuseFailed(w, r, "messages", err)
		return
	}
	doc := messagesDocument{Messages: page.Messages}
	if doc.Messages == nil {
		doc.Messages = []MessageView{}
	}
	if page.Next != (store.MessageID{}) {
		doc.NextCursor = cursorOf(messageList, page.Next)
	}
	c.answerList(w, r, doc)
}

// messageJSON is GET /admin/v1/messages/{id}.
func (c *Console) messageJSON(w http.ResponseWriter, r *http.Request) {
	id, ok := store.ParseMessageID(r.PathValue("id"))
	if !ok {
		c.refuse(w, http.StatusNotFound, codeNotFoundMessage, textNotFoundMessage)
		return
	}
	detail, err := c.cfg.Messages.Find(r.Context(), id)
	if fault.Is(err, fault.NotFound) {
		c.refuse(w, http.StatusNotFound, codeNotFoundMessage, textNotFoundMessage)
		return
	}
	if err != nil {
		c.refuseFailed(w, r, "message", err)
		return
	}
	if detail.Dispatches == nil {
		detail.Dispatches = []DispatchView{}
	}
	for i := range detail.Dispatches {
		if detail.Dispatches[i].Decision == nil {
			detail.Dispatches[i].Decision = []VerdictView{}
		}
	}
	if detail.Receipts == nil {
		detail.Receipts = []ReceiptView{}
	}
	c.answerList(w, r, detail)
}

const textNotFoundMessage = "There is no such message."

package console

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"codeword/api"
	"codeword/internal/fault"
	"codeword/internal/store"
)

// messagesView is the page of the message log.
type messagesView struct {
	frame

	Filter   url.Values
	Statuses []string
	Messages []MessageView
	// More is the path of the next page; empty for none.
	More string
}

// Given is a filter as it was given.
func (v messagesView) Given(name string) string { return v.Filter.Get(name) }

// Filtered tells whether any filter was given.
func (v messagesView) Filtered() bool {
	for name, values := range v.Filter {
		if name != "limit" && slices.ContainsFunc(values, func(s string) bool { return s != "" }) {
			return true
		}
	}
	return false
}

// messagesPage is GET /messages.
func (c *Console) messagesPage(w http.ResponseWriter, r *http.Request) {
	v, status := messagesView{frame: c.frame(r, sectionMessages, "Messages"), Filter: r.URL.Query()}, http.StatusOK
	c.know(r, &v.frame)
	v.Script = liveScript
	for s := store.MessageQueued; s <= store.MessageUnknown; s++ {
		v.Statuses = append(v.Statuses, s.String())
	}
	q, wrong := parseMessageQuery(r, asking(r.URL, zoned(v.Filter)))
	if wrong != "" {
		v.Error = wrong
		c.render(w, http.StatusBadRequest, "messages.html", v)
		return
	}
	page, err := c.cfg.Messages.List(r.Context(), q)
	if err != nil {
		var code api.Code
		status, code = c.failed(r, "messages", err)
		v.Error = code.Message()
		if code == api.CodeInvalidPhone {
			v.Error = "That is neither a phone number in E.164 form, such as +16502180000, nor the id of a phone."
		}
	}
	v.Messages = page.Messages
	if page.Next != (store.MessageID{}) {
		v.More = withParameter(sectionMessages, v.Filter, "cursor", cursorOf(messageList, page.Next))
	}
	c.render(w, status, "messages.html", v)
}

// zoned is the query with UTC where a form's field for times knows no zone.
func zoned(values url.Values) string {
	out := url.Values{}
	for name, given := range values {
		for _, value := range given {
			if name == "since" || name == "until" {
				for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
					if t, err := time.Parse(layout, value); err == nil {
						value = t.Format(time.RFC3339)
					}
				}
			}
			out.Add(name, value)
		}
	}
	return out.Encode()
}

// withParameter is a path with the filters and one parameter more, or another one.
func withParameter(path string, filters url.Values, name, value string) string {
	out := url.Values{}
	for n, given := range filters {
		if len(given) > 0 && given[0] != "" {
			out.Set(n, given[0])
		}
	}
	out.Set(name, value)
	return path + "?" + out.Encode()
}

// moment is something in the life of a message.
type moment struct {
	Time  api.Time
	Title string
	// After is how long after the acceptance it was, "" for the acceptance.
	After string
	// Text explains it, Trouble is what went wrong, and Facts what else is known.
	Text, Trouble string
	Facts         []fact
	Decision      []VerdictView
}

type fact struct{ Name, Text string }

// messageView is the page of one message.
type messageView struct {
	frame
	MessageDetail

	Moments []moment
	Price   int64
	// Number is the whole number, when it was just revealed.
	Number string
	// Phones: the message's phone can be looked up.
	Phones bool
}

// messagePage is GET /messages/{id}.
func (c *Console) messagePage(w http.ResponseWriter, r *http.Request) {
	c.showMessage(w, r, "")
}

func (c *Console) showMessage(w http.ResponseWriter, r *http.Request, number string) {
	id, ok := store.ParseMessageID(r.PathValue("id"))
	var detail MessageDetail
	err := error(fault.New(fault.NotFound, "no id of a message"))
	if ok {
		detail, err = c.cfg.Messages.Find(r.Context(), id)
	}
	switch {
	case fault.Is(err, fault.NotFound):
		c.problem(w, r, http.StatusNotFound, sectionMessages, "Message", textNotFoundMessage)
		return
	case err != nil:
		c.problemOf(w, r, sectionMessages, "Message", err)
		return
	}
	v := messageView{
		frame:         c.frame(r, sectionMessages, "Message "+detail.ID, link{sectionMessages, "Messages"}),
		MessageDetail: detail, Number: number, Moments: life(&detail, c.cfg.Now()),
		Phones: c.cfg.Phones != nil && detail.PhoneID != "",
	}
	for i := range detail.Dispatches {
		if d := &detail.Dispatches[i]; charged(d) {
			v.Price += d.PriceMicros
		}
	}
	c.render(w, http.StatusOK, "message.html", v)
}

// charged tells whether a carrier that did not say no may want money.
func charged(d *DispatchView) bool {
	return d.Status != store.MessageFailed.String() && d.Status != store.MessageQueued.String()
}

// life tells what happened to a message, in order.
func life(m *MessageDetail, now time.Time) []moment {
	out := []moment{{Time: m.CreateTime, Title: "Accepted", Text: "The service took the send, and will try to get the message out."}}
	for i := range m.Dispatches {
		out = append(out, dispatched(&m.Dispatches[i]))
	}
	for i := range m.Receipts {
		out = append(out, received(&m.Receipts[i]))
	}
	if !m.VerifyTime.IsZero() {
		out = append(out, moment{Time: m.VerifyTime, Title: "Verified", Text: "The right code came back."})
	}
	if m.ExpireTime.Before(now) {
		out = append(out, moment{Time: m.ExpireTime, Title: "Code ended", Text: "From here on the code is not accepted any more."})
	}
	slices.SortStableFunc(out, func(a, b moment) int { return cmp.Compare(a.Time.UnixNano(), b.Time.UnixNano()) })
	for i := range out[1:] {
		out[i+1].After = later(out[i+1].Time.Sub(m.CreateTime.Time))
	}
	return out
}

// later writes how long after the acceptance something happened; "" for before, since
// clocks differ.
func later(d time.Duration) string {
	switch {
	case d < 0:
		return ""
	case d < time.Minute:
		return fmt.Sprintf("%.2f s later", d.Seconds())
	default:
		return d.Round(time.Second).String() + " later"
	}
}

func dispatched(d *DispatchView) moment {
	m := moment{
		Time: d.Time, Title: "Handed to " + d.Route, Text: word(handedOver)(d.Status), Decision: d.Decision,
	}
	if d.Error != "" {
		m.Trouble = word(failures)(d.Error)
	}
	if d.Segments > 0 {
		m.Facts = append(m.Facts, fact{"Segments", show(d.Segments)})
	}
	if d.PriceMicros > 0 && charged(d) {
		m.Facts = append(m.Facts, fact{"Price", dollars(d.PriceMicros)})
	}
	if d.CarrierRef != "" {
		m.Facts = append(m.Facts, fact{"Carrier's reference", d.CarrierRef})
	}
	return m
}

func received(v *ReceiptView) moment {
	m := moment{Time: v.ReceiveTime, Title: "Receipt from " + v.Route, Text: word(receipts)(v.Status)}
	if v.Error != "" {
		m.Trouble = word(failures)(v.Error)
	}
	if !v.CarrierTime.IsZero() {
		m.Facts = append(m.Facts, fact{"Carrier's time", utc(v.CarrierTime)})
	}
	if v.CarrierRef != "" {
		m.Facts = append(m.Facts, fact{"Carrier's reference", v.CarrierRef})
	}
	return m
}

// revealForm is POST /messages/{id}/reveal. The number is in the answer alone, and in
// no path.
func (c *Console) revealForm(w http.ResponseWriter, r *http.Request) {
	number, err := c.reveal(r)
	switch {
	case fault.Is(err, fault.NotFound):
		c.problem(w, r, http.StatusNotFound, sectionMessages, "Message", textNoNumber)
	case err != nil:
		c.problemOf(w, r, sectionMessages, "Message", err)
	default:
		c.showMessage(w, r, number)
	}
}

// revealJSON is POST /admin/v1/messages/{id}/reveal.
func (c *Console) revealJSON(w http.ResponseWriter, r *http.Request) {
	number, err := c.reveal(r)
	switch {
	case fault.Is(err, fault.NotFound):
		c.refuse(w, http.StatusNotFound, codeNotFoundMessage, textNoNumber)
	case err != nil:
		c.refuseFailed(w, r, "reveal", err)
	default:
		writeJSON(w, http.StatusOK, struct {
			To string `json:"to"`
		}{number})
	}
}

const textNoNumber = "There is no such message, or its number is not kept any more."

func (c *Console) reveal(r *http.Request) (string, error) {
	id, ok := store.ParseMessageID(strings.TrimSpace(r.PathValue("id")))
	if !ok {
		return "", fault.New(fault.NotFound, "no id of a message")
	}
	return c.cfg.Messages.Reveal(r.Context(), actor(r.Context()), id)
}

package webhook

import (
	"time"

	"codeword/internal/store"
)

// View is an endpoint as operators see it: secrets by their times alone.
type View struct {
	ID string `json:"id"`
	// ClientID is empty for an endpoint that hears of all clients.
	ClientID string `json:"clientId,omitempty"`
	URL      string `json:"url"`
	// Host is what of the URL is no secret.
	Host  string   `json:"host"`
	Kinds []string `json:"kinds,omitempty"`
	// State is "enabled" or "disabled", and Reason why.
	State       string      `json:"state"`
	Reason      string      `json:"reason,omitempty"`
	DisableTime *time.Time  `json:"disableTime,omitempty"`
	CreateTime  time.Time   `json:"createTime"`
	SecretTimes []time.Time `json:"secretTimes"`
}

// View shows an endpoint.
func (e *Endpoint) View() View {
	v := View{
		ID: e.ID.String(), ClientID: e.Client, URL: e.URL, Host: host(e.URL), Kinds: e.Kinds, State: "enabled", Reason: e.Reason,
		DisableTime: timeOrNil(e.DisabledAt), CreateTime: e.CreatedAt, SecretTimes: []time.Time{},
	}
	if !e.Enabled() {
		v.State = "disabled"
	}
	for _, s := range e.Secrets {
		v.SecretTimes = append(v.SecretTimes, s.CreatedAt)
	}
	return v
}

// DeliveryView is a delivery as operators see it.
type DeliveryView struct {
	EventID  string `json:"eventId"`
	ClientID string `json:"clientId"`
	Kind     string `json:"kind"`
	State    string `json:"state"`
	Attempts int    `json:"attempts"`
	// Status is the last answer's, 0 for none; Error says what was wrong with it.
	Status    int        `json:"status,omitempty"`
	Error     string     `json:"error,omitempty"`
	QueueTime time.Time  `json:"queueTime"`
	RetryTime *time.Time `json:"retryTime,omitempty"`
	DoneTime  *time.Time `json:"doneTime,omitempty"`
}

// ViewDelivery shows a delivery.
func ViewDelivery(d *store.WebhookDelivery) DeliveryView {
	return DeliveryView{
		EventID: d.Event.String(), ClientID: d.Client, Kind: d.Kind, State: d.State.String(), Attempts: d.Attempts,
		Status: d.Status, Error: d.Error, QueueTime: d.QueuedAt, RetryTime: timeOrNil(d.DueAt), DoneTime: timeOrNil(d.DoneAt),
	}
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

package webhook

import (
	"time"

	"codeword/api"
	"codeword/internal/store"
)

// View is an endpoint as operators see it: secrets by their times alone.
type View struct {
	ID       string `json:"id"`
	Revision int64  `json:"revision"`
	// ClientID is empty for an endpoint that hears of all clients.
	ClientID string `json:"clientId,omitempty"`
	URL      string `json:"url"`
	// Host is what of the URL is no secret.
	Host  string   `json:"host"`
	Kinds []string `json:"kinds,omitempty"`
	// State is "enabled" or "disabled", and Reason why.
	State       string     `json:"state"`
	Reason      string     `json:"reason,omitempty"`
	DisableTime *api.Time  `json:"disableTime,omitempty"`
	CreateTime  api.Time   `json:"createTime"`
	SecretTimes []api.Time `json:"secretTimes"`
}

// View shows an endpoint.
func (e *Endpoint) View() View {
	v := View{
		ID: e.ID.String(), Revision: e.Revision, ClientID: e.Client, URL: e.URL, Host: host(e.URL), Kinds: e.Kinds, State: "enabled", Reason: e.Reason,
		DisableTime: timeOrNil(e.DisabledAt), CreateTime: api.NewTime(e.CreatedAt), SecretTimes: []api.Time{},
	}
	if !e.Enabled() {
		v.State = "disabled"
	}
	for _, s := range e.Secrets {
		v.SecretTimes = append(v.SecretTimes, api.NewTime(s.CreatedAt))
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
	Status    int       `json:"status,omitempty"`
	Error     string    `json:"error,omitempty"`
	QueueTime api.Time  `json:"queueTime"`
	RetryTime *api.Time `json:"retryTime,omitempty"`
	DoneTime  *api.Time `json:"doneTime,omitempty"`
}

// ViewDelivery shows a delivery.
func ViewDelivery(d *store.WebhookDelivery) DeliveryView {
	return DeliveryView{
		EventID: d.Event.String(), ClientID: d.Client, Kind: d.Kind, State: d.State.String(), Attempts: d.Attempts,
		Status: d.Status, Error: d.Error, QueueTime: api.NewTime(d.QueuedAt), RetryTime: timeOrNil(d.DueAt), DoneTime: timeOrNil(d.DoneAt),
	}
}

func timeOrNil(t time.Time) *api.Time {
	if t.IsZero() {
		return nil
	}
	told := api.NewTime(t)
	return &told
}

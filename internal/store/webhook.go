package store

import "time"

// Webhook is an event on its way to endpoints of the operator's clients: its body is
// kept once, and each endpoint has a delivery of its own.
type Webhook struct {
	// ID is what receivers tell repetitions by. Of two with one id the first counts.
	ID EventID
	// Client is whose event it is.
	Client string
	// Kind is a name like "message.sent".
	Kind string
	// At is when it was queued, Until when its deliveries are given up.
	At    time.Time
	Until time.Time
	// Body is what is posted.
	Body      []byte
	Endpoints []EndpointID
}

// DeliveryState is how a webhook's delivery to one endpoint stands.
type DeliveryState uint8

// The states of a delivery.
const (
	// DeliveryPending: it is tried again at its time.
	DeliveryPending DeliveryState = iota + 1
	// DeliveryDone: the endpoint took it.
	DeliveryDone
	// DeliveryFailed: it was given up.
	DeliveryFailed
)

func (s DeliveryState) String() string {
	switch s {
	case DeliveryPending:
		return "pending"
	case DeliveryDone:
		return "delivered"
	case DeliveryFailed:
		return "failed"
	default:
		return "invalid"
	}
}

// ParseDeliveryState reads what String writes.
func ParseDeliveryState(text string) (DeliveryState, bool) {
	for s := DeliveryPending; s <= DeliveryFailed; s++ {
		if s.String() == text {
			return s, true
		}
	}
	return 0, false
}

// WebhookDelivery is a webhook's way to one endpoint.
type WebhookDelivery struct {
	Event    EventID
	Endpoint EndpointID
	Client   string
	Kind     string
	// Body is filled by ClaimWebhooks alone.
	Body  []byte
	State DeliveryState
	// Claims is the fence: an outcome of an older claim is dropped.
	Claims int
	// Attempts counts what was posted; Status is the last answer's, 0 for none, and
	// Error a short stable reason of ours.
	Attempts int
	Status   int
	Error    string
	QueuedAt time.Time
	// DueAt is when a pending one is tried, Until when it is given up, DoneAt when it
	// ended.
	DueAt  time.Time
	Until  time.Time
	DoneAt time.Time
}

// EndpointRoom is how many deliveries to an endpoint may be claimed.
type EndpointRoom struct {
	Endpoint EndpointID
	Limit    int
}

// WebhookClaim takes deliveries that are due, each endpoint's longest due first, and
// hides them until the lease has passed.
type WebhookClaim struct {
	Now   time.Time
	Lease time.Duration
	Rooms []EndpointRoom
}

// WebhookOutcome is what became of a claimed delivery.
type WebhookOutcome struct {
	Event    EventID
	Endpoint EndpointID
	// Claims must be the claim's, or the outcome is dropped.
	Claims int
	State  DeliveryState
	// DueAt is when a pending one is tried again.
	DueAt time.Time
	// Attempts, Status and Error are as in WebhookDelivery.
	Attempts int
	Status   int
	Error    string
}

// WebhookReplay makes deliveries to an endpoint due again, as if they had just been
// queued.
type WebhookReplay struct {
	Now time.Time
	// Until is when they are given up.
	Until    time.Time
	Endpoint EndpointID
	// Event, when not zero, picks one.
	Event EventID
	// State, when not zero, picks those that are in it.
	State DeliveryState
	// Since, when not zero, picks those that were queued then or later.
	Since time.Time
	// After and Limit bound one step: Limit deliveries are looked at, in the order of
	// events, after that one. A replay of a week's is made in many steps, so that it
	// holds up nobody else.
	After EventID
	Limit int
}

// WebhookReplayed is what a step of a replay did.
type WebhookReplayed struct {
	// Count is how many deliveries are due again.
	Count int
	// Next, when not zero, is where the next step goes on; see WebhookReplay.After.
	Next EventID
}

// WebhookQuery lists deliveries to an endpoint, newest first.
type WebhookQuery struct {
	Endpoint EndpointID
	// State, when not zero, picks those that are in it; the endpoint's others are passed
	// over one by one.
	State DeliveryState
	// Before, when not zero, starts after that event.
	Before EventID
	Limit  int
}

// KeepWebhooks is how long a webhook is kept, delivered or not: so long it can be
// sent again.
const KeepWebhooks = 7 * 24 * time.Hour

// OldestWebhook is when the oldest webhook was queued that is still kept.
func (s *Sweep) OldestWebhook() time.Time { return s.Now.Add(-KeepWebhooks) }

package store

import "time"

// PhoneQuery names one number of one client, to read all that is kept of it.
type PhoneQuery struct {
	Now    time.Time
	Client string
	// Phones are all ids that the number can have.
	Phones []PhoneID
	// RowOnly leaves out sessions and idempotency records, for which an engine may have to
	// look at those of all phones.
	RowOnly bool
}

// PhoneRecord is what is kept of a phone beside its messages, which Messages and
// Message tell.
type PhoneRecord struct {
	// PhoneRow is the zero one for a phone that is not known. Its Sealed is empty after
	// an erasure that left something; CreatedAt is zero then and LastSendAt the time of
	// the erasure. What is packed in it Lanes unfolds.
	PhoneRow
	// Known tells that there is a row, or that what expires knows of the phone.
	Known bool
	// Challenges are those that live, and Lanes the limits that were used.
	Challenges []Challenge
	Lanes      []LaneRecord
	Devices    []DeviceID
	// Sessions are those that live.
	Sessions []Session
	// Keys are the ends of the idempotency records that name the phone; with an engine
	// whose records name none there are none.
	Keys []time.Time
}

// LaneRecord is what a lane's limits have counted.
type LaneRecord struct {
	// Lane is "open", "bound" or "known".
	Lane string
	// BurstUntil is when the burst limit has forgotten all sends.
	BurstUntil time.Time
	Sends      []time.Time
	Failures   []time.Time
}

// Erase is the intent that erases what is kept of a number for one client. What has to
// stay for a while stays with the phone's id and nothing else: an opt-out for good, a
// block until its end, and the times of wrong codes until they count no more, since
// otherwise an erasure would give whoever guesses a fresh budget.
type Erase struct {
	Now    time.Time
	Client string
	// Phones are all ids that the number can have.
	Phones []PhoneID
	// Lines are the digests under which LineFacts of the number may be kept.
	Lines [][16]byte
	// Fence has the id stay for a day in any case: messages that were accepted
	// elsewhere, and codes that were judged there, before Now come too late then.
	Fence bool
	// Age is for how long the erasure was under way elsewhere since Now.
	Age time.Duration
}

// Gone is when what the erasure removed was gone, as of a call that began then. Webhooks
// may tell of it until that moment.
func (e *Erase) Gone(begun time.Time) time.Time { return e.Now.Add(e.Age + time.Since(begun)) }

// Erased counts what an Erase removed, and tells what stays.
type Erased struct {
	// Phones are rows that told more than what may stay.
	Phones      int
	Users       int
	Sessions    int
	Challenges  int
	Devices     int
	Messages    int
	Dispatches  int
	Receipts    int
	Idempotency int
	LineFacts   int
	// Webhooks are events that told of the phone, with their deliveries.
	Webhooks int

	// OptedOut, Blocked and Failures tell what stays, beside the id.
	OptedOut bool
	Blocked  bool
	Failures bool
}

// Add adds what another step of the same erasure did.
func (e *Erased) Add(o Erased) {
	e.Phones += o.Phones
	e.Users += o.Users
	e.Sessions += o.Sessions
	e.Challenges += o.Challenges
	e.Devices += o.Devices
	e.Messages += o.Messages
	e.Dispatches += o.Dispatches
	e.Receipts += o.Receipts
	e.Idempotency += o.Idempotency
	e.LineFacts += o.LineFacts
	e.Webhooks += o.Webhooks
	e.OptedOut = e.OptedOut || o.OptedOut
	e.Blocked = e.Blocked || o.Blocked
	e.Failures = e.Failures || o.Failures
}

// LimitsKept is how long a phone's limits can count, and some: no window is longer than
// a day.
const LimitsKept = 25 * time.Hour

// List unpacks the digests.
func (l Devices) List() (out []DeviceID) {
	for ; len(l) >= len(DeviceID{}); l = l[len(DeviceID{}):] {
		out = append(out, DeviceID([]byte(l[:len(DeviceID{})])))
	}
	return out
}

// Package otp is the domain: it starts challenges, derives their codes and
// judges attempts. Each call is one intent, carried out by the store as one
// atomic operation; nothing is read first and written later.
package otp

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"codeword/internal/audit"
	"codeword/internal/fault"
	"codeword/internal/phone"
	"codeword/internal/screening"
	"codeword/internal/session"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// Challenges is the store's part. The operations are atomic and durable when
// they return; their refusals are *fault.Error.
type Challenges interface {
	StartChallenge(ctx context.Context, in store.Start) (store.Started, error)
	Attempt(ctx context.Context, in store.Attempt) (store.Session, error)
	MarkPhone(ctx context.Context, in store.PhoneMark) error
}

// Keys are the master keys that the domain uses.
type Keys interface {
	CodeVersion() uint32
	CodePRF(version uint32, input []byte) ([32]byte, error)
	IndexVersion() uint32
	IndexVersions() []uint32
	Index(version uint32, input []byte) ([32]byte, error)
	Seal(plain, ad []byte) ([]byte, error)
	Open(sealed, ad []byte) ([]byte, error)
}

// Granter decides what session a successful attempt gives.
type Granter interface {
	Grant(c *tenant.Client, p *session.Principal, id store.PhoneID, now time.Time) store.Grant
}

// Lines tells line types, and asks services for them as far as the policy allows. An
// error means that one had to be asked and could not.
type Lines interface {
	LineType(ctx context.Context, n phone.Number, p phone.LookupPolicy) (phone.LineType, error)
}

// The names of the limits outside the phone, as data.limit tells them.
const (
	LimitClient  = "client"
	LimitAddress = "address"
)

// Screen judges sends of live clients by more than the phone's own limits: by what
// they are part of, and by what they cost.
type Screen interface {
	Screen(in *screening.Send) screening.Verdict
	// Each verdict is given back once, with one of these.
	Accepted(v *screening.Verdict, id store.PhoneID, fresh bool)
	Refused(c *tenant.Client, v *screening.Verdict, at time.Time)
	// Verified is told that the phone's owner gave the right code.
	Verified(client string, id store.PhoneID)
}

// idempotencyLife is how long an Idempotency-Key is remembered.
const idempotencyLife = 24 * time.Hour

// Config is what a Service needs.
type Config struct {
	Store    Challenges
	Keys     Keys
	Sessions Granter
	// Lines tells line types beyond what the number plan says.
	Lines Lines
	// Prove is asked before anything is looked up or stored whether a person is behind
	// the request, and refuses with fault.InvalidCaptcha or Unavailable. Nil trusts all.
	Prove func(context.Context, SendRequest) error
	Now   func() time.Time
	// Queued is called after a message was queued durably. It must not block.
	Queued func()
	// Admit is asked before a message is queued for the client, and refuses with
	// fault.Unavailable what could not be delivered in time. Nil admits all.
	Admit func(*tenant.Client) error
	// Screen judges sends; nil lets all pass.
	Screen Screen
	// Verified is called after the phone's owner gave the right code. It must
	// not block. Nil: nobody wants to know.
	Verified func(client string, id store.PhoneID)
	// Refused is told why a send to a number of the plan was refused, unless the caller
	// alone went wrong. It must not block. Nil: nobody wants to know.
	Refused func(c *tenant.Client, n phone.Number, why *fault.Error)
	// Events makes the events of a code that is used, and of a wrong one that was the
	// last try of a challenge, or of the phone's budget; they are stored with what they
	// tell. Nil: nobody wants to know.
	Events func(ctx context.Context, client string, id store.PhoneID) (verified, exhausted []store.Webhook)
	// Told is called after such an event was stored. It must not block.
	Told func()
	// Audit records what operators do to phones; nil where they can do nothing.
	Audit *audit.Trail
}

// Service is the two calls.
type Service struct {
	store    Challenges
	keys     Keys
	sessions Granter
	lines    Lines
	prove    func(context.Context, SendRequest) error
	now      func() time.Time
	queued   func()
	admit    func(*tenant.Client) error
	screen   Screen
	audit    *audit.Trail
	// verified, refused, events and told are Config's.
	verified func(client string, id store.PhoneID)
	refused  func(c *tenant.Client, n phone.Number, why *fault.Error)
	events   func(ctx context.Context, client string, id store.PhoneID) (verified, exhausted []store.Webhook)
	told     func()
}

// New returns a Service.
func New(cfg Config) *Service {
	if cfg.Admit == nil {
		cfg.Admit = func(*tenant.Client) error { return nil }
	}
	if cfg.Prove == nil {
		cfg.Prove = func(context.Context, SendRequest) error { return nil }
	}
	if cfg.Verified == nil {
		cfg.Verified = func(string, store.PhoneID) {}
	}
	if cfg.Refused == nil {
		cfg.Refused = func(*tenant.Client, phone.Number, *fault.Error) {}
	}
	if cfg.Events == nil {
		cfg.Events = func(context.Context, string, store.PhoneID) (verified, exhausted []store.Webhook) { return nil, nil }
	}
	if cfg.Told == nil {
		cfg.Told = func() {}
	}
	return &Service{
		store: cfg.Store, keys: cfg.Keys, sessions: cfg.Sessions, lines: cfg.Lines, prove: cfg.Prove,
		now: cfg.Now, queued: cfg.Queued, admit: cfg.Admit, screen: cfg.Screen, audit: cfg.Audit,
		verified: cfg.Verified, refused: cfg.Refused, events: cfg.Events, told: cfg.Told,
	}
}

// SendRequest asks for a code.
type SendRequest struct {
	Client *tenant.Client
	// Principal is who the bearer names; nil without one.
	Principal *session.Principal
	// PhoneNumber is what the caller wrote; it must be E.164.
	PhoneNumber string
	// EndUser is the end user's address; invalid when it is not known.
	EndUser netip.Addr
	// Device is what the caller calls the end user's device; empty when it does not
	// tell.
	Device string
	// AcceptLanguage is the header of that name (RFC 9110, section 12.5.4): in
	// which languages the end user wants the message. It may hold anything.
	AcceptLanguage string
	// CaptchaToken is what a captcha gave the end user's browser; empty for none.
	CaptchaToken string
	// IdempotencyKey is empty when the caller gave none; Body is then unused.
	IdempotencyKey string
	Body           []byte
}

// SendResult is what the caller needs to authenticate.
type SendResult struct {
	PhoneID   string
	PhoneMask string
	// Replayed: the idempotency key had been used and nothing was sent.
	Replayed bool
}

// Send starts a challenge, or joins the live one, and queues a message. When it
// returns nil both are durable. Refusals: fault.InvalidPhone,
// InvalidPhoneCountry, InvalidPhoneType, OptedOut, Blocked, LimitSMS, LimitOTP,
// LimitClient, InvalidCaptcha, IdempotencyMismatch, Unavailable.
//
// What costs least is asked first: the number's own rules, which use up nothing; then
// whether the message could leave; then a captcha's token, which works once; then what
// the screen knows; then the line type, which may cost money.
func (s *Service) Send(ctx context.Context, in SendRequest) (SendResult, error) {
	number, outcome, err := s.check(in.Client, in.PhoneNumber)
	var out SendResult
	if err == nil {
		out, err = s.send(ctx, &in, number, outcome)
	}
	if err != nil {
		s.tellRefusal(ctx, in.Client, number, err)
		return SendResult{}, err
	}
	return out, nil
}

// send is Send for a number that may get messages.
func (s *Service) send(ctx context.Context, in *SendRequest, number phone.Number, outcome sampleOutcome) (SendResult, error) {
	now := s.now()
	if err := s.admit(in.Client); err != nil {
		return SendResult{}, err
	}
	if err := s.prove(ctx, *in); err != nil {
		return SendResult{}, err
	}
	start, err := s.start(in, number, now)
	if err != nil {
		return SendResult{}, fault.Wrap(fault.Internal, "prepare challenge", err)
	}
	if outcome == sampleExpired {
		start.Challenge.ExpiresAt = now
	}
	started, err := s.screened(ctx, in, number, outcome, &start)
	if err != nil {
		return SendResult{}, err
	}
	if !started.Replayed {
		s.queued()
	}
	return SendResult{
		PhoneID:   s.PhoneID(in.Client, started.Phone),
		PhoneMask: number.Mask(),
		Replayed:  started.Replayed,
	}, nil
}

// tellRefusal tells Config.Refused of a send that failed, if the owner of the number
// could ask why. Nobody knows of an unsure one whether it was refused, and who hung up
// does not wait for a code.
func (s *Service) tellRefusal(ctx context.Context, c *tenant.Client, n phone.Number, err error) {
	var why *fault.Error
	if !n.IsValid() || ctx.Err() != nil || !errors.As(err, &why) || why.Unsure {
		return
	}
	switch why.Kind {
	case fault.Internal, fault.IdempotencyMismatch:
	default:
		s.refused(c, n, why)
	}
}

// check parses the number and applies the number plan and the regions of the client.
func (*Service) check(c *tenant.Client, raw string) (phone.Number, sampleOutcome, error) {
	if !c.Live {
		if outcome := outcomeOf(raw); outcome != sampleNone {
			n, err := phone.Parse(raw)
			if err == nil {
				err = outcome.refusal()
			}
			return n, outcome, err
		}
	}
	n, err := phone.Parse(raw)
	if err == nil {
		err = phone.Rule{Regions: c.Regions}.Check(n)
	}
	switch {
	case err == nil:
	case errors.Is(err, phone.ErrCountry):
		return n, sampleNone, fault.Wrap(fault.InvalidPhoneCountry, "number", err)
	case errors.Is(err, phone.ErrType):
		return n, sampleNone, fault.Wrap(fault.InvalidPhoneType, "number", err)
	default:
		return n, sampleNone, fault.Wrap(fault.InvalidPhone, "number", err)
	}
	return n, sampleNone, nil
}

// checkLine refuses lines that the client does not send to.
func (s *Service) checkLine(ctx context.Context, c *tenant.Client, n phone.Number, policy phone.LookupPolicy) *fault.Error {
	line, err := s.lines.LineType(ctx, n, policy)
	if err != nil {
		return fault.Wrap(fault.Unavailable, "line type", err)
	}
	if !c.LineTypes.Has(line) {
		return fault.New(fault.InvalidPhoneType, "line type "+line.String())
	}
	return nil
}

// start builds the intent.
func (s *Service) start(in *SendRequest, number phone.Number, now time.Time) (store.Start, error) {
	c := in.Client
	ids, err := s.PhoneIDs(c, number)
	if err != nil {
		return store.Start{}, err
	}
	sealed, err := s.sealNumber(number, ids[0])
	if err != nil {
		return store.Start{}, err
	}
	out := store.Start{
		Now: now, Client: c.ID, Phone: ids[0], Former: ids[1:], Sealed: sealed,
		Challenge: store.Challenge{
			ID:         store.NewChallengeID(),
			KeyVersion: s.keys.CodeVersion(),
			Digits:     c.Settings.CodeLength,
			CreatedAt:  now,
			ExpiresAt:  now.Add(time.Duration(c.Settings.CodeLifetime)),
		},
		MaxAttempts: c.Settings.MaxAttempts,
		Message:     store.NewMessageID(),
		Locale:      c.Texts.Locale(in.AcceptLanguage),
	}
	if len(ids) > 1 {
		out.Seal = func(id store.PhoneID) ([]byte, error) { return s.sealNumber(number, id) }
	}
	if in.Principal != nil {
		out.Challenge.Binding, out.User = in.Principal.Binding(), in.Principal.UserID()
	}
	if out.Device, err = s.device(c, in.Device); err != nil {
		return store.Start{}, err
	}
	if c.Live {
		out.PhoneLimits = &store.PhoneLimits{
			Burst:    c.Settings.PhoneBurst.Bucket(),
			Day:      c.Settings.PhoneDay.Window(),
			Failures: c.Settings.PhoneFailures.Window(),
		}
	}
	if out.Charges, err = s.charges(c, in.EndUser); err != nil {
		return store.Start{}, err
	}
	out.Idempotency, err = s.idempotency(in, now)
	return out, err
}

// charges are the limits that are not the phone's own.
func (s *Service) charges(c *tenant.Client, endUser netip.Addr) ([]store.Charge, error) {
	charges := make([]store.Charge, 0, 2)
	if b := c.Settings.ClientRate.Bucket(); !b.Unlimited() {
		charges = append(charges, store.Charge{Name: LimitClient, OfClient: true, Key: "client\x00" + c.ID, Bucket: b})
	}
	b := c.Settings.AddressRate.Bucket()
	if b.Unlimited() || !endUser.IsValid() {
		return charges, nil
	}
	digest, err := s.digest("address", c.ID, addressBlock(endUser))
	if err != nil {
		return nil, err
	}
	return append(charges, store.Charge{Name: LimitAddress, Key: "address\x00" + string(digest[:16]), Bucket: b}), nil
}

// addressBlock is what counts as one end-user address: a whole IPv4 address, or
// the /64 that a provider gives one customer (RFC 6177).
func addressBlock(a netip.Addr) []byte {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a.AsSlice()
	}
	return a.AsSlice()[:8]
}

// idempotency digests the key and the body under the primary index key. A
// replay across a rotation of that key is therefore not recognized: it sends
// the challenge's same code once more and is charged for it. The digests of an
// older key are not consulted, since a rotation is there to leave that key.
func (s *Service) idempotency(in *SendRequest, now time.Time) (*store.Idempotency, error) {
	if in.IdempotencyKey == "" {
		return nil, nil //nolint:nilnil // absence is not an error
	}
	key, err := s.digest("idempotency-key", in.Client.ID, []byte(in.IdempotencyKey))
	if err != nil {
		return nil, err
	}
	body, err := s.digest("idempotency-body", in.Client.ID, in.Body)
	if err != nil {
		return nil, err
	}
	return &store.Idempotency{Key: key, Body: body, ExpiresAt: now.Add(idempotencyLife)}, nil
}

// digest is a keyed hash with its domain and client separated by length.
func (s *Service) digest(domain, client string, data []byte) ([32]byte, error) {
	in := make([]byte, 0, len(domain)+len(client)+2+len(data))
	in = append(in, domain...)
	in = append(in, 0)
	in = append(in, client...)
	in = append(in, 0)
	in = append(in, data...)
	return s.keys.Index(s.keys.IndexVersion(), in)
}

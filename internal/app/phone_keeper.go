package app

import (
	"context"
	"slices"
	"strings"
	"time"

	"codeword/internal/audit"
	"codeword/internal/console"
	"codeword/internal/fault"
	"codeword/internal/keyring"
	"codeword/internal/otp"
	"codeword/internal/phone"
	"codeword/internal/phone/lookup"
	"codeword/internal/refusal"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// The kinds of entries about what is kept of a number.
const (
	eventErase  = "phone.erase"
	eventExport = "phone.export"
)

// phoneKeeper does what the owner of a number may ask for: it tells all that is kept of
// the number, and erases it. It records both.
type phoneKeeper struct {
	store   phoneKeeperStore
	clients *tenant.Registry
	otp     *otp.Service
	ring    *keyring.Ring
	audit   *audit.Trail
	now     func() time.Time
	// refused is where refused sends are noted.
	refused refusal.Book
}

// phoneKeeperStore is the store's part.
type phoneKeeperStore interface {
	phoneStore
	messageStore
	documentStore
	lineStore
	eventStore
}

// subject is a number of a client, as far as it is known.
type subject struct {
	client *tenant.Client
	// ids are all that it can have, the primary first, or the one that was named.
	ids []store.PhoneID
	// number is only valid if it was named, or is kept.
	number phone.Number
	lines  [][16]byte
}

// anyClient finds a client as far as ids of its phones need it, disabled ones as well and
// those whose settings cannot be read: owners of numbers do not wait until somebody has
// mended them.
func anyClient(ctx context.Context, clients *tenant.Registry, id string) (*tenant.Client, error) {
	row, err := clients.Find(ctx, id)
	if err != nil {
		return nil, err
	}
	return bareClient(&row), nil
}

// bareClient is a stored client as far as ids of its phones need it.
func bareClient(row *store.Client) *tenant.Client {
	return &tenant.Client{ID: row.ID, Name: row.Name, Live: row.Live}
}

// client is anyClient, and refuses with console.ErrNoClient.
func (k *phoneKeeper) client(ctx context.Context, id string) (*tenant.Client, error) {
	c, err := anyClient(ctx, k.clients, id)
	if fault.Is(err, fault.NotFound) {
		err = console.ErrNoClient
	}
	return c, err
}

// subject finds out whom name is about: a number in E.164 or the id that callers know. A
// number is found by an id while it is kept. Refusals: fault.InvalidPhone for a number
// that is none; console.ErrNoClient, ErrNoPhone for an id that none can be.
func (k *phoneKeeper) subject(ctx context.Context, client, name string) (out subject, err error) {
	if out.client, err = k.client(ctx, client); err != nil {
		return out, err
	}
	if strings.HasPrefix(name, "+") {
		if out.number, err = phone.Parse(name); err != nil {
			return out, fault.Wrap(fault.InvalidPhone, "number", err)
		}
		return out, k.complete(&out)
	}
	id, ok := k.named(out.client, name)
	if !ok {
		return out, console.ErrNoPhone
	}
	out.ids = []store.PhoneID{id}
	record, err := k.store.PhoneRecord(ctx, store.PhoneQuery{Now: k.now(), Client: client, Phones: out.ids, RowOnly: true})
	if err != nil || len(record.Sealed) == 0 {
		return out, err
	}
	if out.number, err = k.otp.Number(store.Message{Phone: record.ID, Sealed: record.Sealed}); err != nil {
		return out, fault.Wrap(fault.Internal, "the number cannot be opened", err)
	}
	return out, k.complete(&out)
}

// named reads the id of a client's phone; false for one that none of its can have.
func (k *phoneKeeper) named(c *tenant.Client, name string) (id store.PhoneID, ok bool) {
	id = k.otp.ParsePhoneID(c, name)
	return id, id != (store.PhoneID{}) && k.otp.PhoneID(c, id) == name
}

// complete fills in what follows from the number.
func (k *phoneKeeper) complete(s *subject) error {
	named := s.ids
	ids, err := k.otp.PhoneIDs(s.client, s.number)
	if err != nil {
		return fault.Wrap(fault.Internal, "phone id", err)
	}
	s.ids = ids
	for _, id := range named {
		if !slices.Contains(ids, id) {
			s.ids = append(s.ids, id)
		}
	}
	for _, version := range k.ring.IndexVersions() {
		digest, err := lineDigestOf(k.ring, version, s.number)
		if err != nil {
			return fault.Wrap(fault.Internal, "line digest", err)
		}
		s.lines = append(s.lines, digest)
	}
	return nil
}

// keptData is what an entry about what is kept tells: never the number.
type keptData struct {
	PhoneID   string   `json:"phoneId"`
	FormerIDs []string `json:"formerPhoneIds,omitempty"`
}

func (k *phoneKeeper) entry(kind, actor string, s *subject) audit.Entry {
	data := keptData{PhoneID: k.otp.PhoneID(s.client, s.ids[0])}
	for _, id := range s.ids[1:] {
		data.FormerIDs = append(data.FormerIDs, k.otp.PhoneID(s.client, id))
	}
	return audit.Entry{Actor: actor, Client: s.client.ID, Kind: kind, Data: data}
}

// Erase implements console.Phones. What is found by the number, or by all ids that follow
// from it, goes first, since the number is forgotten with the rest: a call that fails
// half-way can be repeated.
func (k *phoneKeeper) Erase(ctx context.Context, actor, client, name string) (console.PhoneErased, error) {
	s, err := k.subject(ctx, client, name)
	if err != nil {
		return console.PhoneErased{}, err
	}
	var out console.PhoneErased
	err = k.audit.RecordTold(ctx, k.entry(eventErase, actor, &s), func() (any, error) {
		overrides, err := k.eraseOverride(ctx, s.number)
		if err != nil {
			return nil, err
		}
		refusals, err := k.refused.Forget(ctx, client, s.ids)
		if err != nil {
			return nil, err
		}
		done, err := k.store.ErasePhone(ctx, store.Erase{Now: k.now(), Clock: k.now, Client: client, Phones: s.ids, Lines: s.lines})
		if err != nil {
			return nil, err
		}
		out = erasedView(&done)
		out.PhoneID, out.Erased.LineOverrides, out.Erased.Refusals = k.otp.PhoneID(s.client, s.ids[0]), overrides, refusals
		return out, nil
	})
	if err != nil {
		return console.PhoneErased{}, err
	}
	return out, nil
}

func erasedView(e *store.Erased) console.PhoneErased {
	return console.PhoneErased{
		Erased: console.ErasedCounts{
			Phones: e.Phones, Users: e.Users, Sessions: e.Sessions, Challenges: e.Challenges, Devices: e.Devices, Messages: e.Messages,
			Dispatches: e.Dispatches, Receipts: e.Receipts, IdempotencyKeys: e.Idempotency, LineTypes: e.LineFacts, Webhooks: e.Webhooks,
		},
		Kept: console.KeptMarks{OptOut: e.OptedOut, Block: e.Blocked, Failures: e.Failures},
	}
}

// eraseOverride removes what was said of the number's line type, and counts it.
func (k *phoneKeeper) eraseOverride(ctx context.Context, n phone.Number) (removed int, err error) {
	if !n.IsValid() {
		return 0, nil
	}
	form, err := readOverrides(ctx, k.store)
	if err != nil {
		return 0, err
	}
	same, err := sameNumber(k.ring, n)
	if err != nil || !slices.ContainsFunc(form.Overrides, same) {
		return 0, err
	}
	err = changeOverrides(ctx, k.store, k.now(), func(list []overrideForm) ([]overrideForm, error) {
		left := slices.DeleteFunc(slices.Clone(list), same)
		removed = len(list) - len(left)
		return left, nil
	})
	return removed, err
}

// lineDigestOf is the keyed digest under which a number's line type is cached.
func lineDigestOf(keys lookup.Digester, version uint32, n phone.Number) (out [16]byte, err error) {
	digest, err := keys.Index(version, n.AppendE164([]byte("line-type\x00")))
	copy(out[:], digest[:])
	return out, err
}

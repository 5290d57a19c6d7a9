package redis_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/store/group"
	"codeword/internal/store/redis"
	"codeword/internal/store/redis/redistest"
	"codeword/internal/store/sqlite"
)

// TestErasureComesBeforeWhatIsLate: what was accepted, or judged, before an erasure and
// reaches the ledger after it changes nothing there.
func TestErasureComesBeforeWhatIsLate(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) keeper{"sqlite": inFile, "postgres": inPostgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := open(t)(t)
			defer l.Close()
			if err := l.CreateClient(t.Context(), store.Client{ID: client, Name: client, Settings: []byte("{}"), CreatedAt: moment(0)}); err != nil {
				t.Fatal(err)
			}
			phone := store.PhoneID(random())
			accepted := func(at time.Duration) store.Accepted {
				return store.Accepted{
					ID: store.NewMessageID(), Client: client, Phone: phone, Sealed: []byte("sealed"), Challenge: random(), Digits: 6,
					CreatedAt: moment(at), ExpiresAt: moment(at + ttl),
				}
			}
			queue := func(all ...store.Accepted) {
				t.Helper()
				if err := l.QueueMessages(t.Context(), all); err != nil {
					t.Fatal(err)
				}
			}
			queue(accepted(0))
			for range 2 {
				_, err := l.ErasePhone(t.Context(), store.Erase{Now: moment(time.Second), Client: client, Phones: []store.PhoneID{phone}, Fence: true})
				if err != nil {
					t.Fatal(err)
				}
			}
			queue(accepted(0), accepted(time.Second))
			_, err := l.OwnPhone(t.Context(), store.Own{Now: moment(time.Second), Client: client, Phone: phone, Sealed: []byte("sealed"), User: random()})
			wants(t, "OwnPhone", err, fault.WrongCode)
			r, err := l.PhoneRecord(t.Context(), store.PhoneQuery{Now: moment(time.Second), Client: client, Phones: []store.PhoneID{phone}})
			if err != nil || len(r.Sealed) > 0 || r.User != (store.UserID{}) || logged(t, l, phone) != 0 {
				t.Errorf("after what was late: %+v, %v, %d messages", r, err, logged(t, l, phone))
			}
			queue(accepted(0), accepted(2*time.Second), accepted(3*time.Second))
			r, err = l.PhoneRecord(t.Context(), store.PhoneQuery{Now: moment(time.Second), Client: client, Phones: []store.PhoneID{phone}})
			if err != nil || string(r.Sealed) != "sealed" || logged(t, l, phone) != 2 {
				t.Errorf("after a new send: %+v, %v, %d messages", r, err, logged(t, l, phone))
			}
			if _, err := l.OwnPhone(t.Context(), store.Own{Now: moment(2 * time.Second), Client: client, Phone: phone, User: random()}); err != nil {
				t.Errorf("OwnPhone: %v", err)
			}
		})
	}
}

// TestErasureStopsHalfway: whatever step fails, a second call erases the rest.
func TestErasureStopsHalfway(t *testing.T) {
	t.Parallel()
	l := &halfway{Store: withClient(t)}
	s := open(t, redis.Config{URL: redistest.New(t), Ledger: l})
	phone := store.PhoneID(random())
	sess := mustPass(t, s, phone, mustSend(t, s, phone))
	in := store.Erase{Now: moment(time.Minute), Client: client, Phones: []store.PhoneID{phone}}
	l.broken.Store(true)
	_, err := s.ErasePhone(t.Context(), in)
	wants(t, "ErasePhone", err, fault.Unavailable)
	l.broken.Store(false)
	done, err := s.ErasePhone(t.Context(), in)
	if err != nil || done.Messages != 1 || done.Users != 1 || done.Sessions != 1 {
		t.Errorf("the second call: %+v, %v", done, err)
	}
	_, err = s.Session(t.Context(), moment(time.Minute), sess.ID)
	wants(t, "Session", err, fault.InvalidAuthorization)
	if n := logged(t, l, phone); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

// halfway is a ledger that may not erase.
type halfway struct {
	*sqlite.Store

	broken atomic.Bool
}

func (l *halfway) ErasePhone(ctx context.Context, in store.Erase) (store.Erased, error) {
	if l.broken.Load() {
		return store.Erased{}, group.Unavailable("halfway", "away", nil)
	}
	return l.Store.ErasePhone(ctx, in)
}

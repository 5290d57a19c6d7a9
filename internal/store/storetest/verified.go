package storetest

import (
	"reflect"
	"testing"
	"time"

	"codeword/internal/store"
)

func verifiedChecks() []check {
	return []check{
		{name: "a used code is told once", run: verifiedOnce, alone: true},
		{name: "the newest message of a phone brought the code", run: verifiedNewest},
		{name: "nothing is verified twice by a race", run: verifiedRace},
	}
}

func verifiedOnce(t *testing.T, s *suite) {
	d := dispatch("a", "ref", store.MessageSent)
	m := s.dispatched(t, at(0), d)
	silent := s.queue(t, at(time.Second))
	phones := []store.PhoneID{random(), m.Phone, silent.Phone, m.Phone, {}}
	got, err := s.RecordVerified(t.Context(), at(time.Minute), phones)
	ok(t, "RecordVerified", err)
	want := []store.Verified{{ID: m.ID, Route: "a", CreatedAt: at(0)}, {ID: silent.ID, CreatedAt: at(time.Second)}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	got, err = s.RecordVerified(t.Context(), at(time.Hour), phones)
	ok(t, "RecordVerified", err)
	if len(got) != 0 {
		t.Errorf("told again: %+v", got)
	}
	if got, err := s.RecordVerified(t.Context(), at(0), nil); err != nil || len(got) != 0 {
		t.Errorf("no phones: %+v, %v", got, err)
	}
	for _, id := range []store.MessageID{m.ID, silent.ID} {
		if got := s.detail(t, id).Message.VerifiedAt; !got.Equal(at(time.Minute)) {
			t.Errorf("verified at %v", got)
		}
	}
	if got := s.sent(t, m.Phone)[0]; !got.VerifiedAt.Equal(at(time.Minute)) || got.Status != store.MessageSent {
		t.Errorf("the log has %+v", got)
	}
	if got := s.claimOne(t, at(time.Minute)); got.ID != silent.ID || got.VerifiedAt.IsZero() {
		t.Errorf("claimed %+v, want the message that says it was verified", got)
	}
}

func verifiedNewest(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	s.send(t, phone, at(0))
	s.send(t, phone, at(time.Second))
	log := s.sent(t, phone)
	got, err := s.RecordVerified(t.Context(), at(time.Minute), []store.PhoneID{phone})
	ok(t, "RecordVerified", err)
	if len(got) != 1 || got[0].ID != log[0].ID || !s.sent(t, phone)[1].VerifiedAt.IsZero() {
		t.Errorf("got %+v, want %v", got, log[0].ID)
	}
	s.send(t, phone, at(2*time.Minute)) // the next message has its own turn
	got, err = s.RecordVerified(t.Context(), at(3*time.Minute), []store.PhoneID{phone})
	ok(t, "RecordVerified", err)
	if len(got) != 1 || got[0].ID == log[0].ID {
		t.Errorf("got %+v, want the newest", got)
	}
}

func verifiedRace(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	s.send(t, phone, at(0))
	told := make([]int, 20)
	race(len(told), func(i int) {
		got, err := s.RecordVerified(t.Context(), at(0), []store.PhoneID{phone, phone})
		if err != nil {
			t.Errorf("RecordVerified: %v", err)
		}
		told[i] = len(got)
	})
	sum := 0
	for _, n := range told {
		sum += n
	}
	if sum != 1 {
		t.Errorf("told %d times", sum)
	}
}

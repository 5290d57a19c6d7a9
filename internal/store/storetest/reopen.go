package storetest

import (
	"reflect"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/guard"
	"codeword/internal/store"
)

func reopenChecks() []check {
	return []check{
		{name: "everything is there again", run: allIsThereAgain, alone: true, needs: Durable},
		{name: "what is known of deliveries is there again", run: deliveriesAreThereAgain, alone: true, needs: Durable},
		{name: "documents and events are there again", run: recordsAreThereAgain, alone: true, needs: Durable},
		{name: "a closed store answers nothing", run: closedAnswersNothing},
		{name: "ping", run: func(t *testing.T, s *suite) { ok(t, "Ping", s.Ping(t.Context())) }},
	}
}

func allIsThereAgain(t *testing.T, s *suite) {
	phone, key := store.PhoneID(random()), newIdempotency(at(day))
	limited := func(now time.Time, key *store.Idempotency) store.Start {
		in := s.keyed(phone, now, key)
		in.Charges = []store.Charge{{Name: "charge", Key: "key", OfClient: true, Bucket: guard.Bucket{Burst: 1, Every: 10 * time.Second}}}
		return in
	}
	ch := s.start(t, limited(at(0), key)).Challenge
	miss := func(kind fault.Kind) *fault.Error {
		in := s.guess(phone, at(0), random())
		in.Failures = guard.Window{Max: 3, Period: day}
		return s.fail(t, in, kind)
	}
	miss(fault.WrongCode)
	miss(fault.WrongCode)
	sess, revoked := s.signIn(t, at(0)), s.signIn(t, at(0))
	ok(t, "RevokeSession", s.RevokeSession(t.Context(), at(0), revoked.ID))
	ok(t, "AddSigningKey", s.AddSigningKey(t.Context(), signingKey("k", at(0)), ""))
	ok(t, "CreateClient", s.CreateClient(t.Context(), newClient("c", newSecret("s"))))
	clients, err := s.Clients(t.Context())
	ok(t, "Clients", err)
	claimed := s.claim(t, at(0), 1)
	messages := s.sent(t, phone)

	s.reopen(t)

	if f := s.refuse(t, limited(at(0), nil), fault.LimitClient); f.RetryAfter != 10*time.Second {
		t.Errorf("the charge's wait is %v", f.RetryAfter)
	}
	if !s.start(t, limited(at(0), key)).Replayed {
		t.Error("the idempotency key is gone")
	}
	if got := s.alive(t, at(0), sess.ID); !reflect.DeepEqual(got, sess) {
		t.Errorf("session %+v, want %+v", got, sess)
	}
	s.gone(t, at(0), revoked.ID)
	s.keys(t, signingKey("k", at(0)))
	if got, err := s.Clients(t.Context()); err != nil || !reflect.DeepEqual(got, clients) {
		t.Errorf("clients %+v (%v), want %+v", got, err, clients)
	}
	if got := s.sent(t, phone); !reflect.DeepEqual(got, messages) {
		t.Errorf("messages %+v, want %+v", got, messages)
	}
	if got := s.claim(t, at(0), 10); len(got) != 2 {
		t.Errorf("claimed %d messages, want the 2 that were not claimed", len(got))
	}
	s.record(t, at(0), 1, store.Outcome{ID: claimed[0].ID, Claims: 1, Status: store.MessageSent})
	if again := s.send(t, phone, at(time.Second)); again.ID != ch.ID || again.Attempts != 2 {
		t.Errorf("challenge %+v, want %v with 2 attempts", again, ch.ID)
	}
	if f := miss(fault.WrongCode); f.Retryable {
		t.Error("the failures were forgotten")
	}
	miss(fault.LimitOTP)
	if again := s.signInto(t, sess.Phone, at(time.Minute)); again.User != sess.User {
		t.Error("the phone's user was forgotten")
	}
}

func deliveriesAreThereAgain(t *testing.T, s *suite) {
	d := dispatch("a", "ref", store.MessageUnknown)
	s.send(t, random(), at(0))
	m := s.claimOne(t, at(0))
	s.apply(t, at(0), of(d, store.ReceiptAccepted), store.ReceiptUnmatched, store.MessageID{})
	s.reopen(t)
	out := outcome(m, d)
	out.RetryAt = at(time.Minute)
	s.record(t, at(0), 1, out)
	want := s.detail(t, m.ID)
	if len(want.Dispatches) != 1 || len(want.Receipts) != 1 || want.Message.Status != store.MessageSent {
		t.Errorf("history %+v, want a dispatch and the receipt that came before it", want)
	}
	s.reopen(t)
	if got := s.detail(t, m.ID); !reflect.DeepEqual(got, want) {
		t.Errorf("history\n got %+v\nwant %+v", got, want)
	}
	s.none(t, at(time.Second))
	s.claimOne(t, at(time.Minute))
	s.reopen(t)
	s.none(t, at(time.Minute))
}

func recordsAreThereAgain(t *testing.T, s *suite) {
	events := s.happened(t, at(0), "a", "b.c", "b.d")
	d := store.Document{Name: "settings", Revision: 1, UpdatedAt: at(0), Body: []byte("first")}
	ok(t, "PutDocument", s.PutDocument(t.Context(), d))
	d.Revision, d.UpdatedAt, d.Body = 2, at(time.Hour), []byte("second")
	ok(t, "PutDocument", s.PutDocument(t.Context(), d))
	s.reopen(t)
	s.document(t, d)
	s.events(t, store.EventQuery{Limit: 10}, events...)
	refusal(t, "PutDocument", s.PutDocument(t.Context(), d), fault.Conflict)
}

func closedAnswersNothing(t *testing.T, s *suite) {
	closed := s.engine.open(t)
	phone := store.PhoneID(random())
	ch := closed.send(t, phone, at(0))
	ok(t, "Close", closed.Close())
	closed.refuse(t, closed.intent(random(), at(0)), fault.Unavailable)
	closed.fail(t, closed.guess(phone, at(0), ch.ID), fault.Unavailable)
	_, err := closed.Session(t.Context(), at(0), random())
	refusal(t, "Session", err, fault.Unavailable)
	_, err = closed.Clients(t.Context())
	refusal(t, "Clients", err, fault.Unavailable)
	refusal(t, "Ping", closed.Ping(t.Context()), fault.Unavailable)
	_, err = closed.ApplyReceipts(t.Context(), at(0), nil)
	refusal(t, "ApplyReceipts", err, fault.Unavailable)
	_, err = closed.RecordVerified(t.Context(), at(0), nil)
	refusal(t, "RecordVerified", err, fault.Unavailable)
	_, err = closed.Message(t.Context(), random())
	refusal(t, "Message", err, fault.Unavailable)
	refusal(t, "PutNotes", closed.PutNotes(t.Context(), at(0), []store.Note{note("t", "k", 0, time.Hour, "")}), fault.Unavailable)
	_, err = closed.Notes(t.Context(), at(0), "t", time.Time{})
	refusal(t, "Notes", err, fault.Unavailable)
	err = closed.EachNote(t.Context(), at(0), "t", time.Time{}, func(*store.Note) {})
	refusal(t, "EachNote", err, fault.Unavailable)
	refusal(t, "PutLineFacts", closed.PutLineFacts(t.Context(), at(0), []store.LineFact{{Until: at(day)}}), fault.Unavailable)
	_, _, err = closed.LineFact(t.Context(), at(0), random())
	refusal(t, "LineFact", err, fault.Unavailable)
	_, err = closed.Document(t.Context(), "d", 0)
	refusal(t, "Document", err, fault.Unavailable)
	refusal(t, "PutDocument", closed.PutDocument(t.Context(), store.Document{Name: "d", Revision: 1}), fault.Unavailable)
	refusal(t, "AppendEvents", closed.AppendEvents(t.Context(), []store.Event{{ID: random()}}), fault.Unavailable)
	_, err = closed.Events(t.Context(), store.EventQuery{Limit: 1})
	refusal(t, "Events", err, fault.Unavailable)
	ok(t, "Close again", closed.Close())
}

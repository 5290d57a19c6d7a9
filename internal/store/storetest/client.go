package storetest

import (
	"reflect"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

func clientChecks() []check {
	return []check{
		{name: "clients are listed oldest first, whole", run: listsClients, alone: true},
		{name: "an id is given once", run: clientIDOnce, alone: true},
		{name: "only who saw the last revision may change", run: updatesByRevision, alone: true},
		{name: "secrets are replaced, their last use is kept", run: replacesSecrets, alone: true},
		{name: "last use only moves forward", run: lastUse, alone: true},
	}
}

func newClient(id string, secrets ...store.Secret) store.Client {
	return store.Client{
		ID: id, Name: "Name ' ü of " + id, Live: true, Settings: []byte(`{"codeLength":6}`),
		Secrets: secrets, CreatedAt: at(time.Second),
	}
}

func newSecret(id string) store.Secret {
	return store.Secret{ID: id, KeyVersion: 1<<32 - 1, Hash: []byte{0, 1, 0xff}, CreatedAt: at(0)}
}

// stored reads one client.
func (s *suite) stored(t *testing.T, id string) store.Client {
	t.Helper()
	all, err := s.Clients(t.Context())
	ok(t, "Clients", err)
	for _, c := range all {
		if c.ID == id {
			return c
		}
	}
	t.Fatalf("no client %q among %d", id, len(all))
	return store.Client{}
}

func listsClients(t *testing.T, s *suite) {
	z, a := newClient("z", newSecret("s1"), newSecret("s2")), newClient("a")
	a.Live, a.DisabledAt = false, at(time.Hour)
	ok(t, "CreateClient", s.CreateClient(t.Context(), z))
	ok(t, "CreateClient", s.CreateClient(t.Context(), a))
	z.Revision, a.Revision = 1, 1
	all, err := s.Clients(t.Context())
	ok(t, "Clients", err)
	if len(all) != 4 || all[0].ID != s.client || all[1].ID != s.other {
		t.Fatalf("listed %+v", all)
	}
	if got, want := all[2:], []store.Client{z, a}; !reflect.DeepEqual(got, want) {
		t.Errorf("listed\n got %+v\nwant %+v", got, want)
	}
}

func clientIDOnce(t *testing.T, s *suite) {
	c := newClient("c", newSecret("s"))
	ok(t, "CreateClient", s.CreateClient(t.Context(), c))
	other := newClient("c")
	other.Name = "another"
	refusal(t, "CreateClient", s.CreateClient(t.Context(), other), fault.Conflict)
	c.Revision = 1
	if got := s.stored(t, "c"); !reflect.DeepEqual(got, c) {
		t.Errorf("the refused client left %+v", got)
	}
	// Ids are compared byte by byte, and nothing in them is special.
	for _, id := range []string{"C", "c ", "c%", "'; DROP TABLE clients; --", "ć"} {
		ok(t, "CreateClient", s.CreateClient(t.Context(), newClient(id)))
		s.stored(t, id)
	}
}

func updatesByRevision(t *testing.T, s *suite) {
	ok(t, "CreateClient", s.CreateClient(t.Context(), newClient("c")))
	seen := s.stored(t, "c")
	mine, theirs := seen, seen
	mine.Name, mine.Settings, mine.DisabledAt = "mine", []byte("{}"), at(time.Hour)
	theirs.Name = "theirs"
	ok(t, "UpdateClient", s.UpdateClient(t.Context(), mine))
	refusal(t, "UpdateClient", s.UpdateClient(t.Context(), theirs), fault.Conflict)
	mine.Revision++
	if got := s.stored(t, "c"); !reflect.DeepEqual(got, mine) {
		t.Errorf("updated\n got %+v\nwant %+v", got, mine)
	}
	refusal(t, "UpdateClient", s.UpdateClient(t.Context(), seen), fault.Conflict)
	ahead := mine
	ahead.Revision++
	refusal(t, "UpdateClient", s.UpdateClient(t.Context(), ahead), fault.Conflict)
	refusal(t, "UpdateClient", s.UpdateClient(t.Context(), newClient("nobody")), fault.NotFound)
	mine.DisabledAt = time.Time{}
	ok(t, "UpdateClient", s.UpdateClient(t.Context(), mine))
	if got := s.stored(t, "c"); !got.DisabledAt.IsZero() {
		t.Errorf("enabled again, but disabled at %v", got.DisabledAt)
	}
}

func replacesSecrets(t *testing.T, s *suite) {
	ok(t, "CreateClient", s.CreateClient(t.Context(), newClient("c", newSecret("a"), newSecret("b"))))
	ok(t, "CreateClient", s.CreateClient(t.Context(), newClient("d", newSecret("a"))))
	use := []store.SecretUse{{Client: "c", Secret: "a", At: at(time.Hour)}}
	ok(t, "RecordSecretUse", s.RecordSecretUse(t.Context(), use))

	c := s.stored(t, "c")
	rehashed := newSecret("a") // as it was read before anybody used it
	rehashed.KeyVersion, rehashed.Hash = 2, []byte("new hash")
	c.Secrets = []store.Secret{rehashed, newSecret("c")}
	ok(t, "UpdateClient", s.UpdateClient(t.Context(), c))
	rehashed.LastUsedAt = at(time.Hour)
	if got, want := s.stored(t, "c").Secrets, []store.Secret{rehashed, newSecret("c")}; !reflect.DeepEqual(got, want) {
		t.Errorf("secrets\n got %+v\nwant %+v", got, want)
	}
	if got, want := s.stored(t, "d").Secrets, []store.Secret{newSecret("a")}; !reflect.DeepEqual(got, want) {
		t.Errorf("the other client's secrets\n got %+v\nwant %+v", got, want)
	}
	c = s.stored(t, "c")
	c.Secrets = nil
	ok(t, "UpdateClient", s.UpdateClient(t.Context(), c))
	if got := s.stored(t, "c").Secrets; len(got) != 0 {
		t.Errorf("removed secrets are still there: %+v", got)
	}
}

func lastUse(t *testing.T, s *suite) {
	ok(t, "CreateClient", s.CreateClient(t.Context(), newClient("c", newSecret("a"))))
	for _, st := range []struct{ use, want time.Duration }{{2 * time.Hour, 2 * time.Hour}, {time.Hour, 2 * time.Hour}, {3 * time.Hour, 3 * time.Hour}} {
		ok(t, "RecordSecretUse", s.RecordSecretUse(t.Context(), []store.SecretUse{
			{Client: "nobody", Secret: "a", At: at(day)},
			{Client: "c", Secret: "unknown", At: at(day)},
			{Client: "c", Secret: "a", At: at(st.use)},
			{Client: "c", Secret: "a", At: at(0)},
		}))
		got := s.stored(t, "c")
		if len(got.Secrets) != 1 || !got.Secrets[0].LastUsedAt.Equal(at(st.want)) {
			t.Errorf("used at +%v: %+v, want +%v", st.use, got.Secrets, st.want)
		}
		if got.Revision != 1 {
			t.Errorf("use changed the revision to %d", got.Revision)
		}
	}
	ok(t, "RecordSecretUse", s.RecordSecretUse(t.Context(), nil))
}

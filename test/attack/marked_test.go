package attack_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"codeword/api"
	"codeword/test/testserver"
)

// TestMarkedNumbers sends to numbers that an operator marks while the server
// runs. Every answer is held against openapi.yaml.
func TestMarkedNumbers(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	for _, tc := range []struct {
		mark, unmark string
		status       int
		code         api.Code
	}{
		{"opt-out", "opt-in", http.StatusBadRequest, api.CodePhoneOptedOut},
		{"block", "unblock", http.StatusForbidden, api.CodeBlockedPhone},
	} {
		mark := func(command, to string) {
			t.Helper()
			s.Command("phone", command, "--data", s.Data, "--client", s.Live.ID, to)
		}
		c := callAs(t, s.Endpoint, s.Live)
		known, unknown := number(tc.status), number(tc.status+1)
		id, code := c.mustStart(known)
		refused := 0
		for _, to := range []string{known, unknown} {
			mark(tc.mark, to)
			before := len(s.Inbox(to))
			// More than the phone's burst: a refusal costs nothing.
			for _, a := range atOnce(2*phoneBurst, func(int) answer { return c.send(to) }) {
				if a.is(tc.status, tc.code) && a.err.Data == nil && a.header.Get("Retry-After") == "" {
					refused++
				} else {
					t.Errorf("%s: send got %s", tc.mark, a)
				}
			}
			callAs(t, s.Endpoint, s.Test).mustSend(to) // another client's word does not count
			if n := len(s.Inbox(to)); n > before+1 {
				t.Errorf("%s: %d messages came of refused sends", tc.mark, n-before)
			}
		}
		c.mustAuthenticate(id, code) // who has the code already may use it
		for _, to := range []string{known, unknown} {
			mark(tc.unmark, to)
			c.mustSend(to)
		}
		report(t, "marked-"+tc.mark, "sends to a marked number that was known and to one that was not", "%d of %d refused, then accepted again", refused, 4*phoneBurst)
	}
}

// TestRestoredPast brings back a backup in which a code is unused and a session
// alive that were used and revoked after it.
func TestRestoredPast(t *testing.T) {
	testserver.NeedFile(t)
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Test)
	used, usedCode := c.mustStart(number(1))
	unused, unusedCode := c.mustStart(number(2))
	revoked, kept := c.mustSignIn(number(3)), c.mustSignIn(number(4))
	backup := s.Data + ".backup"
	s.Command("backup", "--data", s.Data, "--out", backup)

	c.mustAuthenticate(used, usedCode)
	if a := c.do(http.MethodPost, api.PathSessionRevoke, "", bearer(revoked)); a.status != http.StatusNoContent {
		t.Fatalf("revoke: %s", a)
	}
	s.Restart() // a restart alone ends nothing
	c = callAs(t, s.Endpoint, s.Test)
	if a := c.session(kept); a.status != http.StatusOK {
		t.Fatalf("session after a restart: %s", a)
	}
	s.Stop()
	restore(t, s, backup)
	s.Restart()
	c = callAs(t, s.Endpoint, s.Test)

	accepted := 0
	for what, a := range map[string]answer{
		"used code": c.authenticate(used, usedCode), "unused code": c.authenticate(unused, unusedCode),
	} {
		if !a.is(http.StatusUnauthorized, api.CodeInvalidOTP) {
			t.Errorf("%s: %s", what, a)
			accepted++
		}
	}
	for what, a := range map[string]answer{"revoked session": c.session(revoked), "kept session": c.session(kept)} {
		if !a.is(http.StatusUnauthorized, api.CodeInvalidAuthorization) {
			t.Errorf("%s: %s", what, a)
			accepted++
		}
	}
	report(t, "restored-past", "a used code and a revoked session after the restore of an older backup", "%d accepted", accepted)
	c.mustSignIn(number(1)) // the service goes on
}

// restore puts a backup in the place of the stopped server's database.
func restore(t *testing.T, s *testserver.Server, backup string) {
	t.Helper()
	database := filepath.Join(s.Data, "codeword.db")
	if err := os.Rename(database, database+".old"); err != nil {
		t.Fatal(err)
	}
	s.Command("restore", "--data", s.Data, "--from", backup)
}

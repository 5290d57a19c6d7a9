// Package nodes runs two server processes on one database behind a plain TCP load
// balancer: what one node does counts on the other within a second, and what goes
// wrong with the database between them loses nothing.
package nodes_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"codeword/api"
	"codeword/client"
	"codeword/internal/store/postgres/postgrestest"
	"codeword/internal/waittest"
	"codeword/test/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

// everywhere is how long what one node, or a command, has done may take to count
// on every node: a second is promised.
const everywhere = waittest.Slack * time.Second

// start starts two nodes on a database of their own.
func start(t *testing.T) *testserver.Server {
	t.Helper()
	return testserver.Start(t, testserver.Options{Database: postgrestest.New(t), Flags: []string{"--log-level", "warn"}})
}

// code is the code of an answer that is an error.
func code(err error) api.Code {
	e, _ := errors.AsType[*client.Error](err)
	if e == nil {
		return ""
	}
	return e.Code
}

// keyOf is the id of the key that signed a JWT.
func keyOf(t *testing.T, token client.Secret) string {
	t.Helper()
	head, _, _ := strings.Cut(token.Reveal(), ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	var header struct {
		KID string `json:"kid"`
	}
	if err == nil {
		err = json.Unmarshal(raw, &header)
	}
	if err != nil || header.KID == "" {
		t.Fatalf("the JWT names no key: %v", err)
	}
	return header.KID
}

// TestEverywhere: a code sent by one node is accepted by the other, and whatever
// ends somebody's rights ends them on both nodes within a second, although each
// had just seen that they held.
func TestEverywhere(t *testing.T) {
	t.Parallel()
	s := start(t)
	nodes := s.Nodes()
	signIn := func(number string) client.Secret {
		sent, err := nodes[0].Client(s.Live).Send(t.Context(), number)
		if err != nil {
			t.Fatal(err)
		}
		out, err := nodes[1].Client(s.Live).Authenticate(t.Context(), sent.PhoneID, s.Code(number))
		if err != nil {
			t.Fatal(err)
		}
		return out.SessionJWT
	}
	session := func(e *testserver.Endpoint, as testserver.Credentials, token client.Secret) error {
		_, err := e.Client(as).Session(t.Context(), client.WithSession(token))
		return err
	}

	t.Run("a session is revoked", func(t *testing.T) {
		token := signIn(testserver.Number(1))
		for _, n := range nodes {
			if err := session(n, s.Live, token); err != nil {
				t.Fatal(err)
			}
		}
		if err := nodes[0].Client(s.Live).RevokeSession(t.Context(), client.WithSession(token)); err != nil {
			t.Fatal(err)
		}
		took := waittest.Within(t, everywhere, "revoked", func() bool { return code(session(nodes[1], s.Live, token)) == api.CodeInvalidAuthorization })
		t.Logf("the other node refused it after %d ms", took.Milliseconds())
	})
	t.Run("a secret is rotated and a client disabled", func(t *testing.T) {
		cred := s.CreateClient("rotated", true, "")
		ask := func(e *testserver.Endpoint, as testserver.Credentials) api.Code { return code(session(e, as, "")) }
		for _, n := range nodes {
			waittest.Within(t, everywhere, "known", func() bool { return ask(n, cred) == api.CodeMissingAuthorization })
		}
		for _, step := range [][]string{{"client", "rotate-secret", "start", cred.ID}, {"client", "rotate-secret", "finish", cred.ID}} {
			s.Command(append(step, "--data", s.Data)...)
		}
		for _, n := range nodes {
			waittest.Within(t, everywhere, "the old secret ends", func() bool { return ask(n, cred) == api.CodeInvalidClientSecret })
		}
		other := s.CreateClient("disabled", true, "")
		for _, n := range nodes {
			waittest.Within(t, everywhere, "known", func() bool { return ask(n, other) == api.CodeMissingAuthorization })
		}
		s.Command("client", "disable", "--data", s.Data, other.ID)
		for _, n := range nodes {
			waittest.Within(t, everywhere, "disabled", func() bool { return ask(n, other) == api.CodeInvalidClientSecret })
		}
	})
	t.Run("a number opts out", func(t *testing.T) {
		number := testserver.Number(2)
		for _, n := range nodes {
			if _, err := n.Client(s.Live).Send(t.Context(), number); err != nil {
				t.Fatal(err)
			}
		}
		s.Command("phone", "opt-out", "--data", s.Data, "--client", s.Live.ID, number)
		for _, n := range nodes {
			if _, err := n.Client(s.Live).Send(t.Context(), number); code(err) != api.CodePhoneOptedOut {
				t.Errorf("after the opt-out: %v", err)
			}
		}
	})
	t.Run("a signing key is replaced and withdrawn", func(t *testing.T) {
		token := signIn(testserver.Number(3))
		for _, n := range nodes {
			if err := session(n, s.Live, token); err != nil {
				t.Fatal(err)
			}
		}
		old := keyOf(t, token)
		s.Command("keys", "rotate", "signing", "--now", "--data", s.Data)
		s.Command("keys", "retire", "--data", s.Data, "--", "signing", old) // a key's id may begin with a dash
		for _, n := range nodes {
			waittest.Within(t, everywhere, "refused", func() bool { return code(session(n, s.Live, token)) == api.CodeInvalidAuthorization })
		}
		if err := session(nodes[1], s.Live, signIn(testserver.Number(4))); err != nil {
			t.Errorf("under the new key: %v", err)
		}
	})
}

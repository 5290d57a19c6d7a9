package session_test

import (
	"regexp"
	"strings"
	"testing"

	"codeword/internal/fault"
	"codeword/internal/session"
)

func TestParseBearer(t *testing.T) {
	for name, c := range map[string]struct {
		header, token string
		kind          fault.Kind
	}{
		"plain":          {"Bearer abc.def.ghi", "abc.def.ghi", 0},
		"any case":       {"bEaReR abc", "abc", 0},
		"spaces":         {"Bearer   abc", "abc", 0},
		"all characters": {"Bearer aZ09-._~+/==", "aZ09-._~+/==", 0},
		"longest":        {"Bearer " + strings.Repeat("a", session.MaxBearer), strings.Repeat("a", session.MaxBearer), 0},
		"none":           {"", "", fault.MissingAuthorization},
		"scheme only":    {"Bearer", "", fault.InvalidAuthorization},
		"no token":       {"Bearer ", "", fault.InvalidAuthorization},
		"padding only":   {"Bearer ==", "", fault.InvalidAuthorization},
		"padding within": {"Bearer a=b", "", fault.InvalidAuthorization},
		"basic":          {"Basic YTpi", "", fault.InvalidAuthorization},
		"glued":          {"Bearerabc", "", fault.InvalidAuthorization},
		"tab":            {"Bearer\tabc", "", fault.InvalidAuthorization},
		"two tokens":     {"Bearer abc def", "", fault.InvalidAuthorization},
		"two values":     {"Bearer abc, Bearer def", "", fault.InvalidAuthorization},
		"trailing space": {"Bearer abc ", "", fault.InvalidAuthorization},
		"quoted":         {`Bearer "abc"`, "", fault.InvalidAuthorization},
		"newline":        {"Bearer abc\n", "", fault.InvalidAuthorization},
		"nul":            {"Bearer a\x00", "", fault.InvalidAuthorization},
		"not ASCII":      {"Bearer ａ", "", fault.InvalidAuthorization},
		"Kelvin sign":    {"Bearer \u212a", "", fault.InvalidAuthorization},
		"too long":       {"Bearer " + strings.Repeat("a", session.MaxBearer+1), "", fault.InvalidAuthorization},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := session.ParseBearer(c.header)
			if token != c.token {
				t.Errorf("token %q, want %q", token, c.token)
			}
			if c.kind != 0 {
				wantFault(t, err, c.kind)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func FuzzParseBearer(f *testing.F) {
	for _, s := range []string{"", "Bearer a.b.c", "bearer  x==", "Basic eDp5", "Bearer a b", "Bearer =", "BEARER \x80", "Bearer"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		token, err := session.ParseBearer(header)
		if err != nil {
			want := fault.InvalidAuthorization
			if header == "" {
				want = fault.MissingAuthorization
			}
			if token != "" || !fault.Is(err, want) {
				t.Fatalf("%q: token %q, error %v", header, token, err)
			}
			return
		}
		if len(token) > session.MaxBearer || strings.ContainsAny(token, " \t\r\n\",;") {
			t.Fatalf("%q gave %q", header, token)
		}
		if !strings.EqualFold(header[:7], "bearer ") || strings.TrimLeft(header[7:], " ") != token {
			t.Fatalf("%q gave %q", header, token)
		}
		if again, err := session.ParseBearer("Bearer " + token); err != nil || again != token {
			t.Fatalf("%q is not accepted again: %q, %v", token, again, err)
		}
	})
}

// FuzzVerify feeds whole bearers, past the header: nothing is accepted, and
// every refusal is the caller's fault.
func FuzzVerify(f *testing.F) {
	w := newWorld(f)
	client := newClient("client-a")
	_, good := w.signIn(f, client, nil)
	for _, s := range []string{
		"", ".", "..", "a.b.c", good[:len(good)-1], good + "A", strings.ToUpper(good),
		"eyJhbGciOiJub25lIn0." + strings.Split(good, ".")[1] + ".",
		"{\"a\":1." + strings.Split(good, ".")[1] + ".AA",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, bearer string) {
		p, err := w.Verify(t.Context(), client, bearer)
		if p != nil {
			// The last character of a signature has bits that no decoder reads.
			if n := len(good) - 1; len(bearer) != len(good) || bearer[:n] != good[:n] {
				t.Fatalf("accepted %q", bearer)
			}
			return
		}
		wantFault(t, err, fault.InvalidAuthorization)
	})
}

// TestBearerCharacters: of all bytes, a b64token has those of RFC 6750.
func TestBearerCharacters(t *testing.T) {
	for c := range 256 {
		char := string([]byte{byte(c)})
		_, err := session.ParseBearer("Bearer a" + char + "a")
		wanted := regexp.MustCompile(`^[A-Za-z0-9._~+/-]$`).MatchString(char)
		if (err == nil) != wanted {
			t.Errorf("byte %#x: %v", c, err)
		}
	}
}

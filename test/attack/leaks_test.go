package attack_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"codeword/api"
	"codeword/test/testserver"
)

// spellings are the forms in which a value may have come to rest: as it is,
// backwards, in hex, in base64 at every offset, and escaped for a URL.
func spellings(value string) map[string][]byte {
	backwards := []byte(value)
	slices.Reverse(backwards)
	out := map[string][]byte{
		"raw": []byte(value), "backwards": backwards,
		"hex": []byte(hex.EncodeToString([]byte(value))), "HEX": []byte(strings.ToUpper(hex.EncodeToString([]byte(value)))),
		"escaped": []byte(strings.ReplaceAll(value, "+", "%2B")),
	}
	for offset := range 3 {
		for name, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			text := enc.EncodeToString(append(make([]byte, offset), value...))
			// The first and last characters hold bits of the neighbors.
			from, to := (offset*8+5)/6, (offset+len(value))*8/6
			out[name+string(rune('0'+offset))] = []byte(text[from:to])
		}
	}
	return out
}

// resting are the places where a server leaves things, by name. Those that are
// made to hold secrets, mode 0600, are left out.
func resting(t *testing.T, s *testserver.Server) map[string][]byte {
	t.Helper()
	out := map[string][]byte{"log": []byte(s.Log()), "metrics": s.Admin("/metrics")}
	err := filepath.WalkDir(s.Data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if name := d.Name(); name == "dev.env" || name == "keyset.json" {
			info, err := d.Info()
			if err == nil && info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %o", name, info.Mode().Perm())
			}
			return err
		}
		raw, err := os.ReadFile(path)
		out[d.Name()] = raw
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// database is all that the database of a stopped server holds: its file, or the rows
// of all tables as text, in which bytes are in hexadecimal.
func database(t *testing.T, s *testserver.Server) []byte {
	t.Helper()
	if s.Database() == "" {
		raw, err := os.ReadFile(filepath.Join(s.Data, "codeword.db"))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	conn, err := pgx.Connect(t.Context(), s.Database())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, _ := conn.Query(t.Context(), `SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema()`) // told by CollectRows
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for _, table := range tables {
		rows, _ := conn.Query(t.Context(), `SELECT t::text FROM `+pgx.Identifier{table}.Sanitize()+` t`)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.Join(lines, "\n")...)
	}
	return out
}

// work has a server do all it can, well and badly used, and returns by name what
// nobody may find afterwards.
func work(t *testing.T, s *testserver.Server, cred testserver.Credentials) map[string]string {
	t.Helper()
	c := callAs(t, s.Endpoint, cred)
	const to, other, landline, typo = "+16502184711", "+16502188642", "+18005551234", "+1650218471199"
	const key, ip = "idempotency-key-3f9c1b", `{"ip":"203.0.113.77","visitor":"visitor-8d1f0a"}`
	id, code := c.mustStart(to, idempotency(key), header{api.HeaderDeviceFingerprint, ip})
	guess := wrong(code, 41)
	c.mustSend(to)
	c.authenticate(id, guess)
	token := c.mustAuthenticate(id, code)
	c.authenticate(id, code)
	id, second := c.mustStart(to, bearer(token))
	upgraded := c.mustAuthenticate(id, second, bearer(token))
	idOther, third := c.mustStart(other, bearer(upgraded))
	c.authenticate(idOther, third, bearer(upgraded)) // MISMATCH_PHONE
	for range 4 {
		c.send(to) // 429
	}
	c.send(landline)
	c.send(typo)
	c.send("tel:" + to)
	c.do(http.MethodPost, api.PathSend, `{"phoneNumber":"`+to+`"`)
	c.do(http.MethodPost, api.PathSend+"?phoneNumber=%2B16502184711", "{}")
	c.do(http.MethodPost, api.PathAuthenticate, `{"phoneId":"`+id+`","otp":"`+second+`"`)
	c.do(http.MethodGet, "/"+second+"/"+token, "")
	c.do(http.MethodGet, api.PathAuthenticate+"?otp="+second, "", header{"User-Agent", to}, header{"Referer", token})
	c.session(token[:len(token)-3])
	c.session(upgraded)
	c.exchange(http.MethodGet, api.PathSession, "", []header{{api.HeaderClientID, cred.Secret}, {api.HeaderClientSecret, cred.Secret}})
	c.exchange(http.MethodGet, api.PathSession, "", []header{{api.HeaderClientID, cred.ID}, {api.HeaderClientSecret, cred.Secret + "x"}})
	revoked := c.mustSignIn(other)
	c.do(http.MethodPost, api.PathSessionRevoke, "", bearer(revoked))
	c.session(revoked)
	return map[string]string{
		"first code": code, "second code": second, "third code": third, "wrong guess": guess,
		"client secret": cred.Secret, "admin token": s.AdminToken, "dev secret": s.Live.Secret,
		"token": token, "token's signature": token[strings.LastIndexByte(token, '.')+1:], "upgraded token": upgraded, "revoked token": revoked,
		"number": to[1:], "number without country": to[2:], "other number": other[2:], "landline": landline[2:], "mistyped number": typo[2:],
		"idempotency key": key, "end user's address": "203.0.113.77", "fingerprint": "visitor-8d1f0a",
	}
}

func TestNothingReadableRests(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{Flags: []string{"--log-level", "debug"}})
	// Ten digits, so that none of them is found by chance.
	cred := s.CreateClient("leaks", true, `{"codeLength":10}`)
	secrets := work(t, s, cred)
	places := resting(t, s) // while it runs, with its WAL
	s.Stop()
	places["log"], places["database after stop"] = []byte(s.Log()), database(t, s)

	// The same search finds what is there by right.
	controls := 0
	marks := map[string]string{"log": cred.ID, "database after stop": cred.ID, "metrics": "codeword_"}
	if !testserver.Shared() {
		marks["codeword.db-wal"] = "\x37\x7f\x06"
	}
	for place, text := range marks {
		if bytes.Contains(places[place], []byte(text)) {
			controls++
		} else {
			t.Errorf("%s does not hold %q: it is not what it should be", place, text)
		}
	}
	size, searched, found := 0, 0, 0
	for place, content := range places {
		size += len(content)
		for name, value := range secrets {
			for form, text := range spellings(value) {
				searched++
				if i := bytes.Index(content, text); i >= 0 {
					found++
					line := content[max(0, i-80):min(len(content), i+20)]
					t.Errorf("the %s (%s) is in %s, after %q", name, form, place, line)
				}
			}
		}
	}
	report(t, "grep", fmt.Sprintf("%d codes, guesses, secrets, tokens, numbers and addresses in %d spellings in database, WAL, log (debug) and metrics",
		len(secrets), len(spellings("x"))), "%d found in %d KiB of %v (%d searches, %d of %d controls found)",
		found, size>>10, slices.Sorted(maps.Keys(places)), searched, controls, len(marks))
}

// TestErrorsEchoNothing holds what error answers tell against what was sent.
func TestErrorsEchoNothing(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.CreateClient("echo", true, `{"codeLength":10}`))
	const to = "+16502184711"
	id, code := c.mustStart(to)
	token := c.mustSignIn("+16502188642")
	marker := "zq7marker"
	answers := []answer{
		c.authenticate(id, wrong(code, 0)), c.authenticate(id, code+"1"), c.authenticate(code, code), c.authenticate(marker, wrong(code, 1)),
		c.do(http.MethodPost, api.PathAuthenticate, `{"phoneId":"`+id+`","otp":"`+code+`"`),
		c.do(http.MethodPost, api.PathAuthenticate, `{"phoneId":"`+id+`","otp":"`+code+`","otp":"`+code+`"}`),
		c.do(http.MethodPost, api.PathAuthenticate, `{"phoneId":"`+id+`","otp":`+code+`}`),
		c.do(http.MethodGet, api.PathAuthenticate+"?otp="+code, ""),
		c.do(http.MethodPost, "/"+marker+"/"+code, ""), c.do(marker, api.PathSend, marker),
		c.send(to + " "), c.send("tel:" + to), c.send("+1416" + to[5:]), c.send(marker),
		c.do(http.MethodPost, api.PathSend, `{"phoneNumber":"`+to+`"`), c.do(http.MethodPost, api.PathSend, marker),
		c.send(to, idempotency(marker+" "+marker)), c.session(token + marker), c.session(marker),
		c.exchange(http.MethodGet, api.PathSession, "", []header{{api.HeaderClientID, marker}, {api.HeaderClientSecret, marker}}),
	}
	for range 3 {
		answers = append(answers, c.send(to))
	}
	echoed, failures := 0, 0
	for _, a := range answers {
		if a.status >= 400 {
			failures++
		}
		whole := shape(a)
		for name, value := range map[string]string{
			"code": code, "number": to[2:], "token": token, "marker": marker, "secret": c.cred.Secret, "wrong guess": wrong(code, 0),
			"SQL": "SELECT", "engine": "sqlite", "stack": "goroutine", "source": ".go:",
		} {
			if strings.Contains(strings.ToLower(whole), strings.ToLower(value)) {
				echoed++
				t.Errorf("%s tells the %s:\n%s", a, name, whole)
			}
		}
	}
	report(t, "error-echo", "codes, numbers, tokens and other input in the bodies and headers of refusals", "%d echoed in %d refusals", echoed, failures)
	if failures < 20 {
		t.Errorf("only %d of %d calls were refused", failures, len(answers))
	}
}

// TestNumberBehindAnID looks a phone up by its id alone, which an operator may, after the
// guard came to hold its block back. Its last digits are told, so the first must not be:
// only an administrator may export the number.
func TestNumberBehindAnID(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Live)
	victim := number(1999)
	id := c.mustSend(victim)
	for n, deadline := 1000, time.Now().Add(time.Minute); !bytes.Contains(s.Admin("/admin/v1/guard/holds"), []byte(victim[:8])); n++ {
		if time.Now().After(deadline) {
			t.Fatal("the guard holds nothing back")
		}
		c.send(number(n))
	}
	s.Command("phone", "block", "--data", s.Data, "--client", s.Live.ID, victim)
	told := ""
	for deadline := time.Now().Add(time.Minute); !strings.Contains(told, "the guard holds back"); {
		if time.Now().After(deadline) {
			t.Fatalf("nothing is told of the guard: %s", told)
		}
		c.send(victim)
		told = string(s.Command("phone", "find", "--data", s.Data, id))
	}
	tells := strings.Contains(told, victim[2:8])
	if tells || !strings.Contains(told, victim[8:]) {
		t.Errorf("by the id of a phone there is told %s", told)
	}
	report(t, "number-behind-id", "a look-up by id of a phone in a block that is held back", "tells the other digits: %t", tells)
}

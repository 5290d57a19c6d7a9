// Package attack tries to cheat a running server, over HTTP and from outside.
// Each attack tells its name, what it tries, and the figure it found:
//
//	attack parallel-right: 100 callers present the right code at once → 1 success
//
// Figures are held against what the product promises.
package attack_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"codeword/api"
	"codeword/test/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

// report logs one attack's line.
func report(t *testing.T, name, tries, figure string, args ...any) {
	t.Helper()
	t.Logf("attack %s: %s → %s", name, tries, fmt.Sprintf(figure, args...))
}

// number is the n-th of ten thousand numbers that may be mobile lines.
func number(n int) string { return fmt.Sprintf("+1650218%04d", n%10000) }

// header is one header field of a request.
type header struct{ name, value string }

func bearer(token string) header    { return header{"Authorization", "Bearer " + token} }
func idempotency(key string) header { return header{api.HeaderIdempotencyKey, key} }
func fingerprintIP(ip string) header {
	return header{api.HeaderDeviceFingerprint, `{"ip":"` + ip + `"}`}
}

func as(c testserver.Credentials) []header {
	return []header{{api.HeaderClientID, c.ID}, {api.HeaderClientSecret, c.Secret}}
}

// answer is an HTTP answer with its document.
type answer struct {
	status int
	header http.Header
	body   []byte
	// Either half is empty if the answer is of the other kind.
	ok struct {
		PhoneID    string `json:"phoneId"`
		SessionJWT string `json:"sessionJwt"`
	}
	err api.Error
}

// is reports whether the answer is an error with that status and code.
func (a answer) is(status int, code api.Code) bool { return a.status == status && a.err.Code == code }

func (a answer) String() string {
	if a.status == http.StatusOK {
		return "200"
	}
	return fmt.Sprintf("%d %s", a.status, a.err.Code)
}

// retryable is data.retryable, false when absent.
func (a answer) retryable() bool {
	return a.err.Data != nil && a.err.Data.Retryable != nil && *a.err.Data.Retryable
}

// caller makes raw calls as one client.
type caller struct {
	t    *testing.T
	e    *testserver.Endpoint
	cred testserver.Credentials
}

func callAs(t *testing.T, e *testserver.Endpoint, cred testserver.Credentials) caller {
	t.Helper()
	return caller{t, e, cred}
}

// do makes a request with the client's credentials. It may be called from any
// goroutine: a request without an answer is an error of the test and status 0.
func (c caller) do(method, path, body string, extra ...header) answer {
	c.t.Helper()
	return c.exchange(method, path, body, append(as(c.cred), extra...))
}

func (c caller) exchange(method, path, body string, headers []header) answer {
	c.t.Helper()
	a, err := exchange(c.e, method, path, strings.NewReader(body), headers)
	if err != nil {
		c.t.Errorf("%s %s: %v", method, path, err)
	}
	return a
}

func exchange(e *testserver.Endpoint, method, path string, body io.Reader, headers []header) (answer, error) {
	req, err := http.NewRequest(method, e.URL+path, body)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", api.ContentTypeJSON)
	for _, h := range headers {
		req.Header.Add(h.name, h.value)
	}
	resp, err := e.HTTP.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return a, err
	}
	if a.status >= http.StatusBadRequest {
		_ = json.Unmarshal(a.body, &a.err) // HEAD has no body
	} else {
		_ = json.Unmarshal(a.body, &a.ok) // not all are documents
	}
	return a, nil
}

func encode(doc any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(doc) // strings always encode
	return b.String()
}

func (c caller) send(to string, extra ...header) answer {
	c.t.Helper()
	return c.do(http.MethodPost, api.PathSend, encode(api.SendSmsOtpRequest{PhoneNumber: to}), extra...)
}

func (c caller) authenticate(phoneID, code string, extra ...header) answer {
	c.t.Helper()
	return c.do(http.MethodPost, api.PathAuthenticate, encode(api.AuthenticateSmsOtpRequest{PhoneID: phoneID, OTP: code}), extra...)
}

func (c caller) session(token string) answer {
	c.t.Helper()
	return c.do(http.MethodGet, api.PathSession, "", bearer(token))
}

// mustSend sends and returns the phone's id; it must succeed.
func (c caller) mustSend(to string, extra ...header) string {
	c.t.Helper()
	a := c.send(to, extra...)
	if a.status != http.StatusOK || a.ok.PhoneID == "" {
		c.t.Fatalf("send: %s", a)
	}
	return a.ok.PhoneID
}

// mustStart sends and returns the phone's id and the code.
func (c caller) mustStart(to string, extra ...header) (phoneID, code string) {
	c.t.Helper()
	id := c.mustSend(to, extra...)
	return id, c.e.Code(to)
}

// mustSignIn proves a phone and returns the session's token.
func (c caller) mustSignIn(to string, extra ...header) string {
	c.t.Helper()
	id, code := c.mustStart(to, extra...)
	return c.mustAuthenticate(id, code, extra...)
}

func (c caller) mustAuthenticate(id, code string, extra ...header) string {
	c.t.Helper()
	a := c.authenticate(id, code, extra...)
	if a.status != http.StatusOK || a.ok.SessionJWT == "" {
		c.t.Fatalf("authenticate: %s", a)
	}
	return a.ok.SessionJWT
}

// wrong is a code of the same length that is not the given one; n picks which.
func wrong(code string, n int) string {
	modulus, value := 1, 0
	for _, d := range code {
		modulus *= 10
		value = value*10 + int(d-'0')
	}
	return fmt.Sprintf("%0*d", len(code), (value+1+n%(modulus-1))%modulus)
}

// atOnce runs n calls that begin together and returns their answers.
func atOnce(n int, call func(i int) answer) []answer {
	out := make([]answer, n)
	begin := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-begin
			out[i] = call(i)
		})
	}
	close(begin)
	all.Wait()
	return out
}

// tally counts answers by status and code.
func tally(answers []answer) map[string]int {
	out := make(map[string]int)
	for _, a := range answers {
		out[a.String()]++
	}
	return out
}

// claims returns the payload of a JWT, unverified.
func claims(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatal("not a JWT")
	}
	var out map[string]any
	if err := json.Unmarshal(unbase64(t, parts[1]), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

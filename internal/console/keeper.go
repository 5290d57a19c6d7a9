package console

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"strings"
	"sync"
	"time"

	"codeword/api"
)

const (
	// cookieName names the login of a browser.
	cookieName = "codeword_console"
	// loginLife is how long a login lasts, however busy it is.
	loginLife = 12 * time.Hour
	// maxLogins bounds the memory for logins; beyond it the oldest ends.
	maxLogins = 64
)

// digest is what the keeper remembers of a secret: its keyed hash, so that
// comparing takes the same time for any two and memory holds no secret.
type digest [sha256.Size]byte

// keeper decides who is the operator.
type keeper struct {
	key   [32]byte
	token digest
	now   func() time.Time

	mu     sync.Mutex
	logins map[digest]time.Time // until when
}

func newKeeper(token Token, now func() time.Time) *keeper {
	k := &keeper{now: now, logins: map[digest]time.Time{}}
	_, _ = rand.Read(k.key[:]) // never fails, see crypto/rand.Read
	k.token = k.digest(string(token))
	return k
}

func (k *keeper) digest(secret string) (d digest) {
	mac := hmac.New(sha256.New, k.key[:])
	_, _ = mac.Write([]byte(secret)) // never fails, see hash.Hash
	mac.Sum(d[:0])
	return d
}

// isToken compares in constant time.
func (k *keeper) isToken(presented string) bool {
	d := k.digest(presented)
	return hmac.Equal(d[:], k.token[:])
}

// admit returns "" for the operator, else the code that says what is wrong. A
// bearer that is no good is not made good by a cookie.
func (k *keeper) admit(r *http.Request) api.Code {
	if values := r.Header.Values("Authorization"); len(values) > 0 {
		scheme, token, _ := strings.Cut(values[0], " ")
		if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || !k.isToken(strings.TrimLeft(token, " ")) {
			return api.CodeInvalidAuthorization
		}
		return ""
	}
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return api.CodeMissingAuthorization
	}
	k.mu.Lock()
	until, ok := k.logins[k.digest(cookie.Value)]
	k.mu.Unlock()
	if !ok || !k.now().Before(until) {
		return api.CodeExpiredAuthorization
	}
	return ""
}

// login begins a login and returns its cookie.
func (k *keeper) login(secure bool) *http.Cookie {
	id, now := rand.Text(), k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	var oldest digest
	for d, until := range k.logins {
		if !now.Before(until) {
			delete(k.logins, d)
		} else if at, ok := k.logins[oldest]; !ok || until.Before(at) {
			oldest = d
		}
	}
	if len(k.logins) >= maxLogins {
		delete(k.logins, oldest)
	}
	k.logins[k.digest(id)] = now.Add(loginLife)
	return newCookie(id, int(loginLife/time.Second), secure)
}

// logout ends the login of a request, if there is one, and returns the cookie
// that removes the browser's.
func (k *keeper) logout(r *http.Request) *http.Cookie {
	if cookie, err := r.Cookie(cookieName); err == nil {
		k.mu.Lock()
		delete(k.logins, k.digest(cookie.Value))
		k.mu.Unlock()
	}
	return newCookie("", -1, r.TLS != nil)
}

// newCookie is out of reach for scripts and for requests that other sites
// cause (RFC 6265bis section 4.1.2). It is Secure where the listener has TLS;
// on plain loopback it could not be.
func newCookie(value string, maxAge int, secure bool) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // see above for Secure
		Name: cookieName, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode,
	}
}

package session

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"codeword/internal/fault"
)

// How a trusted issuer's keys are fetched and kept.
const (
	// fetchTimeout bounds discovery and key set together.
	fetchTimeout = 5 * time.Second
	// freshKeys is for how long keys are used without asking again; after it
	// they are fetched anew in the background.
	freshKeys = 10 * time.Minute
	// staleKeys is for how long they are used while their issuer fails.
	staleKeys = time.Hour
	// refetchAfter is the shortest time between two fetches when tokens name
	// unknown keys; retryAfter when a fetch failed.
	refetchAfter = 30 * time.Second
	retryAfter   = 5 * time.Second
	// maxDocument, maxKeys and maxIssuers bound what an issuer can make us
	// hold; maxRSABits what it can make us compute.
	maxDocument = 256 << 10
	maxKeys     = 64
	maxIssuers  = 1024
	minRSABits  = 2048
	maxRSABits  = 8192
)

// issuers are the key sets of all trusted issuers of all clients.
type issuers struct {
	client *http.Client
	now    func() time.Time

	mu sync.Mutex
	m  map[issuerKey]*remoteKeys
}

type issuerKey struct{ issuer, jwksURL string }

func newIssuers(base *http.Client, now func() time.Time) *issuers {
	if base == nil {
		base = &http.Client{}
	}
	client := *base
	if client.Transport == nil {
		client.Transport = http.DefaultTransport
	}
	client.Transport = limited{client.Transport}
	client.Timeout = fetchTimeout
	client.Jar = nil
	client.CheckRedirect = func(*http.Request, []*http.Request) error {
		return errors.New("a trusted issuer may not redirect")
	}
	return &issuers{client: &client, now: now, m: make(map[issuerKey]*remoteKeys)}
}

func (s *issuers) get(issuer, jwksURL string) *remoteKeys {
	key := issuerKey{issuer, jwksURL}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.m[key]
	if r == nil {
		for k := range s.m {
			if len(s.m) < maxIssuers {
				break
			}
			delete(s.m, k) // it will be fetched again
		}
		r = &remoteKeys{client: s.client, now: s.now, issuer: issuer, jwksURL: jwksURL}
		s.m[key] = r
	}
	return r
}

// limited refuses bodies that are larger than any honest document, after
// decompression.
type limited struct{ base http.RoundTripper }

func (l limited) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.base.RoundTrip(req)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxDocument)
	}
	return resp, err
}

// remoteKeys are the keys of one issuer. At most one fetch runs at a time, and
// those who need its outcome wait for it together.
type remoteKeys struct {
	client  *http.Client
	now     func() time.Time
	issuer  string
	jwksURL string

	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetched time.Time // when the last fetch that succeeded began
	tried   time.Time // when the last fetch ended
	err     error     // outcome of the last fetch
	running chan struct{}
}

// find returns the issuer's keys for a kid, perhaps none. fault.Unavailable
// when the keys are not known and cannot be fetched now.
func (r *remoteKeys) find(ctx context.Context, kid string, now time.Time) ([]jose.JSONWebKey, error) {
	r.mu.Lock()
	keys, wait := r.have(kid, now)
	r.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, fault.Wrap(fault.Unavailable, "waiting for a trusted issuer", ctx.Err())
		}
		r.mu.Lock()
		keys, _ = r.known(kid, now)
		r.mu.Unlock()
	}
	if len(keys) > 0 {
		return keys, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return nil, &fault.Error{
			Kind: fault.Unavailable, Detail: "a trusted issuer does not answer",
			RetryAfter: max(time.Second, r.tried.Add(retryAfter).Sub(now)), Cause: r.err,
		}
	}
	return nil, nil
}

// known returns the keys for a kid that may still be used, and whether they
// are fresh. r.mu is held.
func (r *remoteKeys) known(kid string, now time.Time) (keys []jose.JSONWebKey, fresh bool) {
	age := now.Sub(r.fetched)
	if r.fetched.IsZero() || age >= staleKeys {
		return nil, false
	}
	return matching(r.keys, kid), age < freshKeys
}

// have returns the known keys, or what to wait for. It begins a fetch when
// keys are missing or old and the last one is not too recent. r.mu is held.
func (r *remoteKeys) have(kid string, now time.Time) ([]jose.JSONWebKey, <-chan struct{}) {
	keys, fresh := r.known(kid, now)
	if len(keys) > 0 && fresh {
		return keys, nil
	}
	pause := refetchAfter
	if r.err != nil {
		pause = retryAfter
	}
	if r.running == nil && (r.tried.IsZero() || now.Sub(r.tried) >= pause) {
		r.running = make(chan struct{})
		go r.fetch()
	}
	if len(keys) > 0 || r.running == nil {
		return keys, nil
	}
	return nil, r.running
}

// fetch is detached from the request that began it, since others may wait for
// it too.
func (r *remoteKeys) fetch() {
	began := r.now()
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	keys, err := r.load(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tried, r.err = r.now(), err
	if err == nil {
		r.keys, r.fetched = keys, began
	}
	close(r.running)
	r.running = nil
}

// load asks the issuer. What it answers is hostile until parsed, so even a
// panic of a parser is only an error.
func (r *remoteKeys) load(ctx context.Context) (keys []jose.JSONWebKey, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("the issuer's document broke its parser")
		}
	}()
	address := r.jwksURL
	if address == "" {
		provider, err := oidc.NewProvider(oidc.ClientContext(ctx, r.client), r.issuer)
		if err != nil {
			return nil, brief(err)
		}
		var document struct {
			JWKSURI string `json:"jwks_uri"`
		}
		if err := provider.Claims(&document); err != nil {
			return nil, brief(err)
		}
		if address = document.JWKSURI; !followable(r.issuer, address) {
			return nil, errors.New("the issuer's jwks_uri is not https")
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, brief(err)
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, brief(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the key set answers %d", resp.StatusCode)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, brief(err)
	}
	return parseKeySet(body)
}

// followable refuses addresses that a discovery document has no business to
// send us to: anything but https, unless the issuer itself is on plain http,
// which the configuration allows for loopback alone, and so is the address.
func followable(issuer, address string) bool {
	from, err := url.Parse(issuer)
	if err != nil {
		return false
	}
	to, err := url.Parse(address)
	if err != nil || to.Host == "" || to.User != nil {
		return false
	}
	return to.Scheme == "https" || to.Scheme == "http" && from.Scheme == "http" && to.Hostname() == from.Hostname()
}

// parseKeySet keeps the keys that can verify signatures: public, asymmetric and
// of a sane size. It skips those it does not understand (RFC 7517 section 5).
func parseKeySet(body []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, errors.New("the key set is not JSON of the right shape")
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys[:min(len(set.Keys), maxKeys)] {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) == nil && usable(&k) {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set holds no key for signatures")
	}
	return keys, nil
}

func usable(k *jose.JSONWebKey) bool {
	if !k.Valid() || !k.IsPublic() || k.Use != "" && k.Use != "sig" {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= minRSABits && key.N.BitLen() <= maxRSABits
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	default:
		return false
	}
}

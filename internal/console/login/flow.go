package login

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Paths of the login at a provider.
const (
	BeginPath    = "/login/oidc"
	CallbackPath = "/login/callback"
)

const (
	// flowLife is how long somebody may take at the provider.
	flowLife = 10 * time.Minute
	// maxFlows is how many logins a browser may have begun at once.
	maxFlows = 4
	// maxCode bounds a code, in bytes.
	maxCode = 4 << 10
)

// flow is a login that was begun. It is sealed in a cookie of the browser that began
// it, so that no other browser can finish it.
type flow struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	Rules    []byte `json:"r"`
	Began    int64  `json:"b"`
	// Next is where to go afterwards.
	Next string `json:"p"`
	// Old is the session that goes on if the provider vouches without asking anything.
	Old *session `json:"o,omitempty"`
}

// Problem is why a login at the provider came to nothing, in words for who tried.
type Problem struct {
	Status int
	Text   string
}

// Error implements error.
func (p *Problem) Error() string { return p.Text }

var (
	problemDown = &Problem{
		http.StatusServiceUnavailable,
		"The provider cannot be reached now, or does not answer as it should. The admin token works nevertheless.",
	}
	problemBusy    = &Problem{http.StatusServiceUnavailable, "Too many log in at once. Please begin again in a moment."}
	problemForeign = &Problem{
		http.StatusBadRequest,
		"This login was not begun in this browser, was finished before, or took too long. Please begin again.",
	}
	problemRefused = &Problem{http.StatusForbidden, "The provider did not let you in."}
	problemAnswer  = &Problem{
		http.StatusBadGateway,
		"What the provider answered cannot be trusted, so nobody was let in. The server's log says why.",
	}
)

// flowName is the cookie of a flow: several may be under way in several tabs.
func (k *Keeper) flowName(state string) string { return k.prefix() + "codeword_login_" + state[:8] }

// Begin leads a browser to the provider.
func (k *Keeper) Begin(w http.ResponseWriter, r *http.Request, next string) error {
	return k.begin(w, r, next, nil)
}

func (k *Keeper) begin(w http.ResponseWriter, r *http.Request, next string, old *session) error {
	if k.provider == nil {
		return &Problem{http.StatusNotFound, "There is no provider to log in at."}
	}
	d, err := k.provider.discover(context.WithoutCancel(r.Context()))
	if err != nil {
		k.cfg.Log.WarnContext(r.Context(), "nobody can log in at the OpenID provider", "issuer", k.cfg.Provider.Issuer, "error", brief(err.Error()))
		return problemDown
	}
	f := &flow{
		State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Rules: k.rules,
		Began: k.cfg.Now().Unix(), Next: LocalPath(next), Old: old,
	}
	value, err := k.sealed(f, sealFlow)
	if err != nil {
		return err
	}
	k.dropFlows(w, r)
	// It has to come along when the provider leads back here, which Strict would prevent.
	http.SetCookie(w, k.cookie(k.flowName(f.State), value, int(flowLife/time.Second), http.SameSiteLaxMode))
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(f.Verifier), oidc.Nonce(f.Nonce)}
	if old != nil {
		options = append(options, oauth2.SetAuthURLParam("prompt", "none"))
	}
	http.Redirect(w, r, k.provider.oauth(d).AuthCodeURL(f.State, options...), http.StatusSeeOther)
	return nil
}

// dropFlows keeps a browser from gathering cookies until its requests are too large.
func (k *Keeper) dropFlows(w http.ResponseWriter, r *http.Request) {
	var names []string
	for _, c := range r.Cookies() {
		if strings.HasPrefix(c.Name, k.prefix()+"codeword_login_") {
			names = append(names, c.Name)
		}
	}
	if len(names) < maxFlows {
		return
	}
	for _, name := range names {
		http.SetCookie(w, k.cookie(name, "", -1, http.SameSiteLaxMode))
	}
}

// Recheck leads a browser to the provider and back, if that is due and can be done, and
// tells whether it did. Who comes back has the roles of now.
func (k *Keeper) Recheck(w http.ResponseWriter, r *http.Request, p Person) bool {
	if !p.Due || k.provider == nil || r.Method != http.MethodGet || !navigates(r) {
		return false
	}
	s, code := k.session(r)
	if code != "" {
		return false
	}
	tried := *s
	tried.Tried, tried.Seen = k.cfg.Now().Unix(), k.cfg.Now().Unix()
	if k.give(w, &tried) != nil {
		return false
	}
	return k.begin(w, r, r.URL.RequestURI(), &tried) == nil
}

// Finish is the provider's answer. It begins a session and returns where to go, or a
// *Problem.
func (k *Keeper) Finish(w http.ResponseWriter, r *http.Request) (next string, err error) {
	if k.provider == nil {
		return "", &Problem{http.StatusNotFound, "There is no provider to log in at."}
	}
	q, ok := once(r.URL.RawQuery, "state", "code", "error", "iss")
	f := k.flow(w, r, q["state"])
	if !ok || f == nil || len(q["code"]) > maxCode || !k.used.first(f.State, k.cfg.Now()) {
		return "", problemForeign
	}
	d, err := k.provider.discover(context.WithoutCancel(r.Context()))
	if err != nil {
		return "", problemDown
	}
	iss, named := q["iss"]
	if named && iss != k.cfg.Provider.Issuer || !named && d.about.AlwaysIssuer {
		k.refused(r, "", errors.New("the answer is another issuer's (RFC 9207)"))
		return "", problemAnswer
	}
	if wrong := q["error"]; wrong != "" || q["code"] == "" {
		return "", k.notLetIn(w, r, f, wrong)
	}
	if !k.provider.enter() {
		return "", problemBusy
	}
	defer k.provider.leave()
	c, err := k.provider.identify(context.WithoutCancel(r.Context()), d, q["code"], f)
	if err != nil {
		k.refused(r, "", err)
		if errors.Is(err, errDown) {
			return "", problemDown
		}
		return "", problemAnswer
	}
	subject, _ := c["sub"].(string)
	s := &session{Rules: k.rules, Subject: subject, Name: c.name(), Checked: k.cfg.Now().Unix()}
	if s.Role, err = k.cfg.Provider.judge(c); err != nil {
		k.refused(r, k.person(s).Actor(), err)
		if f.Old != nil && f.Old.Subject == s.Subject { // it is known now that the role is lost
			k.end(r.Context(), f.Old)
		}
		return "", &Problem{http.StatusForbidden, err.Error()}
	}
	return f.Next, k.proceed(w, r, f, s)
}

// proceed begins the session, or lets the one go on that the provider was asked for: its
// end does not move. With less of a role it goes on under another id.
func (k *Keeper) proceed(w http.ResponseWriter, r *http.Request, f *flow, s *session) error {
	old := f.Old
	if old == nil {
		return k.enter(w, r, s)
	}
	if old.Subject != s.Subject || !k.holds(old) || k.ended.has(r.Context(), old.ID, k.cfg.Now()) {
		k.end(r.Context(), old)
		return k.enter(w, r, s)
	}
	s.ID, s.Began, s.Seen = old.ID, old.Began, k.cfg.Now().Unix()
	if s.Role < old.Role { // the cookie of before must not go on with more
		k.end(r.Context(), old)
		s.ID = rand.Text()
	}
	return k.give(w, s)
}

// notLetIn is for an answer without a code.
func (k *Keeper) notLetIn(w http.ResponseWriter, r *http.Request, f *flow, wrong string) error {
	if f.Old != nil {
		// The provider wants to ask something, so let it.
		if err := k.begin(w, r, f.Next, nil); err != nil {
			return err
		}
		return ErrLed
	}
	k.refused(r, "", errors.New("the provider says "+brief(wrong)))
	return problemRefused
}

// ErrLed means that the browser was led to the provider once more.
var ErrLed = errors.New("login: led to the provider")

func (k *Keeper) refused(r *http.Request, actor string, why error) {
	k.cfg.Log.WarnContext(r.Context(), "console login refused", "remote", r.RemoteAddr, "actor", actor, "error", why)
}

// once reads parameters of a query that may stand in it once.
func once(raw string, names ...string) (map[string]string, bool) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, false
	}
	out := map[string]string{}
	for _, name := range names {
		switch given := values[name]; len(given) {
		case 0:
		case 1:
			out[name] = given[0]
		default:
			return nil, false
		}
	}
	return out, true
}

// flow returns the flow of a state, if this browser began it lately and under the rules
// of now, and takes its cookie away.
func (k *Keeper) flow(w http.ResponseWriter, r *http.Request, state string) *flow {
	const least, most = 16, 64
	if len(state) < least || len(state) > most {
		return nil
	}
	cookies := r.CookiesNamed(k.flowName(state))
	if len(cookies) != 1 {
		return nil
	}
	http.SetCookie(w, k.cookie(cookies[0].Name, "", -1, http.SameSiteLaxMode))
	f := &flow{}
	if !k.opened(cookies[0].Value, sealFlow, f) || subtle.ConstantTimeCompare([]byte(f.State), []byte(state)) != 1 ||
		!k.within(f.Began, flowLife) || time.Unix(f.Began, 0).After(k.cfg.Now().Add(leeway)) || !hmac.Equal(f.Rules, k.rules) {
		return nil
	}
	return f
}

// used are the states that came back. Codes are good for once at the provider; this
// keeps a second try with a stolen cookie from asking it.
type used struct {
	mu     sync.Mutex
	states map[string]time.Time
}

// maxUsed bounds the memory for states; beyond it the oldest is forgotten.
const maxUsed = 4096

func (u *used) first(state string, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, has := u.states[state]; has {
		return false
	}
	if len(u.states) >= maxUsed {
		oldest := state
		for s, at := range u.states {
			if now.Sub(at) > flowLife {
				delete(u.states, s)
			} else if oldest == state || at.Before(u.states[oldest]) {
				oldest = s
			}
		}
		if len(u.states) >= maxUsed {
			delete(u.states, oldest)
		}
	}
	u.states[state] = now
	return true
}

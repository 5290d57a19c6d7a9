package console

import (
	"context"
	"net/http"

	"codeword/api"
	"codeword/internal/keyring"
	"codeword/internal/session"
)

// Keys tells the signing keys, and rotates them.
type Keys interface {
	// ListKeys tells all signing keys, oldest first.
	ListKeys(ctx context.Context) ([]session.KeyInfo, error)
	// RotateNow publishes the next key, which is recorded.
	RotateNow(ctx context.Context, actor string, immediate bool) (session.KeyInfo, error)
}

// keyView is a signing key as JSON.
type keyView struct {
	KID        string   `json:"kid"`
	Algorithm  string   `json:"algorithm"`
	State      string   `json:"state"`
	CreateTime api.Time `json:"createTime"`
	ActiveTime api.Time `json:"activeTime"`
	RetireTime api.Time `json:"retireTime,omitzero"`
}

// masterView is a master key as JSON: never its material.
type masterView struct {
	Purpose string `json:"purpose"`
	Version uint32 `json:"version"`
	Primary bool   `json:"primary"`
}

type keysDocument struct {
	Signing []keyView    `json:"signing"`
	Master  []masterView `json:"master"`
}

func viewKey(k session.KeyInfo) keyView {
	v := keyView{
		KID: k.KID, Algorithm: k.Algorithm, State: string(k.State),
		CreateTime: api.NewTime(k.CreatedAt), ActiveTime: api.NewTime(k.ActiveAt),
	}
	if !k.RetireAt.IsZero() {
		v.RetireTime = api.NewTime(k.RetireAt)
	}
	return v
}

func (c *Console) keys(ctx context.Context) (keysDocument, error) {
	doc := keysDocument{Signing: []keyView{}, Master: []masterView{}}
	found, err := c.cfg.Keys.ListKeys(ctx)
	for _, k := range found {
		doc.Signing = append(doc.Signing, viewKey(k))
	}
	var master []keyring.Key
	if c.cfg.MasterKeys != nil {
		master = c.cfg.MasterKeys()
	}
	for _, k := range master {
		doc.Master = append(doc.Master, masterView{string(k.Purpose), k.Version, k.Primary})
	}
	return doc, err
}

// keysJSON is GET /admin/v1/keys.
func (c *Console) keysJSON(w http.ResponseWriter, r *http.Request) {
	doc, err := c.keys(r.Context())
	if err != nil {
		c.refuseFailed(w, r, "keys", err)
		return
	}
	c.answerList(w, r, doc)
}

// rotateKeyJSON is POST /admin/v1/keys/rotate.
func (c *Console) rotateKeyJSON(w http.ResponseWriter, r *http.Request) {
	key, err := c.cfg.Keys.RotateNow(r.Context(), actor(r.Context()), false)
	if err != nil {
		c.refuseFailed(w, r, "keys", err)
		return
	}
	writeJSON(w, http.StatusOK, viewKey(key))
}

// rotateKeyForm is POST /keys/rotate.
func (c *Console) rotateKeyForm(w http.ResponseWriter, r *http.Request) {
	if _, err := c.cfg.Keys.RotateNow(r.Context(), actor(r.Context()), false); err != nil {
		c.problemOf(w, r, sectionKeys, "Keys", err)
		return
	}
	http.Redirect(w, r, sectionKeys+"?done=rotated", http.StatusSeeOther)
}

type keysView struct {
	frame
	keysDocument

	// Next: a key is published already that will sign.
	Next bool
}

// keyStates are the states of signing keys in words.
var keyStates = map[string]string{
	string(session.KeyNext):     "published; will sign",
	string(session.KeyActive):   "signs",
	string(session.KeyRetiring): "signs no more; still trusted",
	string(session.KeyRetired):  "not trusted any more",
}

// keysPage is GET /keys.
func (c *Console) keysPage(w http.ResponseWriter, r *http.Request) {
	v, status := keysView{frame: c.frame(r, sectionKeys, "Keys")}, http.StatusOK
	v.tell(r)
	var err error
	if v.keysDocument, err = c.keys(r.Context()); err != nil {
		var code api.Code
		status, code = c.failed(r, "keys", err)
		v.Error = code.Message()
	}
	for _, k := range v.Signing {
		v.Next = v.Next || k.State == string(session.KeyNext)
	}
	c.render(w, status, "keys.html", v)
}

// Package keyring holds the master keys: three Tink keysets with versioned
// keys, so that rotation is adding a key and old values stay readable until
// their key is retired.
package keyring

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	"github.com/tink-crypto/tink-go/v2/tink"

	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
)

// Purpose names one of the three keysets.
type Purpose string

// The purposes. A key never serves two of them.
const (
	// Code derives codes from challenge ids (PRF).
	Code Purpose = "code"
	// Index derives blind indexes and keyed digests (PRF).
	Index Purpose = "index"
	// Seal encrypts phone numbers and signing keys at rest (AEAD).
	Seal Purpose = "seal"
)

// Purposes lists all keysets in file order.
func Purposes() []Purpose { return []Purpose{Code, Index, Seal} }

// ErrNoKey says that a value names a key version that the ring does not hold.
var ErrNoKey = errors.New("keyring: no such key version")

// Ring answers with all live keys. It is immutable and safe for concurrent use.
type Ring struct {
	handles map[Purpose]*keyset.Handle
	code    *prf.Set
	index   *prf.Set
	seal    tink.AEAD
	// indexVersions has the primary first, then the others, newest first.
	indexVersions []uint32
}

// Generate returns a ring with one fresh key per purpose (HMAC-SHA256 PRF twice,
// AES-256-GCM).
func Generate() (*Ring, error) {
	handles := make(map[Purpose]*keyset.Handle)
	for _, p := range Purposes() {
		h, err := keyset.NewHandle(template(p))
		if err != nil {
			return nil, fmt.Errorf("keyring: generate %s: %w", p, err)
		}
		handles[p] = h
	}
	return build(handles)
}

func template(p Purpose) *tinkpb.KeyTemplate {
	if p == Seal {
		return aead.AES256GCMKeyTemplate()
	}
	return prf.HMACSHA256PRFKeyTemplate()
}

// Parse reads the form that Marshal writes.
func Parse(raw []byte) (*Ring, error) {
	var file map[Purpose]json.RawMessage
	if err := json.Unmarshal(raw, &file); err != nil {
		// The cause could quote the file, so it stays out of the error.
		return nil, errors.New("keyring: not a keyset file")
	}
	for p := range file {
		// Dropping it would lose its keys with the next Replace.
		if !slices.Contains(Purposes(), p) {
			return nil, errors.New("keyring: the file holds a keyset of a purpose that this release does not know")
		}
	}
	handles := make(map[Purpose]*keyset.Handle)
	for _, p := range Purposes() {
		h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(file[p])))
		if err != nil {
			return nil, fmt.Errorf("keyring: keyset %q is missing or damaged", p)
		}
		handles[p] = h
	}
	return build(handles)
}

// Marshal writes the ring in clear, for a file of mode 0600.
func (r *Ring) Marshal() ([]byte, error) {
	file := make(map[Purpose]json.RawMessage)
	for p, h := range r.handles {
		var buf bytes.Buffer
		if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&buf)); err != nil {
			return nil, fmt.Errorf("keyring: write %s: %w", p, err)
		}
		file[p] = buf.Bytes()
	}
	return json.MarshalIndent(file, "", "  ")
}

func build(handles map[Purpose]*keyset.Handle) (*Ring, error) {
	r := &Ring{handles: handles}
	var err error
	if r.code, err = prf.NewPRFSet(handles[Code]); err != nil {
		return nil, fmt.Errorf("keyring: code: %w", err)
	}
	if r.index, err = prf.NewPRFSet(handles[Index]); err != nil {
		return nil, fmt.Errorf("keyring: index: %w", err)
	}
	if r.seal, err = aead.New(handles[Seal]); err != nil {
		return nil, fmt.Errorf("keyring: seal: %w", err)
	}
	// A PRF that cannot give 32 bytes (AES-CMAC) would fail with the first request.
	if _, err := r.CodePRF(r.CodeVersion(), nil); err != nil {
		return nil, fmt.Errorf("keyring: code: %w", err)
	}
	if _, err := r.Index(r.IndexVersion(), nil); err != nil {
		return nil, fmt.Errorf("keyring: index: %w", err)
	}
	r.indexVersions = []uint32{r.index.PrimaryID}
	for _, k := range r.List() {
		if k.Purpose == Index && k.Enabled && !k.Primary {
			r.indexVersions = append(r.indexVersions, k.Version)
		}
	}
	return r, nil
}

// Key describes one key without its material.
type Key struct {
	Purpose Purpose
	Version uint32
	Primary bool
	Enabled bool
}

// List tells all keys, newest first within a purpose.
func (r *Ring) List() []Key {
	var out []Key
	for _, p := range Purposes() {
		info := r.handles[p].KeysetInfo()
		for i := len(info.GetKeyInfo()) - 1; i >= 0; i-- {
			k := info.GetKeyInfo()[i]
			out = append(out, Key{
				Purpose: p,
				Version: k.GetKeyId(),
				Primary: k.GetKeyId() == info.GetPrimaryKeyId(),
				Enabled: k.GetStatus() == tinkpb.KeyStatusType_ENABLED,
			})
		}
	}
	return out
}

// Rotate returns a ring in which a fresh key is primary for the purpose and the
// older ones stay readable.
func (r *Ring) Rotate(p Purpose) (*Ring, error) {
	return r.change(p, func(m *keyset.Manager) error {
		id, err := m.Add(template(p))
		if err != nil {
			return err
		}
		return m.SetPrimary(id)
	})
}

// Retire returns a ring without that key. The primary cannot be retired.
func (r *Ring) Retire(p Purpose, version uint32) (*Ring, error) {
	return r.change(p, func(m *keyset.Manager) error { return m.Delete(version) })
}

func (r *Ring) change(p Purpose, f func(*keyset.Manager) error) (*Ring, error) {
	old, ok := r.handles[p]
	if !ok {
		return nil, fmt.Errorf("keyring: no keyset %q", p)
	}
	m := keyset.NewManagerFromHandle(old)
	if err := f(m); err != nil {
		return nil, fmt.Errorf("keyring: %s: %w", p, err)
	}
	h, err := m.Handle()
	if err != nil {
		return nil, fmt.Errorf("keyring: %s: %w", p, err)
	}
	handles := make(map[Purpose]*keyset.Handle, len(r.handles))
	for q, old := range r.handles {
		handles[q] = old
	}
	handles[p] = h
	return build(handles)
}

// CodeVersion is the key version for new challenges.
func (r *Ring) CodeVersion() uint32 { return r.code.PrimaryID }

// CodePRF computes the code key's PRF over input: 32 bytes, or ErrNoKey.
func (r *Ring) CodePRF(version uint32, input []byte) ([32]byte, error) {
	return compute(r.code, version, input)
}

// IndexVersion is the key version for new index values.
func (r *Ring) IndexVersion() uint32 { return r.index.PrimaryID }

// IndexVersions lists the primary version first, then the older ones.
func (r *Ring) IndexVersions() []uint32 { return r.indexVersions }

// Index computes the index key's PRF over input: 32 bytes, or ErrNoKey. Callers
// separate their domains by a label at the front of input.
func (r *Ring) Index(version uint32, input []byte) ([32]byte, error) {
	return compute(r.index, version, input)
}

func compute(set *prf.Set, version uint32, input []byte) (out [32]byte, err error) {
	p, ok := set.PRFs[version]
	if !ok {
		return out, ErrNoKey
	}
	b, err := p.ComputePRF(input, uint32(len(out)))
	if err != nil {
		return out, err
	}
	copy(out[:], b)
	return out, nil
}

// Seal encrypts plain with the primary key, bound to ad.
func (r *Ring) Seal(plain, ad []byte) ([]byte, error) { return r.seal.Encrypt(plain, ad) }

// Open decrypts what Seal wrote with any live key and the same ad.
func (r *Ring) Open(sealed, ad []byte) ([]byte, error) { return r.seal.Decrypt(sealed, ad) }

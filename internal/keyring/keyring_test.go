package keyring_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"codeword/internal/keyring"
)

func generate(t *testing.T) *keyring.Ring {
	t.Helper()
	r, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func rotate(t *testing.T, r *keyring.Ring, p keyring.Purpose) *keyring.Ring {
	t.Helper()
	next, err := r.Rotate(p)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func marshal(t *testing.T, r *keyring.Ring) []byte {
	t.Helper()
	raw, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// sameKeys fails unless b computes and opens what a does.
func sameKeys(t *testing.T, a, b *keyring.Ring) {
	t.Helper()
	if a.CodeVersion() != b.CodeVersion() || !slices.Equal(a.IndexVersions(), b.IndexVersions()) {
		t.Fatalf("versions differ: code %d and %d, index %v and %v", a.CodeVersion(), b.CodeVersion(), a.IndexVersions(), b.IndexVersions())
	}
	input := []byte("input")
	x, err1 := a.CodePRF(a.CodeVersion(), input)
	y, err2 := b.CodePRF(a.CodeVersion(), input)
	if err := errors.Join(err1, err2); err != nil || x != y {
		t.Errorf("the code PRFs differ (%v)", err)
	}
	for _, v := range a.IndexVersions() {
		x, err1 := a.Index(v, input)
		y, err2 := b.Index(v, input)
		if err := errors.Join(err1, err2); err != nil || x != y {
			t.Errorf("the index PRFs differ (%v)", err)
		}
	}
	sealed, err := a.Seal([]byte("plain"), []byte("ad"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := b.Open(sealed, []byte("ad")); err != nil || string(plain) != "plain" {
		t.Errorf("open gave %q, %v", plain, err)
	}
}

func TestRoundTrip(t *testing.T) {
	r := rotate(t, rotate(t, generate(t), keyring.Index), keyring.Code)
	back, err := keyring.Parse(marshal(t, r))
	if err != nil {
		t.Fatal(err)
	}
	sameKeys(t, r, back)
	if !slices.Equal(r.List(), back.List()) {
		t.Errorf("the lists differ: %v and %v", r.List(), back.List())
	}
}

func TestPurposesAndVersionsAreApart(t *testing.T) {
	r := generate(t)
	other := generate(t)
	input := []byte("input")
	code, _ := r.CodePRF(r.CodeVersion(), input)
	index, _ := r.Index(r.IndexVersion(), input)
	foreign, _ := other.CodePRF(other.CodeVersion(), input)
	if code == index || code == foreign || code == [32]byte{} {
		t.Error("two keys gave one value")
	}
	next := rotate(t, r, keyring.Code)
	fresh, err := next.CodePRF(next.CodeVersion(), input)
	if err != nil || fresh == code {
		t.Errorf("the new key gives the old one's value (%v)", err)
	}
	old, err := next.CodePRF(r.CodeVersion(), input)
	if err != nil || old != code {
		t.Errorf("the old key is lost: %v", err)
	}
}

func TestUnknownVersion(t *testing.T) {
	r := generate(t)
	// Versions are random, so one that is neither is found by stepping away.
	v := r.CodeVersion() + 1
	if v == r.IndexVersion() {
		v++
	}
	if _, err := r.CodePRF(v, nil); !errors.Is(err, keyring.ErrNoKey) {
		t.Errorf("code: %v", err)
	}
	if _, err := r.Index(v, nil); !errors.Is(err, keyring.ErrNoKey) {
		t.Errorf("index: %v", err)
	}
	if _, err := r.Index(r.CodeVersion(), nil); !errors.Is(err, keyring.ErrNoKey) {
		t.Errorf("a code key served as an index key: %v", err)
	}
}

func TestRotate(t *testing.T) {
	first := generate(t)
	second := rotate(t, first, keyring.Index)
	third := rotate(t, second, keyring.Index)
	want := []uint32{third.IndexVersion(), second.IndexVersion(), first.IndexVersion()}
	if got := third.IndexVersions(); !slices.Equal(got, want) {
		t.Errorf("index versions %v, want %v: the primary, then newest first", got, want)
	}
	if len(first.IndexVersions()) != 1 {
		t.Error("a rotation changed the ring that it began with")
	}
	if third.CodeVersion() != first.CodeVersion() {
		t.Error("a rotation of one purpose changed another")
	}
	sealed, err := first.Seal([]byte("plain"), []byte("ad"))
	if err != nil {
		t.Fatal(err)
	}
	fourth := rotate(t, third, keyring.Seal)
	if plain, err := fourth.Open(sealed, []byte("ad")); err != nil || string(plain) != "plain" {
		t.Errorf("the new ring cannot read what the old one sealed: %v", err)
	}
	resealed, err := fourth.Seal([]byte("plain"), []byte("ad"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Open(resealed, []byte("ad")); err == nil {
		t.Error("what is sealed after the rotation opens with the old key")
	}
	if _, err := first.Rotate("other"); err == nil {
		t.Error("an unknown purpose was rotated")
	}
}

func TestRetire(t *testing.T) {
	first := generate(t)
	second := rotate(t, first, keyring.Code)
	if _, err := second.Retire(keyring.Code, second.CodeVersion()); err == nil {
		t.Error("the primary was retired")
	}
	if _, err := first.Retire(keyring.Code, first.CodeVersion()); err == nil {
		t.Error("the only key was retired")
	}
	if _, err := second.Retire(keyring.Code, second.CodeVersion()+1); err == nil {
		t.Error("a key that is not there was retired")
	}
	third, err := second.Retire(keyring.Code, first.CodeVersion())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := third.CodePRF(first.CodeVersion(), nil); !errors.Is(err, keyring.ErrNoKey) {
		t.Errorf("the retired key still works: %v", err)
	}
	if _, err := second.CodePRF(first.CodeVersion(), nil); err != nil {
		t.Errorf("retiring changed the ring that it began with: %v", err)
	}
}

func TestSealIsBound(t *testing.T) {
	r := generate(t)
	sealed, err := r.Seal([]byte("plain"), []byte("ad"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("plain")) {
		t.Error("the sealed form shows the plain text")
	}
	if _, err := r.Open(sealed, []byte("other")); err == nil {
		t.Error("it opens with other associated data")
	}
	for i := range sealed {
		torn := bytes.Clone(sealed)
		torn[i] ^= 1
		if _, err := r.Open(torn, []byte("ad")); err == nil {
			t.Fatalf("it opens with bit 0 of byte %d turned", i)
		}
	}
	if _, err := r.Open(nil, []byte("ad")); err == nil {
		t.Error("nothing at all opens")
	}
	if _, err := generate(t).Open(sealed, []byte("ad")); err == nil {
		t.Error("it opens with another ring")
	}
}

// keyset takes one keyset out of a file.
func keyset(t *testing.T, raw []byte, p keyring.Purpose) json.RawMessage {
	t.Helper()
	var file map[keyring.Purpose]json.RawMessage
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	return file[p]
}

// TestDamagedFiles: what is no keyset file is refused, and the error shows
// nothing of what was in it.
func TestDamagedFiles(t *testing.T) {
	good := marshal(t, generate(t))
	with := func(change func(file map[string]json.RawMessage)) []byte {
		var file map[string]json.RawMessage
		if err := json.Unmarshal(good, &file); err != nil {
			t.Fatal(err)
		}
		change(file)
		raw, err := json.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	const material = "c2VjcmV0LWtleS1tYXRlcmlhbA"
	for name, raw := range map[string][]byte{
		"empty":           nil,
		"null":            []byte("null"),
		"empty object":    []byte("{}"),
		"a string":        []byte(`"` + material + `"`),
		"bare text":       []byte(material),
		"a list":          []byte(`["` + material + `"]`),
		"cut":             good[:len(good)/2],
		"more after it":   append(bytes.Clone(good), material...),
		"without index":   with(func(f map[string]json.RawMessage) { delete(f, "index") }),
		"damaged keyset":  with(func(f map[string]json.RawMessage) { f["code"] = json.RawMessage(`{"key":"` + material + `"}`) }),
		"null keyset":     with(func(f map[string]json.RawMessage) { f["code"] = json.RawMessage(`null`) }),
		"sealer as PRF":   with(func(f map[string]json.RawMessage) { f["code"] = f["seal"] }),
		"PRF as sealer":   with(func(f map[string]json.RawMessage) { f["seal"] = f["index"] }),
		"unknown purpose": with(func(f map[string]json.RawMessage) { f["other"] = json.RawMessage(`"` + material + `"`) }),
	} {
		_, err := keyring.Parse(raw)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if text := err.Error(); strings.Contains(text, material[:6]) || strings.Contains(text, "value") {
			t.Errorf("%s: the error quotes the file: %s", name, text)
		}
	}
	if _, err := keyring.Parse(good); err != nil {
		t.Errorf("the file that the others were made of: %v", err)
	}
	if bytes.Equal(keyset(t, good, keyring.Code), keyset(t, good, keyring.Index)) {
		t.Error("two purposes share a key")
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset.json")
	r := generate(t)
	if err := keyring.Create(path, r); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %04o", info.Mode().Perm())
	}
	back, err := keyring.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	sameKeys(t, r, back)

	before, _ := os.ReadFile(path)
	if err := keyring.Create(path, generate(t)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create over a file: %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("create changed a file that was there")
	}
	if _, err := keyring.Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestFileThatOthersRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset.json")
	if err := keyring.Create(path, generate(t)); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o660, 0o644, 0o601} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := keyring.Load(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	for _, mode := range []fs.FileMode{0o600, 0o400} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := keyring.Load(path); err != nil {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keyset.json")
	first := generate(t)
	if err := keyring.Create(path, first); err != nil {
		t.Fatal(err)
	}
	// What a crash in an earlier Replace left behind is in nobody's way.
	if err := os.WriteFile(path+".new", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	second := rotate(t, first, keyring.Code)
	if err := keyring.Replace(path, second); err != nil {
		t.Fatal(err)
	}
	back, err := keyring.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	sameKeys(t, second, back)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("%d files were left, want 1", len(entries))
	}
}

// TestReplaceFails: the old keyset stays whole when the new one cannot be put
// in its place, here because a directory stands there.
func TestReplaceFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keyset.json")
	if err := os.MkdirAll(filepath.Join(path, "occupied"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := keyring.Replace(path, generate(t)); err == nil {
		t.Fatal("a directory was replaced by a keyset")
	}
	if _, err := os.Stat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a keyset was left beside it: %v", err)
	}
	if err := keyring.Create(filepath.Join(dir, "none", "keyset.json"), generate(t)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
}

package keyring

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Load reads a ring from a file. A file that others can read is refused, since
// whoever reads it can derive every code. One that belongs to root may be readable by its
// group: that is how Kubernetes hands a secret to a process that is not root, and what
// PostgreSQL takes for a private key.
func Load(path string) (*Ring, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("keyset: %w", err)
	}
	// Windows keeps no such bits: its files always look readable by all, and who
	// may read one is a matter of the directory's access list.
	if mode := info.Mode().Perm(); mode&forbidden(ownedByRoot(info), os.Geteuid()) != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("keyset: %s has mode %04o and must be readable by its owner alone (chmod 600)", path, mode)
	}
	raw, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("keyset: %w", err)
	}
	return Parse(raw)
}

// forbidden are the bits that a keyset's mode must not have when it is read by a process
// of that user.
func forbidden(ofRoot bool, euid int) fs.FileMode {
	if ofRoot && euid != 0 {
		return 0o037
	}
	return 0o077
}

// Create writes a new ring to a file that must not exist yet, so that no
// command can overwrite the only copy of a key.
func Create(path string, r *Ring) error {
	return create(path, r, func(*os.File) error { return nil })
}

// create is Create; own may give the file away before it has its name.
func create(path string, r *Ring, own func(*os.File) error) error {
	raw, err := r.Marshal()
	if err != nil {
		return err
	}
	// Whole or not at all, also when the process is killed: half a keyset must not
	// pass for one. A link, unlike a rename, refuses to replace a file.
	f, err := os.CreateTemp(filepath.Dir(path), ".keyset-*") // mode 0600
	if err != nil {
		return fmt.Errorf("keyset: %w", err)
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, own(f), f.Sync(), f.Close()); err == nil {
		err = os.Link(f.Name(), path)
	}
	if err = errors.Join(err, os.Remove(f.Name())); err == nil {
		err = syncDir(path)
	}
	if err != nil {
		return fmt.Errorf("keyset: %w", err)
	}
	return nil
}

// Replace writes a changed ring over a file by way of a temporary one, so that
// a crash leaves the old file or the new one, never half of either. The new one has the
// owner of the old one.
func Replace(path string, r *Ring) error {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keyset: %w", err)
	}
	if err := create(tmp, r, func(f *os.File) error { return keepOwner(path, f) }); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(fmt.Errorf("keyset: %w", err), os.Remove(tmp))
	}
	if err := syncDir(path); err != nil {
		return fmt.Errorf("keyset: %w", err)
	}
	return nil
}

// syncDir makes a new name in the file's directory survive a crash. Windows
// cannot flush a directory.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

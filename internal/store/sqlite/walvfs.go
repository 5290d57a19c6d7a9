package sqlite

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// SQLite writes every page of a commit to the write-ahead log with two small
// system calls, a frame header and a page. With a group commit of dozens of
// pages those calls cost more than all the SQL in it. This file adds a VFS
// around the operating system's one: writes to a log that follow each other are
// gathered and go out as one, before anything could look at them or rely on
// them. Every other file, and every other operation, is untouched.
//
// Why this keeps SQLite's promises: a frame counts only once the wal-index
// header tells of it, and SQLite writes that header after the commit's xSync (we
// run with synchronous=FULL). Frames are written by commits alone, since pages
// of an open transaction are never spilled (cache_spill=OFF): so bytes are
// gathered under the write lock and gone before it is, and no rolled back frame
// can be written later over another process's commit. Gathered bytes leave at the latest in that xSync,
// and an error there fails the commit. Before any read, truncation, size query or
// close they leave as well, and always in the order in which they came.

// walVFS is the name under which the VFS is registered.
const walVFS = "codeword-wal"

// gatherLimit is how much is gathered and written at once: SQLite's own write
// takes no more than 128 KiB - 1.
const gatherLimit = 1<<17 - 1

// walGatherers finds the buffer of an open log by the address of its sqlite3_file.
// SQLite uses one file from one connection, and one connection from one
// goroutine, at a time; the map is shared between connections.
type walGatherers struct {
	mu      sync.RWMutex
	byFile  map[uintptr]*gatherer
	base    uintptr // the operating system's sqlite3_vfs
	opening func(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32
}

// gatherer holds bytes for one contiguous stretch of one log.
type gatherer struct {
	methods uintptr // the original sqlite3_io_methods
	table   uintptr // ours
	offset  int64
	buf     []byte
}

//nolint:gochecknoglobals // C callbacks carry no pointer of ours; written once by registerWALVFS
var (
	wals         = walGatherers{byFile: make(map[uintptr]*gatherer)}
	registerOnce = sync.OnceValue(registerWALVFS)
)

// registerWALVFS adds the VFS to SQLite's list; it is not made the default.
func registerWALVFS() error {
	tls := libc.NewTLS()
	defer tls.Close()
	base := lib.Xsqlite3_vfs_find(tls, 0)
	if base == 0 {
		return errors.New("sqlite: no default VFS")
	}
	name, err := libc.CString(walVFS)
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	size := unsafe.Sizeof(lib.Tsqlite3_vfs{})
	vfs := libc.Xmalloc(tls, libc.Tsize_t(size)) // lives as long as the process
	if vfs == 0 {
		return errors.New("sqlite: out of memory")
	}
	original := at[lib.Tsqlite3_vfs](base)
	wals.base = base
	wals.opening = callable[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32](original.FxOpen)
	own := at[lib.Tsqlite3_vfs](vfs)
	*own = *original
	own.FzName = name
	own.FpNext = 0
	own.FxOpen = functionPointer(walOpen)
	if rc := lib.Xsqlite3_vfs_register(tls, vfs, 0); rc != lib.SQLITE_OK {
		return fmt.Errorf("sqlite: register VFS: code %d", rc)
	}
	return nil
}

// at turns an address in C memory into a pointer. Such memory is not moved or
// freed by Go, which is what vet's rule about unsafe.Pointer guards against.
func at[T any](address uintptr) *T { return *(**T)(unsafe.Pointer(&address)) }

// callable is the Go function behind an entry of a table of translated C code.
func callable[F any](entry uintptr) F { return *(*F)(unsafe.Pointer(&entry)) }

// functionPointer is how the translated C code sees a Go function: the address
// of its function value, which is the data word of an interface that holds it.
func functionPointer(f any) uintptr {
	type words [2]uintptr
	return (*words)(unsafe.Pointer(&f))[1]
}

func walOpen(tls *libc.TLS, _, name, file uintptr, flags int32, outFlags uintptr) int32 {
	rc := wals.opening(tls, wals.base, name, file, flags, outFlags)
	if rc != lib.SQLITE_OK || flags&lib.SQLITE_OPEN_WAL == 0 {
		return rc
	}
	f := at[lib.Tsqlite3_file](file)
	original := at[lib.Tsqlite3_io_methods](f.FpMethods)
	table := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(*original)))
	if table == 0 {
		return rc // without memory for the detour, go the straight way
	}
	own := at[lib.Tsqlite3_io_methods](table)
	*own = *original
	own.FxClose = functionPointer(walClose)
	own.FxRead = functionPointer(walRead)
	own.FxWrite = functionPointer(walWrite)
	own.FxTruncate = functionPointer(walTruncate)
	own.FxSync = functionPointer(walSync)
	own.FxFileSize = functionPointer(walFileSize)
	wals.mu.Lock()
	wals.byFile[file] = &gatherer{methods: f.FpMethods, table: table}
	wals.mu.Unlock()
	f.FpMethods = table
	return rc
}

func (w *walGatherers) of(file uintptr) *gatherer {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.byFile[file]
}

func (g *gatherer) original() *lib.Tsqlite3_io_methods {
	return at[lib.Tsqlite3_io_methods](g.methods)
}

// flush writes what was gathered. On failure, too, it is gone: SQLite treats the
// commit as failed and writes those frames again, or never.
func (g *gatherer) flush(tls *libc.TLS, file uintptr) int32 {
	if len(g.buf) == 0 {
		return lib.SQLITE_OK
	}
	write := callable[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](g.original().FxWrite)
	rc := write(tls, file, uintptr(unsafe.Pointer(&g.buf[0])), int32(len(g.buf)), g.offset)
	g.buf = g.buf[:0]
	return rc
}

func walWrite(tls *libc.TLS, file, from uintptr, n int32, offset int64) int32 {
	g := wals.of(file)
	if len(g.buf) > 0 && (offset != g.offset+int64(len(g.buf)) || len(g.buf)+int(n) > gatherLimit) {
		if rc := g.flush(tls, file); rc != lib.SQLITE_OK {
			return rc
		}
	}
	if len(g.buf) == 0 {
		g.offset = offset
	}
	g.buf = append(g.buf, unsafe.Slice(at[byte](from), n)...)
	return lib.SQLITE_OK
}

func walRead(tls *libc.TLS, file, to uintptr, n int32, offset int64) int32 {
	g := wals.of(file)
	if rc := g.flush(tls, file); rc != lib.SQLITE_OK {
		return rc
	}
	read := callable[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](g.original().FxRead)
	return read(tls, file, to, n, offset)
}

func walTruncate(tls *libc.TLS, file uintptr, size int64) int32 {
	g := wals.of(file)
	if rc := g.flush(tls, file); rc != lib.SQLITE_OK {
		return rc
	}
	truncate := callable[func(*libc.TLS, uintptr, int64) int32](g.original().FxTruncate)
	return truncate(tls, file, size)
}

func walSync(tls *libc.TLS, file uintptr, flags int32) int32 {
	g := wals.of(file)
	if rc := g.flush(tls, file); rc != lib.SQLITE_OK {
		return rc
	}
	sync := callable[func(*libc.TLS, uintptr, int32) int32](g.original().FxSync)
	return sync(tls, file, flags)
}

func walFileSize(tls *libc.TLS, file, size uintptr) int32 {
	g := wals.of(file)
	if rc := g.flush(tls, file); rc != lib.SQLITE_OK {
		return rc
	}
	fileSize := callable[func(*libc.TLS, uintptr, uintptr) int32](g.original().FxFileSize)
	return fileSize(tls, file, size)
}

func walClose(tls *libc.TLS, file uintptr) int32 {
	g := wals.of(file)
	rc := g.flush(tls, file)
	wals.mu.Lock()
	delete(wals.byFile, file)
	wals.mu.Unlock()
	at[lib.Tsqlite3_file](file).FpMethods = g.methods
	closing := callable[func(*libc.TLS, uintptr) int32](g.original().FxClose)
	if closed := closing(tls, file); rc == lib.SQLITE_OK {
		rc = closed
	}
	libc.Xfree(tls, g.table)
	return rc
}

package lineplan

import (
	"archive/zip"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
)

// Bounds of what is read: NANPA's files have about 200 MB in all, unpacked, and lines of
// 200 bytes. Nothing of a file stays in memory but who holds what.
const (
	maxBytes   = 512 << 20
	maxArchive = 64 << 20 // packed; its directory is read as a whole
	maxLine    = 4 << 10
	maxMembers = 1000
)

var errTooMuch = fmt.Errorf("the files have more than %d MiB, unpacked", maxBytes>>20)

// FileError tells of a file that is damaged, or is none of those that make a plan.
type FileError struct {
	// File is its name, with that of a member of an archive after a colon.
	File string
	// Line counts from 1; 0 for the file as a whole.
	Line int
	Err  error
}

// Error implements error.
func (e *FileError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

// Unwrap implements the interface of package errors.
func (e *FileError) Unwrap() error { return e.Err }

// whole is an error of a whole file.
func whole(name, format string, args ...any) error {
	return &FileError{File: name, Err: fmt.Errorf(format, args...)}
}

// Import makes a plan of NANPA's files.
type Import struct {
	// BlockRows and ExchangeRows are how many rows of assigned blocks and exchanges
	// were read.
	BlockRows, ExchangeRows int

	plan Plan
	// now is where the future begins, which no assignment lies in.
	now  time.Time
	left int64
	// published is the newest date on which a file of blocks says that it was made,
	// assigned the newest assignment of a block, packed the newest time of a member
	// of an archive with blocks.
	published, assigned, packed time.Time
}

// NewImport returns an empty Import. now is today.
func NewImport(now time.Time) *Import { return &Import{now: now, left: maxBytes} }

// printable is the name of a member without what commands a terminal, or begins a line.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(name, "?"))
}

// Add reads a file: a list of blocks or of exchanges, recognized by what is in it, or a
// zip archive of such lists. After an error the Import is of no use.
func (im *Import) Add(name string, file io.ReaderAt, size int64) error {
	if size > maxBytes {
		return whole(name, "has %d bytes, more than %d", size, maxBytes)
	}
	start := make([]byte, 4)
	if n, err := file.ReadAt(start, 0); err != nil && !errors.Is(err, io.EOF) {
		return whole(name, "%w", err)
	} else if !bytes.HasPrefix(start[:n], []byte("PK")) {
		return im.addText(name, io.NewSectionReader(file, 0, size), time.Time{})
	}
	if size > maxArchive {
		return whole(name, "an archive of %d bytes, more than %d", size, maxArchive)
	}
	archive, err := zip.NewReader(file, size)
	if err != nil {
		return whole(name, "a zip archive that is damaged, or cut off: %w", err)
	}
	if len(archive.File) > maxMembers {
		return whole(name, "has more than %d files in it", maxMembers)
	}
	read := 0
	for _, member := range archive.File {
		if member.FileInfo().IsDir() {
			continue
		}
		read++
		if err := im.addMember(name+":"+printable(member.Name), member); err != nil {
			return err
		}
	}
	if read == 0 {
		return whole(name, "the archive is empty")
	}
	return nil
}

func (im *Import) addMember(name string, member *zip.File) error {
	const encrypted = 1
	if member.Flags&encrypted != 0 {
		return whole(name, "is encrypted")
	}
	in, err := member.Open()
	if err != nil {
		return whole(name, "%w", err)
	}
	err = im.addText(name, in, member.Modified)
	return errors.Join(err, in.Close())
}

// addText reads one list. made is when it was packed; zero for not known.
func (im *Import) addText(name string, text io.Reader, made time.Time) error {
	in := bufio.NewReaderSize(&counted{from: text, left: &im.left}, maxLine)
	wrong := func(line int, err error) error { return &FileError{File: name, Line: line, Err: err} }
	var list layout
	columns := 0
	for n := 1; ; n++ {
		raw, readErr := in.ReadSlice('\n')
		switch {
		case errors.Is(readErr, bufio.ErrBufferFull):
			if list.kind == 0 {
				return wrong(n, errForeign)
			}
			return wrong(n, fmt.Errorf("the line has more than %d bytes", maxLine))
		case readErr != nil && !errors.Is(readErr, io.EOF):
			return wrong(n, readErr)
		}
		line := strings.TrimRight(string(raw), "\r\n")
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		ended := errors.Is(readErr, io.EOF)
		if strings.TrimSpace(line) != "" {
			row, err := im.addLine(&list, line, made)
			if err != nil {
				return wrong(n, err)
			}
			if ended && row < columns {
				return wrong(n, fmt.Errorf("the file is cut off: its last line has %d columns, that before %d", row, columns))
			}
			columns = row
		}
		if ended {
			if list.kind == 0 {
				return whole(name, "is empty")
			}
			return nil
		}
	}
}

// addLine takes a line that is not empty and returns how many columns it has; none for
// a line of names. The first one tells what list it is.
func (im *Import) addLine(list *layout, line string, made time.Time) (int, error) {
	if list.kind == 0 {
		found, isHeader, err := recognize(line)
		if err != nil {
			return 0, err
		}
		*list = found
		if list.kind == blockList {
			im.published = im.past(im.published, updated(line))
			im.packed = im.past(im.packed, made)
		}
		if isHeader {
			return 0, nil
		}
	}
	fields := split(line, list.delimiter)
	if list.kind == exchangeList {
		return len(fields), im.addExchange(list, fields)
	}
	return len(fields), im.addBlock(list, fields)
}

// firstYear is when nobody was given blocks yet: an earlier date is a mistake.
const firstYear = 1990

// past is the later of two times; a later one that is in the future, or long gone, is a
// mistake.
func (im *Import) past(a, b time.Time) time.Time {
	if b.After(a) && !b.After(im.now) && b.Year() >= firstYear {
		return b
	}
	return a
}

// Date is the day of the facts on blocks: when their list was made, or else when the
// last of them was given out. Zero when the files do not tell.
func (im *Import) Date() time.Time {
	for _, t := range []time.Time{im.published, im.assigned, im.packed} {
		if !t.IsZero() {
			return t.UTC().Truncate(24 * time.Hour)
		}
	}
	return time.Time{}
}

// Build makes the table for facts of that day.
func (im *Import) Build(date time.Time) (*Built, error) {
	if im.BlockRows == 0 {
		return nil, errors.New("no assigned block is in the files: the list of blocks (ThousandsBlockAssignment) is needed, that of exchanges (CoCodeAssignment) adds to it")
	}
	if date.Unix() <= 0 {
		return nil, errors.New("the files do not tell of which day they are")
	}
	return im.plan.Build(date)
}

// counted reads while what is left lasts.
type counted struct {
	from io.Reader
	left *int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	if *c.left -= int64(n); *c.left < 0 {
		return 0, errTooMuch
	}
	return n, err
}

package postgres

import (
	"encoding/binary"
	"time"

	"codeword/internal/store"
)

// row is one row of an answer: its columns in PostgreSQL's binary form, valid
// until the next is read. A NULL reads as the zero value.
type row [][]byte

func (r row) null(col int) bool { return r[col] == nil }

// int reads an integer of two, four or eight bytes.
func (r row) int(col int) int64 {
	switch v := r[col]; len(v) {
	case 8:
		return int64(binary.BigEndian.Uint64(v))
	case 4:
		return int64(int32(binary.BigEndian.Uint32(v)))
	case 2:
		return int64(int16(binary.BigEndian.Uint16(v)))
	default:
		return 0
	}
}

func (r row) bool(col int) bool { return len(r[col]) == 1 && r[col][0] != 0 }

func (r row) time(col int) time.Time { return store.FromMicros(r.int(col)) }

// id reads a UUID.
func (r row) id(col int) (id [16]byte) {
	copy(id[:], r[col])
	return id
}

func (r row) text(col int) string { return string(r[col]) }

// bytes copies a bytea; nil for an empty one.
func (r row) bytes(col int) []byte {
	if len(r[col]) == 0 {
		return nil
	}
	return append([]byte(nil), r[col]...)
}

// micros is a time as a parameter.
func micros(t time.Time) int64 { return store.Micros(t) }

// bytesOrNull is a bytea as a parameter, NULL for an empty one.
func bytesOrNull(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

// idOrNull is a UUID as a parameter, NULL for none.
func idOrNull(b []byte) any {
	if len(b) != 16 {
		return nil
	}
	return [16]byte(b)
}

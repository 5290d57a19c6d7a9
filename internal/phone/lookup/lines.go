package lookup

import (
	"context"
	"sync/atomic"

	"codeword/internal/phone"
)

// Lines tells line types as a [phone.LineTyper]: by what an operator said of a single
// number, or else by the table in use. Both can be replaced at any time. The zero Lines
// knows no single numbers and uses the embedded table, which the first look-up unpacks.
// It must not be copied after that.
type Lines struct {
	table     atomic.Pointer[Table]
	overrides atomic.Pointer[Overrides]
}

// Use makes t the table in use; nil stands for the embedded one.
func (l *Lines) Use(t *Table) { l.table.Store(t) }

// Override makes o what is said of single numbers; nil stands for nothing.
func (l *Lines) Override(o *Overrides) { l.overrides.Store(o) }

// Table is the table in use.
func (l *Lines) Table() *Table {
	if t := l.table.Load(); t != nil {
		return t
	}
	return Embedded()
}

// Said is what an operator said of a single number, and whether anything was said.
func (l *Lines) Said(n phone.Number) (line phone.LineType, said bool, err error) {
	return l.overrides.Load().Line(n)
}

// LineType implements [phone.LineTyper].
func (l *Lines) LineType(_ context.Context, n phone.Number) (phone.LineType, error) {
	line, said, err := l.Said(n)
	if said || err != nil {
		return line, err
	}
	return l.Table().Block(n), nil
}

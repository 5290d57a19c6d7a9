package phone

import (
	"fmt"
	"strconv"
	"strings"
)

// Prefixes is a set of exchanges (NPA-NXX), thousands-blocks (NPA-NXX-X) and whole
// numbers. The zero value is empty.
type Prefixes struct {
	exchanges, blocks, numbers map[uint64]struct{}
}

// ParsePrefixes reads prefixes as "+1" and six, seven or all ten digits.
func ParsePrefixes(texts []string) (Prefixes, error) {
	var p Prefixes
	for _, t := range texts {
		digits, ok := strings.CutPrefix(t, "+1")
		v, err := strconv.ParseUint(digits, 10, 64)
		into := p.of(len(digits))
		if !ok || err != nil || into == nil || digits[0] < '2' {
			return Prefixes{}, fmt.Errorf("%q is not +1 and six digits (an exchange), seven (a thousands-block) or ten (a number)", t)
		}
		if *into == nil {
			*into = make(map[uint64]struct{})
		}
		(*into)[v] = struct{}{}
	}
	return p, nil
}

func (p *Prefixes) of(digits int) *map[uint64]struct{} {
	switch digits {
	case nanpDigits - 5:
		return &p.exchanges
	case nanpDigits - 4:
		return &p.blocks
	case nanpDigits - 1:
		return &p.numbers
	default:
		return nil
	}
}

// Has tells whether the number is in the set.
func (p *Prefixes) Has(n Number) bool {
	in := func(set map[uint64]struct{}, v uint64) bool { _, ok := set[v]; return ok }
	v := n.national()
	return in(p.numbers, v) || in(p.blocks, v/1_000) || in(p.exchanges, v/10_000)
}

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// The file of block holders that Number::Phone ships (Debian: libnumber-phone-perl,
// Number-Phone-NANP-Data.db): the letters NANPOP and two zeros, the size of a pointer,
// and then, at the pointer's size times NPANXX - 200000, where to find what is known of
// an exchange. That is either one name, or ten pointers, by the next digit.
const (
	factsMagic  = "NANPOP\x00\x00"
	pointerSize = 4
	firstBlock  = 200_000
	oneName     = 0
	tenPointers = 1
)

var errFacts = errors.New("not a file of block holders, or damaged")

// holders calls f with the holder of each thousands-block.
func holders(path string, f func(npa, nxx, x int, holder string) error) error {
	raw, err := os.ReadFile(path) //nolint:gosec // whoever runs it names it
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(raw, []byte(factsMagic)) || len(raw) < 9 || raw[8] != pointerSize {
		return errFacts
	}
	for npa := 200; npa <= 999; npa++ {
		for nxx := 200; nxx <= 999; nxx++ {
			at, err := pointer(raw, pointerSize*(npa*1000+nxx-firstBlock))
			if err != nil || at == 0 {
				continue
			}
			for x := range 10 {
				holder, err := name(raw, at, x)
				if err != nil {
					return fmt.Errorf("%d-%d-%d: %w", npa, nxx, x, err)
				}
				if holder == "" {
					continue
				}
				if err := f(npa, nxx, x, holder); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func pointer(raw []byte, at int) (int, error) {
	if at < 0 || at+pointerSize > len(raw) {
		return 0, errFacts
	}
	return int(binary.BigEndian.Uint32(raw[at:])), nil
}

// name reads what is at a pointer of an exchange, for the block x.
func name(raw []byte, at, x int) (string, error) {
	if at >= len(raw) {
		return "", errFacts
	}
	if raw[at] == tenPointers {
		next, err := pointer(raw, at+1+pointerSize*x)
		if err != nil || next == 0 {
			return "", err
		}
		if at = next; at >= len(raw) {
			return "", errFacts
		}
	}
	if raw[at] != oneName || at+1 >= len(raw) || at+2+int(raw[at+1]) > len(raw) {
		return "", errFacts
	}
	return string(raw[at+2 : at+2+int(raw[at+1])]), nil
}

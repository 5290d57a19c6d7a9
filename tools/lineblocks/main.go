// Command lineblocks makes the table of line types that package lookup embeds: from who
// holds each thousands-block of North American numbers, and the rules that tell from a
// holder's name what lines he has.
//
// The holders are those of Debian's package libnumber-phone-perl: install it, or unpack
// it and name the file:
//
//	go run -C tools ./lineblocks -holders /usr/share/perl5/auto/share/dist/Number-Phone/Number-Phone-NANP-Data.db
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/csv"
	"flag"
	"fmt"
	"os"
	"regexp"
	"time"
)

func main() {
	facts := flag.String("holders", "/usr/share/perl5/auto/share/dist/Number-Phone/Number-Phone-NANP-Data.db", "`file` of block holders")
	date := flag.String("date", "2023-03-07", "when the holders were read off, as `YYYY-MM-DD`")
	rules := flag.String("rules", "lineblocks/rules.csv", "`file` of rules")
	areas := flag.String("areas", "../internal/phone/nanp.csv", "area code `file`")
	out := flag.String("out", "../internal/phone/lookup/blocks.gz", "table `file` to write")
	flag.Parse()
	if err := run(*facts, *date, *rules, *areas, *out); err != nil {
		fmt.Fprintln(os.Stderr, "lineblocks:", err)
		os.Exit(1)
	}
}

// The classes of a block: two bits in the table (package lookup).
var classes = map[string]byte{"unknown": 0, "mobile": 1, "landline": 2, "voip": 3}

const (
	magic        = "CWLINES1"
	perArea      = 8000 // blocks, from exchange 200 on
	bytesPerArea = perArea / 4
)

func run(facts, date, rulesFile, areasFile, out string) error {
	at, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return err
	}
	classify, err := readRules(rulesFile)
	if err != nil {
		return fmt.Errorf("%s: %w", rulesFile, err)
	}
	domestic, err := readAreas(areasFile)
	if err != nil {
		return fmt.Errorf("%s: %w", areasFile, err)
	}
	pages := make(map[int]*[bytesPerArea]byte)
	counts := make(map[string]int)
	err = holders(facts, func(npa, nxx, x int, holder string) {
		if !domestic[npa] {
			return
		}
		class := classify(holder)
		counts[class]++
		if pages[npa] == nil {
			pages[npa] = new([bytesPerArea]byte)
		}
		i := (nxx-200)*10 + x
		pages[npa][i/4] |= classes[class] << (i % 4 * 2)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", facts, err)
	}
	raw := []byte(magic)
	raw = binary.BigEndian.AppendUint32(raw, uint32(at.Unix()/86400))
	raw = binary.BigEndian.AppendUint16(raw, uint16(len(pages)))
	for npa := 200; npa <= 999; npa++ {
		if pages[npa] != nil {
			raw = binary.BigEndian.AppendUint16(raw, uint16(npa))
			raw = append(raw, pages[npa][:]...)
		}
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(raw); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	fmt.Printf("%d area codes, %d bytes, %d packed; blocks: %v\n", len(pages), len(raw), packed.Len(), counts)
	return os.WriteFile(out, packed.Bytes(), 0o644)
}

// readRules returns what tells a holder's class: the first rule whose pattern fits.
func readRules(path string) (func(holder string) string, error) {
	rows, err := readCSV(path, 6)
	if err != nil {
		return nil, err
	}
	type rule struct {
		pattern *regexp.Regexp
		class   string
	}
	var rules []rule
	for _, row := range rows[1:] {
		p, err := regexp.Compile(row[1])
		if err != nil {
			return nil, err
		}
		if _, ok := classes[row[2]]; !ok {
			return nil, fmt.Errorf("rule %s: no class %q", row[0], row[2])
		}
		rules = append(rules, rule{p, row[2]})
	}
	known := make(map[string]string)
	return func(holder string) string {
		class, ok := known[holder]
		if !ok {
			class = "unknown"
			for _, r := range rules {
				if r.pattern.MatchString(holder) {
					class = r.class
					break
				}
			}
			known[holder] = class
		}
		return class
	}, nil
}

// readAreas returns the geographic area codes of the United States and its territories.
func readAreas(path string) (map[int]bool, error) {
	rows, err := readCSV(path, 4)
	if err != nil {
		return nil, err
	}
	domestic := make(map[int]bool)
	for _, row := range rows[1:] {
		switch row[2] {
		case "US", "PR", "VI", "GU", "AS", "MP":
			var npa int
			if _, err := fmt.Sscan(row[0], &npa); err != nil {
				return nil, err
			}
			domestic[npa] = domestic[npa] || row[1] == "geographic"
		}
	}
	return domestic, nil
}

func readCSV(path string, fields int) ([][]string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := csv.NewReader(bytes.NewReader(raw))
	r.Comment, r.FieldsPerRecord = '#', fields
	rows, err := r.ReadAll()
	if err == nil && len(rows) < 2 {
		err = fmt.Errorf("no rows")
	}
	return rows, err
}

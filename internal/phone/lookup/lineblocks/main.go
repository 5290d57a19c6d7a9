// Command lineblocks makes the table of line types that package lookup embeds: from who
// holds each thousands-block of North American numbers, and the rules of package
// lineplan.
//
// The holders are those of Debian's package libnumber-phone-perl: install it, or unpack
// it and name the file:
//
//	go run ./internal/phone/lookup/lineblocks -out internal/phone/lookup/blocks.gz \
//	  -holders /usr/share/perl5/auto/share/dist/Number-Phone/Number-Phone-NANP-Data.db
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"codeword/internal/phone/lookup/lineplan"
)

func main() {
	facts := flag.String("holders", "/usr/share/perl5/auto/share/dist/Number-Phone/Number-Phone-NANP-Data.db", "`file` of block holders")
	date := flag.String("date", "2023-03-07", "when the holders were read off, as `YYYY-MM-DD`")
	out := flag.String("out", "blocks.gz", "table `file` to write")
	flag.Parse()
	if err := run(*facts, *date, *out); err != nil {
		fmt.Fprintln(os.Stderr, "lineblocks:", err)
		os.Exit(1) //nolint:forbidigo // a command of its own
	}
}

func run(facts, date, out string) error {
	at, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return err
	}
	var plan lineplan.Plan
	if err := holders(facts, plan.AddBlock); err != nil {
		return fmt.Errorf("%s: %w", facts, err)
	}
	built, err := plan.Build(at)
	if err != nil {
		return err
	}
	packed := built.Packed()
	fmt.Fprintf(os.Stderr, "%d bytes packed; blocks: %v\n", len(packed), built.Table.Known())
	return os.WriteFile(out, packed, 0o644) //nolint:gosec // it is embedded: nobody's secret
}

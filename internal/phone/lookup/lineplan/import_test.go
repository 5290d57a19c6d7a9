package lineplan_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"codeword/internal/phone"
	"codeword/internal/phone/lookup/lineplan"
)

var now = time.Date(2025, 6, 10, 12, 0, 0, 0, time.UTC)

// The lists as NANPA writes them.
const (
	blockHead    = `Region,State,NPA,NXX,X,STATUS,Code Holder,Contaminated (Y or N),Contaminated TNs not Available for Assignment,Rate Center,Block Effective Date,Block Available Date,Assigned To,OCN,Date Assigned`
	exchangeHead = "State\tNPA-NXX\tOCN\tCompany\tRateCenter\tEffectiveDate\tUse\tAssignDate\tInitial/Growth\tPooled Code\tIn Service\tFile Updated 06/02/2025"
)

func block(npa, nxx, x, status, holder, date string) string {
	return fmt.Sprintf(`West,CA,%s,%s,%s,%s,"PACIFIC BELL",N,,"BURLINGAME","06/01/2020","05/01/2020","%s",6529,%s`, npa, nxx, x, status, holder, date)
}

func exchange(code, use, holder, date string) string {
	return "CA\t" + code + "\t9740\t\"" + holder + "\"  \tBURLINGAME\t\t" + use + "\t" + date + "\tI\tN\tY"
}

func text(lines ...string) string { return strings.Join(lines, "\n") + "\n" }

const (
	verizon = "CELLCO PARTNERSHIP DBA VERIZON WIRELESS - CA"
	pacbell = "PACIFIC BELL"
	twilio  = "TWILIO INTERNATIONAL, INC. - CA"
)

var goodBlocks = text(blockHead, block("650", "253", "1", "AS", verizon, "05/20/2025"), block("650", "253", "2", "AV", "", ""),
	block("650", "999", "0", "AS", twilio, "03/01/2024"))

var goodExchanges = text(exchangeHead, exchange("650-253", "AS", pacbell, "01/01/1990"), exchange("650-254", "AS", pacbell, ""),
	exchange("650-999", "AS", verizon, "06/01/2025"), exchange("650-998", "UA", "", ""))

// named is a file with its name.
type named struct{ name, text string }

// zipped packs files, and may cut the archive.
func zipped(tb testing.TB, cut int, files ...named) string {
	tb.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range files {
		w, err := z.CreateHeader(&zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: time.Date(2025, 1, 2, 3, 4, 6, 0, time.UTC)})
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write([]byte(f.text)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.String()[:out.Len()-cut]
}

func add(im *lineplan.Import, files ...named) error {
	for _, f := range files {
		if err := im.Add(f.name, strings.NewReader(f.text), int64(len(f.text))); err != nil {
			return err
		}
	}
	return nil
}

func number(tb testing.TB, text string) phone.Number {
	tb.Helper()
	n, err := phone.Parse(text)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// expect holds a plan's table and its document against what they should say.
func expect(t *testing.T, im *lineplan.Import, want map[string]string) {
	t.Helper()
	built, err := im.Build(im.Date())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := built.Document()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := lineplan.ParseDocument(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !doc.SameRules || !doc.Table.Date().Equal(built.Date) {
		t.Errorf("the document's rules are others, or its date is %s", doc.Table.Date())
	}
	for to, answer := range want {
		n := number(t, to)
		holder, err := doc.Holder(n)
		if err != nil {
			t.Fatal(err)
		}
		if got := doc.Table.Block(n).String() + " " + holder.Name; got != answer || built.Table.Block(n) != doc.Table.Block(n) {
			t.Errorf("%s is %q, want %q", to, got, answer)
		}
	}
}

// precedence is what the good lists say together.
var precedence = map[string]string{
	"+16502531000": "mobile " + verizon,   // the block's holder before the exchange's
	"+16502532000": "landline " + pacbell, // available: what works there is the exchange's
	"+16502533000": "landline " + pacbell, // kept by the exchange's holder
	"+16502549000": "landline " + pacbell, // no block of it is in the list
	"+16509990000": "mobile " + verizon,   // given out after the list of blocks was made
	"+16509980000": "unknown ",            // not in use
	"+12122530000": "unknown ",            // not in the lists
}

func TestImport(t *testing.T) {
	t.Parallel()
	blocks, exchanges := named{"a.txt", goodBlocks}, named{"b.txt", goodExchanges}
	alone := map[string]string{"+16502531000": "mobile " + verizon, "+16502532000": "unknown ", "+16509990000": "non_fixed_voip " + twilio}
	for name, c := range map[string]struct {
		files []named
		date  string
		want  map[string]string
	}{
		"both":             {[]named{blocks, exchanges}, "2025-05-20", precedence},
		"the other order":  {[]named{exchanges, blocks}, "2025-05-20", precedence},
		"blocks alone":     {[]named{blocks}, "2025-05-20", alone},
		"zip":              {[]named{{"x.zip", zipped(t, 0, blocks, exchanges)}}, "2025-05-20", precedence},
		"twice":            {[]named{blocks, exchanges, blocks, exchanges}, "2025-05-20", precedence},
		"CRLF and a BOM":   {[]named{{"a.txt", "\ufeff" + strings.ReplaceAll(goodBlocks, "\n", "\r\n")}, {"b", strings.ReplaceAll(goodExchanges, "\n", "\r\n")}}, "2025-05-20", precedence},
		"lower case":       {[]named{{"a.txt", strings.ToLower(goodBlocks)}, {"b.txt", strings.ToLower(goodExchanges)}}, "2025-05-20", precedence},
		"no last newline":  {[]named{{"a.txt", strings.TrimSuffix(goodBlocks, "\n")}}, "2025-05-20", alone},
		"empty lines":      {[]named{{"a.txt", "\n\n" + strings.ReplaceAll(goodBlocks, "\n", "\n \n")}}, "2025-05-20", alone},
		"no names":         {[]named{{"a.txt", strings.TrimPrefix(goodBlocks, blockHead+"\n")}, {"b", strings.TrimPrefix(goodExchanges, exchangeHead+"\n")}}, "2025-05-20", precedence},
		"tabs":             {[]named{{"a.txt", strings.ReplaceAll(strings.ReplaceAll(goodBlocks, ",", "\t"), "INTERNATIONAL\t", "INTERNATIONAL,")}}, "2025-05-20", alone},
		"made on":          {[]named{{"a.txt", text(blockHead+",File Updated 06/02/2025", block("650", "253", "1", "AS", verizon, "05/20/2025"))}}, "2025-06-02", nil},
		"dated the future": {[]named{{"a.txt", text(blockHead, block("650", "253", "1", "AS", verizon, "05/20/2055"), block("650", "253", "2", "AS", verizon, "2024-01-05 00:00:00"))}}, "2024-01-05", nil},
		"packed on":        {[]named{{"a.zip", zipped(t, 0, named{"a.txt", text(blockHead, block("650", "253", "1", "AS", verizon, "soon"))})}}, "2025-01-02", nil},
		"quotes in a name": {
			[]named{{"a.txt", text(blockHead, block("650", "253", "1", "AS", `JOE "BUD" WIRELESS`, "05/20/2025"), block("650", "253", "2", "AS", `JOE ""BUD"", WIRELESS`, ""))}},
			"2025-05-20",
			map[string]string{"+16502531000": `mobile JOE "BUD" WIRELESS`, "+16502532000": `mobile JOE "BUD", WIRELESS`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			im := lineplan.NewImport(now)
			if err := add(im, c.files...); err != nil {
				t.Fatal(err)
			}
			if got := im.Date().Format(time.DateOnly); got != c.date {
				t.Errorf("the date is %s, want %s", got, c.date)
			}
			expect(t, im, c.want)
		})
	}
}

// TestRefused: what is wrong is told with the file and the line.
func TestRefused(t *testing.T) {
	t.Parallel()
	line := block("650", "253", "1", "AS", verizon, "05/20/2025")
	damaged := func(change func(string) string) string { return text(blockHead, line, change(line)) }
	replace := func(old, to string) string {
		return damaged(func(s string) string { return strings.Replace(s, old, to, 1) })
	}
	bomb := text(blockHead, line) + strings.Repeat("\n", 1<<20)
	for name, c := range map[string]struct{ text, want string }{
		"empty":                   {"", "f: is empty"},
		"blank":                   {"\n \n", "f: is empty"},
		"foreign":                 {"a,b,c\n1,2,3\n", "f:1: neither a list of blocks"},
		"foreign, after a while":  {"\n\nhello\n", "f:3: neither a list of blocks"},
		"binary":                  {"\x7fELF" + strings.Repeat("\x00\xff", 5000), "f:1: neither a list of blocks"},
		"a web page":              {"<html><head>", "f:1: a web page"},
		"UTF-16":                  {"\xff\xfeR\x00e\x00", "f:1: the text is UTF-16"},
		"not the augmented list":  {"Region,State,NPA,NXX,X,STATUS\n", "f:1: the names of the columns are not"},
		"an area code of letters": {replace(",650,", ",6S0,"), `f:3: column 3: "6S0" is no area code`},
		"an area code too low":    {replace(",650,", ",150,"), `f:3: column 3: "150" is no area code`},
		"a long exchange":         {replace(",253,", ",2530,"), `f:3: column 4: "2530" is no exchange`},
		"no digit":                {replace(",1,AS", ",,AS"), `f:3: column 5: "" is no digit`},
		"a status of digits":      {replace(",AS,", ",42,"), `f:3: column 6: "42" is no status`},
		"few columns":             {damaged(func(s string) string { return s[:40] }), "f:3: the line has"},
		"cut off":                 {strings.TrimSuffix(damaged(func(s string) string { return s[:strings.LastIndex(s, ",")] }), "\n"), "f:3: the file is cut off"},
		"a long line":             {damaged(func(s string) string { return s + strings.Repeat("x", 4<<10) }), "f:3: the line has more than 4096 bytes"},
		"a long name":             {replace(verizon, strings.Repeat("x", 251)), "f:3: the holder's name has 251 bytes"},
		"conflicting blocks":      {replace(verizon, pacbell), "f:3: the block 650-253-1 is CELLCO"},
		"conflicting exchanges": {
			text(exchangeHead, exchange("650-253", "AS", pacbell, ""), exchange("650-253", "AS", verizon, "")),
			"f:3: the exchange 650-253 is PACIFIC BELL's in an earlier row, and CELLCO",
		},
		"no exchange":      {text(exchangeHead, exchange("650-153", "AS", pacbell, "")), `f:2: column 2: "650-153" is no area code with`},
		"an exchange cut":  {text(exchangeHead, "CA\t650-253\t9740"), "f:2: the line has 3 columns"},
		"too much":         {bomb, "the files have more than 1 MiB, unpacked"},
		"a bomb":           {zipped(t, 0, named{"a", bomb}), "the files have more than 1 MiB, unpacked"},
		"a zip cut off":    {zipped(t, 30, named{"a", goodBlocks}), "f: a zip archive that is damaged, or cut off"},
		"a zip of nothing": {zipped(t, 0), "f: the archive is empty"},
		"a zip in a zip":   {zipped(t, 0, named{"a.txt", goodBlocks}, named{"b.zip", zipped(t, 0, named{"a", goodBlocks})}), "f:b.zip:1: neither a list"},
		"a foreign member": {zipped(t, 0, named{"a.txt", goodBlocks}, named{"readme", "Read me"}), "f:readme:1: neither a list of blocks"},
		"a damaged member": {strings.Replace(zipped(t, 0, named{"a.txt", goodBlocks}), "a.txt", "b.txt", 1)[:80] + strings.Repeat("\xee", 30) + zipped(t, 0, named{"a.txt", goodBlocks})[110:], "f:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			im := lineplan.NewImport(now)
			im.Bound(1 << 20)
			err := add(im, named{"f", c.text})
			var file *lineplan.FileError
			if !errors.As(err, &file) || !strings.Contains(err.Error(), strings.ReplaceAll(c.want, "1 MiB", "512 MiB")) {
				t.Errorf("the error is %v, want %s", err, c.want)
			}
		})
	}
}

// TestNoBlocks: exchanges alone would make two of three pooled blocks wrong.
func TestNoBlocks(t *testing.T) {
	t.Parallel()
	im := lineplan.NewImport(now)
	if err := add(im, named{"b.txt", goodExchanges}); err != nil {
		t.Fatal(err)
	}
	if _, err := im.Build(now); err == nil || !strings.Contains(err.Error(), "ThousandsBlockAssignment") {
		t.Errorf("a plan of exchanges alone: %v", err)
	}
}

// FuzzImport: no file harms; what is taken makes a document that can be read.
func FuzzImport(f *testing.F) {
	for _, seed := range []string{
		goodBlocks, goodExchanges, "", "\ufeff" + goodBlocks, zipped(f, 0, named{"a.txt", goodBlocks}, named{"b.txt", goodExchanges}),
		strings.ReplaceAll(goodBlocks, "/20", "/19"), strings.ReplaceAll(goodBlocks, "05/20/2025", "01/01/1970"), "<html>", `"` + blockHead, strings.ReplaceAll(goodBlocks, ",", "|"), zipped(f, 20, named{"a.txt", goodBlocks}),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		im := lineplan.NewImport(now)
		im.Bound(1 << 20)
		if im.Add("f", bytes.NewReader(raw), int64(len(raw))) != nil || im.BlockRows == 0 || im.Date().IsZero() {
			return
		}
		if im.Date().After(now) {
			t.Errorf("the facts are of %s", im.Date())
		}
		built, err := im.Build(im.Date())
		if err != nil {
			t.Fatal(err)
		}
		doc, err := built.Document()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lineplan.ParseDocument(doc); err != nil {
			t.Fatal(err)
		}
	})
}

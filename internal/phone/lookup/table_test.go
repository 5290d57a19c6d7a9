package lookup_test

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"io"
	"os"
	"strings"
	"testing"

	"codeword/internal/phone"
	"codeword/internal/phone/lookup"
)

const public = "its published main number"

// TestKnown holds the embedded table against numbers of known kind. A holder's block
// must have its kind; a public landline's may be missing.
func TestKnown(t *testing.T) {
	f, err := os.Open("testdata/known.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comment = '#'
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	missing, told := 0, make(map[string]int)
	for _, row := range rows[1:] {
		got := typeOf(t, row[0])
		switch {
		case row[3] == public && got == phone.LineUnknown:
			missing++
		case got.String() != row[1]:
			t.Errorf("%s of %s is told to be %s, it is %s", row[0], row[2], got, row[1])
		default:
			told[row[1]]++
		}
	}
	t.Logf("%d numbers: right %v, not in the table %d", len(rows)-1, told, missing)
	if len(rows) < 200 {
		t.Errorf("only %d numbers", len(rows)-1)
	}
}

func typeOf(t *testing.T, text string) phone.LineType {
	t.Helper()
	n, err := phone.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	got, err := new(lookup.Lines).LineType(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestNotInTheTable(t *testing.T) {
	for _, text := range []string{"+14165551234", "+18002530000", "+12002000000", "+19999999999"} {
		if got := typeOf(t, text); got != phone.LineUnknown {
			t.Errorf("%s is %s", text, got)
		}
	}
	if got := lookup.Embedded().Block(phone.Number{}); got != phone.LineUnknown {
		t.Errorf("no number is %s", got)
	}
}

// TestEmbedded: what the program brings fits the bounds set for it.
func TestEmbedded(t *testing.T) {
	raw, err := os.ReadFile("blocks.gz")
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > 400<<10 {
		t.Errorf("the table has %d bytes", len(raw))
	}
	table := lookup.Embedded()
	if got := table.Date().Format("2006-01-02"); got != "2023-03-07" {
		t.Errorf("its date is %s", got)
	}
	known := table.Known()
	for _, line := range []phone.LineType{phone.LineMobile, phone.LineLandline, phone.LineNonFixedVoIP} {
		if known[line] < 100_000 {
			t.Errorf("it has %d blocks of %s", known[line], line)
		}
	}
	if known[phone.LineUnknown] != 0 {
		t.Error("blocks that it lacks are counted as known")
	}
	n, err := phone.Parse("+16502530000")
	if err != nil {
		t.Fatal(err)
	}
	if got := testing.AllocsPerRun(100, func() { table.Block(n) }); got != 0 {
		t.Errorf("a look-up allocates %v times", got)
	}
}

// TestDecodeDamaged: a file that is damaged, cut off or something else is no table.
func TestDecodeDamaged(t *testing.T) {
	raw, err := os.ReadFile("blocks.gz")
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lookup.Decode(pack(t, plain)); err != nil {
		t.Fatalf("the same, packed again: %v", err)
	}
	const header, area = 14, 2 + 2000
	twice := bytes.Clone(plain)
	copy(twice[header+area:header+area+2], twice[header:header+2])
	outside := bytes.Clone(plain)
	outside[header], outside[header+1] = 0, 7
	for name, r := range map[string]io.Reader{
		"nothing":                strings.NewReader(""),
		"text":                   strings.NewReader("npa,nxx\n"),
		"a cut file":             bytes.NewReader(raw[:len(raw)/2]),
		"no content":             pack(t, nil),
		"another magic":          pack(t, append([]byte("CWLINES2"), plain[8:]...)),
		"an area less":           pack(t, plain[:len(plain)-area]),
		"a byte more":            pack(t, append(bytes.Clone(plain), 0)),
		"an area twice":          pack(t, twice),
		"an area that is none":   pack(t, outside),
		"more than any table is": pack(t, append(bytes.Clone(plain), make([]byte, 4<<20)...)),
	} {
		if _, err := lookup.Decode(r); err == nil {
			t.Errorf("%s is taken for a table", name)
		}
	}
}

func pack(t *testing.T, plain []byte) io.Reader {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return &out
}

func BenchmarkBlock(b *testing.B) {
	table := lookup.Embedded()
	n, err := phone.Parse("+16502530000")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		table.Block(n)
	}
}

// BenchmarkDecode is what the first look-up waits for.
func BenchmarkDecode(b *testing.B) {
	raw, err := os.ReadFile("blocks.gz")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := lookup.Decode(bytes.NewReader(raw)); err != nil {
			b.Fatal(err)
		}
	}
}

package lineplan_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"codeword/internal/phone"
	"codeword/internal/phone/lookup"
	"codeword/internal/phone/lookup/lineplan"
)

func TestRules(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]phone.LineType{
		verizon: phone.LineMobile, pacbell: phone.LineLandline, twilio: phone.LineNonFixedVoIP,
		"Comcast Phone, LLC": phone.LineLandline, "": phone.LineUnknown, "MULTIPLE OCN LISTING": phone.LineUnknown,
		"american  messaging\tservices": phone.LineUnknown,
	} {
		rule := lineplan.Classify(lineplan.CleanName(name))
		if rule.Line != want || rule.Name == "" || rule.Note == "" {
			t.Errorf("%q is %s by rule %q, want %s", name, rule.Line, rule.Name, want)
		}
	}
	const head, last = "order,regex,class,subclass,confidence,note\n", "9,.*,unknown,default,-,rest\n"
	if err := lineplan.ReadRules(head + last); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", head, head + "1,(,mobile,a,high,b\n" + last, head + "1,A,fax,a,high,b\n" + last, head + "1,A,mobile,a,high,b\n", head + "1,A\n"} {
		if lineplan.ReadRules(bad) == nil {
			t.Errorf("rules %q are taken", bad)
		}
	}
}

func TestCleanName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"  Cellco\t Partnership \r": "CELLCO PARTNERSHIP", "a\x00b\x1bc": "A B C", "caf\xe9": "CAF?", "café": "CAFÉ",
	} {
		if got := lineplan.CleanName(name); got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
}

// full is a plan of all blocks of an area code, with a holder for every hundred.
func full(t *testing.T) *lineplan.Built {
	t.Helper()
	var plan lineplan.Plan
	for nxx := 200; nxx <= 999; nxx++ {
		for x := range 10 {
			if err := plan.AddBlock(650, nxx, x, fmt.Sprintf("WIRELESS %d", nxx/100)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, foreign := range []int{416, 800, 900, 242} { // Canada, nobody's and everybody's
		if err := plan.AddBlock(foreign, 200, 0, pacbell); err != nil {
			t.Fatal(err)
		}
	}
	built, err := plan.Build(now)
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func TestBuild(t *testing.T) {
	t.Parallel()
	built := full(t)
	if known := built.Table.Known(); len(known) != 1 || known[phone.LineMobile] != 8000 {
		t.Errorf("the table has %v", known)
	}
	again, err := lookup.Decode(bytes.NewReader(built.Packed()))
	if err != nil {
		t.Fatal(err)
	}
	if c := again.ChangesFrom(built.Table); c != (lookup.Changes{}) {
		t.Errorf("packed, the table differs: %+v", c)
	}
	known := 0
	for _, n := range lookup.Embedded().Known() {
		known += n
	}
	if c := built.Table.ChangesFrom(lookup.Embedded()); c.Gone+c.Added == 0 || known-c.Gone+c.Added != 8000 || c.Other == 0 {
		t.Errorf("against the embedded table: %+v", c)
	}
	if all := lineplan.Blocks(); all < 2_000_000 || all > 4_000_000 || all%8000 != 0 {
		t.Errorf("there are %d blocks", all)
	}
	var many lineplan.Plan
	for i := 0; ; i++ {
		if err := many.AddExchange(200, 200, fmt.Sprint(i), now); err != nil && !strings.Contains(err.Error(), "exchange") {
			if i != 65_535 {
				t.Errorf("%d holders: %v", i, err)
			}
			break
		}
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	raw, err := full(t).Document()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := lineplan.ParseDocument(raw)
	if err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]lineplan.Holder{
		"+16502000000": {Name: "WIRELESS 2", Rule: "14 regional"}, "+16509999999": {Name: "WIRELESS 9", Rule: "14 regional"},
		"+12122000000": {}, "+14162000000": {},
	} {
		if got, err := doc.Holder(number(t, to)); err != nil || got != want {
			t.Errorf("%s is %+v's, %v", to, got, err)
		}
	}
	if got, err := doc.Holder(phone.Number{}); err != nil || got != (lineplan.Holder{}) {
		t.Errorf("no number is %+v's, %v", got, err)
	}
	doc, err = lineplan.ParseDocument(lineplan.EmbeddedDocument())
	if err != nil || doc.Table != nil {
		t.Errorf("the embedded table's document has one of its own, or %v", err)
	}
	if got, err := doc.Holder(number(t, "+16502000000")); err != nil || got != (lineplan.Holder{}) {
		t.Errorf("the embedded table knows the holder %+v, %v", got, err)
	}
	foreign := bytes.Clone(raw)
	foreign[8]++
	if doc, err := lineplan.ParseDocument(foreign); err != nil || doc.SameRules {
		t.Errorf("other rules are taken for ours: %v", err)
	}
}

func TestDocumentDamaged(t *testing.T) {
	t.Parallel()
	raw, err := full(t).Document()
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(b []byte)) []byte {
		b := bytes.Clone(raw)
		change(b)
		return b
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "a letter": []byte("C"), "magic": []byte("CWPLAN"), "no sections": raw[:20],
		"cut off": raw[:len(raw)-1], "longer": append(bytes.Clone(raw), 0),
		"another": with(func(b []byte) { b[0]++ }), "an older format": with(func(b []byte) { b[7] = 0 }),
		"a damaged table": with(func(b []byte) { b[60] ^= 0xff }), "a length": with(func(b []byte) { b[16] = 0xff }),
		"sections moved": with(func(b []byte) { b[19]--; b[23]++ }),
	} {
		if _, err := lineplan.ParseDocument(b); !errors.Is(err, lineplan.ErrDocument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	newer := with(func(b []byte) { b[7]++ })
	if _, err := lineplan.ParseDocument(newer); !errors.Is(err, lineplan.ErrNewer) || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("a newer format: %v", err)
	}
	damaged := with(func(b []byte) { b[len(b)-30] ^= 0xff })
	doc, err := lineplan.ParseDocument(damaged)
	if err != nil {
		t.Fatal("the operators were read, which nodes do not need")
	}
	if _, err := doc.Holder(number(t, "+16059999999")); !errors.Is(err, lineplan.ErrDocument) {
		t.Errorf("damaged operators: %v", err)
	}
}

// FuzzDocument: whatever is stored, it is read or refused.
func FuzzDocument(f *testing.F) {
	f.Add(lineplan.EmbeddedDocument())
	f.Add([]byte("CWPLAN\x00\x02"))
	im := lineplan.NewImport(now)
	if err := add(im, named{"a.txt", goodBlocks}); err != nil {
		f.Fatal(err)
	}
	built, err := im.Build(now)
	if err != nil {
		f.Fatal(err)
	}
	raw, err := built.Document()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	n := number(f, "+16502531000")
	f.Fuzz(func(t *testing.T, raw []byte) {
		doc, err := lineplan.ParseDocument(raw)
		if err != nil {
			return
		}
		_, _ = doc.Holder(n)
		if doc.Table != nil {
			doc.Table.Block(n)
		}
	})
}

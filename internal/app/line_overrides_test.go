package app

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"codeword/internal/keyring"
	"codeword/internal/phone"
	"codeword/internal/phone/lookup"
	"codeword/internal/phone/lookup/lineplan"
)

var overrideTime = time.Date(2025, 6, 1, 12, 0, 0, 5, time.UTC)

func TestOverrides(t *testing.T) {
	t.Parallel()
	docs, ring := newShelf(), newRing(t)
	n := parseNumber(t, mobileNumber)
	say := func(ring *keyring.Ring, line phone.LineType) {
		t.Helper()
		if err := override(t.Context(), docs, ring, n, line, overrideTime); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(ring *keyring.Ring, entries int, want phone.LineType, said bool) {
		t.Helper()
		list, err := parseOverrides(docs.docs[overridesDocument])
		if err != nil || len(list) != entries {
			t.Fatalf("%d entries, %v", len(list), err)
		}
		o, err := lookup.NewOverrides(ring, withKey(ring, list))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok, err := o.Line(n); got != want || ok != said || err != nil {
			t.Errorf("it is %s, %t, %v", got, ok, err)
		}
	}
	say(ring, phone.LineLandline)
	say(ring, phone.LineMobile)
	expect(ring, 1, phone.LineMobile, true)
	rotated, err := ring.Rotate(keyring.Index)
	if err != nil {
		t.Fatal(err)
	}
	expect(rotated, 1, phone.LineMobile, true)
	say(rotated, phone.LineLandline)
	expect(rotated, 1, phone.LineLandline, true)
	expect(ring, 1, phone.LineUnknown, false) // a server that was not restarted
	body := docs.docs[overridesDocument].Body
	if bytes.Contains(body, []byte("650253")) || !bytes.Contains(body, []byte(`"last":"0000"`)) {
		t.Errorf("stored as %s", body)
	}
	if err := removeOverride(t.Context(), docs, rotated, parseNumber(t, "+16502540000"), overrideTime); err == nil {
		t.Error("another number's override was removed")
	}
	if err := removeOverride(t.Context(), docs, rotated, n, overrideTime); err != nil {
		t.Error(err)
	}
	expect(rotated, 0, phone.LineUnknown, false)
}

// TestOverridesAtOnce: none is lost when another command is faster.
func TestOverridesAtOnce(t *testing.T) {
	t.Parallel()
	docs, ring := newShelf(), newRing(t)
	others := 0
	docs.before = func() {
		if others++; others <= 2 {
			before := docs.before
			docs.before = nil
			if err := override(t.Context(), docs, ring, parseNumber(t, fmt.Sprintf("+1650254000%d", others)), phone.LineMobile, overrideTime); err != nil {
				t.Error(err)
			}
			docs.before = before
		}
	}
	if err := override(t.Context(), docs, ring, parseNumber(t, mobileNumber), phone.LineMobile, overrideTime); err != nil {
		t.Fatal(err)
	}
	if list, err := parseOverrides(docs.docs[overridesDocument]); err != nil || len(list) != 3 {
		t.Errorf("%d are left, %v", len(list), err)
	}
	docs.before = func() { docs.put(overridesDocument, []byte(`{"version":1}`)) }
	if err := override(t.Context(), docs, ring, parseNumber(t, mobileNumber), phone.LineMobile, overrideTime); err == nil || !strings.Contains(err.Error(), "try again") {
		t.Errorf("always overtaken: %v", err)
	}
}

func TestOverridesBounds(t *testing.T) {
	t.Parallel()
	docs, ring := newShelf(), newRing(t)
	entry := `{"key":1,"digest":"AAAAAAAAAAAAAAAAAAAAAA==","last":"1234","type":"mobile","at":"2025-06-01T00:00:00Z"}`
	docs.put(overridesDocument, []byte(`{"version":1,"overrides":[`+strings.Repeat(entry+",", lookup.MaxOverrides-1)+entry+`]}`))
	err := override(t.Context(), docs, ring, parseNumber(t, mobileNumber), phone.LineMobile, overrideTime)
	if err == nil || !strings.Contains(err.Error(), "there are 10000 overrides") {
		t.Errorf("one too many: %v", err)
	}
	for name, body := range map[string]string{
		"text": "mobile", "no version": "{}", "newer": `{"version":2}`,
		"a foreign type":  `{"version":1,"overrides":[` + strings.Replace(entry, "mobile", "fax", 1) + `]}`,
		"a short digest":  `{"version":1,"overrides":[` + strings.Replace(entry, "AAAAAAAAAAAAAAAAAAAAAA==", "AAAA", 1) + `]}`,
		"a longer digest": `{"version":1,"overrides":[` + strings.Replace(entry, "AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAAAA", 1) + `]}`,
	} {
		docs.put(overridesDocument, []byte(body))
		if _, err := readOverrides(t.Context(), docs); err == nil || name == "newer" && !strings.Contains(err.Error(), "newer version") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestExplain: what 'numberplan show' says with an imported table.
func TestExplain(t *testing.T) {
	t.Parallel()
	plan, err := lineplan.ParseDocument(planBody(t))
	if err != nil {
		t.Fatal(err)
	}
	docs, ring := newShelf(), newRing(t)
	if err := override(t.Context(), docs, ring, parseNumber(t, "+16502531234"), phone.LineLandline, overrideTime); err != nil {
		t.Fatal(err)
	}
	list, err := parseOverrides(docs.docs[overridesDocument])
	if err != nil {
		t.Fatal(err)
	}
	said, err := lookup.NewOverrides(ring, list)
	if err != nil {
		t.Fatal(err)
	}
	facts := lineFacts{plan: plan, overrides: said}
	for number, want := range map[string][]string{
		mobileNumber: {
			"area code  650: geographic, US, CA", "exchange   650-253", "block      650-253-0", "table      imported, of 2025-06-01",
			"operator   CELLCO PARTNERSHIP DBA VERIZON WIRELESS - CA", "rule       10 verizon: Verizon Wireless",
			"line type  mobile, by the holder of the block on 2025-06-01", "send       accepted",
		},
		"+16502531234": {"operator   none in the lists", "line type  landline, by an override; the table says unknown", "send       refused: INVALID_PHONE_TYPE"},
		"+12063050000": {"operator   none in the lists", "line type  unknown: the block was not in the records of 2025-06-01", "send       accepted"},
	} {
		var out bytes.Buffer
		if err := explain(streams{out: &out}, parseNumber(t, number), nil, facts); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%s: %q is not in\n%s", number, w, &out)
			}
		}
	}
	var out bytes.Buffer
	if err := explain(streams{out: &out}, phone.Number{}, fmt.Errorf("%w: abroad", phone.ErrCountry), facts); err != nil || !strings.HasPrefix(out.String(), "send  refused: INVALID_PHONE_COUNTRY_CODE") {
		t.Errorf("abroad: %v, %s", err, &out)
	}
}

func TestCheckLineTypes(t *testing.T) {
	t.Parallel()
	docs, ring := newShelf(), newRing(t)
	day := time.Date(2025, 6, 2, 0, 0, 0, 0, time.UTC)
	f := checkLineTypes(t.Context(), docs, day)
	if !f.Warning || f.Err != nil || !strings.Contains(f.Note, "embedded table of 2023-03-07: 852429 thousands-blocks (") || !strings.Contains(f.Note, listsAddress) {
		t.Errorf("embedded: %+v", f)
	}
	body := planBody(t)
	docs.put(planDocument, body)
	if err := override(t.Context(), docs, ring, parseNumber(t, mobileNumber), phone.LineMobile, day); err != nil {
		t.Fatal(err)
	}
	if f = checkLineTypes(t.Context(), docs, day); f.Warning || f.Note != "imported table of 2025-06-01: 1 thousands-blocks (0 % of those that the area codes have); overrides of single numbers: 1" {
		t.Errorf("imported: %+v", f)
	}
	if f = checkLineTypes(t.Context(), docs, day.Add(180*24*time.Hour)); !f.Warning || !strings.Contains(f.Note, "181 days old") {
		t.Errorf("old: %+v", f)
	}
	other := bytes.Clone(body)
	other[8]++
	docs.put(planDocument, other)
	if f = checkLineTypes(t.Context(), docs, day); !f.Warning || !strings.Contains(f.Note, "another version") {
		t.Errorf("other rules: %+v", f)
	}
	docs.put(planDocument, body[:50])
	if f = checkLineTypes(t.Context(), docs, day); !errors.Is(f.Err, lineplan.ErrDocument) {
		t.Errorf("damaged: %+v", f)
	}
}

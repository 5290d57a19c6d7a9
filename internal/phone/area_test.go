package phone_test

import (
	"encoding/csv"
	"os"
	"strconv"
	"testing"

	"codeword/internal/phone"
)

// readCSV reads nanp.csv without the generator's help.
func readCSV(t *testing.T) map[int]phone.Area {
	t.Helper()
	f, err := os.Open("nanp.csv")
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
	kinds := make(map[string]phone.Kind)
	for k := phone.Unassigned; k <= phone.Reserved; k++ {
		kinds[k.String()] = k
	}
	areas := make(map[int]phone.Area)
	for _, row := range rows[1:] {
		npa, err := strconv.Atoi(row[0])
		if err != nil {
			t.Fatal(err)
		}
		kind, ok := kinds[row[1]]
		if !ok || kind == phone.Unassigned {
			t.Fatalf("area code %d has the unknown kind %q", npa, row[1])
		}
		areas[npa] = phone.Area{Kind: kind, Country: row[2], State: row[3]}
	}
	return areas
}

func TestTableIsTheCSV(t *testing.T) {
	areas := readCSV(t)
	for npa := -1; npa <= 1001; npa++ {
		want, listed := areas[npa]
		if got, ok := phone.AreaCode(npa); ok != listed || got != want {
			t.Errorf("AreaCode(%d) = %+v, %v, want %+v, %v; was go generate run?", npa, got, ok, want, listed)
		}
	}
}

func TestTableIsPlausible(t *testing.T) {
	count := make(map[phone.Area]int)
	states := make(map[string]int)
	for npa, a := range readCSV(t) {
		if npa%100 == 11 || npa/10%10 == 9 || npa/10 == 37 || npa/10 == 96 {
			t.Errorf("%d is listed, though the plan holds it back", npa)
		}
		count[phone.Area{Kind: a.Kind, Country: a.Country}]++
		if a.State != "" {
			states[a.State]++
		}
	}
	if len(states) != 51 {
		t.Errorf("%d states and districts have area codes, want 51", len(states))
	}
	for state, want := range map[string]int{"CA": 41, "TX": 28, "NY": 23, "DC": 2, "WY": 1, "AK": 1, "ME": 1} {
		if states[state] != want {
			t.Errorf("%s has %d area codes, want %d", state, states[state], want)
		}
	}
	for area, want := range map[phone.Area]int{
		{Kind: phone.Geographic, Country: "US"}:    371,
		{Kind: phone.Geographic, Country: "CA"}:    55,
		{Kind: phone.Geographic, Country: "DO"}:    3,
		{Kind: phone.Geographic, Country: "JM"}:    2,
		{Kind: phone.Geographic, Country: "PR"}:    2,
		{Kind: phone.Geographic, Country: "SX"}:    1,
		{Kind: phone.TollFree}:                     7,
		{Kind: phone.Personal}:                     16,
		{Kind: phone.Premium}:                      1,
		{Kind: phone.Carrier}:                      1,
		{Kind: phone.Government, Country: "US"}:    1,
		{Kind: phone.NonGeographic, Country: "CA"}: 3,
		{Kind: phone.Reserved}:                     10,
	} {
		if count[area] != want {
			t.Errorf("%v codes of %q: %d, want %d", area.Kind, area.Country, count[area], want)
		}
	}
}

func TestAreaCodeFacts(t *testing.T) {
	for npa, want := range map[int]phone.Area{
		650: {Kind: phone.Geographic, Country: "US", State: "CA"},
		465: {Kind: phone.Geographic, Country: "US", State: "NY"},
		771: {Kind: phone.Geographic, Country: "US", State: "DC"},
		307: {Kind: phone.Geographic, Country: "US", State: "WY"},
		416: {Kind: phone.Geographic, Country: "CA"},
		340: {Kind: phone.Geographic, Country: "VI"},
		284: {Kind: phone.Geographic, Country: "VG"},
		800: {Kind: phone.TollFree},
		900: {Kind: phone.Premium},
		710: {Kind: phone.Government, Country: "US"},
		880: {Kind: phone.Reserved},
	} {
		if got, ok := phone.AreaCode(npa); !ok || got != want {
			t.Errorf("AreaCode(%d) = %+v, %v, want %+v", npa, got, ok, want)
		}
	}
}

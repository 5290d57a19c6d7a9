package phone_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"codeword/internal/phone"
)

// rulings are numbers in E.164 form with the verdict of the default rule; a
// nil error means that the number passes.
var rulings = []struct {
	s, what string
	want    error
}{
	// United States, one or more of every region and every recent overlay.
	{"+16502530000", "California", nil},
	{"+12125551000", "555 in New York", phone.ErrType},
	{"+12128675309", "New York", nil},
	{"+19072531234", "Alaska", nil},
	{"+18082531234", "Hawaii", nil},
	{"+12022531234", "District of Columbia", nil},
	{"+17712531234", "District of Columbia, overlay", nil},
	{"+13072531234", "Wyoming", nil},
	{"+18022531234", "Vermont", nil},
	{"+12272531234", "Maryland, overlay", nil},
	{"+12352531234", "Missouri, overlay", nil},
	{"+12742531234", "Wisconsin, overlay", nil},
	{"+12832531234", "Ohio, overlay", nil},
	{"+13242531234", "Florida, overlay", nil},
	{"+13272531234", "Arkansas, overlay", nil},
	{"+13292531234", "New York, overlay", nil},
	{"+13502531234", "California, overlay", nil},
	{"+13532531234", "Wisconsin, overlay", nil},
	{"+13572531234", "California, overlay of 2025", nil},
	{"+13632531234", "New York, overlay", nil},
	{"+13692531234", "California, overlay", nil},
	{"+14362531234", "Ohio, overlay of 2024", nil},
	{"+14572531234", "Louisiana, overlay of 2025", nil},
	{"+14652531234", "New York, overlay of 2026", nil},
	{"+14712531234", "Mississippi, overlay of 2026", nil},
	{"+14722531234", "North Carolina, overlay", nil},
	{"+14832531234", "Alabama, overlay of 2026", nil},
	{"+15572531234", "Missouri, overlay", nil},
	{"+15642531234", "Washington, overlay", nil},
	{"+15722531234", "Oklahoma, overlay", nil},
	{"+15822531234", "Pennsylvania, overlay", nil},
	{"+16242531234", "New York, overlay of 2023", nil},
	{"+16452531234", "Florida, overlay", nil},
	{"+16562531234", "Florida, overlay", nil},
	{"+16592531234", "Alabama, overlay", nil},
	{"+16792531234", "Michigan, overlay of 2025", nil},
	{"+16862531234", "Virginia, overlay", nil},
	{"+17282531234", "Florida, overlay", nil},
	{"+17292531234", "Tennessee, overlay of 2025", nil},
	{"+17302531234", "Illinois, overlay", nil},
	{"+17382531234", "California, overlay", nil},
	{"+17482531234", "Colorado, overlay", nil},
	{"+18212531234", "South Carolina, overlay", nil},
	{"+18262531234", "Virginia, overlay", nil},
	{"+18352531234", "Pennsylvania, overlay", nil},
	{"+18372531234", "California, overlay of 2025", nil},
	{"+18402531234", "California, overlay", nil},
	{"+18612531234", "Illinois, overlay of 2023", nil},
	{"+19242531234", "Minnesota, overlay of 2024", nil},
	{"+19432531234", "Georgia, overlay", nil},
	{"+19452531234", "Texas, overlay", nil},
	{"+19482531234", "Virginia, overlay", nil},
	{"+19752531234", "Missouri, overlay", nil},
	{"+19832531234", "Colorado, overlay", nil},
	{"+16506501234", "exchange like the area code", nil},
	{"+12154161234", "exchange like a Canadian area code", nil},
	{"+12158001234", "exchange like a toll-free code", nil},
	{"+12159001234", "exchange like the premium code", nil},
	{"+12159881234", "exchange 988", nil},
	{"+18439581234", "exchange 958", nil},
	{"+13059591234", "exchange 959", nil},
	{"+12159991234", "exchange 999", nil},
	{"+12152001234", "lowest exchange", nil},
	{"+12155541234", "just below 555", nil},
	{"+12155561234", "just above 555", nil},
	{"+12155501234", "exchange with two fives", nil},

	// Exchanges without subscribers.
	{"+16505550100", "fiction, first", phone.ErrType},
	{"+16505550199", "fiction, last", phone.ErrType},
	{"+16505550099", "555, below fiction", phone.ErrType},
	{"+16505550200", "555, above fiction", phone.ErrType},
	{"+16505551212", "directory assistance", phone.ErrType},
	{"+12125554334", "the other assigned 555 line", phone.ErrType},
	{"+16502112345", "211", phone.ErrType},
	{"+16503112345", "311", phone.ErrType},
	{"+16504112345", "411", phone.ErrType},
	{"+16505112345", "511", phone.ErrType},
	{"+16506112345", "611", phone.ErrType},
	{"+16507112345", "711", phone.ErrType},
	{"+16508112345", "811", phone.ErrType},
	{"+16509112345", "911", phone.ErrType},
	{"+16507004141", "700", phone.ErrType},
	{"+16509501234", "950", phone.ErrType},
	{"+16509761234", "976", phone.ErrType},

	// Area codes without mobile lines.
	{"+18002530000", "toll-free", phone.ErrType},
	{"+18332530000", "toll-free", phone.ErrType},
	{"+18442530000", "toll-free", phone.ErrType},
	{"+18552530000", "toll-free", phone.ErrType},
	{"+18662530000", "toll-free", phone.ErrType},
	{"+18772530000", "toll-free", phone.ErrType},
	{"+18882530000", "toll-free", phone.ErrType},
	{"+18222530000", "reserved toll-free", phone.ErrType},
	{"+18802530000", "reserved toll-free", phone.ErrType},
	{"+18892530000", "reserved toll-free", phone.ErrType},
	{"+19002530000", "premium", phone.ErrType},
	{"+15002530000", "personal", phone.ErrType},
	{"+15212530000", "personal", phone.ErrType},
	{"+15292530000", "personal", phone.ErrType},
	{"+15322530000", "personal", phone.ErrType},
	{"+15332530000", "personal", phone.ErrType},
	{"+15442530000", "personal", phone.ErrType},
	{"+15662530000", "personal", phone.ErrType},
	{"+15772530000", "personal", phone.ErrType},
	{"+15882530000", "personal", phone.ErrType},
	{"+17002530000", "carrier", phone.ErrType},
	{"+17102530000", "government", phone.ErrType},
	{"+15005550001", "test number", phone.ErrType},
	{"+15005550006", "test number", phone.ErrType},
	{"+12112530000", "area code 211", phone.ErrType},
	{"+19112530000", "area code 911", phone.ErrType},
	{"+15552530000", "area code 555", phone.ErrType},
	{"+12002530000", "unassigned", phone.ErrType},
	{"+12222530000", "unassigned", phone.ErrType},
	{"+14562530000", "given back", phone.ErrType},
	{"+15652530000", "announced, not in service", phone.ErrType},
	{"+12902530000", "held for expansion", phone.ErrType},
	{"+13702530000", "held block", phone.ErrType},
	{"+19602530000", "held block", phone.ErrType},
	{"+19992530000", "held for expansion", phone.ErrType},

	// Territories of the United States.
	{"+17872531234", "Puerto Rico", phone.ErrCountry},
	{"+19392531234", "Puerto Rico", phone.ErrCountry},
	{"+13402531234", "US Virgin Islands", phone.ErrCountry},
	{"+16712531234", "Guam", phone.ErrCountry},
	{"+16842531234", "American Samoa", phone.ErrCountry},
	{"+16702531234", "Northern Mariana Islands", phone.ErrCountry},
	{"+17875550100", "Puerto Rico, fiction", phone.ErrCountry},

	// Canada and the Caribbean.
	{"+14165551234", "the documentation's number, Ontario", phone.ErrCountry},
	{"+16042531234", "British Columbia", phone.ErrCountry},
	{"+12572531234", "British Columbia, overlay of 2025", phone.ErrCountry},
	{"+19422531234", "Ontario, overlay of 2025", phone.ErrCountry},
	{"+14282531234", "New Brunswick, overlay", phone.ErrCountry},
	{"+18672531234", "Yukon", phone.ErrCountry},
	{"+18792531234", "Newfoundland", phone.ErrCountry},
	{"+16002531234", "Canada, non-geographic", phone.ErrCountry},
	{"+16222531234", "Canada, non-geographic", phone.ErrCountry},
	{"+16442531234", "Canada, reserved", phone.ErrCountry},
	{"+12642531234", "Anguilla", phone.ErrCountry},
	{"+12682531234", "Antigua", phone.ErrCountry},
	{"+12422531234", "Bahamas", phone.ErrCountry},
	{"+12462531234", "Barbados", phone.ErrCountry},
	{"+14412531234", "Bermuda", phone.ErrCountry},
	{"+13452531234", "Cayman Islands", phone.ErrCountry},
	{"+17672531234", "Dominica", phone.ErrCountry},
	{"+18092531234", "Dominican Republic", phone.ErrCountry},
	{"+18292531234", "Dominican Republic", phone.ErrCountry},
	{"+18492531234", "Dominican Republic", phone.ErrCountry},
	{"+14732531234", "Grenada", phone.ErrCountry},
	{"+18762531234", "Jamaica", phone.ErrCountry},
	{"+16582531234", "Jamaica", phone.ErrCountry},
	{"+16642531234", "Montserrat", phone.ErrCountry},
	{"+18692531234", "Saint Kitts and Nevis", phone.ErrCountry},
	{"+17582531234", "Saint Lucia", phone.ErrCountry},
	{"+17842531234", "Saint Vincent", phone.ErrCountry},
	{"+17212531234", "Sint Maarten", phone.ErrCountry},
	{"+18682531234", "Trinidad and Tobago", phone.ErrCountry},
	{"+16492531234", "Turks and Caicos", phone.ErrCountry},
	{"+12842531234", "British Virgin Islands", phone.ErrCountry},

	// Elsewhere.
	{"+447700900123", "United Kingdom", phone.ErrCountry},
	{"+521551234567", "Mexico", phone.ErrCountry},
}

func TestDefaultRule(t *testing.T) {
	us, err := phone.ParseRegions([]string{"US"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range rulings {
		t.Run(tc.what+" "+tc.s, func(t *testing.T) {
			for _, rule := range []phone.Rule{{}, {Regions: us}} {
				if err := verdict(rule, tc.s); !errors.Is(err, tc.want) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
			}
		})
	}
}

func TestRuleAllowsOnlyItsRegions(t *testing.T) {
	of := map[string]string{
		"US": "+16502530000", "PR": "+17872531234", "VI": "+13402531234",
		"GU": "+16712531234", "AS": "+16842531234", "MP": "+16702531234",
	}
	for _, allowed := range [][]string{
		{"US"}, {"PR"}, {"VI"}, {"GU"}, {"AS"}, {"MP"}, {"US", "PR"}, {"GU", "MP", "GU"}, {"MP", "AS", "GU", "VI", "PR", "US"},
	} {
		regions, err := phone.ParseRegions(allowed)
		if err != nil {
			t.Fatal(err)
		}
		rule := phone.Rule{Regions: regions}
		for name, s := range of {
			var want error
			if !slices.Contains(allowed, name) {
				want = phone.ErrCountry
			}
			if err := verdict(rule, s); !errors.Is(err, want) {
				t.Errorf("%v: %s gets %v, want %v", allowed, name, err, want)
			}
		}
		for _, s := range []string{"+18002530000", "+15005550006", "+12222530000"} {
			if err := verdict(rule, s); !errors.Is(err, phone.ErrType) {
				t.Errorf("%v: %s gets %v, want ErrType", allowed, s, err)
			}
		}
		if err := verdict(rule, "+14165551234"); !errors.Is(err, phone.ErrCountry) {
			t.Errorf("%v: Canada gets %v", allowed, err)
		}
	}
	pr := phone.Rule{Regions: phone.PR}
	if err := verdict(pr, "+17875551212"); !errors.Is(err, phone.ErrType) {
		t.Errorf("directory assistance of an allowed territory gets %v", err)
	}
}

func TestParseRegions(t *testing.T) {
	for _, tc := range []struct {
		names []string
		want  string
		err   string
	}{
		{nil, "US", ""},
		{[]string{}, "US", ""},
		{[]string{"PR", "US"}, "US,PR", ""},
		{[]string{"GU", "GU"}, "GU", ""},
		{[]string{"MP", "AS", "GU", "VI", "PR", "US"}, "US,PR,VI,GU,AS,MP", ""},
		{[]string{"us"}, "", `"us"`},
		{[]string{""}, "", `""`},
		{[]string{"US", "CA", "MX"}, "", `"CA", "MX"`},
		{[]string{"US,PR"}, "", `"US,PR"`},
		{[]string{"USA"}, "", `"USA"`},
	} {
		got, err := phone.ParseRegions(tc.names)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), "unknown region "+tc.err+" ") || got != 0 {
				t.Errorf("ParseRegions(%q) = %v, %v, want an error naming %s", tc.names, got, err, tc.err)
			}
			continue
		}
		if err != nil || got.String() != tc.want {
			t.Errorf("ParseRegions(%q) = %v, %v, want %s", tc.names, got, err, tc.want)
		}
		if again, err := phone.ParseRegions(got.Names()); err != nil || again != got {
			t.Errorf("the names of %v read back as %v, %v", got, again, err)
		}
	}
	if got := phone.Regions(0).String(); got != "US" {
		t.Errorf("the zero Regions are %s", got)
	}
}

func TestLineTypes(t *testing.T) {
	for _, tc := range []struct {
		names string
		has   []phone.LineType
	}{
		{"", []phone.LineType{phone.LineMobile, phone.LineUnknown}},
		{"mobile", []phone.LineType{phone.LineMobile}},
		{"non_fixed_voip mobile mobile", []phone.LineType{phone.LineMobile, phone.LineNonFixedVoIP}},
		{"mobile unknown fixed_voip landline", []phone.LineType{phone.LineMobile, phone.LineUnknown, phone.LineFixedVoIP, phone.LineLandline}},
		{"unknown", nil},
		{"mobile pager", nil},
		{"mobile Landline", nil},
		{"mobile toll_free", nil},
	} {
		set, err := phone.ParseLineTypes(strings.Fields(tc.names))
		if (err == nil) != (tc.has != nil) {
			t.Errorf("%q: %v", tc.names, err)
		}
		for line := range phone.LineOther + 1 {
			if err == nil && set.Has(line) != slices.Contains(tc.has, line) {
				t.Errorf("%q has %s: %t", tc.names, line, set.Has(line))
			}
		}
	}
	if !phone.LineTypes(0).Has(phone.LineMobile) || phone.LineTypes(0).Has(phone.LineLandline) {
		t.Error("the zero value is not the default")
	}
}

func TestLineTypeNames(t *testing.T) {
	want := []string{
		"unknown", "mobile", "landline", "fixed_voip", "non_fixed_voip", "toll_free", "premium", "pager", "voicemail", "other", "unknown",
	}
	for i, name := range want {
		if got := phone.LineType(i).String(); got != name {
			t.Errorf("line type %d is %q, want %q", i, got, name)
		}
	}
}

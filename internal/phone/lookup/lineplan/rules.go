// Package lineplan makes tables of line types for package lookup: from who holds which
// thousands-block, as the administrator of the numbering plan (NANPA) publishes it, and
// from rules that tell from a holder's name what lines he has.
package lineplan

import (
	"crypto/sha256"
	_ "embed"
	"encoding/csv"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode"

	"codeword/internal/phone"
)

// rulesText are the rules in their order, written and reviewed for this project.
//
//go:embed rules.csv
var rulesText string

// classes are what rules call line types. A wholesaler's VoIP is had by anybody.
var classes = map[string]phone.LineType{
	"unknown": phone.LineUnknown, "mobile": phone.LineMobile,
	"landline": phone.LineLandline, "voip": phone.LineNonFixedVoIP,
}

// Rule tells the line type of the holders whose names its pattern fits.
type Rule struct {
	// Name is the rule's place and what kind of holder it is for, such as "10 verizon".
	Name string
	Line phone.LineType
	// Note says which holders are meant.
	Note    string
	pattern *regexp.Regexp
}

// ruleSet are rules in their order, with what identifies them.
type ruleSet struct {
	rules  []Rule
	digest [8]byte
}

var builtin = sync.OnceValue(func() ruleSet {
	set, err := readRules(rulesText)
	if err != nil {
		panic(err) // a test reads them
	}
	return set
})

// Classify returns the first rule that fits a holder's name as [CleanName] leaves it.
func Classify(holder string) Rule {
	rules := builtin().rules
	for _, r := range rules {
		if r.pattern.MatchString(holder) {
			return r
		}
	}
	return rules[len(rules)-1] // it fits all
}

// RulesDigest identifies the rules of this program: others class otherwise.
func RulesDigest() [8]byte { return builtin().digest }

// CleanName brings a holder's name into the form that rules and dictionaries have: upper
// case, single spaces, no control characters.
func CleanName(name string) string {
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(name, "?"))
	return strings.ToUpper(strings.Join(strings.Fields(name), " "))
}

// The columns of rules.csv: order, regex, class, subclass, confidence, note.
const ruleColumns = 6

func readRules(text string) (set ruleSet, err error) {
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord = ruleColumns
	rows, err := r.ReadAll()
	if err != nil {
		return set, err
	}
	for _, row := range rows[min(1, len(rows)):] {
		line, ok := classes[row[2]]
		if !ok {
			return set, fmt.Errorf("lineplan: rule %s: no class %q", row[0], row[2])
		}
		pattern, err := regexp.Compile(row[1])
		if err != nil {
			return set, fmt.Errorf("lineplan: rule %s: %w", row[0], err)
		}
		set.rules = append(set.rules, Rule{Name: row[0] + " " + row[3], Line: line, Note: row[5], pattern: pattern})
	}
	if n := len(set.rules); n == 0 || !set.rules[n-1].pattern.MatchString("") {
		return set, fmt.Errorf("lineplan: the last of %d rules does not fit all names", n)
	}
	sum := sha256.Sum256([]byte(text))
	copy(set.digest[:], sum[:])
	return set, nil
}

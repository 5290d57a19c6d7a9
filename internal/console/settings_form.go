package console

import (
	"encoding/json"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"codeword/internal/tenant"
)

// fieldKind is how a setting is written in a form.
type fieldKind int

const (
	textField fieldKind = iota
	numberField
	durationField
	listField   // separated by commas or spaces
	linesField  // one a line
	choiceField // one of options
	checksField // any of options
	switchField // yes or no
	jsonField
)

// settingField is a setting, or a part of one, in the form.
type settingField struct {
	// name is the JSON name, with a dot before a part's.
	name, label, hint string
	kind              fieldKind
	options           []string
}

// settingGroup is a theme of the form.
type settingGroup struct {
	id, title string
	fields    []settingField
}

const (
	durationHint = "such as 90s, 10m or 24h"
	zeroHint     = "both zero for no limit"
)

var settingGroups = []settingGroup{
	{"message", "Message", []settingField{
		{"brand", "Brand", "the name in the message", textField, nil},
		{"codeLength", "Digits of a code", "4 to 10; fewer than 6 are easier to guess", numberField, nil},
		{"codeLifetime", "Life of a code", durationHint + "; 1 to 15 minutes", durationField, nil},
		{"maxAttempts", "Guesses for one code", "1 to 10", numberField, nil},
		{"locale", "Language", "a tag such as en or es-MX, for callers who ask for none that there is", textField, nil},
		{"locales", "Languages in use", "separated by commas; empty for all that there are texts in", listField, nil},
		{"templates", "Texts", `a JSON object by language, such as {"en": "{code} is your {brand} code."}`, jsonField, nil},
		{"maxSegments", "SMS for one text", "1 to 4; each costs", numberField, nil},
		{"webOtpDomain", "Domain for WebOTP", "such as login.example.com; empty for none", textField, nil},
		{"androidAppHash", "Hash of the Android app", "11 characters; empty for none", textField, nil},
	}},
	{"limits", "Limits", []settingField{
		{"phoneBurst.burst", "To one phone at once", zeroHint, numberField, nil},
		{"phoneBurst.every", "Then to one phone one every", durationHint, durationField, nil},
		{"phoneDay.max", "To one phone at most", zeroHint, numberField, nil},
		{"phoneDay.period", "In any", durationHint + "; up to 24h", durationField, nil},
		{"phoneFailures.max", "Wrong codes on one phone at most", zeroHint, numberField, nil},
		{"phoneFailures.period", "Wrong codes in any", durationHint + "; up to 24h", durationField, nil},
		{"clientRate.burst", "Of the client at once", zeroHint, numberField, nil},
		{"clientRate.every", "Then of the client one every", durationHint, durationField, nil},
		{"addressRate.burst", "For one address at once", zeroHint, numberField, nil},
		{"addressRate.every", "Then for one address one every", durationHint, durationField, nil},
	}},
	{"numbers", "Numbers", []settingField{
		{"allowedRegions", "Regions", "none chosen: the default", checksField, []string{"US", "PR", "VI", "GU", "AS", "MP"}},
		{
			"allowedLineTypes", "Types of lines", "mobile has to be among them",
			checksField,
			[]string{"mobile", "unknown", "non_fixed_voip", "fixed_voip", "landline"},
		},
		{"lineLookup", "Ask a look-up service", "off, for lines of unknown type, or always", choiceField, []string{"off", "unknown", "always"}},
		{"lineLookupFailure", "When it cannot be asked", "go by the table, or refuse", choiceField, []string{"table", "refuse"}},
	}},
	{"guard", "Fraud guard", []settingField{
		{
			"fraudGuard", "Mode", "enforce holds back, shadow only watches", choiceField,
			[]string{tenant.GuardEnforce, tenant.GuardShadow, tenant.GuardOff},
		},
		{"safeNumbers", "Safe numbers", "one a line: numbers, blocks (+1 and seven digits) or exchanges (+1 and six)", linesField, nil},
		{"safeAddresses", "Safe addresses", "one a line: addresses or CIDR blocks", linesField, nil},
		{"botProof", "Captcha", `a JSON object, such as {"provider": "turnstile", "secretName": "shop"}; empty for none`, jsonField, nil},
	}},
	{"budgets", "Budgets", []settingField{
		{"spendPerHour", "US dollars an hour", "hours of UTC; 0 for no budget", numberField, nil},
		{"spendPerDay", "US dollars a day", "days of UTC; 0 for no budget", numberField, nil},
	}},
	{"routes", "Routes", []settingField{
		{"routes", "Routes in use", "names, separated by commas; empty for all. Test clients only reach the inbox", listField, nil},
	}},
	{"sessions", "Sessions", []settingField{
		{"requireAuthorization", "Refuse calls without a bearer", "", switchField, nil},
		{"tokenLifetime", "Life of a token", durationHint, durationField, nil},
		{"sessionIdle", "Life of an idle session", durationHint + "; not below that of a token", durationField, nil},
		{"trustedIssuers", "Trusted issuers", "a JSON list of issuer, audience and more; empty for none", jsonField, nil},
	}},
}

// formGroup and formField are what a template shows of them.
type (
	formGroup struct {
		ID, Title string
		Fields    []formField
	}
	formField struct {
		Name, Label, Hint, Value, Error string
		Input                           string
		Options                         []formOption
	}
	formOption struct {
		Value  string
		Chosen bool
	}
)

// inputs names the kinds in templates.
var inputs = map[fieldKind]string{
	textField: "text", numberField: "number", durationField: "text", listField: "text", linesField: "area",
	choiceField: "choice", checksField: "checks", switchField: "choice", jsonField: "area",
}

// settingsMap is the settings as JSON tells them.
func settingsMap(s *tenant.Settings) map[string]any {
	out := make(map[string]any)
	raw, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		return map[string]any{} // plain data can be written and read
	}
	return out
}

// at returns the value of a name; nil if there is none.
func at(values map[string]any, name string) any {
	outer, inner, deep := strings.Cut(name, ".")
	if !deep {
		return values[outer]
	}
	part, _ := values[outer].(map[string]any)
	return part[inner]
}

// settingsForm makes the form of settings. Values that were given take the place of
// those that hold, and what is wrong with them stands beside.
func settingsForm(holds map[string]any, given url.Values, wrong map[string]string) []formGroup {
	out := make([]formGroup, len(settingGroups))
	for i, g := range settingGroups {
		out[i] = formGroup{ID: g.id, Title: g.title}
		for _, f := range g.fields {
			texts := f.texts(at(holds, f.name))
			if sent, ok := given[f.name]; ok {
				texts = sent
			}
			out[i].Fields = append(out[i].Fields, f.form(texts, wrong[f.name]))
		}
	}
	return out
}

func (f settingField) form(texts []string, wrong string) formField {
	v := formField{Name: f.name, Label: f.label, Hint: f.hint, Error: wrong, Input: inputs[f.kind]}
	options := f.options
	if f.kind == switchField {
		options = []string{"true", "false"}
	}
	if options == nil {
		v.Value = strings.Join(texts, "")
	}
	for _, o := range options {
		v.Options = append(v.Options, formOption{o, slices.Contains(texts, o)})
	}
	return v
}

// texts writes a value as the form does.
func (f settingField) texts(value any) []string {
	list, _ := value.([]any)
	parts := make([]string, 0, len(list))
	for _, e := range list {
		text, _ := e.(string)
		parts = append(parts, text)
	}
	switch f.kind {
	case checksField:
		return parts
	case listField:
		return []string{strings.Join(parts, ", ")}
	case linesField:
		return []string{strings.Join(parts, "\n")}
	case jsonField:
		raw, err := json.MarshalIndent(value, "", "  ")
		if value == nil || err != nil {
			return []string{""}
		}
		return []string{string(raw)}
	}
	switch value := value.(type) {
	case float64:
		return []string{strconv.FormatFloat(value, 'f', -1, 64)}
	case bool:
		return []string{strconv.FormatBool(value)}
	case string:
		if f.kind == durationField {
			value = shortDuration(value)
		}
		return []string{value}
	}
	return []string{""}
}

// shortDuration leaves out the zeros of "10m0s".
func shortDuration(text string) string {
	for _, zero := range []string{"m0s", "h0m"} {
		if short, ok := strings.CutSuffix(text, zero); ok {
			text = short + zero[:1]
		}
	}
	return text
}

// read reads what the form says of a setting; nil for its default.
func (f settingField) read(sent []string) (value any, wrong string) {
	text := strings.TrimSpace(strings.ReplaceAll(strings.Join(sent, " "), "\r\n", "\n"))
	if text == "" {
		return nil, ""
	}
	var err error
	switch f.kind {
	case numberField:
		var n float64
		err = json.Unmarshal([]byte(text), &n) // which takes neither NaN nor infinity
		value = n
		wrong = "not a number"
	case durationField:
		var d time.Duration
		d, err = time.ParseDuration(text)
		value, wrong = d.String(), "not a length of time, such as 90s, 10m or 24h"
	case switchField:
		value, err = strconv.ParseBool(text)
		wrong = "neither yes nor no"
	case listField, linesField, checksField:
		var list []any
		for _, part := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", \n\t", r) }) {
			list = append(list, part)
		}
		value = list
	case jsonField:
		err = json.Unmarshal([]byte(text), &value)
		wrong = "not JSON"
	default:
		value = text
	}
	if err != nil {
		return nil, wrong
	}
	return value, ""
}

// settingsPatch reads a form and returns what is different from the settings that hold,
// as tenant.Registry.Update takes it, and what is wrong by the names of the fields.
// Settings that the form does not mention stay.
func settingsPatch(holds map[string]any, form url.Values) (patch map[string]any, wrong map[string]string) {
	patch, wrong = make(map[string]any), make(map[string]string)
	for _, g := range settingGroups {
		for _, f := range g.fields {
			sent, ok := form[f.name]
			if !ok {
				continue
			}
			value, problem := f.read(sent)
			if problem != "" {
				wrong[f.name] = problem
				continue
			}
			held := at(holds, f.name)
			if same(f, value, held) {
				continue
			}
			put(patch, f.name, replacing(held, value))
		}
	}
	return patch, wrong
}

// same tells whether a value is what is held; the order of what was ticked means
// nothing, nor does how long a time is written.
func same(f settingField, value, held any) bool {
	if f.kind == checksField {
		a, b := f.texts(value), f.texts(held)
		slices.Sort(a)
		slices.Sort(b)
		return slices.Equal(a, b)
	}
	if value == nil {
		return strings.Join(f.texts(held), "") == ""
	}
	return reflect.DeepEqual(value, held)
}

// put sets the value of a name that may have a dot.
func put(patch map[string]any, name string, value any) {
	outer, inner, deep := strings.Cut(name, ".")
	if !deep {
		patch[outer] = value
		return
	}
	part, ok := patch[outer].(map[string]any)
	if !ok {
		part = make(map[string]any)
		patch[outer] = part
	}
	part[inner] = value
}

// replacing makes a patch of an object such that members that it lacks go.
func replacing(held, value any) any {
	before, ok := held.(map[string]any)
	after, too := value.(map[string]any)
	if !ok || !too {
		return value
	}
	out := make(map[string]any, len(after))
	for name := range before {
		out[name] = nil
	}
	for name, v := range after {
		out[name] = v
	}
	return out
}

var wrongSetting = regexp.MustCompile(`^(?:settings: )?([A-Za-z]+)([.\[][^:]*)?: `)

// settingErrors sorts the lines of an error by the fields that they are about; what is
// about none is returned apart.
func settingErrors(err error) (wrong map[string]string, others []string) {
	wrong = make(map[string]string)
	for line := range strings.SplitSeq(err.Error(), "\n") {
		match := wrongSetting.FindStringSubmatch(line)
		names := fieldsOf(match)
		if len(names) > 0 && match[2] == "" {
			line = strings.TrimPrefix(line, match[0]) // the field stands beside
		}
		if len(names) == 0 {
			others = append(others, line)
		}
		for _, name := range names {
			if wrong[name] != "" {
				wrong[name] += "; "
			}
			wrong[name] += line
		}
	}
	return wrong, others
}

func fieldsOf(match []string) (names []string) {
	if match == nil {
		return nil
	}
	if match[1] == "name" {
		return []string{"name"}
	}
	for _, g := range settingGroups {
		for _, f := range g.fields {
			if f.name == match[1] || strings.HasPrefix(f.name, match[1]+".") {
				names = append(names, f.name)
			}
		}
	}
	return names
}

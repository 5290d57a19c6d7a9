package lineplan

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// kind is what a list is of.
type kind uint8

const (
	blockList kind = iota + 1
	exchangeList
)

// layout is where in a list's lines the facts are: column numbers from 0. A block has
// its codes in three columns, an exchange in one.
type layout struct {
	kind                 kind
	delimiter            byte
	npa, nxx, x          int
	status, holder, date int
}

// The layouts of NANPA's lists: ThousandsBlockAssignment (augmented) and
// CoCodeAssignment. Where a line of names comes first, it has the last word.
var (
	blockLayout    = layout{kind: blockList, npa: 2, nxx: 3, x: 4, status: 5, holder: 12, date: 14}
	exchangeLayout = layout{kind: exchangeList, delimiter: '\t', npa: 1, holder: 3, status: 6, date: 7}
)

// assignedStatus is the status of a block or exchange that is somebody's.
const assignedStatus = "AS"

var (
	errForeign = errors.New("neither a list of blocks (ThousandsBlockAssignment) nor of exchanges (CoCodeAssignment), nor a zip archive of these")
	errPage    = errors.New("a web page: the download was refused, or is another one")
	errUTF16   = errors.New("the text is UTF-16: save it as UTF-8")
)

// recognize tells from its first line what list a file is, and whether that line has
// the names of the columns.
func recognize(line string) (list layout, isHeader bool, err error) {
	switch {
	case strings.HasPrefix(strings.TrimSpace(line), "<"):
		return list, false, errPage
	case strings.HasPrefix(line, "\xff\xfe"), strings.HasPrefix(line, "\xfe\xff"):
		return list, false, errUTF16
	}
	for _, delimiter := range []byte{'\t', ',', '|', ';'} {
		fields := split(line, delimiter)
		names := make(map[string]int, len(fields))
		for i, name := range fields {
			names[strings.ToUpper(strings.Join(strings.Fields(name), " "))] = i
		}
		if list, ok, err := byNames(names); ok || err != nil {
			list.delimiter = delimiter
			return list, true, err
		}
		for _, list := range []layout{blockLayout, exchangeLayout} {
			list.delimiter = delimiter
			if _, err := list.read(fields); err == nil {
				return list, false, nil
			}
		}
	}
	return list, false, errForeign
}

// byNames finds the columns by their names.
func byNames(names map[string]int) (list layout, ok bool, err error) {
	// column returns where the first of the names is.
	column := func(otherwise int, of ...string) int {
		for _, name := range of {
			if at, ok := names[name]; ok {
				return at
			}
		}
		return otherwise
	}
	var missing int
	if code, ok := names["NPA-NXX"]; ok {
		list = layout{
			kind: exchangeList, npa: code,
			holder: column(-1, "COMPANY"), status: column(-1, "USE", "STATUS"),
			date: column(-1, "ASSIGNDATE", "ASSIGN DATE"),
		}
		missing = min(list.holder, list.status)
	} else if npa, ok := names["NPA"]; ok {
		list = layout{
			kind: blockList, npa: npa, nxx: column(-1, "NXX"), x: column(-1, "X", "BLOCK"),
			status: column(-1, "STATUS"), holder: column(-1, "ASSIGNED TO", "COMPANY", "COMPANY NAME"),
			date: column(-1, "DATE ASSIGNED", "ASSIGN DATE"),
		}
		missing = min(list.nxx, list.x, list.status, list.holder)
	} else {
		return list, false, nil
	}
	if missing < 0 {
		return list, false, errors.New("the names of the columns are not those of NANPA's lists: of the lists of blocks, take the augmented one")
	}
	return list, true, nil
}

// row is what a line tells.
type row struct {
	npa, nxx, x int
	assigned    bool
	holder      string
	date        time.Time
}

var exchangeCode = regexp.MustCompile(`^([2-9][0-9]{2})-?([2-9][0-9]{2})$`)

// read reads the columns of a line. It refuses what no line of the list can be.
func (l *layout) read(fields []string) (r row, err error) {
	if need := 1 + max(l.npa, l.nxx, l.x, l.status, l.holder); len(fields) < need {
		return r, fmt.Errorf("the line has %d columns, of at least %d", len(fields), need)
	}
	if l.kind == exchangeList {
		m := exchangeCode.FindStringSubmatch(fields[l.npa])
		if m == nil {
			return r, fmt.Errorf("column %d: %s is no area code with an exchange", l.npa+1, quote(fields[l.npa]))
		}
		r.npa, _ = code(m[1])
		r.nxx, _ = code(m[2])
	} else {
		var ok bool
		if r.npa, ok = code(fields[l.npa]); !ok {
			return r, fmt.Errorf("column %d: %s is no area code", l.npa+1, quote(fields[l.npa]))
		}
		if r.nxx, ok = code(fields[l.nxx]); !ok {
			return r, fmt.Errorf("column %d: %s is no exchange", l.nxx+1, quote(fields[l.nxx]))
		}
		x := fields[l.x]
		if len(x) != 1 || x[0] < '0' || x[0] > '9' {
			return r, fmt.Errorf("column %d: %s is no digit", l.x+1, quote(x))
		}
		r.x = int(x[0] - '0')
	}
	status := strings.ToUpper(fields[l.status])
	if len(status) > 3 || strings.Trim(status, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return r, fmt.Errorf("column %d: %s is no status", l.status+1, quote(status))
	}
	r.assigned, r.holder = status == assignedStatus, fields[l.holder]
	if l.date >= 0 && l.date < len(fields) {
		r.date = day(fields[l.date])
	}
	return r, nil
}

// addBlock takes a row of a list of blocks. Of blocks that are nobody's nothing is kept:
// what numbers of them work are the exchange's holder's.
func (im *Import) addBlock(l *layout, fields []string) error {
	r, err := l.read(fields)
	if err != nil || !r.assigned {
		return err
	}
	im.BlockRows++
	im.assigned = im.past(im.assigned, r.date)
	return im.plan.AddBlock(r.npa, r.nxx, r.x, r.holder)
}

// addExchange takes a row of a list of exchanges.
func (im *Import) addExchange(l *layout, fields []string) error {
	r, err := l.read(fields)
	if err != nil || !r.assigned {
		return err
	}
	im.ExchangeRows++
	return im.plan.AddExchange(r.npa, r.nxx, r.holder, im.past(time.Time{}, r.date))
}

// code reads an area code or an exchange.
func code(text string) (int, bool) {
	if len(text) != 3 || text[0] < '2' || text[0] > '9' || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	return int(text[0]-'0')*100 + int(text[1]-'0')*10 + int(text[2]-'0'), true
}

// day reads a date, with or without a time after it. What it cannot read is zero: no
// odd date is worth to refuse a plan.
func day(text string) time.Time {
	text, _, _ = strings.Cut(text, " ")
	for _, form := range []string{"01/02/2006", "1/2/2006", time.DateOnly} {
		if t, err := time.Parse(form, text); err == nil {
			return t
		}
	}
	return time.Time{}
}

var fileUpdated = regexp.MustCompile(`(?i)file updated:? +([0-9/]+)`)

// updated is the date that NANPA writes beside the names of the columns.
func updated(header string) time.Time {
	if m := fileUpdated.FindStringSubmatch(header); m != nil {
		return day(m[1])
	}
	return time.Time{}
}

// split cuts a line in fields, without the spaces around them. A field in quotes may
// have the delimiter in it; a quote ends it where the delimiter or the end follows, so
// that a name with quotes of its own is read whole.
func split(line string, delimiter byte) []string {
	fields := make([]string, 0, 16)
	for {
		rest := strings.TrimLeft(line, " ")
		end := strings.IndexByte(line, delimiter)
		if strings.HasPrefix(rest, `"`) {
			if text, after, ok := quoted(rest[1:], delimiter); ok {
				fields = append(fields, text)
				if after == "" {
					return fields
				}
				line = after[1:]
				continue
			}
		}
		if end < 0 {
			return append(fields, strings.TrimSpace(line))
		}
		fields = append(fields, strings.TrimSpace(line[:end]))
		line = line[end+1:]
	}
}

// quoted reads a field up to the quote that ends it. after begins with the delimiter, or
// is empty. Quotes in the field are doubled; where one is not, any but the last may be.
func quoted(line string, delimiter byte) (text, after string, ok bool) {
	for _, strict := range []bool{true, false} {
		for from := 0; ; {
			at := strings.IndexByte(line[from:], '"')
			if at < 0 {
				break
			}
			at += from
			from = at + 1
			if strict && strings.HasPrefix(line[from:], `"`) {
				from++
				continue
			}
			after = strings.TrimLeft(line[at+1:], " ")
			if after == "" || after[0] == delimiter {
				return strings.TrimSpace(strings.ReplaceAll(line[:at], `""`, `"`)), after, true
			}
			if strict {
				break
			}
		}
	}
	return "", "", false
}

// quote shows a field in an error, cut where it is long.
func quote(text string) string {
	if len(text) > 20 {
		text = text[:20] + "…"
	}
	return fmt.Sprintf("%q", text)
}

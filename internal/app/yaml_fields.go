package app

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// fieldDecoder decodes YAML mappings into structs and gathers everything that
// is wrong, each with the path to the field. yaml.Unmarshal would stop at the
// first, and its messages quote the lines around it, which may hold secrets.
type fieldDecoder struct {
	// env looks up what ${NAME} stands for.
	env  func(string) (string, bool)
	errs []error
}

func (d *fieldDecoder) wrong(path, format string, args ...any) {
	d.errs = append(d.errs, fmt.Errorf("%s: %w", path, fmt.Errorf(format, args...)))
}

// merge returns the decoder's errors and those of others whose fields, the text
// before the first colon, could be decoded: a field that could not is not
// missing, too.
func (d *fieldDecoder) merge(others error) []error {
	told := make(map[string]bool)
	for _, err := range d.errs {
		field, _, _ := strings.Cut(err.Error(), ":")
		told[field] = true
	}
	errs := slices.Clone(d.errs)
	if others == nil {
		return errs
	}
	for line := range strings.Lines(others.Error()) {
		if field, _, _ := strings.Cut(line, ":"); !told[field] {
			errs = append(errs, errors.New(strings.TrimSuffix(line, "\n")))
		}
	}
	return errs
}

// mapping decodes a mapping into a struct whose fields have yaml tags. Fields
// that are not in the mapping keep their values.
func (d *fieldDecoder) mapping(path string, n ast.Node, into reflect.Value) {
	if _, null := n.(*ast.NullNode); null || n == nil {
		return
	}
	m, ok := n.(ast.MapNode)
	if !ok {
		d.wrong(path, "is not a list of settings")
		return
	}
	seen := make(map[string]bool)
	for entries := m.MapRange(); entries.Next(); {
		name := entries.Key().GetToken().Value
		at := name
		if path != "" {
			at = path + "." + name
		}
		field, ok := fieldByTag(into, name)
		switch {
		case !ok:
			d.wrong(at, "unknown setting")
		case seen[name]:
			d.wrong(at, "given twice")
		default:
			d.field(at, entries.Value(), field)
		}
		seen[name] = true
	}
}

// fieldByTag finds the field for a name, also in embedded structs.
func fieldByTag(v reflect.Value, name string) (reflect.Value, bool) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			if found, ok := fieldByTag(v.Field(i), name); ok {
				return found, true
			}
			continue
		}
		tag, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if tag == name && tag != "" && tag != "-" {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func (d *fieldDecoder) field(path string, n ast.Node, into reflect.Value) {
	if into.Kind() == reflect.Pointer && into.Type().Elem().Kind() == reflect.Struct {
		into.Set(reflect.New(into.Type().Elem()))
		d.mapping(path, n, into.Elem())
		return
	}
	if _, null := n.(*ast.NullNode); null {
		d.wrong(path, "has no value")
		return
	}
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	if _, sequence := n.(*ast.SequenceNode); into.Kind() == reflect.Slice && sequence {
		for i, item := range sequenceOf(n) {
			element := reflect.New(into.Type().Elem()).Elem()
			d.field(fmt.Sprintf("%s[%d]", path, i), item, element)
			into.Set(reflect.Append(into, element))
		}
		return
	}
	if err := d.scalar(n, into); err != nil {
		d.wrong(path, "%w", err)
	}
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// scalar decodes one value. Text must be text in YAML, too: +16502180000 or 007
// would arrive as other text than the one in the file.
func (d *fieldDecoder) scalar(n ast.Node, into reflect.Value) error {
	text, isText := scalarText(n)
	if !isText {
		if into.Kind() == reflect.String {
			return errors.New("is a text: write it in quotes")
		}
		if f, isFloat := n.(*ast.FloatNode); isFloat && into.CanInt() && f.Value != math.Trunc(f.Value) {
			return errors.New("is not a whole number")
		}
		return plain(yaml.NodeToValue(n, into.Addr().Interface()))
	}
	name, ok := strings.CutPrefix(text, "${")
	if name, closed := strings.CutSuffix(name, "}"); ok && closed {
		if !envName.MatchString(name) {
			return errors.New("${} has no name of an environment variable in it")
		}
		if text, ok = d.env(name); !ok {
			return fmt.Errorf("the environment variable %s is not set", name)
		}
	}
	if into.Kind() == reflect.String {
		into.SetString(text)
		return nil
	}
	return plain(yaml.Unmarshal([]byte(text), into.Addr().Interface()))
}

func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	default:
		return "", false
	}
}

// unquoted is what an error of the parser says, without what it quotes of the
// file: the lines below its first, and the value behind a colon, which is a
// secret when that begins with | or >.
func unquoted(err error) string {
	what, _, _ := strings.Cut(err.Error(), "\n")
	what, _, _ = strings.Cut(what, `: "`)
	return what
}

// plain is an error without what quotes the file, and without the place in it.
func plain(err error) error {
	if err == nil {
		return nil
	}
	what := unquoted(err)
	if _, rest, ok := strings.Cut(what, "] "); ok && strings.HasPrefix(what, "[") {
		what = rest
	}
	return errors.New(what)
}

func sequenceOf(n ast.Node) []ast.Node {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		return nil
	}
	return slices.Clone(s.Values)
}

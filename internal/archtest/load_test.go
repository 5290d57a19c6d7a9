package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"strings"
)

// modulePath is the main module's path in go.mod.
const modulePath = "codeword"

// pkg is one directory with Go files. Its path is relative to the module root.
type pkg struct {
	path  string
	files []file
}

// file is what the rules need to know about one source file.
type file struct {
	path      string
	pkgName   string
	test      bool
	generated bool
	lines     int
	imports   []importSpec
	funcs     []function
	ports     []port
	clock     []use
}

type importSpec struct {
	path string
	line int
}

type function struct {
	name        string
	line, lines int
}

// port is an interface, and how many methods it adds to those that it is composed of.
type port struct {
	name          string
	line, methods int
}

// use is a mention of something at a line.
type use struct {
	what string
	line int
}

// load reads every package of the module at the root of fsys. Like the go
// command it passes over testdata, vendor, hidden and underscored directories
// and nested modules. Packages come sorted by path.
func load(fsys fs.FS) ([]pkg, error) {
	byDir := make(map[string]*pkg)
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return enterDir(fsys, name)
		}
		if !strings.HasSuffix(name, ".go") || strings.HasPrefix(d.Name(), "_") || strings.HasPrefix(d.Name(), ".") {
			return nil
		}
		f, err := loadFile(fsys, name)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		if byDir[dir] == nil {
			byDir[dir] = &pkg{path: dir}
		}
		byDir[dir].files = append(byDir[dir].files, f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	pkgs := make([]pkg, 0, len(byDir))
	for _, p := range byDir {
		pkgs = append(pkgs, *p)
	}
	sort.Slice(pkgs, func(i, j int) bool { return pkgs[i].path < pkgs[j].path })
	return pkgs, nil
}

// enterDir answers fs.SkipDir for a directory that is no part of the module.
func enterDir(fsys fs.FS, name string) error {
	base := path.Base(name)
	switch {
	case name == ".":
		return nil
	case base == "testdata", base == "vendor", base == "node_modules",
		strings.HasPrefix(base, "."), strings.HasPrefix(base, "_"):
		return fs.SkipDir
	}
	if _, err := fs.Stat(fsys, path.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func loadFile(fsys fs.FS, name string) (file, error) {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return file{}, err
	}
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, name, data, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return file{}, fmt.Errorf("parse: %w", err)
	}
	f := file{
		path:      name,
		pkgName:   tree.Name.Name,
		test:      strings.HasSuffix(name, "_test.go"),
		generated: ast.IsGenerated(tree),
		lines:     bytes.Count(data, []byte("\n")),
	}
	line := func(p token.Pos) int { return fset.Position(p).Line }
	timeName := ""
	for _, spec := range tree.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return file{}, fmt.Errorf("%s: import %s: %w", name, spec.Path.Value, err)
		}
		f.imports = append(f.imports, importSpec{path: p, line: line(spec.Pos())})
		if p == "time" {
			timeName = "time"
			if spec.Name != nil {
				timeName = spec.Name.Name
			}
		}
	}
	f.funcs, f.clock = inspect(tree, line, timeName)
	f.ports = portsOf(tree, line)
	return f, nil
}

// portsOf lists the named interfaces of a file.
func portsOf(tree *ast.File, line func(token.Pos) int) (ports []port) {
	ast.Inspect(tree, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if i, ok := spec.Type.(*ast.InterfaceType); ok {
			p := port{name: spec.Name.Name, line: line(spec.Pos())}
			for _, m := range i.Methods.List {
				p.methods += len(m.Names)
			}
			ports = append(ports, p)
		}
		return true
	})
	return ports
}

// inspect lists the outermost functions of a file and its mentions of the wall
// clock. A literal inside a function belongs to that function's length.
func inspect(tree *ast.File, line func(token.Pos) int, timeName string) ([]function, []use) {
	var funcs []function
	var clock []use
	var outerEnd token.Pos
	add := func(name string, n ast.Node) {
		if n.Pos() < outerEnd {
			return
		}
		outerEnd = n.End()
		first := line(n.Pos())
		funcs = append(funcs, function{name: name, line: first, lines: line(n.End()) - first + 1})
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			add(n.Name.Name, n)
		case *ast.FuncLit:
			add("function literal", n)
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && timeName != "" && x.Name == timeName && readsClock(n.Sel.Name) {
				clock = append(clock, use{what: "time." + n.Sel.Name, line: line(n.Pos())})
			}
		}
		return true
	})
	return funcs, clock
}

func readsClock(name string) bool {
	return name == "Now" || name == "Since" || name == "Until"
}

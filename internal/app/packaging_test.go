package app

import (
	"maps"
	"os"
	"testing"

	"github.com/goccy/go-yaml"
)

// packaged is what a configuration of nfpm, or the part of goreleaser's that is one,
// puts into a package.
type packaged struct {
	Description string
	Recommends  []string
	Contents    []struct {
		Dst  string
		Type string
		Info struct{ Mode uint32 } `yaml:"file_info"`
	}
	Scripts map[string]string
}

type packagedFile struct {
	kind string
	mode uint32
}

func (p packaged) files() map[string]packagedFile {
	all := make(map[string]packagedFile)
	for _, c := range p.Contents {
		all[c.Dst] = packagedFile{c.Type, c.Info.Mode}
	}
	return all
}

// TestPackagesAgree: releases make the packages that "make package" makes.
func TestPackagesAgree(t *testing.T) {
	var here packaged
	var release struct{ NFPMs []packaged }
	for file, into := range map[string]any{"../../packaging/nfpm.yaml": &here, "../../.goreleaser.yaml": &release} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(raw, into); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	if len(release.NFPMs) != 1 {
		t.Fatalf("%d packages in .goreleaser.yaml", len(release.NFPMs))
	}
	there := release.NFPMs[0]
	want := here.files()
	delete(want, "/usr/bin/codeword") // goreleaser puts it there itself
	if got := there.files(); len(want) == 0 || !maps.Equal(got, want) {
		t.Errorf("files of .goreleaser.yaml %v, of nfpm.yaml %v", got, want)
	}
	if !maps.Equal(here.Scripts, there.Scripts) || here.Description != there.Description || len(here.Recommends) != len(there.Recommends) {
		t.Error("scripts, description or recommendations differ")
	}
}

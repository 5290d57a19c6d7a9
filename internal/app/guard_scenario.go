package app

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"codeword/internal/guard/simulate"
)

// scenarioFile is a simulate.Scenario as people write it.
type scenarioFile struct {
	Name   string        `yaml:"name"`
	Start  string        `yaml:"start"`
	Warmup time.Duration `yaml:"warmup"`
	Length time.Duration `yaml:"length"`
	Seed   uint64        `yaml:"seed"`
	// Price of a message, in US dollars.
	Price   float64           `yaml:"price"`
	Honest  simulate.Honest   `yaml:"honest"`
	Surges  []simulate.Surge  `yaml:"surges"`
	Attacks []simulate.Attack `yaml:"attacks"`
	// Records names a CSV file with recorded traffic, in the place of the synthetic;
	// relative to this file.
	Records string `yaml:"records"`
}

// maxScenario and maxRecords bound the files, in bytes.
const (
	maxScenario = 1 << 20
	maxRecords  = 1 << 30
)

// loadScenario reads a scenario; a .csv file alone is one of recorded traffic.
func loadScenario(path string) (*simulate.Scenario, error) {
	if strings.EqualFold(filepath.Ext(path), ".csv") {
		return recorded(&scenarioFile{Name: filepath.Base(path)}, path)
	}
	raw, err := readSmall(path, maxScenario)
	if err != nil {
		return nil, err
	}
	var f scenarioFile
	if err := yaml.NewDecoder(bytes.NewReader(raw), yaml.Strict()).Decode(&f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if f.Records != "" {
		if !filepath.IsAbs(f.Records) {
			f.Records = filepath.Join(filepath.Dir(path), f.Records)
		}
		return recorded(&f, f.Records)
	}
	s, err := f.scenario()
	return s, prefixed(path+": ", errors.Join(err, s.Validate()))
}

func (f *scenarioFile) scenario() (*simulate.Scenario, error) {
	s := &simulate.Scenario{
		Name: f.Name, Warmup: f.Warmup, Length: f.Length, Seed: f.Seed, PriceMicros: int64(f.Price * 1e6),
		Honest: f.Honest, Surges: f.Surges, Attacks: f.Attacks,
	}
	if f.Price < 0 || f.Price > maxPrice {
		return s, fmt.Errorf("price: not within 0 to %d US dollars", maxPrice)
	}
	if f.Start == "" {
		return s, nil
	}
	start, err := time.Parse(time.RFC3339, f.Start)
	if err != nil {
		return s, fmt.Errorf("start: %q is no RFC 3339 time", f.Start)
	}
	s.Start = start.UTC()
	return s, nil
}

func recorded(f *scenarioFile, path string) (*simulate.Scenario, error) {
	in, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }() // it was only read
	s, err := f.scenario()
	if err != nil {
		return nil, err
	}
	if s.Records, err = readRecords(io.LimitReader(in, maxRecords)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s.Start = s.Records[0].At
	for _, r := range s.Records {
		if r.At.Before(s.Start) {
			s.Start = r.At
		}
	}
	return s, nil
}

// recordColumns are the columns of recorded traffic, as "codeword guard record"
// writes them.
var recordColumns = []string{"time", "number", "address", "verified_after", "known", "attack"}

// readRecords reads recorded traffic: a header, then a line for each send.
func readRecords(r io.Reader) ([]simulate.Record, error) {
	c := csv.NewReader(r)
	c.FieldsPerRecord, c.ReuseRecord = len(recordColumns), true
	header, err := c.Read()
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	for i, want := range recordColumns {
		if header[i] != want {
			return nil, fmt.Errorf("header: column %d is %q; expected %s", i+1, header[i], strings.Join(recordColumns, ","))
		}
	}
	var out []simulate.Record
	for {
		fields, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		rec, err := parseRecord(fields)
		if err != nil {
			line, _ := c.FieldPos(0)
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		out = append(out, rec)
	}
	if len(out) == 0 {
		return nil, errors.New("no sends in it")
	}
	return out, nil
}

func parseRecord(fields []string) (rec simulate.Record, err error) {
	if rec.At, err = time.Parse(time.RFC3339Nano, fields[0]); err != nil {
		return rec, fmt.Errorf("time: %q is no RFC 3339 time", fields[0])
	}
	digits := strings.TrimPrefix(fields[1], "+1")
	rec.Number, err = strconv.ParseUint(digits, 10, 64)
	if err != nil || len(digits) != 10 {
		return rec, errors.New("number: not +1 and ten digits")
	}
	rec.Address, rec.VerifiedAfter = strings.Clone(fields[2]), -1
	if fields[3] != "" {
		seconds, err := strconv.ParseFloat(fields[3], 64)
		if err != nil || !(seconds >= 0 && seconds <= 3600) {
			return rec, fmt.Errorf("verified_after: %q is no number of seconds, 0 to 3600", fields[3])
		}
		rec.VerifiedAfter = time.Duration(seconds * float64(time.Second))
	}
	if rec.Known, err = strconv.ParseBool(fields[4]); err != nil {
		return rec, fmt.Errorf("known: %q is neither true nor false", fields[4])
	}
	rec.Attack = strings.Clone(fields[5])
	return rec, nil
}

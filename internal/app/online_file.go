package app

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/goccy/go-yaml/ast"

	"codeword/internal/carrier"
	"codeword/internal/phone/lookup"
	"codeword/internal/phone/lookup/telnyx"
	"codeword/internal/phone/lookup/twilio"
	"codeword/internal/tenant"
)

// onlineSettings are the sections of the carriers file about whom else a send asks.
type onlineSettings struct {
	Lookups lookupSettings
	// ProofSecrets are those of captchas, by their names in clients' settings.
	ProofSecrets map[string]carrier.Secret
}

// lookupSettings are the services that tell line types. The zero value has none.
type lookupSettings struct {
	Provider *lookupBlocks `yaml:"provider"`
	// Fallback is asked when Provider fails.
	Fallback *lookupBlocks `yaml:"fallback"`
	// Rate is the most look-ups a second of this process.
	Rate float64 `yaml:"rate"`
}

// lookupBlocks has one block; the others are nil.
type lookupBlocks struct {
	Twilio *twilio.Config `yaml:"twilio"`
	Telnyx *telnyx.Config `yaml:"telnyx"`
}

// The bounds of the two sections.
const (
	maxLookupRate   = 10_000
	maxProofSecrets = 1000
)

// lookups decodes the section "lookups"; nil for none.
func (d *fieldDecoder) lookups(n ast.Node) lookupSettings {
	if n == nil {
		return lookupSettings{}
	}
	s := lookupSettings{Rate: lookup.DefaultRate}
	own := fieldDecoder{env: d.env}
	own.mapping("lookups", n, reflect.ValueOf(&s).Elem())
	d.errs = append(d.errs, own.merge(errors.Join(s.check()...))...)
	return s
}

func (s *lookupSettings) check() []error {
	var errs []error
	if s.Provider == nil {
		errs = append(errs, errors.New("lookups.provider: required"))
	}
	if !(s.Rate >= 0.01 && s.Rate <= maxLookupRate) {
		errs = append(errs, fmt.Errorf("lookups.rate: not within 0.01 to %d", maxLookupRate))
	}
	return append(errs, s.Provider.check("lookups.provider"), s.Fallback.check("lookups.fallback"))
}

func (b *lookupBlocks) check(at string) error {
	switch {
	case b == nil:
		return nil
	case (b.Twilio == nil) == (b.Telnyx == nil):
		return errors.New(at + ": one block is required: twilio or telnyx")
	case b.Twilio != nil:
		return prefixed(at+".twilio.", b.Twilio.Validate())
	default:
		return prefixed(at+".telnyx.", b.Telnyx.Validate())
	}
}

// build makes the services, in the order in which they are asked.
func (s *lookupSettings) build(now func() time.Time) ([]lookup.Provider, error) {
	var out []lookup.Provider
	var errs []error
	for _, b := range []*lookupBlocks{s.Provider, s.Fallback} {
		var p lookup.Provider
		var err error
		switch {
		case b == nil:
			continue
		case b.Twilio != nil:
			cfg := *b.Twilio
			cfg.Now = now
			p, err = twilio.New(cfg)
		case b.Telnyx != nil:
			cfg := *b.Telnyx
			cfg.Now = now
			p, err = telnyx.New(cfg)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("lookups: %w", err))
			continue
		}
		out = append(out, p)
	}
	return out, errors.Join(errs...)
}

// proofSecrets decodes the section "bot-proof-secrets"; nil for none.
func (d *fieldDecoder) proofSecrets(n ast.Node) map[string]carrier.Secret {
	const section = "bot-proof-secrets"
	if _, null := n.(*ast.NullNode); null || n == nil {
		return nil
	}
	m, ok := n.(ast.MapNode)
	if !ok {
		d.wrong(section, "is not a list of names and secrets")
		return nil
	}
	out := make(map[string]carrier.Secret)
	for entries := m.MapRange(); entries.Next(); {
		name := entries.Key().GetToken().Value
		at := section + "." + name
		var secret carrier.Secret
		before := len(d.errs)
		d.field(at, entries.Value(), reflect.ValueOf(&secret).Elem())
		_, twice := out[name]
		switch {
		case len(d.errs) > before:
		case twice:
			d.wrong(at, "given twice")
		case !tenant.IsSecretName(name):
			d.wrong(at, "no name of a secret (a-z, 0-9, - and _, at most 32)")
		case secret == "":
			d.wrong(at, "is empty")
		}
		out[name] = secret
	}
	if len(out) > maxProofSecrets {
		d.wrong(section, "more than %d", maxProofSecrets)
	}
	return out
}

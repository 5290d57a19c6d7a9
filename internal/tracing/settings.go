// Package tracing follows requests and messages with OpenTelemetry, as the standard
// environment variables say
// (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
// Only app knows it: what it follows, it is handed to as a port, which is nil while
// nothing is traced.
//
// Spans tell routes, outcomes and durations. No number, code, token, secret, phone id,
// address, nor text that a caller chose, gets into one.
package tracing

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Settings are what the environment asks for, checked.
type Settings struct {
	// Endpoint is where spans go; empty: nothing is traced.
	Endpoint string
	sampler  string
	ratio    float64
}

// On tells whether anything is traced.
func (s Settings) On() bool { return s.Endpoint != "" }

// The names of samplers, as OTEL_TRACES_SAMPLER has them.
const (
	samplerOn    = "always_on"
	samplerOff   = "always_off"
	samplerRatio = "traceidratio"
	parentPrefix = "parentbased_"
)

// FromEnv reads the environment. Its errors name variables, never their values, which
// may hold credentials. While nothing is traced nothing is wrong.
func FromEnv(getenv func(string) string) (Settings, error) {
	get := func(name string) string { return strings.TrimSpace(getenv(name)) }
	of := func(name string) string { // what is said of traces goes before what is said of all signals
		if v := get("OTEL_EXPORTER_OTLP_TRACES_" + name); v != "" {
			return v
		}
		return get("OTEL_EXPORTER_OTLP_" + name)
	}
	s := Settings{Endpoint: of("ENDPOINT"), sampler: get("OTEL_TRACES_SAMPLER")}
	exporter := get("OTEL_TRACES_EXPORTER")
	if s.Endpoint == "" || strings.EqualFold(get("OTEL_SDK_DISABLED"), "true") || exporter == "none" {
		return Settings{}, nil
	}
	var errs []error
	if exporter != "" && exporter != "otlp" {
		errs = append(errs, errors.New("OTEL_TRACES_EXPORTER: only otlp and none are supported"))
	}
	if p := of("PROTOCOL"); p != "" && p != "http/protobuf" {
		errs = append(errs, errors.New("OTEL_EXPORTER_OTLP_PROTOCOL: only http/protobuf is supported"))
	}
	u, err := url.Parse(s.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		errs = append(errs, errors.New("OTEL_EXPORTER_OTLP_ENDPOINT: must be an http or https URL"))
	} else if u.User != nil { // the log quotes the URL when nothing arrives
		errs = append(errs, errors.New("OTEL_EXPORTER_OTLP_ENDPOINT: credentials belong into OTEL_EXPORTER_OTLP_HEADERS"))
	}
	if !pairs(of("HEADERS")) {
		errs = append(errs, errors.New("OTEL_EXPORTER_OTLP_HEADERS: must be NAME=VALUE, with commas between"))
	}
	if !pairs(get("OTEL_RESOURCE_ATTRIBUTES")) {
		errs = append(errs, errors.New("OTEL_RESOURCE_ATTRIBUTES: must be NAME=VALUE, with commas between"))
	}
	errs = append(errs, s.readSampler(get("OTEL_TRACES_SAMPLER_ARG")))
	return s, errors.Join(errs...)
}

func (s *Settings) readSampler(arg string) error {
	if s.sampler == "" {
		s.sampler = parentPrefix + samplerOn
	}
	switch strings.TrimPrefix(s.sampler, parentPrefix) {
	case samplerOn:
		s.ratio = 1
	case samplerOff:
		s.ratio = 0
	case samplerRatio:
		s.ratio = 1
		if arg == "" {
			return nil
		}
		var err error
		if s.ratio, err = strconv.ParseFloat(arg, 64); err != nil || !(s.ratio >= 0 && s.ratio <= 1) {
			return errors.New("OTEL_TRACES_SAMPLER_ARG: must be a number from 0 to 1")
		}
	default:
		return fmt.Errorf("OTEL_TRACES_SAMPLER: must be %s, %s or %s, or one of them after %s",
			samplerOn, samplerOff, samplerRatio, parentPrefix)
	}
	return nil
}

// pairs tells whether a list can be read by the SDK, which would log what cannot.
func pairs(list string) bool {
	if list == "" {
		return true
	}
	for pair := range strings.SplitSeq(list, ",") {
		name, value, ok := strings.Cut(pair, "=")
		if _, err := url.PathUnescape(value); !ok || strings.TrimSpace(name) == "" || err != nil {
			return false
		}
	}
	return true
}

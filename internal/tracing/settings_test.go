package tracing_test

import (
	"strings"
	"testing"

	"codeword/internal/tracing"
)

func TestFromEnv(t *testing.T) {
	t.Parallel()
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for _, tc := range []struct {
		name string
		env  map[string]string
		on   bool
		want string // the variable that is wrong
	}{
		{name: "nothing"},
		{name: "no endpoint, all else wrong", env: map[string]string{"OTEL_TRACES_SAMPLER": "x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}},
		{name: "endpoint", env: map[string]string{endpoint: "http://collector:4318"}, on: true},
		{name: "endpoint of traces", env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c/x"}, on: true},
		{name: "disabled", env: map[string]string{endpoint: "http://c", "OTEL_SDK_DISABLED": "True"}},
		{name: "no exporter", env: map[string]string{endpoint: "http://c", "OTEL_TRACES_EXPORTER": "none"}},
		{name: "another exporter", env: map[string]string{endpoint: "http://c", "OTEL_TRACES_EXPORTER": "zipkin"}, want: "OTEL_TRACES_EXPORTER"},
		{name: "no scheme", env: map[string]string{endpoint: "collector:4318"}, want: endpoint},
		{name: "no host", env: map[string]string{endpoint: "http://"}, want: endpoint},
		{name: "credentials", env: map[string]string{endpoint: "http://a:hidden@c"}, want: endpoint},
		{name: "grpc", env: map[string]string{endpoint: "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, want: "OTEL_EXPORTER_OTLP_PROTOCOL"},
		{
			name: "protocol of traces goes first", on: true,
			env: map[string]string{endpoint: "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
		},
		{name: "headers", env: map[string]string{endpoint: "http://c", "OTEL_EXPORTER_OTLP_HEADERS": "hidden"}, want: "OTEL_EXPORTER_OTLP_HEADERS"},
		{name: "attributes", env: map[string]string{endpoint: "http://c", "OTEL_RESOURCE_ATTRIBUTES": "a=%zz"}, want: "OTEL_RESOURCE_ATTRIBUTES"},
		{name: "sampler", env: map[string]string{endpoint: "http://c", "OTEL_TRACES_SAMPLER": "jaeger_remote"}, want: "OTEL_TRACES_SAMPLER"},
		{name: "ratio", env: map[string]string{endpoint: "http://c", "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}, on: true},
		{name: "ratio above 1", env: map[string]string{endpoint: "http://c", "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"}, want: "OTEL_TRACES_SAMPLER_ARG"},
		{name: "no number", env: map[string]string{endpoint: "http://c", "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "NaN"}, want: "OTEL_TRACES_SAMPLER_ARG"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, err := tracing.FromEnv(func(name string) string { return tc.env[name] })
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want == "" && s.On() != tc.on:
				t.Errorf("on: %t", s.On())
			case tc.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.want+":") || strings.Contains(err.Error(), "hidden")):
				t.Errorf("got %v, want an error about %s", err, tc.want)
			}
		})
	}
}

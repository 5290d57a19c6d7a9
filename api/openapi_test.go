package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/goccy/go-yaml"

	"codeword/api"
)

// openapi.json is embedded, so the flag must be given to write it anew:
// go generate ./api
var update = flag.Bool("update", false, "write openapi.json from openapi.yaml")

func TestOpenAPIJSON(t *testing.T) {
	raw, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	compact, err := yaml.YAMLToJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := json.Indent(&want, bytes.TrimSpace(compact), "", " "); err != nil {
		t.Fatal(err)
	}
	want.WriteByte('\n')
	if *update {
		if err := os.WriteFile("openapi.json", want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(api.OpenAPIJSON(), want.Bytes()) {
		t.Error("openapi.json is not what openapi.yaml says: run go generate ./api")
	}
	if !bytes.Equal(api.OpenAPI(), raw) {
		t.Error("OpenAPI is not the file openapi.yaml")
	}
	api.OpenAPI()[0] = 'X'
	if !bytes.Equal(api.OpenAPI(), raw) {
		t.Error("a caller can change the embedded document")
	}
}

func load(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(api.OpenAPIJSON())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestSpecIsValidWithExamples(t *testing.T) {
	doc := load(t)
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaFormatValidation()); err != nil {
		t.Fatal(err)
	}
	// The library does not look at examples behind a reference: look here.
	schema := doc.Components.Schemas["Error"].Value
	for name, ref := range doc.Components.Examples {
		if err := schema.VisitJSON(ref.Value.Value); err != nil {
			t.Errorf("example %s: %v", name, err)
		}
	}
	bad := map[string]any{"message": "x", "createTime": "2026-01-02T03:04:05Z", "code": "INTERNAL"}
	if schema.VisitJSON(bad) == nil {
		t.Error("a createTime without milliseconds is taken")
	}
}

// TestSpecNames holds what integrators rely on by name.
func TestSpecNames(t *testing.T) {
	doc := load(t)
	methods := map[string]string{
		api.PathSend: "POST", api.PathAuthenticate: "POST", api.PathSession: "GET",
		api.PathSessionRevoke: "POST", api.PathAPIDocs: "GET", api.PathJWKS: "GET",
		api.PathOpenIDConfiguration: "GET", api.PathHealth: "GET", api.PathReady: "GET", api.PathDocs: "GET",
		api.PathCarrierEvents: "POST",
	}
	for path, method := range methods {
		item := doc.Paths.Value(path)
		if item == nil || item.GetOperation(method) == nil {
			t.Errorf("%s %s is not in the description", method, path)
			continue
		}
		if len(item.Operations()) != 1 {
			t.Errorf("%s has %d operations, want 1", path, len(item.Operations()))
		}
	}
	if got, want := doc.Paths.Len(), len(methods)+1; got != want { // one more: /docs/{asset}
		t.Errorf("%d paths, want %d", got, want)
	}
	for _, name := range []string{
		"SendSmsOtpRequest", "SendSmsOtpResponse", "AuthenticateSmsOtpRequest",
		"SecondFactorAuthResponse", "Error",
	} {
		if doc.Components.Schemas[name] == nil {
			t.Errorf("schema %s is missing", name)
		}
	}
	if f := doc.Components.Schemas["PhoneID"].Value.Format; f != "" {
		t.Errorf("phoneId has format %q; it is opaque", f)
	}
	jwt := doc.Components.SecuritySchemes["JWT"].Value
	if jwt.Type != "http" || jwt.Scheme != "bearer" || jwt.BearerFormat != "JWT" {
		t.Errorf("security scheme JWT is %s %s %s", jwt.Type, jwt.Scheme, jwt.BearerFormat)
	}
	for _, path := range []string{api.PathSend, api.PathAuthenticate, api.PathSession, api.PathSessionRevoke} {
		for _, op := range doc.Paths.Value(path).Operations() {
			for _, header := range []string{api.HeaderClientID, api.HeaderClientSecret} {
				if p := op.Parameters.GetByInAndName("header", header); p == nil || !p.Required {
					t.Errorf("%s does not require the header %s", path, header)
				}
			}
			optional := slices.ContainsFunc(*op.Security, func(r openapi3.SecurityRequirement) bool { return len(r) == 0 })
			if want := strings.Contains(path, "/otp/"); optional != want {
				t.Errorf("%s: bearer optional is %v, want %v", path, optional, want)
			}
		}
	}
}

// TestCodesAndSpecAgree: each code with each of its statuses is documented by
// an example with the default message, and nothing else is.
func TestCodesAndSpecAgree(t *testing.T) {
	doc := load(t)
	documented := map[string]bool{}
	collect := func(where string, status int, r *openapi3.Response) {
		if status < 400 {
			return
		}
		content := r.Content.Get("application/json")
		if content == nil || len(content.Examples) == 0 {
			t.Errorf("%s %d has no examples", where, status)
			return
		}
		if r.Headers["request-id"] == nil {
			t.Errorf("%s %d does not promise request-id", where, status)
		}
		for name, ref := range content.Examples {
			value := ref.Value.Value.(map[string]any)
			code := api.Code(value["code"].(string))
			documented[string(code)+" "+strconv.Itoa(status)] = true
			if value["message"] != code.Message() {
				t.Errorf("example %s: message %q, want %q", name, value["message"], code.Message())
			}
		}
	}
	for path, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			for status, ref := range op.Responses.Map() {
				n, err := strconv.Atoi(status)
				if err != nil {
					t.Fatalf("%s: status %q", path, status)
				}
				collect(path, n, ref.Value)
			}
		}
	}
	collect("components", 404, doc.Components.Responses["NotFound"].Value)
	collect("components", 405, doc.Components.Responses["MethodNotAllowed"].Value)

	var names []any
	for _, info := range api.Codes() {
		names = append(names, string(info.Code))
		for _, status := range info.Statuses {
			key := string(info.Code) + " " + strconv.Itoa(status)
			if !documented[key] {
				t.Errorf("%s is not documented", key)
			}
			delete(documented, key)
		}
	}
	for key := range documented {
		t.Errorf("%s is documented, but not in the table of codes", key)
	}
	if enum := doc.Components.Schemas["ErrorCode"].Value.Enum; !slices.Equal(enum, names) {
		t.Errorf("enum ErrorCode is %v\nwant %v", enum, names)
	}
	for name, ref := range doc.Components.Examples {
		code := api.Code(ref.Value.Value.(map[string]any)["code"].(string))
		i := slices.IndexFunc(api.Codes(), func(in api.Info) bool { return in.Code == code })
		if i < 0 || api.Codes()[i].Doc != ref.Value.Summary {
			t.Errorf("summary of example %s is not the doc line of %s", name, code)
		}
	}
}

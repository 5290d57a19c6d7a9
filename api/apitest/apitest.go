// Package apitest checks HTTP exchanges against the description of the public
// API, for tests of servers and clients: every answer a test provokes can be
// held against openapi.yaml, whatever the test itself looks at.
//
// Beyond the schemas it checks that an error's code is one that is documented
// for that operation and status, that its data belongs to it, that no answer
// lacks its request-id, and that a request which succeeded satisfies the
// description as well.
package apitest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"codeword/api"
)

// Route is an operation of the description.
type Route struct {
	Method string
	// Path is as in the description; a part in braces stands for one segment.
	Path string
}

// String returns the route as a pattern of [http.ServeMux].
func (r Route) String() string { return r.Method + " " + r.Path }

// Validator holds the parsed description. It may be used concurrently.
type Validator struct {
	doc *openapi3.T
}

// New parses and validates the description of the public API that package api embeds.
func New() (*Validator, error) { return load("openapi.yaml", api.OpenAPI()) }

// NewAdmin does so with that of the admin API. Members of answers that it does not know
// are a fault here, though callers are to ignore them.
func NewAdmin() (*Validator, error) {
	v, err := load("admin.yaml", api.AdminOpenAPI())
	if err != nil {
		return nil, err
	}
	schemas := v.doc.Components.Schemas
	parts := map[string]bool{} // they must not refuse what stands beside them
	for _, ref := range schemas {
		for _, part := range ref.Value.AllOf {
			parts[part.Ref] = true
		}
	}
	for name, ref := range schemas {
		if !parts["#/components/schemas/"+name] && (ref.Value.Type.Is("object") || len(ref.Value.AllOf) > 0) {
			ref.Value.UnevaluatedProperties = openapi3.BoolSchema{Has: new(bool)}
		}
	}
	return v, nil
}

func load(name string, raw []byte) (*Validator, error) {
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		return nil, fmt.Errorf("apitest: read %s: %w", name, err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("apitest: %s: %w", name, err)
	}
	return &Validator{doc: doc}, nil
}

// Routes lists every operation, ordered by path and method.
func (v *Validator) Routes() []Route {
	var out []Route
	for path, item := range v.doc.Paths.Map() {
		for method := range item.Operations() {
			out = append(out, Route{method, path})
		}
	}
	slices.SortFunc(out, func(a, b Route) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Method, b.Method))
	})
	return out
}

// Validate checks an exchange. body is the whole body of resp, which the
// caller has read. The body of req is not looked at, since it was sent.
//
// A path that the description lacks must be answered with its 404, a method
// that a path lacks with its 405; HEAD is taken wherever GET is.
func (v *Validator) Validate(req *http.Request, resp *http.Response, body []byte) error {
	err := v.validate(req, resp, body)
	if err != nil {
		return fmt.Errorf("apitest: %s %s answered %d: %w", req.Method, req.URL.Path, resp.StatusCode, err)
	}
	return nil
}

func (v *Validator) validate(req *http.Request, resp *http.Response, body []byte) error {
	if resp.Header.Get(api.HeaderRequestID) == "" {
		return errors.New("no request-id")
	}
	bodyless := req.Method == http.MethodHead || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified
	if bodyless && len(body) > 0 {
		return fmt.Errorf("%d bytes of body where there can be none", len(body))
	}
	route, params, err := v.find(req, resp.StatusCode)
	if err != nil {
		return err
	}
	response := route.Operation.Responses.Status(resp.StatusCode)
	if response == nil {
		return errors.New("the status is not documented")
	}
	in := &openapi3filter.RequestValidationInput{
		Request: req, PathParams: params, Route: route, QueryParams: req.URL.Query(),
		Options: &openapi3filter.Options{ExcludeRequestBody: true, AuthenticationFunc: credentials},
	}
	if resp.StatusCode < 300 {
		if err := openapi3filter.ValidateRequest(req.Context(), in); err != nil {
			return fmt.Errorf("the request succeeded and yet: %w", err)
		}
	}
	// The library passes over HEAD altogether, so that it is shown as a GET.
	get := *in
	if req.Method == http.MethodHead {
		get.Request = req.Clone(req.Context())
		get.Request.Method = http.MethodGet
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &get, Status: resp.StatusCode, Header: resp.Header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: bodyless},
	}
	out.SetBodyBytes(body)
	if err := openapi3filter.ValidateResponse(req.Context(), out); err != nil {
		return err
	}
	if resp.StatusCode < 400 || bodyless {
		return nil
	}
	return checkError(response.Value, resp.StatusCode, body)
}

// find returns the operation a request reaches. For one that reaches none it
// makes an operation which knows only the answer that is then due.
func (v *Validator) find(req *http.Request, status int) (*routers.Route, map[string]string, error) {
	path, item, params := v.match(req.URL.EscapedPath())
	if item == nil {
		if status != http.StatusNotFound {
			return nil, nil, errors.New("the path is not in the description, so 404 is due")
		}
		return v.refusal(req, status, "NotFound"), nil, nil
	}
	op := item.GetOperation(req.Method)
	if op == nil && req.Method == http.MethodHead {
		op = item.Get
	}
	if op == nil {
		if status != http.StatusMethodNotAllowed {
			return nil, nil, errors.New("the method is not in the description, so 405 is due")
		}
		return v.refusal(req, status, "MethodNotAllowed"), nil, nil
	}
	return &routers.Route{Spec: v.doc, Path: path, PathItem: item, Method: req.Method, Operation: op}, params, nil
}

// match looks a path up as it is spelled; "sms:send" is literal, which routers
// of templated paths get wrong.
func (v *Validator) match(path string) (string, *openapi3.PathItem, map[string]string) {
	if item := v.doc.Paths.Value(path); item != nil && !strings.Contains(path, "{") {
		return path, item, nil
	}
	best, params := "", map[string]string(nil)
	for template := range v.doc.Paths.Map() {
		values, ok := fill(template, path)
		if ok && (best == "" || len(values) < len(params)) {
			best, params = template, values
		}
	}
	return best, v.doc.Paths.Value(best), params
}

// fill returns what stands in a path for the parts of a template in braces.
func fill(template, path string) (map[string]string, bool) {
	values, want, got := map[string]string{}, strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	for i, part := range want {
		name, named := strings.CutPrefix(part, "{")
		switch {
		case named && got[i] != "":
			values[strings.TrimSuffix(name, "}")] = got[i]
		case part != got[i]:
			return nil, false
		}
	}
	return values, true
}

func (v *Validator) refusal(req *http.Request, status int, name string) *routers.Route {
	op := openapi3.NewOperation()
	op.Responses = openapi3.NewResponses(openapi3.WithStatus(status, v.doc.Components.Responses[name]))
	op.Security = openapi3.NewSecurityRequirements()
	return &routers.Route{
		Spec: v.doc, Path: req.URL.Path, PathItem: &openapi3.PathItem{}, Method: req.Method, Operation: op,
	}
}

// credentials accepts a request that carries a bearer token (RFC 6750 section 2.1), or
// the cookie of a scheme that wants one.
func credentials(_ context.Context, in *openapi3filter.AuthenticationInput) error {
	if s := in.SecurityScheme; s.In == openapi3.ParameterInCookie {
		_, err := in.RequestValidationInput.Request.Cookie(s.Name)
		return err
	}
	scheme, token, _ := strings.Cut(in.RequestValidationInput.Request.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return errors.New("no bearer token")
	}
	return nil
}

// checkError holds an error against the examples of its response, which list
// the codes that may come with this operation and status.
func checkError(response *openapi3.Response, status int, body []byte) error {
	var got api.Error
	if err := json.Unmarshal(body, &got); err != nil {
		return fmt.Errorf("error document: %w", err)
	}
	var codes []string
	for _, ref := range response.Content.Get(api.ContentTypeJSON).Examples {
		if value, ok := ref.Value.Value.(map[string]any); ok {
			codes = append(codes, fmt.Sprint(value["code"]))
		}
	}
	if !slices.Contains(codes, string(got.Code)) {
		return fmt.Errorf("code %w is not documented here, only %v", got.Code, codes)
	}
	data := got.Data
	if data == nil {
		data = &api.ErrorData{}
	}
	if (data.Limit != "") != (status == http.StatusTooManyRequests) {
		return fmt.Errorf("data.limit is %q", data.Limit)
	}
	if (data.Retryable != nil) != (status == http.StatusUnauthorized && got.Code == api.CodeInvalidOTP) {
		return fmt.Errorf("data.retryable of code %w", got.Code)
	}
	return nil
}

// Transport is an [http.RoundTripper] that validates every exchange that goes
// through it, so that a test need not think of it:
//
//	client := &http.Client{Transport: &apitest.Transport{Validator: v, Report: func(err error) { t.Error(err) }}}
//
// It reads each answer as a whole, so it is not for endless ones.
type Transport struct {
	Validator *Validator
	// Report is told of each exchange that departs from the description.
	Report func(error)
	// Base makes the requests; [http.DefaultTransport] when nil.
	Base http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	resp, err := base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if err := t.Validator.Validate(req, resp, body); err != nil {
		t.Report(err)
	}
	return resp, nil
}

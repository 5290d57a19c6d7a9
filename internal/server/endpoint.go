package server

import (
	"context"
	"net/http"

	"codeword/api"
	"codeword/internal/fault"
	"codeword/internal/session"
)

// call describes an endpoint for clients: what differs between them, while the
// adapter below does what is common.
type call[Req, Resp any] struct {
	// needBearer refuses callers without a bearer, whatever the client's
	// settings say.
	needBearer bool
	// decode reads the body into a request; nil if the call takes no body.
	decode func(x *exchange) (Req, error)
	run    func(ctx context.Context, x *exchange, in Req) (Resp, error)
	// encode appends the answer as JSON; nil for 204 without a body.
	encode func(b []byte, out Resp) []byte
	// ends: after the call there is no session left to refresh.
	ends bool
}

// adapt turns a call into a handle. The order of the steps is part of the
// contract: a caller learns nothing about its body before its credentials were
// found good.
func adapt[Req, Resp any](c call[Req, Resp]) handle {
	return func(x *exchange) error {
		if err := x.authenticateClient(); err != nil {
			return err
		}
		ctx := x.r.Context()
		if err := x.authenticateBearer(ctx, c.needBearer); err != nil {
			return err
		}
		var in Req
		if c.decode != nil {
			if err := x.readJSON(); err != nil {
				return x.refreshed(ctx, err)
			}
			var err error
			if in, err = c.decode(x); err != nil {
				return x.refreshed(ctx, err)
			}
		}
		out, err := c.run(ctx, x, in)
		if err != nil {
			return x.refreshed(ctx, err)
		}
		if !c.ends {
			_ = x.refreshed(ctx, nil)
		}
		if c.encode == nil {
			x.answer(http.StatusNoContent, nil)
			return nil
		}
		x.out = c.encode(x.out[:0], out)
		x.answer(http.StatusOK, x.out)
		return nil
	}
}

// Request headers by their canonical names, under which net/http keeps them.
const (
	keyClientID       = "Ratio-Client-Id"
	keyClientSecret   = "Ratio-Client-Secret" //nolint:gosec // the name of a header
	keyFingerprint    = "Ratio-Device-Fingerprint"
	keyIdempotencyKey = "Idempotency-Key"
	keyAcceptLanguage = "Accept-Language"
	keyCaptchaToken   = "Captcha-Token" //nolint:gosec // the name of a header
	keyRefresh        = "Ratio-Authentication-Refresh"
)

// authenticateClient checks ratio-client-id and ratio-client-secret. A header
// that comes twice is refused: a proxy in between may have judged the other one.
func (x *exchange) authenticateClient() error {
	h := x.r.Header
	id, secret := h[keyClientID], h[keyClientSecret]
	switch {
	case len(id) == 0 || len(id) == 1 && id[0] == "":
		return refuseClient(api.CodeMissingClientID, "no client id")
	case len(secret) == 0 || len(secret) == 1 && secret[0] == "":
		return refuseClient(api.CodeMissingClientSecret, "no client secret")
	case len(id) > 1 || len(secret) > 1:
		return refuseClient(api.CodeInvalidClientSecret, "credentials given more than once")
	}
	client, err := x.s.cfg.Clients.Authenticate(id[0], secret[0])
	if err != nil {
		return err
	}
	x.client = client
	return nil
}

func refuseClient(code api.Code, detail string) error {
	p := refuse(code, detail)
	p.challenge = challengeClient
	return p
}

// authenticateBearer verifies the bearer, if there is one or must be one.
func (x *exchange) authenticateBearer(ctx context.Context, need bool) error {
	values := x.r.Header["Authorization"]
	switch {
	case len(values) == 0:
		if need || x.client.Settings.RequireAuthorization {
			return fault.New(fault.MissingAuthorization, "no bearer")
		}
		return nil
	case len(values) > 1:
		return fault.New(fault.InvalidAuthorization, "Authorization given more than once")
	case values[0] == "":
		// Present, so it must be valid.
		return fault.New(fault.InvalidAuthorization, "Authorization is empty")
	}
	token, err := session.ParseBearer(values[0])
	if err != nil {
		return err
	}
	x.principal, err = x.s.cfg.Sessions.Verify(ctx, x.client, token)
	return err
}

// refreshed adds a fresh JWT to the answer when the bearer's is due, also to an
// error unless that says the bearer itself is no good. It returns err. A
// refresh that fails does not fail the call: the old JWT is still good.
func (x *exchange) refreshed(ctx context.Context, err error) error {
	if x.principal == nil || fault.Is(err, fault.InvalidAuthorization) || fault.Is(err, fault.ExpiredAuthorization) {
		return err
	}
	jwt, ok, failed := x.s.cfg.Sessions.Refresh(ctx, x.client, x.principal, x.start)
	switch {
	case failed != nil:
		x.note("refresh: " + failed.Error())
	case ok:
		x.w.Header()[keyRefresh] = []string{jwt}
	}
	return err
}

// note adds a remark to the log line.
func (x *exchange) note(text string) {
	if x.notes != "" {
		text = x.notes + "; " + text
	}
	x.notes = text
}

package server

import (
	"context"
	"net/http"

	"codeword/api"
	"codeword/internal/otp"
	"codeword/internal/session"
)

// authenticateBody is a decoded api.AuthenticateSmsOtpRequest.
type authenticateBody struct {
	phoneID string
	otp     string
}

// authenticate is POST /v1/auth/otp/sms:authenticate.
func (s *Server) authenticate() handle {
	return adapt(call[authenticateBody, string]{
		decode: decodeAuthenticate,
		run:    s.runAuthenticate,
		encode: func(b []byte, jwt string) []byte {
			b = append(b, `{"sessionJwt":`...)
			return append(appendString(b, jwt), '}')
		},
	})
}

func decodeAuthenticate(x *exchange) (authenticateBody, error) {
	members := [...]member{{name: "phoneId"}, {name: "otp"}}
	if err := x.doc.object(x.body, members[:]); err != nil {
		return authenticateBody{}, refuseJSON(err)
	}
	id, code := &members[0], &members[1]
	switch {
	case id.absent():
		return authenticateBody{}, refuse(api.CodeMissingPhoneID, "no phoneId")
	case id.kind != kindString, id.text == "", len(id.text) > api.MaxPhoneIDBytes:
		return authenticateBody{}, refuse(api.CodeInvalidPhoneID, "phoneId is not a string, empty or too long")
	case code.absent():
		return authenticateBody{}, refuse(api.CodeMissingOTP, "no otp")
	case code.kind != kindString, !isCode(code.text, x.client.Settings.CodeLength):
		p := refuse(api.CodeInvalidOTP, "otp has not the shape of a code")
		p.status = http.StatusBadRequest
		return authenticateBody{}, p
	}
	return authenticateBody{phoneID: id.text, otp: code.text}, nil
}

// isCode reports whether s is as many ASCII digits as a code of the client.
func isCode(s string, length int) bool {
	if len(s) != length {
		return false
	}
	for _, c := range []byte(s) {
		if !isDigit(c) {
			return false
		}
	}
	return true
}

func (s *Server) runAuthenticate(ctx context.Context, x *exchange, in authenticateBody) (string, error) {
	granted, err := s.cfg.OTP.Authenticate(ctx, otp.AuthenticateRequest{
		Client: x.client, Principal: x.principal, PhoneID: in.phoneID, OTP: in.otp, Device: x.fingerprint().id,
	})
	if err != nil {
		return "", err
	}
	jwt, err := s.cfg.Sessions.Mint(ctx, x.client, granted, x.start)
	if err != nil {
		return "", err
	}
	if p := x.principal; p != nil && p.Subject == nil {
		// A refresh must not fall back behind the step-up that just happened.
		x.principal = &session.Principal{Session: granted, IssuedAt: p.IssuedAt, ExpiresAt: p.ExpiresAt}
	}
	return jwt, nil
}

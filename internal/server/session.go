package server

import (
	"context"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// getSession is GET /v1/auth/session.
func (s *Server) getSession() handle {
	return adapt(call[struct{}, sessionView]{
		needBearer: true,
		run: func(_ context.Context, x *exchange, _ struct{}) (sessionView, error) {
			if x.principal.Subject != nil {
				return sessionView{}, fault.New(fault.InvalidAuthorization, "a trusted issuer's token has no session here")
			}
			row := x.principal.Session
			v := sessionView{row: row, user: "user-" + x.client.Env() + "-" + row.User.String()}
			if row.Phone != (store.PhoneID{}) {
				v.phone = s.cfg.OTP.PhoneID(x.client, row.Phone)
			}
			return v, nil
		},
		encode: appendSession,
	})
}

// sessionView is a session with its ids as callers see them.
type sessionView struct {
	row   store.Session
	user  string
	phone string
}

// appendSession writes an api.Session.
func appendSession(b []byte, v sessionView) []byte {
	b = append(b, `{"sessionId":`...)
	b = appendString(b, v.row.ID.String())
	b = append(b, `,"userId":`...)
	b = appendString(b, v.user)
	if v.phone != "" {
		b = append(b, `,"phoneId":`...)
		b = appendString(b, v.phone)
	}
	b = append(b, `,"amr":[`...)
	for i, method := range v.row.AMR {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, method)
	}
	b = append(b, `],"authTime":`...)
	b = appendTime(b, v.row.AuthTime)
	b = append(b, `,"createTime":`...)
	b = appendTime(b, v.row.CreatedAt)
	b = append(b, `,"expireTime":`...)
	return append(appendTime(b, v.row.ExpiresAt), '}')
}

// revokeSession is POST /v1/auth/session:revoke. It takes no body; one that
// comes is not looked at.
func (s *Server) revokeSession() handle {
	return adapt(call[struct{}, struct{}]{
		needBearer: true,
		ends:       true,
		run: func(ctx context.Context, x *exchange, _ struct{}) (struct{}, error) {
			return struct{}{}, s.cfg.Sessions.Revoke(ctx, x.principal)
		},
	})
}

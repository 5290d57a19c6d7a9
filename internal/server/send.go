package server

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"codeword/api"
	"codeword/internal/otp"
)

// sendBody is a decoded api.SendSmsOtpRequest.
type sendBody struct {
	phone string
	key   string
}

// send is POST /v1/auth/otp/sms:send.
func (s *Server) send() handle {
	return adapt(call[sendBody, otp.SendResult]{
		decode: decodeSend,
		run:    s.runSend,
		encode: func(b []byte, out otp.SendResult) []byte {
			b = append(b, `{"phoneId":`...)
			b = appendString(b, out.PhoneID)
			b = append(b, `,"phoneMask":`...)
			return append(appendString(b, out.PhoneMask), '}')
		},
	})
}

func decodeSend(x *exchange) (sendBody, error) {
	key, err := idempotencyKey(x.r.Header[keyIdempotencyKey])
	if err != nil {
		return sendBody{}, err
	}
	members := [...]member{{name: "phoneNumber"}}
	if err := x.doc.object(x.body, members[:]); err != nil {
		return sendBody{}, refuseJSON(err)
	}
	switch m := &members[0]; {
	case m.absent(), m.kind == kindString && m.text == "":
		return sendBody{}, refuse(api.CodeMissingPhone, "no phoneNumber")
	case m.kind != kindString:
		return sendBody{}, refuse(api.CodeInvalidPhone, "phoneNumber is not a string")
	default:
		return sendBody{phone: m.text, key: key}, nil
	}
}

func (s *Server) runSend(ctx context.Context, x *exchange, in sendBody) (otp.SendResult, error) {
	request := otp.SendRequest{
		Client:      x.client,
		Principal:   x.principal,
		PhoneNumber: in.phone,
		EndUser:     x.endUser(),
		Device:      x.fingerprint().id,
	}
	if languages := x.r.Header[keyAcceptLanguage]; len(languages) > 0 {
		// Several lines are one list (RFC 9110 section 5.3).
		request.AcceptLanguage = strings.Join(languages, ",")
	}
	// One that comes twice is none: a proxy in between may have judged the other.
	if tokens := x.r.Header[keyCaptchaToken]; len(tokens) == 1 {
		request.CaptchaToken = tokens[0]
	}
	if in.key != "" {
		if !s.running.begin(x.client.ID, in.key) {
			return otp.SendResult{}, &problem{
				status: http.StatusConflict, code: api.CodeInProgressIdempotencyKey, retryAfter: 1,
			}
		}
		defer s.running.end(x.client.ID, in.key)
		request.IdempotencyKey, request.Body = in.key, x.body
	}
	out, err := s.cfg.OTP.Send(ctx, request)
	if err != nil {
		return out, err
	}
	x.mask = out.PhoneMask
	if out.Replayed {
		x.w.Header()[api.HeaderIdempotentReplayed] = []string{"true"}
	}
	return out, nil
}

// idempotencyKey reads the Idempotency-Key header: 1 to 255 visible ASCII
// characters, bare or as the quoted string that the draft asks for
// (draft-ietf-httpapi-idempotency-key-header section 2.1, RFC 8941 section
// 3.3.3). Both spellings of one key are the same key. "" means there is none.
func idempotencyKey(values []string) (string, error) {
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 {
		return "", refuseKey("given more than once")
	}
	key := values[0]
	if len(key) > 0 && key[0] == '"' {
		var ok bool
		if key, ok = unquote(key); !ok {
			return "", refuseKey("not a quoted string")
		}
	}
	if key == "" || len(key) > api.MaxIdempotencyKeyBytes {
		return "", refuseKey("empty or too long")
	}
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			return "", refuseKey("not visible ASCII")
		}
	}
	return key, nil
}

func refuseKey(detail string) error {
	p := refuse(api.CodeInvalidIdempotencyKey, "idempotency key: "+detail)
	p.status = http.StatusBadRequest
	return p
}

// unquote reads an sf-string, in which only quote and backslash are escaped.
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[len(s)-1] != '"' {
		return "", false
	}
	s = s[1 : len(s)-1]
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			return "", false
		case '\\':
			if i++; i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", false
			}
			out = append(out, s[i])
		default:
			out = append(out, c)
		}
	}
	return string(out), true
}

// running holds the idempotency keys of sends that this node has not answered
// yet. Between nodes the store decides: the second finds the first's record, or
// becomes the first.
type running struct {
	mu   sync.Mutex
	keys map[runningKey]struct{}
}

type runningKey struct{ client, key string }

// begin reports whether no send with the key was running.
func (r *running) begin(client, key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := runningKey{client, key}
	if _, busy := r.keys[k]; busy {
		return false
	}
	if r.keys == nil {
		r.keys = map[runningKey]struct{}{}
	}
	r.keys[k] = struct{}{}
	return true
}

func (r *running) end(client, key string) {
	r.mu.Lock()
	delete(r.keys, runningKey{client, key})
	r.mu.Unlock()
}

package attack_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"codeword/api"
	"codeword/test/testserver"
)

// hostileBody is a body for send; %s in it stands for a good number.
type hostileBody struct {
	name, body string
	status     int
	code       api.Code
}

func hostileBodies() []hostileBody {
	const bad = http.StatusBadRequest
	object := func(inner string) string { return `{"phoneNumber":"%s",` + inner + `}` }
	list := []hostileBody{
		{"comment", `{"phoneNumber":"%s"/*x*/}`, 0, ""},
		{"line comment", "{\"phoneNumber\":\"%s\"//x\n}", 0, ""},
		{"comment and trailing comma", `{"phoneNumber":"%s",/*x*/}`, 0, ""},
		{"byte order mark", "\ufeff" + `{"phoneNumber":"%s"}`, 0, ""},
		{"duplicate key", `{"phoneNumber":"%s","phoneNumber":"%[1]s"}`, 0, ""},
		{"duplicate key, escaped", `{"phoneNumber":"%s","phone\u004eumber":"%[1]s"}`, 0, ""},
		{"duplicate key and trailing comma", `{"phoneNumber":"%s","phoneNumber":"%[1]s",}`, 0, ""},
		{"duplicate unknown key", object(`"x":1,"x":2`), 0, ""},
		{"duplicate key inside", object(`"x":{"y":1,"y":2}`), 0, ""},
		{"garbage after", `{"phoneNumber":"%s"}x`, 0, ""},
		{"second value", `{"phoneNumber":"%s"}{"phoneNumber":"%[1]s"}`, 0, ""},
		{"NUL after", "{\"phoneNumber\":\"%s\"}\x00", 0, ""},
		{"NUL before", "\x00{\"phoneNumber\":\"%s\"}", 0, ""},
		{"raw control character", "{\"phoneNumber\":\"%s\n\"}", 0, ""},
		{"lone surrogate", object(`"x":"\ud800"`), 0, ""},
		{"lone surrogate in the number", `{"phoneNumber":"%s\udc00"}`, 0, ""},
		{"surrogates in the wrong order", object(`"x":"\udc00\ud800"`), 0, ""},
		{"invalid UTF-8", object("\"x\":\"\xff\""), 0, ""},
		{"overlong UTF-8", object("\"x\":\"\xc0\xaf\""), 0, ""},
		{"UTF-16", "\xff\xfe{\x00}\x00", 0, ""},
		{"two trailing commas", `{"phoneNumber":"%s",,}`, 0, ""},
		{"leading comma", `{,"phoneNumber":"%s"}`, 0, ""},
		{"single quotes", `{'phoneNumber':'%s'}`, 0, ""},
		{"bare key", `{phoneNumber:"%s"}`, 0, ""},
		{"NaN", object(`"x":NaN`), 0, ""},
		{"hexadecimal", object(`"x":0x10`), 0, ""},
		{"leading zero", object(`"x":01`), 0, ""},
		{"capital True", object(`"x":True`), 0, ""},
		{"unterminated", `{"phoneNumber":"%s"`, 0, ""},
		{"unterminated string", `{"phoneNumber":"%s`, 0, ""},
		{"array", `["%s"]`, 0, ""},
		{"object in an array", `[{"phoneNumber":"%s"}]`, 0, ""},
		{"string", `"%s"`, 0, ""},
		{"null", `null`, 0, ""},
		{"nothing", ``, 0, ""},
		{"blanks", "  \r\n\t ", 0, ""},
		{"form", `phoneNumber=%s`, 0, ""},
		{"XML", `<phoneNumber>%s</phoneNumber>`, 0, ""},
		{"8,000 arrays deep", object(`"x":` + strings.Repeat("[", 8000) + strings.Repeat("]", 8000)), 0, ""},
		{"8,000 arrays deep, open", object(`"x":` + strings.Repeat("[", 16000)), 0, ""},
		{"2,500 objects deep, trailing comma", object(`"x":` + strings.Repeat(`{"a":`, 2500) + "1" + strings.Repeat("}", 2500) + ","), 0, ""},
		{"100,000 arrays deep", strings.Repeat("[", 100_000), http.StatusRequestEntityTooLarge, ""},
		{"16 KiB and a byte", padded(api.MaxBodyBytes + 1), http.StatusRequestEntityTooLarge, ""},
		{"10 MiB", strings.Repeat(" ", 10<<20), http.StatusRequestEntityTooLarge, ""},
		{"number as number", `{"phoneNumber":16502180000}`, 0, api.CodeInvalidPhone},
		{"huge number", `{"phoneNumber":1e999999999}`, 0, api.CodeInvalidPhone},
		{"10,000 digits", `{"phoneNumber":` + strings.Repeat("9", 10_000) + `}`, 0, api.CodeInvalidPhone},
		{"number in an array", `{"phoneNumber":["%s"]}`, 0, api.CodeInvalidPhone},
		{"number in an object", `{"phoneNumber":{"$ne":"%s"}}`, 0, api.CodeInvalidPhone},
		{"true", `{"phoneNumber":true}`, 0, api.CodeInvalidPhone},
		{"NUL in the number", `{"phoneNumber":"%s\u0000"}`, 0, api.CodeInvalidPhone},
		{"long number", `{"phoneNumber":"+` + strings.Repeat("1", 15_000) + `"}`, 0, api.CodeInvalidPhone},
		{"number null", `{"phoneNumber":null}`, 0, api.CodeMissingPhone},
		{"number empty", `{"phoneNumber":""}`, 0, api.CodeMissingPhone},
		{"no number", `{}`, 0, api.CodeMissingPhone},
		{"another case", `{"PhoneNumber":"%s","phonenumber":"%[1]s","PHONENUMBER":"%[1]s"}`, 0, api.CodeMissingPhone},
		{"key with NUL", `{"phoneNumber\u0000":"%s"}`, 0, api.CodeMissingPhone},
	}
	for i := range list {
		if list[i].status == 0 {
			list[i].status = bad
		}
		if list[i].code == "" {
			list[i].code = api.CodeInvalidBody
		}
	}
	return list
}

// padded is a good body of exactly n bytes.
func padded(n int) string {
	body := encode(api.SendSmsOtpRequest{PhoneNumber: number(2)})
	body = strings.TrimRight(body, "}\n")
	const frame = len(`,"x":""}`)
	return body + `,"x":"` + strings.Repeat("x", n-len(body)-frame) + `"}`
}

func TestHostileJSON(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Live)
	bodies := hostileBodies()
	refused := 0
	for _, h := range bodies {
		body := h.body
		if strings.Contains(body, "%") {
			body = fmt.Sprintf(body, number(1))
		}
		if a := c.do(http.MethodPost, api.PathSend, body); a.is(h.status, h.code) {
			refused++
		} else {
			t.Errorf("%s: %s, want %d %s", h.name, a, h.status, h.code)
		}
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write([]byte(encode(api.SendSmsOtpRequest{PhoneNumber: number(1)})))
	_ = w.Close() // into memory
	good := encode(api.SendSmsOtpRequest{PhoneNumber: number(1)})
	for name, call := range map[string]struct {
		body, name, value string
	}{
		"gzip":              {zipped.String(), "Content-Encoding", "gzip"},
		"gzip in name only": {good, "Content-Encoding", "gzip"},
		"second type":       {good, "Content-Type", "text/plain"},
	} {
		if a := c.do(http.MethodPost, api.PathSend, call.body, header{call.name, call.value}); !a.is(http.StatusUnsupportedMediaType, api.CodeInvalidBody) {
			t.Errorf("%s: %s", name, a)
		} else {
			refused++
		}
	}
	if n := len(s.Inbox(number(1))); n != 0 {
		t.Errorf("%d messages sent by hostile bodies", n)
	}
	largest := c.do(http.MethodPost, api.PathSend, padded(api.MaxBodyBytes))
	sample := c.do(http.MethodPost, api.PathSend, "{\n  \"phoneNumber\": \""+number(1)+"\",\n}\n")
	report(t, "hostile-json", fmt.Sprintf("%d bodies that are not JSON, not UTF-8, ambiguous, deep, huge or of the wrong type", len(bodies)+3),
		"%d refused, 0 messages; 16 KiB exactly got %s, a trailing comma %s", refused, largest, sample)
	if largest.status != http.StatusOK || sample.status != http.StatusOK {
		t.Errorf("16 KiB got %s, a trailing comma %s", largest, sample)
	}
}

// TestHostileAttempt does the same to the call that could consume a code.
func TestHostileAttempt(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Live)
	id, code := c.mustStart(number(1))
	const bad = http.StatusBadRequest
	type try struct {
		name, body string
		code       api.Code
	}
	tries := []try{
		{"two codes", `{"phoneId":"ID","otp":"000000","otp":"CODE"}`, api.CodeInvalidBody},
		{"list of codes", `{"phoneId":"ID","otp":["000000","CODE"]}`, api.CodeInvalidOTP},
		{"code as number", `{"phoneId":"ID","otp":1CODE}`, api.CodeInvalidOTP},
		{"wildcard", `{"phoneId":"ID","otp":"%"}`, api.CodeInvalidOTP},
		{"wildcards", `{"phoneId":"ID","otp":"______"}`, api.CodeInvalidOTP},
		{"SQL", `{"phoneId":"ID","otp":"' OR 1=1"}`, api.CodeInvalidOTP},
		{"operator", `{"phoneId":"ID","otp":{"$gt":""}}`, api.CodeInvalidOTP},
		{"true", `{"phoneId":"ID","otp":true}`, api.CodeInvalidOTP},
		{"blank after", `{"phoneId":"ID","otp":"CODE "}`, api.CodeInvalidOTP},
		{"NUL after", `{"phoneId":"ID","otp":"CODE\u0000"}`, api.CodeInvalidOTP},
		{"full-width", `{"phoneId":"ID","otp":"WIDE"}`, api.CodeInvalidOTP},
		{"sign", `{"phoneId":"ID","otp":"+CODE"}`, api.CodeInvalidOTP},
		{"leading zero", `{"phoneId":"ID","otp":"0CODE"}`, api.CodeInvalidOTP},
		{"long", `{"phoneId":"ID","otp":"` + strings.Repeat("1", 15_000) + `"}`, api.CodeInvalidOTP},
		{"empty", `{"phoneId":"ID","otp":""}`, api.CodeInvalidOTP},
		{"no code", `{"phoneId":"ID"}`, api.CodeMissingOTP},
		{"null code", `{"phoneId":"ID","otp":null}`, api.CodeMissingOTP},
		{"no id", `{"otp":"CODE"}`, api.CodeMissingPhoneID},
		{"null id", `{"phoneId":null,"otp":"CODE"}`, api.CodeMissingPhoneID},
		{"empty id", `{"phoneId":"","otp":"CODE"}`, api.CodeInvalidPhoneID},
		{"list of ids", `{"phoneId":["ID"],"otp":"CODE"}`, api.CodeInvalidPhoneID},
		{"long id", `{"phoneId":"` + strings.Repeat("x", 129) + `","otp":"CODE"}`, api.CodeInvalidPhoneID},
	}
	var wide strings.Builder
	for _, d := range code {
		wide.WriteRune(d - '0' + '０')
	}
	refused, echoed := 0, 0
	fill := strings.NewReplacer("ID", id, "CODE", code, "WIDE", wide.String())
	check := func(name string, a answer, status int, want api.Code) {
		if a.is(status, want) {
			refused++
		} else {
			t.Errorf("%s: %s, want %d %s", name, a, status, want)
		}
		if bytes.Contains(a.body, []byte(code)) {
			echoed++
			t.Errorf("%s: the answer holds the code: %s", name, a.body)
		}
	}
	for _, h := range tries {
		check(h.name, c.do(http.MethodPost, api.PathAuthenticate, fill.Replace(h.body)), bad, h.code)
	}
	// Other spellings of the id are other ids; they cost the challenge nothing.
	spellings := []string{
		strings.ToUpper(id), id + " ", " " + id, strings.Replace(id, "phone-number-live-", "", 1), strings.ReplaceAll(id, "-", ""),
		"phone-number-live-{" + id[len("phone-number-live-"):] + "}", "phone-number-live-urn:uuid:" + id[len("phone-number-live-"):],
		id + "\x00", "%", "' OR '1'='1", "../" + id,
	}
	for _, other := range spellings {
		check(other, c.authenticate(other, code), http.StatusUnauthorized, api.CodeInvalidOTP)
	}
	after := c.authenticate(id, code)
	report(t, "hostile-attempts", fmt.Sprintf("%d malformed attempts around the right code and id", len(tries)+len(spellings)),
		"%d refused, %d echo the code, then the code got %s", refused, echoed, after)
	if after.status != http.StatusOK {
		t.Errorf("the code after malformed attempts: %s", after)
	}
}

// TestDuplicatedHeaders: of two credentials a proxy may judge one and the
// server the other.
func TestDuplicatedHeaders(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Test)
	token := c.mustSignIn(number(9))
	id, secret := header{api.HeaderClientID, s.Test.ID}, header{api.HeaderClientSecret, s.Test.Secret}
	otherID, otherSecret := header{api.HeaderClientID, s.Live.ID}, header{api.HeaderClientSecret, s.Live.Secret}
	upper := func(h header) header { return header{strings.ToUpper(h.name), h.value} }
	joined := func(a, b header) header { return header{a.name, a.value + ", " + b.value} }
	tries := map[string][]header{
		"two ids":                  {id, otherID, secret},
		"two ids, other first":     {otherID, id, secret},
		"two ids, in two cases":    {id, upper(otherID), secret},
		"two secrets":              {id, secret, otherSecret},
		"two secrets, other first": {id, otherSecret, secret},
		"two of both":              {id, otherID, secret, otherSecret},
		"the id twice":             {id, id, secret},
		"the secret twice":         {id, secret, secret},
		"ids in one field":         {joined(id, otherID), secret},
		"secrets in one field":     {id, joined(secret, otherSecret)},
		"crossed":                  {id, otherSecret},
		"an empty second id":       {id, {api.HeaderClientID, ""}, secret},
		"an empty first id":        {{api.HeaderClientID, ""}, id, secret},
		"two bearers":              {id, secret, bearer(token), bearer("x.y.z")},
		"two bearers, other first": {id, secret, bearer("x.y.z"), bearer(token)},
		"bearers in one field":     {id, secret, {"Authorization", "Bearer " + token + ", Bearer " + token}},
		"bearer and basic":         {id, secret, bearer(token), {"Authorization", "Basic eA=="}},
		"empty bearer":             {id, secret, {"Authorization", ""}},
		"secret in the id":         {{api.HeaderClientID, s.Test.ID + ":" + s.Test.Secret}},
		"underscores for hyphens":  {{"ratio_client_id", s.Test.ID}, {"ratio_client_secret", s.Test.Secret}},
		"long secret":              {id, {api.HeaderClientSecret, s.Test.Secret + strings.Repeat("x", 8<<10)}},
		"secret cut":               {id, {api.HeaderClientSecret, s.Test.Secret[:len(s.Test.Secret)-1]}},
		"secret in another case":   {id, {api.HeaderClientSecret, swapCase(s.Test.Secret)}},
	}
	accepted := 0
	body := encode(api.SendSmsOtpRequest{PhoneNumber: number(1)})
	for name, headers := range tries {
		if a := c.exchange(http.MethodPost, api.PathSend, body, headers); a.status != http.StatusUnauthorized && a.status != http.StatusBadRequest {
			accepted++
			t.Errorf("%s: %s", name, a)
		}
	}
	keys := c.send(number(1), idempotency("a"), idempotency("b"))
	report(t, "duplicated-headers", fmt.Sprintf("%d ways to give credentials twice, joined, empty or nearly right", len(tries)),
		"%d accepted, %d messages; two idempotency keys got %s", accepted, len(s.Inbox(number(1))), keys)
	if !keys.is(http.StatusBadRequest, api.CodeInvalidIdempotencyKey) {
		t.Errorf("two idempotency keys: %s", keys)
	}
	if n := len(s.Inbox(number(1))); n != 0 {
		t.Errorf("%d messages", n)
	}
}

func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, s)
}

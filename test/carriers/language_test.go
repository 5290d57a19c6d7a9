package carriers_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"codeword/api"
	"codeword/test/testserver"
)

// TestLanguages: what an SMSC of another make reads by the data_coding that
// comes with the text, 0 for GSM-7 and 8 for UCS-2.
func TestLanguages(t *testing.T) {
	t.Parallel()
	peer := startSMSC(t, nil)
	s := start(t, peer.route("main", 1, "", ""))
	own := s.CreateClient("own texts", true, `{
		"brand": "Ñandu & Co", "webOtpDomain": "login.example.com", "locale": "de",
		"templates": {"de": "{code} öffnet {brand} [1 €]", "en": "{code}: {brand}"}}`)
	tests := []struct {
		as             testserver.Credentials
		accept, locale string
		coding         int
		want           string
	}{
		{s.Live, "", "en", 0, `^(\d{6}) is your Codeword verification code\. Don't share it\.$`},
		{s.Live, "es-MX,es;q=0.9,en;q=0.8", "es", 8, `^(\d{6}) es tu código de verificación de Codeword\. No lo compartas\.$`},
		{s.Live, "fr", "fr", 0, `^(\d{6}) est votre code de vérification Codeword\. Ne le partagez pas\.$`},
		{s.Live, "ru", "ru", 8, `^(\d{6}) - ваш код Codeword\. Никому его не сообщайте\.$`},
		{s.Live, "zh-CN", "zh", 8, `^(\d{6}) 是您的 Codeword 验证码，请勿告知他人。$`},
		{s.Live, "xx, *;q=0.1", "en", 0, `^(\d{6}) is your Codeword `},
		{own, "", "de", 0, `^(\d{6}) öffnet Ñandu & Co \[1 €\]\n@login\.example\.com #(\d{6})$`},
		{own, "en", "en", 0, `^(\d{6}): Ñandu & Co\n@login\.example\.com #(\d{6})$`},
	}
	for i, tt := range tests {
		to := testserver.Number(i)
		phoneID := sendIn(t, s, tt.as, to, tt.accept)
		got := peer.await(to)
		match := regexp.MustCompile(tt.want).FindStringSubmatch(got.text)
		if match == nil || got.coding != tt.coding || match[1] != match[len(match)-1] {
			t.Errorf("%q: got %q with data_coding %d", tt.accept, got.text, got.coding)
			continue
		}
		if m := s.becomes(to, "sent"); m.Locale != tt.locale || m.Dispatches[0].Segments != 1 {
			t.Errorf("%q: the log tells of %s in %d segments", tt.accept, m.Locale, m.Dispatches[0].Segments)
		}
		if _, err := s.Client(tt.as).Authenticate(t.Context(), phoneID, match[1]); err != nil {
			t.Errorf("%q: the code that arrived: %v", tt.accept, err)
		}
	}
}

// sendIn asks for a code in a language and returns the phone's id.
func sendIn(t *testing.T, s *service, as testserver.Credentials, to, accept string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+api.PathSend, strings.NewReader(`{"phoneNumber": "`+to+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(api.HeaderClientID, as.ID)
	r.Header.Set(api.HeaderClientSecret, as.Secret)
	if accept != "" {
		r.Header.Set("Accept-Language", accept)
	}
	resp, err := s.HTTP.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var doc api.SendSmsOtpResponse
	decode(t, resp, &doc)
	return doc.PhoneID
}

package otp_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"codeword/internal/otp"
	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// fixedKeys is a ring with one known key, HMAC-SHA256 over 00 01 … 1f.
type fixedKeys struct{ otp.Keys }

func (fixedKeys) mac(input []byte) (out [32]byte, err error) {
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	h := hmac.New(sha256.New, key)
	h.Write(input)
	copy(out[:], h.Sum(nil))
	return out, nil
}

func (k fixedKeys) CodePRF(_ uint32, in []byte) ([32]byte, error) { return k.mac(in) }
func (k fixedKeys) Index(_ uint32, in []byte) ([32]byte, error)   { return k.mac(in) }
func (fixedKeys) IndexVersions() []uint32                         { return []uint32{1} }

// TestCodeVectors were computed apart from this code. If they fail, the
// derivation has changed, and every code that is on its way to a phone at an
// upgrade would turn wrong.
func TestCodeVectors(t *testing.T) {
	s := otp.New(otp.Config{Keys: fixedKeys{}})
	for id, want := range map[string][]string{
		"00000000000000000000000000000000": {"0096", "60096", "660096", "1660096", "11660096", "311660096", "6311660096"},
		"ffffffffffffffffffffffffffffffff": {"9592", "39592", "939592", "5939592", "95939592", "095939592", "8095939592"},
		"00112233445566778899aabbccddeeff": {"3342", "43342", "543342", "3543342", "93543342", "093543342", "8093543342"},
	} {
		var challenge store.ChallengeID
		if _, err := hex.Decode(challenge[:], []byte(id)); err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			code, err := s.MessageCode(&tenant.Client{Live: true}, store.Message{Challenge: challenge, Digits: i + 4})
			if err != nil || code.Reveal() != w {
				t.Errorf("%s, %d digits: %s (%v), want %s", id, i+4, code.Reveal(), err, w)
			}
		}
	}
}

// TestPhoneIDVector: a change here would make every stored phone unknown.
func TestPhoneIDVector(t *testing.T) {
	s := otp.New(otp.Config{Keys: fixedKeys{}})
	for _, tc := range []struct {
		client tenant.Client
		number string
		want   string
	}{
		{tenant.Client{ID: "client-live-1", Live: true}, "+16502530000", "phone-number-live-956b5a0b-8def-893a-9d00-7271a8a98a7c"},
		{tenant.Client{ID: "client-test-1"}, "+14165551234", "phone-number-test-01234abc-0000-0000-0000-0123456789"},
	} {
		n, err := phone.Parse(tc.number)
		if err != nil {
			t.Fatal(err)
		}
		ids, err := s.PhoneIDs(&tc.client, n)
		if err != nil || len(ids) != 1 {
			t.Fatalf("%d ids, %v", len(ids), err)
		}
		if got := s.PhoneID(&tc.client, ids[0]); got != tc.want {
			t.Errorf("%s, want %s", got, tc.want)
		}
		if !tc.client.Live && ids[0].String() != "344e9af9-050e-85b8-a1a2-e7f00a427171" {
			t.Errorf("the documented number is stored as %s", ids[0])
		}
	}
}

func TestCodeOfNoLength(t *testing.T) {
	s := otp.New(otp.Config{Keys: fixedKeys{}})
	sample := &tenant.Client{ID: "client-test-1"}
	n, err := phone.Parse("+14165551234")
	if err != nil {
		t.Fatal(err)
	}
	ids, err := s.PhoneIDs(sample, n)
	if err != nil {
		t.Fatal(err)
	}
	for _, digits := range []int{-1, 0, 11, 255} {
		if _, err := s.MessageCode(&tenant.Client{Live: true}, store.Message{Digits: digits}); err == nil {
			t.Errorf("a code of %d digits", digits)
		}
		if _, err := s.MessageCode(sample, store.Message{Phone: ids[0], Digits: digits}); err == nil {
			t.Errorf("a documented code of %d digits", digits)
		}
	}
	if (otp.Code{}).Equal("") {
		t.Error("no code equals no guess")
	}
}

// TestCodeIsRedacted: only Reveal shows the digits.
func TestCodeIsRedacted(t *testing.T) {
	s := otp.New(otp.Config{Keys: fixedKeys{}})
	code, err := s.MessageCode(&tenant.Client{Live: true}, store.Message{Digits: 6})
	if err != nil {
		t.Fatal(err)
	}
	digits := code.Reveal()
	if digits != "660096" || !code.Equal(digits) || code.Equal(digits[:5]) || code.Equal(digits+"0") || code.Equal("660097") {
		t.Fatal("Reveal and Equal do not agree")
	}
	var out bytes.Buffer
	// Not %T and %p, for which fmt asks no Formatter; vet refuses %p of a Code.
	for _, verb := range strings.Split("v +v #v 9v s q x X d o b c U e t", " ") {
		_, _ = fmt.Fprintf(&out, "%"+verb+"|", code)
		_, _ = fmt.Fprintf(&out, "%"+verb+"|", &code)
		_, _ = fmt.Fprintf(&out, "%"+verb+"|", []any{code, struct{ C otp.Code }{code}, map[string]otp.Code{"c": code}})
	}
	for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(h).Info("m", "code", code, "pointer", &code, "group", slog.GroupValue(slog.Any("c", code)), "list", []otp.Code{code})
	}
	raw, err := json.Marshal(map[string]any{"code": code, "in": struct{ C *otp.Code }{&code}})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(raw)
	_, _ = fmt.Fprint(&out, fmt.Errorf("wrapped: %v", code))
	text := out.String()
	// The digits themselves, in hexadecimal, and as a list of bytes.
	for _, leak := range []string{digits, hex.EncodeToString([]byte(digits)), "51 49 48", "0x33, 0x31"} {
		if strings.Contains(text, leak) {
			t.Errorf("%q shows in %s", leak, text)
		}
	}
	if !strings.Contains(string(raw), "[code]") {
		t.Errorf("JSON is %s", raw)
	}
}

// TestCodeIsOfItsPhone: who can write the database, but has no key, must gain
// nothing by copying a challenge from one phone to another.
func TestCodeIsOfItsPhone(t *testing.T) {
	s := otp.New(otp.Config{Keys: fixedKeys{}})
	m := store.Message{Challenge: store.ChallengeID{7}, Digits: 10, Phone: store.PhoneID{1}}
	one, err := s.MessageCode(&tenant.Client{Live: true}, m)
	if err != nil {
		t.Fatal(err)
	}
	m.Phone = store.PhoneID{2}
	other, err := s.MessageCode(&tenant.Client{Live: true}, m)
	if err != nil {
		t.Fatal(err)
	}
	if one == other {
		t.Error("two phones have the same code for one challenge")
	}
}

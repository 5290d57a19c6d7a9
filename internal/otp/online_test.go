package otp_test

import (
	"errors"
	"slices"
	"testing"

	"codeword/internal/fault"
	"codeword/internal/otp"
	"codeword/internal/phone"
	"codeword/internal/tenant"
)

// TestOrder: what costs least is asked first, and a refusal ends the questions.
func TestOrder(t *testing.T) {
	b := newBed(t)
	b.lines = lines{line: phone.LineMobile}
	client := b.client("client-live-2", true, `{"lineLookup":"always","lineLookupFailure":"refuse"}`)
	var steps []string
	var admit, prove error
	b.admit = func(*tenant.Client) error { steps = append(steps, "admit"); return admit }
	b.prove = func(in otp.SendRequest) error {
		if in.Client != client || in.CaptchaToken != "" {
			t.Errorf("asked with %q", in.CaptchaToken)
		}
		steps = append(steps, "prove")
		return prove
	}
	check := func(number string, kind fault.Kind, want []string, asked int) {
		t.Helper()
		steps, b.asked = nil, nil
		if _, err := b.trySend(client, number); kind == 0 && err != nil || kind != 0 && !fault.Is(err, kind) {
			t.Errorf("%s: got %v", number, err)
		}
		if !slices.Equal(steps, want) || len(b.asked) != asked {
			t.Errorf("%s: %v, and %d look-ups; want %v and %d", number, steps, len(b.asked), want, asked)
		}
	}
	const good = "+16502180000"
	check("650", fault.InvalidPhone, nil, 0)
	check("+14165551235", fault.InvalidPhoneCountry, nil, 0)
	check("+18002530000", fault.InvalidPhoneType, nil, 0)
	admit = fault.New(fault.Unavailable, "every carrier is down")
	check(good, fault.Unavailable, []string{"admit"}, 0)
	admit, prove = nil, fault.New(fault.InvalidCaptcha, "no token")
	check(good, fault.InvalidCaptcha, []string{"admit", "prove"}, 0)
	prove = nil
	check(good, 0, []string{"admit", "prove"}, 1)
	if want := (phone.LookupPolicy{Mode: phone.LookupAlways, Refuse: true}); b.asked[0] != want {
		t.Errorf("asked with %+v", b.asked[0])
	}
	b.lines = lines{err: errors.New("nobody answers")}
	check(good, fault.Unavailable, []string{"admit", "prove"}, 1)
}

// TestMagicNumbersNeedProof: they pass for the number, and for nothing else.
func TestMagicNumbersNeedProof(t *testing.T) {
	b := newBed(t)
	b.prove = func(otp.SendRequest) error { return fault.New(fault.InvalidCaptcha, "no token") }
	if _, err := b.trySend(b.test, "+14165551234"); !fault.Is(err, fault.InvalidCaptcha) {
		t.Errorf("got %v", err)
	}
	if _, err := b.trySend(b.test, "+15005550001"); !fault.Is(err, fault.InvalidPhone) {
		t.Errorf("got %v", err)
	}
	if len(b.asked) != 0 {
		t.Error("a magic number was looked up")
	}
}

// TestRepeatedAfterLineTypeChanged: a send that was accepted is told again, whatever is
// said of its number by now, and by whom; another one is judged by that.
func TestRepeatedAfterLineTypeChanged(t *testing.T) {
	t.Parallel()
	for _, screened := range []bool{false, true} {
		b, s := newScreenedBed(t)
		if !screened {
			b.screen = nil
			b.use(b.ring)
		}
		in := otp.SendRequest{Client: b.live, PhoneNumber: number, IdempotencyKey: "k", Body: []byte("{}")}
		first, err := b.Send(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name  string
			lines lines
			want  fault.Kind
		}{
			{"a landline", lines{line: phone.LineLandline}, fault.InvalidPhoneType},
			{"nobody answers", lines{err: errors.New("nobody answers")}, fault.Unavailable},
		} {
			b.lines = tt.lines
			if again, err := b.Send(t.Context(), in); err != nil || !again.Replayed || again.PhoneID != first.PhoneID {
				t.Errorf("%s, screened %v: repeated: %+v, %v", tt.name, screened, again, err)
			}
			for _, key := range []string{"", "another"} {
				other := in
				other.IdempotencyKey = key
				if _, err := b.Send(t.Context(), other); !fault.Is(err, tt.want) {
					t.Errorf("%s, screened %v, key %q: %v", tt.name, screened, key, err)
				}
			}
		}
		if n := b.queued.Load(); n != 1 {
			t.Errorf("screened %v: %d messages; want one", screened, n)
		}
		if screened && (len(s.accepted) != 1 || s.refused != 6) {
			t.Errorf("%d accepted, %d refused; want one and six", len(s.accepted), s.refused)
		}
	}
}

package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"codeword/api"
)

func TestTimeJSON(t *testing.T) {
	est := time.FixedZone("EST", -5*3600)
	for _, tc := range []struct {
		in   time.Time
		want string
	}{
		{time.Date(2026, 1, 2, 3, 4, 5, 678_999_999, time.UTC), `"2026-01-02T03:04:05.678Z"`},
		{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), `"2026-01-02T03:04:05.000Z"`},
		{time.Date(2025, 12, 31, 22, 0, 0, 5_000_000, est), `"2026-01-01T03:00:00.005Z"`},
		{time.Time{}, `"0001-01-01T00:00:00.000Z"`},
	} {
		got, err := json.Marshal(api.Time{Time: tc.in})
		if err != nil || string(got) != tc.want {
			t.Errorf("%v: got %s, %v; want %s", tc.in, got, err, tc.want)
		}
		var back api.Time
		if err := json.Unmarshal(got, &back); err != nil || !back.Equal(api.NewTime(tc.in).Time) {
			t.Errorf("%s read as %v, %v", got, back, err)
		}
		if s := api.NewTime(tc.in).String(); `"`+s+`"` != tc.want {
			t.Errorf("String is %s, want %s", s, tc.want)
		}
	}
	if _, err := json.Marshal(api.Time{Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}); err == nil {
		t.Error("the year 10000 was written")
	}
	var back api.Time
	if err := json.Unmarshal([]byte(`"yesterday"`), &back); err == nil {
		t.Error("yesterday was read as a time")
	}
}

func TestErrorJSON(t *testing.T) {
	no := false
	at := api.NewTime(time.Unix(1767323045, 678e6))
	for _, tc := range []struct {
		in   api.Error
		want string
	}{
		{
			api.Error{Message: "m", CreateTime: at, Code: api.CodeInternal},
			`{"message":"m","createTime":"2026-01-02T03:04:05.678Z","code":"INTERNAL"}`,
		},
		{
			api.Error{Message: "m", CreateTime: at, Code: api.CodeInvalidOTP, Data: &api.ErrorData{Retryable: &no}},
			`{"message":"m","createTime":"2026-01-02T03:04:05.678Z","code":"INVALID_OTP","data":{"retryable":false}}`,
		},
		{
			api.Error{Message: "m", CreateTime: at, Code: api.CodeExceedsLimitSMS, Data: &api.ErrorData{Limit: "x"}},
			`{"message":"m","createTime":"2026-01-02T03:04:05.678Z","code":"EXCEEDS_LIMIT_SMS","data":{"limit":"x"}}`,
		},
	} {
		if got, err := json.Marshal(tc.in); err != nil || string(got) != tc.want {
			t.Errorf("got %s, %v\nwant %s", got, err, tc.want)
		}
	}
}

func TestCodes(t *testing.T) {
	seen := map[api.Code]bool{}
	for _, info := range api.Codes() {
		if seen[info.Code] {
			t.Errorf("%s is listed twice", info.Code)
		}
		seen[info.Code] = true
		if !info.Code.Known() || info.Code.Status() != info.Statuses[0] || info.Code.Message() != info.Message {
			t.Errorf("%s: methods and table disagree", info.Code)
		}
		for _, status := range info.Statuses {
			if status < 400 || status > 599 {
				t.Errorf("%s has status %d", info.Code, status)
			}
		}
		if !strings.HasSuffix(info.Message, ".") || info.Doc == "" {
			t.Errorf("%s: message %q, doc %q", info.Code, info.Message, info.Doc)
		}
	}
	odd := api.Code("NEW_ONE")
	if odd.Known() || odd.Status() != 500 || odd.Message() != "" {
		t.Error("a code that is not known has an entry")
	}
	api.Codes()[0].Statuses[0] = 1
	if api.CodeInvalidBody.Status() != 400 {
		t.Error("a caller can change the table")
	}
	if !errors.Is(fmt.Errorf("x: %w", api.CodeInvalidOTP), api.CodeInvalidOTP) {
		t.Error("a code is not an error one can look for")
	}
}

package aws_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/aws"
	"codeword/internal/carrier/carriertest"
)

const target = "PinpointSMSVoiceV2."

func config(s *carriertest.Server) aws.Config {
	return aws.Config{
		Name:                "aws-main",
		Region:              "us-east-1",
		AccessKeyID:         "AKIDEXAMPLE",
		SecretAccessKey:     "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
		OriginationIdentity: "pool-0123456789abcdef",
		ConfigurationSet:    "codeword",
		BaseURL:             s.URL,
		TLS:                 s.TLS(),
	}
}

func newCarrier(t *testing.T, cfg aws.Config) *aws.Carrier {
	t.Helper()
	c, err := aws.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newServer(t *testing.T, b carriertest.Behavior) *carriertest.Server {
	t.Helper()
	return carriertest.NewServer(t, b, carriertest.ServerConfig{IsCheck: func(r *http.Request) bool {
		return r.Header.Get("X-Amz-Target") != target+"SendTextMessage"
	}})
}

func TestConformance(t *testing.T) {
	carriertest.Run(t, carriertest.Subject{
		Open: func(t *testing.T, b carriertest.Behavior) carriertest.Peer {
			s := newServer(t, b)
			return carriertest.Peer{Carrier: newCarrier(t, config(s)), Received: s.Received}
		},
	})
}

// TestRequest holds the request against the API reference.
func TestRequest(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		left time.Duration
		ttl  int
	}{
		{10 * time.Minute, 600},
		{90*time.Second + 999*time.Millisecond, 90},
		{time.Second, 5},
		{-time.Hour, 5},
		{1000 * time.Hour, 259200},
	}
	s := newServer(t, carriertest.BehaviorAccept)
	cfg := config(s)
	cfg.Now = func() time.Time { return now }
	c := newCarrier(t, cfg)
	for i, tt := range tests {
		m := carriertest.Message(t, "+16502530000")
		m.ValidUntil = now.Add(tt.left)
		receipt, err := c.Send(t.Context(), m)
		if err != nil || receipt.Ref != "862a8790-60c0-4430-9b2b-658bdexample" || receipt.Delivered {
			t.Fatalf("got %+v, %v", receipt, err)
		}
		r := s.Requests()[i]
		var got map[string]any
		if err := json.Unmarshal(r.Body, &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{
			"DestinationPhoneNumber": "+16502530000",
			"MessageBody":            string(m.Text),
			"MessageType":            "TRANSACTIONAL",
			"OriginationIdentity":    "pool-0123456789abcdef",
			"ConfigurationSetName":   "codeword",
			"TimeToLive":             float64(tt.ttl),
			"Context":                map[string]any{"messageId": m.ID.String()},
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v left: got %v, want %v", tt.left, got, want)
		}
		if auth := r.Header.Get("Authorization"); !strings.Contains(auth, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") ||
			!strings.Contains(auth, "/us-east-1/sms-voice/aws4_request") {
			t.Errorf("authorization %q", auth)
		}
	}
}

// TestOptionalFields: what is not configured is not in the request.
func TestOptionalFields(t *testing.T) {
	s := newServer(t, carriertest.BehaviorAccept)
	cfg := config(s)
	cfg.OriginationIdentity, cfg.ConfigurationSet = "", ""
	if _, err := newCarrier(t, cfg).Send(t.Context(), carriertest.Message(t, carriertest.Number)); err != nil {
		t.Fatal(err)
	}
	if body := string(s.Requests()[0].Body); strings.Contains(body, "OriginationIdentity") || strings.Contains(body, "ConfigurationSet") {
		t.Errorf("got %s", body)
	}
}

// answering returns a carrier whose API gives one answer to everything.
func answering(t *testing.T, status int, body string) *aws.Carrier {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	return newCarrier(t, aws.Config{
		Name: "aws", Region: "us-east-1", AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret", BaseURL: server.URL,
	})
}

// exception is an error of the API, with a reason if it has one.
func exception(name, reason string) string {
	return fmt.Sprintf(`{"__type":"com.amazonaws.pinpointsmsvoicev2#%s","Message":"to +16502530000","Reason":%q}`, name, reason)
}

func TestCodes(t *testing.T) {
	field := func(reason, name string) string {
		return fmt.Sprintf(`{"__type":"ValidationException","Reason":%q,"Fields":[{"Name":"Other","Message":""},{"Name":%q}]}`, reason, name)
	}
	tests := []struct {
		status int
		body   string
		reason string
	}{
		{400, exception("AccessDeniedException", ""), carrier.ReasonMisconfigured},
		{400, exception("AccessDeniedException", "ACCOUNT_DISABLED"), carrier.ReasonFunds},
		{400, exception("AccessDeniedException", "INSUFFICIENT_ACCOUNT_REPUTATION"), carrier.ReasonFunds},
		{400, exception("ConflictException", "DESTINATION_PHONE_NUMBER_OPTED_OUT"), carrier.ReasonOptedOut},
		{400, exception("ConflictException", "DESTINATION_PHONE_NUMBER_NOT_VERIFIED"), carrier.ReasonMisconfigured},
		{400, exception("ConflictException", "DESTINATION_PHONE_NUMBER_BLOCKED_BY_PROTECT_NUMBER_OVERRIDE"), carrier.ReasonRejected},
		{400, exception("ConflictException", "DESTINATION_COUNTRY_BLOCKED_BY_PROTECT_CONFIGURATION"), carrier.ReasonMisconfigured},
		{400, exception("ConflictException", "REGISTRATION_NOT_COMPLETE"), carrier.ReasonUnregistered},
		{400, exception("ConflictException", "SOMETHING_NEW"), carrier.ReasonMisconfigured},
		{400, exception("ResourceNotFoundException", ""), carrier.ReasonMisconfigured},
		{400, exception("ServiceQuotaExceededException", "MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT"), carrier.ReasonFunds},
		{400, exception("ServiceQuotaExceededException", "TAGS_PER_RESOURCE"), carrier.ReasonMisconfigured},
		{400, exception("ThrottlingException", ""), carrier.ReasonThrottled},
		{429, exception("TooManyRequestsException", ""), carrier.ReasonThrottled},
		{400, exception("ValidationException", "SENDER_ID_NOT_REGISTERED"), carrier.ReasonUnregistered},
		{400, exception("ValidationException", "MAXIMUM_SIZE_EXCEEDED"), carrier.ReasonRejected},
		{400, exception("ValidationException", "INVALID_PARAMETER"), carrier.ReasonMisconfigured},
		{400, field("INVALID_PARAMETER", "DestinationPhoneNumber"), carrier.ReasonInvalidNumber},
		{400, field("CANNOT_PARSE", "destinationPhoneNumber"), carrier.ReasonInvalidNumber},
		{400, field("PRICE_OVER_THRESHOLD", "DestinationPhoneNumber"), carrier.ReasonMisconfigured},
		{400, field("INVALID_PARAMETER", "OriginationIdentity"), carrier.ReasonMisconfigured},
		{403, exception("InvalidSignatureException", ""), carrier.ReasonMisconfigured},
		{403, exception("ExpiredTokenException", ""), carrier.ReasonMisconfigured},
		{403, exception("SomethingNew", ""), carrier.ReasonMisconfigured},
		{400, exception("SomethingNew", ""), carrier.ReasonMisconfigured},
		{500, exception("SomethingNew", ""), carrier.ReasonCarrierError},
		{500, exception("InternalServerException", ""), carrier.ReasonCarrierError},
		{503, exception("ServiceUnavailable", ""), carrier.ReasonUnavailable},
		{503, "<html>", carrier.ReasonUnavailable},
		{502, "<html>", carrier.ReasonCarrierError},
		{502, "", carrier.ReasonCarrierError},
		{429, "slow down", carrier.ReasonThrottled},
		{302, "", carrier.ReasonMisconfigured},
		{200, "", carrier.ReasonGarbage},
		{200, "{}", carrier.ReasonGarbage},
		{200, `{"MessageId":""}`, carrier.ReasonGarbage},
		{200, `{"MessageId":7}`, carrier.ReasonGarbage},
		{200, `{"MessageId":"` + strings.Repeat("x", 129) + `"}`, carrier.ReasonGarbage},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d %.120s", tt.status, tt.body), func(t *testing.T) {
			_, err := answering(t, tt.status, tt.body).Send(t.Context(), carriertest.Message(t, carriertest.Number))
			got, want := carrier.Classify(err), carrier.NewError(tt.reason, nil)
			if got.Reason != tt.reason || got.Class != want.Class || got.Effect != want.Effect {
				t.Errorf("got %v %s (%v), want %v %s", got.Class, got.Reason, got.Cause, want.Class, tt.reason)
			}
			if throttled := tt.reason == carrier.ReasonThrottled; throttled != (got.RetryAfter == 3*time.Second) {
				t.Errorf("retry after %v", got.RetryAfter)
			}
			if strings.Contains(err.Error(), "650") {
				t.Errorf("the error quotes AWS: %v", err)
			}
		})
	}
}

func TestCheckExplains(t *testing.T) {
	tests := []struct {
		status     int
		body, want string
	}{
		{400, exception("UnrecognizedClientException", ""), "does not know the access key"},
		{403, exception("InvalidSignatureException", ""), "secret-access-key"},
		{403, exception("ExpiredTokenException", ""), "expired"},
		{400, exception("AccessDeniedException", ""), "sms-voice:DescribeAccountAttributes"},
		{400, exception("ThrottlingException", ""), "ThrottlingException"},
		{200, "<html>", "base-url"},
		{200, "{}", "base-url"},
		{500, "\x00\x1b[31m", "500"},
	}
	for _, tt := range tests {
		err := answering(t, tt.status, tt.body).Check(t.Context())
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.ContainsAny(err.Error(), "\x00\x1b\n") {
			t.Errorf("%d %.60s: got %v, want %q", tt.status, tt.body, err, tt.want)
		}
	}
}

// TestNoCredentials: nothing to be found is the operator's to mend, and other
// routes may do meanwhile.
func TestNoCredentials(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	s := newServer(t, carriertest.BehaviorAccept)
	cfg := config(s)
	cfg.AccessKeyID, cfg.SecretAccessKey = "", ""
	c := newCarrier(t, cfg)
	_, err := c.Send(t.Context(), carriertest.Message(t, carriertest.Number))
	if e := carrier.Classify(err); e.Reason != carrier.ReasonMisconfigured || s.Received() != 0 {
		t.Errorf("got %s (%v)", e.Reason, e.Cause)
	}
	if err := c.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "no credentials") {
		t.Errorf("check: got %v", err)
	}

	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDFROMENV")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	if _, err := newCarrier(t, cfg).Send(t.Context(), carriertest.Message(t, carriertest.Number)); err != nil {
		t.Fatal(err)
	}
	if auth := s.Requests()[0].Header.Get("Authorization"); !strings.Contains(auth, "AKIDFROMENV") {
		t.Errorf("authorization %q: not the environment's credentials", auth)
	}
}

func TestConfigTellsAllAtOnce(t *testing.T) {
	_, err := aws.New(aws.Config{
		Region: "us-east-1.evil.example", AccessKeyID: "AKID", OriginationIdentity: "a b", ConfigurationSet: "ü",
		TopicARN: "arn:aws:sns:us-east-1:1:x", BaseURL: "http://example.com",
	})
	if err == nil {
		t.Fatal("accepted")
	}
	lines := strings.Split(err.Error(), "\n")
	want := []string{
		"name:", "region:", "secret-access-key:", "origination-identity:", "configuration-set:", "topic-arn:", "base-url:",
	}
	if len(lines) != len(want) {
		t.Fatalf("got %q", lines)
	}
	for i := range want {
		if !strings.HasPrefix(lines[i], want[i]) {
			t.Errorf("line %d is %q, want %s", i, lines[i], want[i])
		}
	}
	for arn, ok := range map[string]bool{
		"arn:aws:sns:us-east-1:123456789012:sms":                  true,
		"arn:aws-cn:sns:cn-north-1:123456789012:sms":              true,
		"arn:aws-us-gov:sns:us-gov-west-1:123456789012:sms":       true,
		"arn:aws:sns:s3-us-west-2.x:123456789012:sms":             false,
		"arn:aws:sqs:us-east-1:123456789012:sms":                  false,
		"arn:aws:sns:us-east-1:123456789012:sms\nevil":            false,
		"arn:aws:sns:us-east-1:123456789012:sms:0e5b0c1d-aaaa-bb": false,
	} {
		err := aws.Config{Name: "aws", Region: "us-east-1", TopicARN: arn}.Validate()
		if (err == nil) != ok {
			t.Errorf("topic %q: got %v", arn, err)
		}
	}
}

func fixture(tb testing.TB, name string) string {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "sns", name))
	if err != nil {
		tb.Fatal(err)
	}
	return string(raw)
}

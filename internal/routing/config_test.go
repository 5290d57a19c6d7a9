package routing_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"codeword/internal/carrier/carriertest"
	"codeword/internal/routing"
)

func TestNewNamesEveryWrongField(t *testing.T) {
	c := carriertest.NewFake("main", nil)
	_, err := routing.New(routing.Config{
		OpenFor: -1, MinSamples: -1, Explore: math.NaN(),
		Routes: []routing.Route{
			{Name: "main", Carrier: c},
			{Name: "main", Carrier: c},
			{Name: "inbox", Priority: -1, Weight: -1, PriceMicros: -1, Rate: math.NaN(), ReceiptTimeout: -1, UnknownTimeout: -time.Second},
			{Name: "Not a name=", Carrier: c, AreaCodes: []string{"650", "65", "abc", "099", "650", "6500"}, Rate: math.Inf(1)},
		},
	})
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{
		"inbox: required", "open-for: ", "min-samples: ", "explore: ",
		"routes[1]: name: there is another",
		"routes[2]: name: ", "carrier: required", "priority: ", "weight: ", "price: ", "rate: ", "receipt-timeout: ", "unknown-timeout: ",
		"routes[3]: name: ", `area-codes: "65" is not`, `area-codes: "abc"`, `area-codes: "099"`, `area-codes: "650" is in the list`, `area-codes: "6500"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing says %q:\n%v", want, err)
		}
	}
}

func TestDecisionText(t *testing.T) {
	in := []routing.Decision{
		{Route: "a", Reason: routing.NotAllowed},
		{Route: "b-2", Reason: routing.AreaCode},
		{Route: "c_3", Reason: routing.Tried},
		{Route: "d", Reason: routing.BreakerOpen},
		{Route: "e", Reason: routing.Stalled},
		{Route: "f", Reason: routing.Throttled},
		{Route: "g", Reason: routing.Busy},
		{Route: "h", Reason: routing.Unhealthy},
		{Route: "i", Reason: routing.LowerPriority},
		{Route: "j", Reason: routing.NotDrawn},
		{Route: "k", Reason: routing.Explored},
		{Route: "l", Reason: routing.Chosen},
	}
	text := routing.FormatDecision(in)
	if !strings.HasPrefix(text, "a=not_allowed b-2=area_code c_3=tried d=breaker_open ") {
		t.Errorf("text %q", text)
	}
	out, err := routing.ParseDecision(text)
	if err != nil || !slices.Equal(in, out) {
		t.Errorf("back came %v, %v", out, err)
	}
	if out, err := routing.ParseDecision(""); out != nil || err != nil {
		t.Errorf("empty: %v, %v", out, err)
	}
	for _, bad := range []string{" ", "a", "a=", "=chosen", "a=chosen ", "a=chosen  b=tried", "a=Chosen", "A=chosen", "a=b=chosen", "a=chosen\n", strings.Repeat("a", 33) + "=chosen"} {
		if out, err := routing.ParseDecision(bad); err == nil {
			t.Errorf("%q became %v", bad, out)
		}
	}
}

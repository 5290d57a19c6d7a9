package carriers_test

import (
	"testing"

	"codeword/internal/waittest"
	"codeword/test/gateway"
)

// counted is what the overview tells of something.
type counted struct {
	Sent, Delivered, Verified, Failed, SpendMicros int64
	TimeToDelivery, TimeToVerification             *struct{ MedianSeconds float64 }
}

// overview is the answer of GET /admin/v1/overview.
type overview struct {
	Now    counted
	Routes []struct {
		Route string
		Now   counted
	}
	Clients []struct {
		ClientID string
		Now      counted
	}
	AreaCodes []struct {
		AreaCode int
		State    string
		Now      counted
	}
	Failures []struct {
		Route, Reason string
		Count         int64
	}
}

// TestOverview: what three codes went through is in the overview, each step once,
// although receipts come twice and the server is killed in between.
func TestOverview(t *testing.T) {
	t.Parallel()
	own, spare := gateway.New(t), gateway.New(t)
	s := start(t, own.Route("own", 1, "price: 0.0125,")+spare.Route("spare", 2, "price: 0.02,"))
	answer := s.send(phoneA)
	got := own.Await(phoneA)
	s.becomes(phoneA, "sent")
	for range 2 {
		own.Report(s.Endpoint, "own", gateway.Delivered("ref-"+got.ID))
	}
	if _, err := s.live().Authenticate(t.Context(), answer.PhoneID, gateway.CodeOf.FindString(got.Text)); err != nil {
		t.Fatal(err)
	}
	waittest.Until(t, "the log tells of the code's use", func() bool { return !s.message(phoneA).VerifyTime.IsZero() })

	s.send(phoneB) // the first route reports a failure, and the second takes it
	failed := own.Await(phoneB)
	s.becomes(phoneB, "sent")
	for range 2 {
		own.Report(s.Endpoint, "own", gateway.Failed("ref-"+failed.ID, "unreachable"))
	}
	spare.Await(phoneB)
	waittest.Until(t, "the second route has it", func() bool { m := s.message(phoneB); return m.path() == "own:sent spare:sent" })
	s.Kill() // before anything was added up, most likely
	s.Restart()
	own.Report(s.Endpoint, "own", gateway.Delivered("ref-"+got.ID))

	var o overview
	waittest.Until(t, "the overview has both", func() bool {
		o = overview{}
		s.admin("/admin/v1/overview?range=7d", &o)
		return o.Now.Sent == 2 && len(o.Failures) > 0
	})
	if n := o.Now; n.Delivered != 1 || n.Verified != 1 || n.Failed != 0 || n.SpendMicros != 2*12500+20000 || n.TimeToDelivery == nil || n.TimeToVerification == nil {
		t.Errorf("in all %+v", n)
	}
	routes := map[string]counted{}
	for _, r := range o.Routes {
		routes[r.Route] = r.Now
	}
	if own, spare := routes["own"], routes["spare"]; own.Sent != 2 || own.Delivered != 1 || own.Verified != 1 || spare.Sent != 1 || spare.Delivered != 0 {
		t.Errorf("by route %+v", routes)
	}
	if len(o.Clients) != 1 || o.Clients[0].ClientID != s.Live.ID || o.Clients[0].Now.Sent != 2 {
		t.Errorf("by client %+v", o.Clients)
	}
	areas := map[int]string{}
	for _, a := range o.AreaCodes {
		if a.Now.Sent == 1 {
			areas[a.AreaCode] = a.State
		}
	}
	if len(areas) != 2 || areas[650] != "CA" || areas[212] != "NY" {
		t.Errorf("by area code %+v", o.AreaCodes)
	}
	if f := o.Failures; len(f) != 1 || f[0].Route != "own" || f[0].Reason != "unreachable" || f[0].Count != 1 {
		t.Errorf("failures %+v", f)
	}
}

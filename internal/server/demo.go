package server

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"

	"codeword/internal/server/demo"
)

// Demo is what the demo page at /demo needs. Only a development instance has one.
type Demo struct {
	// ClientID and ClientSecret are those of a test client, whose messages reach
	// no phone. The page's calls are made in its name.
	ClientID, ClientSecret string
	// Inbox is the URL of the page on which its messages are.
	Inbox string
}

// pathDemo is where the page is; its files and calls are below.
const pathDemo = "/demo"

// maxDemoBody bounds the bodies of the page's calls, which are far smaller.
const maxDemoBody = 1 << 10

// demo lists the endpoints of the demo page; none without a Demo.
func (s *Server) demo() []endpoint {
	if s.cfg.Demo == nil {
		return nil
	}
	pages := demo.New()
	page := func(x *exchange) error {
		if !pages.Serve(x, x.r.URL.Path, demo.View{Inbox: s.cfg.Demo.Inbox, Address: x.visitor()}) {
			return notFound()
		}
		return nil
	}
	return []endpoint{
		{http.MethodGet, pathDemo, page},
		{http.MethodGet, pathDemo + "/", page},
		{http.MethodPost, pathDemo + "/send", s.forVisitor(s.send())},
		{http.MethodPost, pathDemo + "/authenticate", s.forVisitor(s.authenticate())},
	}
}

// forVisitor is the back end of the page: it makes a call in the name of the test
// client, so that the secret stays here, and answers what the call answers. A
// visitor chooses the body and nothing else.
func (s *Server) forVisitor(call handle) handle {
	d, sites := s.cfg.Demo, http.NewCrossOriginProtection()
	return func(x *exchange) error {
		if x.cause = sites.Check(x.r); x.cause != nil {
			// No code of the API says this, and the page never meets it.
			http.Error(x, "Only the demo page may call this.", http.StatusForbidden)
			return nil //nolint:nilerr // it has answered
		}
		// Browsers tell the length of what a script sends.
		if n := x.r.ContentLength; n < 0 || n > maxDemoBody {
			return refuseBody(http.StatusRequestEntityTooLarge, "body of a demo call is too large or of unknown length")
		}
		client, err := s.cfg.Clients.Authenticate(d.ClientID, d.ClientSecret)
		if err != nil {
			return err
		}
		if client.Live {
			return errors.New("the demo's client is live") // a mistake of ours; visitors must not send for it
		}
		visitor := x.visitor()
		h := http.Header{keyClientID: {d.ClientID}, keyClientSecret: {d.ClientSecret}}
		if visitor.IsValid() {
			h[keyFingerprint] = []string{fmt.Sprintf(`{"ip": %q}`, visitor)}
		}
		for _, name := range []string{"Content-Type", "Content-Encoding"} {
			if values := x.r.Header[name]; values != nil {
				h[name] = values
			}
		}
		x.r.Header = h
		return call(x)
	}
}

// visitor returns the address that the browser has, as far as trusted proxies
// tell it.
func (x *exchange) visitor() netip.Addr {
	if a := forwardedFor(x.s.cfg.TrustedProxies, x.r.RemoteAddr, x.r.Header["X-Forwarded-For"]); a.IsValid() {
		return a
	}
	peer, _ := netip.ParseAddrPort(x.r.RemoteAddr) // the zero Addr if it cannot be read
	return peer.Addr().Unmap().WithZone("")
}

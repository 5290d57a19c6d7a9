package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"codeword/api"
	"codeword/client"
)

// service plays a Codeword service that knows one code.
func service() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path == api.PathSend:
			reply(w, http.StatusOK, `{"phoneId":"phone-number-test-1","phoneMask":"0000"}`)
		case string(body) == `{"phoneId":"phone-number-test-1","otp":"123456"}`:
			reply(w, http.StatusOK, `{"sessionJwt":"eyJhbGciOiJFUzI1NiJ9.e30.c2ln"}`)
		default:
			reply(w, http.StatusUnauthorized, problem(api.CodeInvalidOTP, `,"data":{"retryable":true}`), "WWW-Authenticate", "Bearer")
		}
	}))
}

func Example() {
	srv := service()
	defer srv.Close()
	ctx := context.Background()

	c, err := client.New(client.Config{BaseURL: srv.URL, ClientID: "client-1", ClientSecret: "secret"})
	if err != nil {
		fmt.Println(err)
		return
	}
	sent, err := c.Send(ctx, "+16502180000")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("code sent to the number ending in", sent.PhoneMask)

	auth, err := c.Authenticate(ctx, sent.PhoneID, "123456")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("verified, token", auth.SessionJWT)
	// Output:
	// code sent to the number ending in 0000
	// verified, token [redacted]
}

func ExampleError() {
	srv := service()
	defer srv.Close()
	c, err := client.New(client.Config{BaseURL: srv.URL, ClientID: "client-1", ClientSecret: "secret"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = c.Authenticate(context.Background(), "phone-number-test-1", "000000")

	var failure *client.Error
	switch {
	case errors.Is(err, api.CodeInvalidOTP) && errors.As(err, &failure) && failure.Retryable:
		fmt.Println("wrong code, try again")
	case errors.Is(err, api.CodeInvalidOTP):
		fmt.Println("ask for a new code")
	case errors.As(err, &failure) && failure.RetryAfter > 0:
		fmt.Println("wait", failure.RetryAfter)
	default:
		fmt.Println(err)
	}
	// Output: wrong code, try again
}

func ExampleWithIdempotencyKey() {
	srv := service()
	defer srv.Close()
	c, err := client.New(client.Config{BaseURL: srv.URL, ClientID: "client-1", ClientSecret: "secret"})
	if err != nil {
		fmt.Println(err)
		return
	}
	// The key is kept with the order, so that a restart does not send twice.
	sent, err := c.Send(context.Background(), "+16502180000", client.WithIdempotencyKey("order-4711"))
	fmt.Println(sent.IdempotencyKey, err)
	// Output: order-4711 <nil>
}

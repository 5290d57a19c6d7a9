// Command bare is the yardstick of the benchmarks: net/http with nothing behind
// it. It decodes the body of a send and answers what the service would, with the
// same headers and the same JSON library, so that a figure of the service can be
// told as a multiple of what HTTP and JSON alone cost on the same machine.
package main

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
)

type sendRequest struct {
	PhoneNumber string `json:"phoneNumber"`
}

type sendResponse struct {
	PhoneID   string `json:"phoneId"`
	PhoneMask string `json:"phoneMask"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bare", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:0", "address to listen on")
	data := flags.String("data", ".", "directory in which dev.env tells the address")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", *listen)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           routes(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	env := "CODEWORD_URL=http://" + listener.Addr().String() + "\n"
	if err := os.WriteFile(filepath.Join(*data, "dev.env"), []byte(env), 0o600); err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("POST /v1/auth/otp/sms:send", send)
	return mux
}

func send(w http.ResponseWriter, r *http.Request) {
	var request sendRequest
	err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, 16<<10), &request)
	if err != nil || len(request.PhoneNumber) < 4 {
		http.Error(w, `{"code":"INVALID_BODY"}`, http.StatusBadRequest)
		return
	}
	body, err := json.Marshal(sendResponse{
		PhoneID:   "phone-number-test-" + randomUUID(),
		PhoneMask: request.PhoneNumber[len(request.PhoneNumber)-4:],
	})
	if err != nil {
		http.Error(w, `{"code":"UNAVAILABLE"}`, http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Request-Id", randomUUID())
	_, _ = w.Write(body) // the caller is gone
}

// randomUUID returns a version 4 UUID (RFC 9562, section 5.4). It guards
// nothing, so a fast generator will do.
func randomUUID() string {
	var raw [16]byte
	for i, half := range [2]uint64{rand.Uint64(), rand.Uint64()} {
		for j := range 8 {
			raw[i*8+j] = byte(half >> (8 * j))
		}
	}
	raw[6] = raw[6]&0x0f | 0x40
	raw[8] = raw[8]&0x3f | 0x80
	var text [36]byte
	hex.Encode(text[0:8], raw[0:4])
	hex.Encode(text[9:13], raw[4:6])
	hex.Encode(text[14:18], raw[6:8])
	hex.Encode(text[19:23], raw[8:10])
	hex.Encode(text[24:36], raw[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

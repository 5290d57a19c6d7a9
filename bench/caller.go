package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"codeword/bench/internal/target"
	"codeword/bench/internal/wire"
)

const (
	inboxPatience = 10 * time.Second // for a message to show up
	inboxRetry    = 20 * time.Millisecond
	maxAnswer     = 4 << 20
)

// caller makes the untimed calls that prepare a workload, through net/http.
type caller struct {
	http       *http.Client
	url        string
	host       string
	admin      string
	adminToken string
	id, secret string
}

// newCaller reads where the server is and who may call it from its dev.env.
func newCaller(env map[string]string, client string, connections int) (*caller, error) {
	c := &caller{
		url: env["CODEWORD_URL"], admin: env["CODEWORD_ADMIN_URL"], adminToken: env["CODEWORD_ADMIN_TOKEN"],
		id: env["CODEWORD_CLIENT_ID"], secret: env["CODEWORD_CLIENT_SECRET"],
	}
	if client == "live" {
		c.id, c.secret = env["CODEWORD_LIVE_CLIENT_ID"], env["CODEWORD_LIVE_CLIENT_SECRET"]
	}
	base, err := url.Parse(c.url)
	if err != nil || base.Scheme != "http" || base.Port() == "" {
		return nil, fmt.Errorf("CODEWORD_URL is %q, want http://host:port", c.url)
	}
	c.host = base.Host
	transport := &http.Transport{MaxIdleConns: connections, MaxIdleConnsPerHost: connections}
	c.http = &http.Client{Transport: transport, Timeout: time.Minute}
	return c, nil
}

func (c *caller) close() { c.http.CloseIdleConnections() }

// template renders the fixed part of one of the two calls; bearer may be empty.
func (c *caller) template(path, bearer string) (*wire.Template, error) {
	headers := []wire.Header{{Name: "ratio-client-id", Value: c.id}, {Name: "ratio-client-secret", Value: c.secret}}
	if bearer != "" {
		headers = append(headers, wire.Header{Name: "Authorization", Value: "Bearer " + bearer})
	}
	return wire.NewTemplate(c.host, path, headers...)
}

// session verifies a number through the real calls and returns its session JWT.
func (c *caller) session(ctx context.Context, number string) (string, error) {
	var sent struct {
		PhoneID string `json:"phoneId"`
	}
	if err := c.post(ctx, pathSend, map[string]string{"phoneNumber": number}, &sent); err != nil {
		return "", err
	}
	code, err := c.code(ctx, number)
	if err != nil {
		return "", err
	}
	var done struct {
		SessionJWT string `json:"sessionJwt"`
	}
	err = c.post(ctx, pathAuthenticate, map[string]string{"phoneId": sent.PhoneID, "otp": code}, &done)
	if err == nil && done.SessionJWT == "" {
		err = errors.New("authenticate answered no sessionJwt")
	}
	return done.SessionJWT, err
}

func (c *caller) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("ratio-client-id", c.id)
	request.Header.Set("ratio-client-secret", c.secret)
	request.Header.Set("Content-Type", "application/json")
	return c.do(request, out)
}

// do makes one call whose answer must be a 200.
func (c *caller) do(request *http.Request, out any) error {
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %.300s", request.URL.Path, response.Status, body)
	}
	return json.Unmarshal(body, out)
}

// code waits for the newest message to a number in the inbox and takes the code
// from its text.
func (c *caller) code(ctx context.Context, number string) (string, error) {
	address := c.admin + "/admin/v1/inbox?to=" + url.QueryEscape(number)
	deadline := time.Now().Add(inboxPatience)
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return "", err
		}
		request.Header.Set("Authorization", "Bearer "+c.adminToken)
		var inbox struct {
			Messages []struct {
				Text string `json:"text"`
			} `json:"messages"`
		}
		if err := c.do(request, &inbox); err != nil {
			return "", err
		}
		if len(inbox.Messages) > 0 {
			return codeIn(inbox.Messages[0].Text)
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("no message in the inbox after %v: is delivery off?", inboxPatience)
		}
		select {
		case <-time.After(inboxRetry):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// codeIn finds the code in a message: its first run of exactly six digits.
func codeIn(text string) (string, error) {
	noDigit := func(r rune) bool { return r < '0' || r > '9' }
	for run := range strings.FieldsFuncSeq(text, noDigit) {
		if len(run) == 6 {
			return run, nil
		}
	}
	return "", errors.New("no six-digit code in the message")
}

// cpuProfile writes a CPU profile of the next d to w.
func (c *caller) cpuProfile(ctx context.Context, d time.Duration, w io.Writer) error {
	seconds := max(int(d/time.Second), 1)
	address := fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", c.admin, seconds)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+c.adminToken)
	client := &http.Client{Transport: c.http.Transport, Timeout: d + time.Minute}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("no profile: %s", response.Status)
	}
	_, err = io.Copy(w, response.Body)
	return err
}

// settle waits until the server has finished what the preparation left behind:
// less than 5 % of one CPU for half a second, or a minute at most.
func settle(ctx context.Context, server *fleet) error {
	const step = 500 * time.Millisecond
	before, err := server.Usage()
	for deadline := time.Now().Add(time.Minute); err == nil && time.Now().Before(deadline); {
		select {
		case <-time.After(step):
		case <-ctx.Done():
			return ctx.Err()
		}
		var now target.Usage
		if now, err = server.Usage(); err == nil && now.CPU-before.CPU < step/20 {
			return nil
		}
		before = now
	}
	return err
}

package logline_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"codeword/internal/carrier/carriertest"
	"codeword/internal/carrier/logline"
)

// output counts lines, or fails.
type output struct {
	err   error
	lines atomic.Int64
}

func (o *output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	if bytes.Count(p, []byte("\n")) != 1 || !bytes.HasSuffix(p, []byte("\n")) {
		return 0, errors.New("not one line")
	}
	o.lines.Add(1)
	return len(p), nil
}

func TestConformance(t *testing.T) {
	const why = "a file takes everything"
	carriertest.Run(t, carriertest.Subject{
		Open: func(t *testing.T, b carriertest.Behavior) carriertest.Peer {
			out := &output{}
			if b == carriertest.BehaviorCutBefore {
				out.err = io.ErrClosedPipe
			}
			c, err := logline.New(logline.Config{Name: "log", Out: out})
			if err != nil {
				t.Fatal(err)
			}
			return carriertest.Peer{Carrier: c, Received: func() int { return int(out.lines.Load()) }}
		},
		Lacks: map[carriertest.Behavior]string{
			carriertest.BehaviorReject:   why,
			carriertest.BehaviorOptedOut: why,
			carriertest.BehaviorRetry:    why,
			carriertest.BehaviorThrottle: why,
			carriertest.BehaviorAuth:     why,
			carriertest.BehaviorUnknown:  why,
			carriertest.BehaviorGarbage:  why,
			carriertest.BehaviorFlood:    why,
			carriertest.BehaviorSlow:     why,
			carriertest.BehaviorCutAfter: why,
		},
	})
}

func TestLine(t *testing.T) {
	var out strings.Builder
	at := time.Date(2026, 3, 1, 13, 0, 0, 0, time.FixedZone("CET", 3600))
	c, err := logline.New(logline.Config{Name: "log", Out: &out, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	m := carriertest.Message(t, "+16502530000")
	m.Text = "123456 is your code.\n\n@example.com #123456"
	m.ValidUntil = at.Add(-time.Minute)
	receipt, err := c.Send(t.Context(), m)
	if err != nil || !receipt.Delivered {
		t.Errorf("got %+v, %v, want delivered", receipt, err)
	}
	want := `2026-03-01T12:00:00Z to +16502530000: 123456 is your code.\n\n@example.com #123456` + "\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestConfigTellsAllAtOnce(t *testing.T) {
	_, err := logline.New(logline.Config{})
	if err == nil || err.Error() != "name: required\nout: required" {
		t.Errorf("got %v", err)
	}
}

// Package logline is the carrier "log" of developers: it writes each message as
// one line instead of sending it. It is for development only, since the lines
// hold whole phone numbers and working codes.
package logline

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"codeword/internal/carrier"
)

// Config is what a Carrier needs. None of it is an operator's to set.
type Config struct {
	// Name is the route's name.
	Name string `yaml:"-"`
	// Out takes the lines, one Write each.
	Out io.Writer `yaml:"-"`
	// Now is the clock of the lines. Default time.Now.
	Now func() time.Time `yaml:"-"`
}

// Validate tells everything that is wrong with the settings.
func (c Config) Validate() error {
	var errs []error
	if c.Name == "" {
		errs = append(errs, errors.New("name: required"))
	}
	if c.Out == nil {
		errs = append(errs, errors.New("out: required"))
	}
	return errors.Join(errs...)
}

// Carrier writes messages to Config.Out.
type Carrier struct {
	cfg Config
	mu  sync.Mutex // one line at a time
}

// New returns a Carrier, or what is wrong with its settings.
func New(cfg Config) (*Carrier, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Carrier{cfg: cfg}, nil
}

// Name implements [carrier.Carrier].
func (c *Carrier) Name() string { return c.cfg.Name }

// Traits are those of an ordinary carrier: a code that has died is not printed.
func (*Carrier) Traits() carrier.Traits { return carrier.Traits{} }

// Send writes "TIME to NUMBER: TEXT" and counts that as delivered. Line ends
// within the text are written as \n.
func (c *Carrier) Send(ctx context.Context, m carrier.Message) (carrier.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return carrier.Receipt{}, carrier.NewError(carrier.ReasonCanceled, err)
	}
	var b strings.Builder
	b.WriteString(c.cfg.Now().UTC().Format(time.RFC3339))
	b.WriteString(" to ")
	b.WriteString(m.To.E164())
	b.WriteString(": ")
	b.WriteString(strings.NewReplacer("\r", `\r`, "\n", `\n`).Replace(string(m.Text)))
	b.WriteByte('\n')

	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := io.WriteString(c.cfg.Out, b.String()); err != nil {
		return carrier.Receipt{}, carrier.NewError(carrier.ReasonUnavailable, err)
	}
	return carrier.Receipt{Delivered: true, Ref: m.ID.String()}, nil
}

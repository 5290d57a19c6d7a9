package app

import (
	"context"
	"fmt"

	"codeword/client"
)

// callFlags say whom to call; `set -a; . DATA/dev.env` sets them all.
type callFlags struct {
	URL          string `required:"" help:"Where the service is." placeholder:"URL"`
	ClientID     string `required:"" help:"Client id."`
	ClientSecret string `required:"" help:"Client secret; better given by the environment than on the command line."`
	Session      string `help:"Session JWT to send along."`
}

func (f *callFlags) client() (*client.Client, error) {
	c, err := client.New(client.Config{
		BaseURL:      f.URL,
		ClientID:     f.ClientID,
		ClientSecret: client.Secret(f.ClientSecret),
		Session:      client.Secret(f.Session),
		UserAgent:    "codeword-cli",
	})
	return c, asUsage(err)
}

type sendCommand struct {
	callFlags
	Phone string `arg:"" help:"Number in E.164."`
}

// Run sends a code and prints the phone's id.
func (c *sendCommand) Run(ctx context.Context, s streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	res, err := api.Send(ctx, c.Phone)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, res.PhoneID)
	return err
}

type verifyCommand struct {
	callFlags
	PhoneID string `arg:"" help:"Id that send printed."`
	Code    string `arg:"" help:"The code."`
}

// Run authenticates and prints the session JWT.
func (c *verifyCommand) Run(ctx context.Context, s streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	res, err := api.Authenticate(ctx, c.PhoneID, c.Code)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, res.SessionJWT.Reveal())
	return err
}

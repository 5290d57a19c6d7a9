package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"codeword/internal/keyring"
	"codeword/internal/server"
	"codeword/internal/tracing"
)

// minAdminToken is the shortest admin token that is accepted, in bytes.
const minAdminToken = 32

type serveCommand struct {
	Config kong.ConfigFlag `help:"YAML file with one key per flag." placeholder:"FILE"`
	Check  bool            `help:"Check the configuration, report all errors, and exit."`
	storeFlags
	serverFlags
	Listen      string `help:"Address of the public listener." default:"127.0.0.1:8080"`
	AdminListen string `help:"Address of the admin listener." default:"127.0.0.1:8081"`
	PublicURL   string `help:"URL under which callers reach the public listener; the iss of session JWTs." placeholder:"URL"`
	AdminToken  string `help:"Bearer token of the admin listener, at least 32 bytes. Best given as CODEWORD_ADMIN_TOKEN."`
	TLSCert     string `name:"tls-cert" help:"PEM certificate chain of the public listener; SIGHUP reloads it." placeholder:"FILE"`
	TLSKey      string `name:"tls-key" help:"PEM key of the certificate." placeholder:"FILE"`
}

// Run serves until the process is told to stop.
func (c *serveCommand) Run(ctx context.Context, s streams, file *configFile) error {
	st, ring, err := c.validate(file)
	carriers, carriersErr := c.carriersFile(c.PublicURL)
	traces, tracesErr := tracing.FromEnv(os.Getenv)
	if err := errors.Join(err, carriersErr, tracesErr); err != nil {
		return asUsage(err)
	}
	if c.Check {
		_, err := fmt.Fprintln(s.out, "configuration is good")
		return err
	}
	log, flush := newLogger(s.err, c.LogFormat, parseLevel(c.LogLevel))
	defer flush()
	defer captureLibraries(log)()
	public, admin, err := listen(ctx, c.Listen, c.AdminListen)
	if err != nil {
		return err
	}
	n, err := newNode(ctx, nodeConfig{
		Storage: st, Ring: ring, Public: public, Admin: admin,
		PublicURL: c.PublicURL, AdminToken: c.AdminToken, TLSCert: c.TLSCert, TLSKey: c.TLSKey,
		Flags: c.serverFlags, Routes: carriers.Routes, Online: carriers.Online, Tracing: traces,
		Out: s.out, Now: time.Now, Log: log,
	})
	if err != nil {
		return err
	}
	if len(carriers.Routes) == 0 {
		log.Warn("no carriers are configured: the messages of live clients are shown in the inbox and sent to nobody")
	}
	defer onHangup(n.reload)()
	return n.run(ctx)
}

// validate reports everything that is wrong with the configuration, joined.
func (c *serveCommand) validate(file *configFile) (st storage, ring *keyring.Ring, err error) {
	st, err = c.resolve()
	errs := []error{
		file.err(), err, c.serverFlags.validate(), validatePublicURL(c.PublicURL),
		validateListen("listen", c.Listen), validateListen("admin-listen", c.AdminListen),
	}
	if c.Listen == c.AdminListen && !strings.HasSuffix(c.Listen, ":0") {
		errs = append(errs, errors.New("listen and admin-listen: must differ"))
	}
	if len(c.AdminToken) < minAdminToken {
		errs = append(errs, fmt.Errorf("admin-token: required, at least %d bytes", minAdminToken))
	}
	if st.File != "" {
		if _, err := os.Stat(filepath.Dir(st.File)); err != nil {
			errs = append(errs, fmt.Errorf("database: %w", err))
		}
	}
	if c.Keyset != "" {
		ring, err = keyring.Load(c.Keyset)
		errs = append(errs, err)
	}
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		errs = append(errs, errors.New("tls-cert and tls-key: give both or neither"))
	case c.TLSCert != "":
		if _, err := server.LoadCertificates(c.TLSCert, c.TLSKey); err != nil {
			errs = append(errs, fmt.Errorf("tls-cert and tls-key: %w", err))
		}
	}
	return st, ring, errors.Join(errs...)
}

// listen binds both addresses before anything else happens.
func listen(ctx context.Context, publicAddr, adminAddr string) (public, admin net.Listener, err error) {
	var lc net.ListenConfig
	if public, err = lc.Listen(ctx, "tcp", publicAddr); err != nil {
		return nil, nil, err
	}
	if admin, err = lc.Listen(ctx, "tcp", adminAddr); err != nil {
		return nil, nil, errors.Join(err, public.Close())
	}
	return public, admin, nil
}

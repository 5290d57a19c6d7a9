package app

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"codeword/internal/audit"
	"codeword/internal/console/login"
	"codeword/internal/fault"
	"codeword/internal/keyring"
	"codeword/internal/server"
	"codeword/internal/store"
	"codeword/internal/tenant"
	"codeword/internal/tracing"
)

// The files in a dev instance's directory.
const (
	databaseFile = "codeword.db"
	keysetFile   = "keyset.json"
	envFile      = "dev.env"
)

func dataPath(dir, file string) string { return filepath.Join(dir, file) }

type devCommand struct {
	Listen      string `help:"Address of the public listener." default:"127.0.0.1:8080"`
	AdminListen string `help:"Address of the admin listener." default:"127.0.0.1:8081"`
	Data        string `help:"Directory for database, keys and dev.env." default:"./codeword-data" placeholder:"DIR"`
	// Not CODEWORD_DATABASE: who has that set for the commands of a real instance
	// wants an instance of its own here.
	Database  string `env:"CODEWORD_DEV_DATABASE" help:"Another database than the one in --data, as serve takes it." placeholder:"URL"`
	Ephemeral string `env:"CODEWORD_DEV_EPHEMERAL" help:"Where what expires is kept, as serve takes it." placeholder:"URL"`
	PublicURL string `env:"CODEWORD_DEV_PUBLIC_URL" help:"URL under which callers reach the public listener, the iss of session JWTs; its address by default." placeholder:"URL"`
	serverFlags
}

// Run serves until the process is told to stop.
func (c *devCommand) Run(ctx context.Context, s streams) error {
	carriers, err := c.carriersFile(c.PublicURL)
	traces, tracesErr := tracing.FromEnv(os.Getenv)
	err = errors.Join(err, tracesErr, c.validate(), validateListen("listen", c.Listen), validateListen("admin-listen", c.AdminListen))
	if c.PublicURL != "" {
		err = errors.Join(err, validatePublicURL(c.PublicURL))
	}
	cfg := DevConfig{Data: c.Data, Database: c.Database, Ephemeral: c.Ephemeral, PublicURL: c.PublicURL, Listen: c.Listen, AdminListen: c.AdminListen}
	if _, wrong := cfg.storage(); wrong != nil {
		err = errors.Join(err, wrong)
	}
	if err != nil {
		return asUsage(err)
	}
	log, flush := newLogger(s.err, c.LogFormat, parseLevel(c.LogLevel))
	defer flush()
	defer captureLibraries(log)()
	cfg.Now, cfg.Log = time.Now, log
	d, err := startDev(ctx, cfg, nodeConfig{Flags: c.serverFlags, Routes: carriers.Routes, Online: carriers.Online, Tracing: traces, Out: s.out})
	if err != nil {
		return err
	}
	defer onHangup(d.node.reload)()
	if _, err := fmt.Fprint(s.out, d.welcome(c.Data)); err != nil {
		return errors.Join(err, d.Close())
	}
	select {
	case <-ctx.Done():
	case <-d.done:
	}
	return d.Close()
}

// DevConfig is what a development instance needs.
type DevConfig struct {
	// Data is its directory; it is created when missing.
	Data string
	// Database and Ephemeral name engines as the flags do; empty: a file in Data, and
	// everything in it.
	Database, Ephemeral string
	// PublicURL is where callers reach it; empty: where it listens.
	PublicURL string
	// Listen and AdminListen are addresses; port 0 picks a free one.
	Listen      string
	AdminListen string
	// Now is the clock that everything in the instance reads.
	Now func() time.Time
	Log *slog.Logger
}

// storage is where the instance keeps its data.
func (c *DevConfig) storage() (storage, error) {
	database := c.Database
	if database == "" {
		database = "sqlite:" + dataPath(c.Data, databaseFile)
	}
	return parseStorage(database, c.Ephemeral)
}

// Dev is a running development instance.
type Dev struct {
	URL              string
	AdminURL         string
	AdminToken       string
	TestClientID     string
	TestClientSecret string
	LiveClientID     string
	LiveClientSecret string

	node *node
	// unlock gives up the directory.
	unlock func()
	stop   context.CancelFunc
	done   chan struct{}
	err    error
}

// StartDev starts a development instance in this process, with the settings
// that `codeword dev` has by default, and returns once it answers.
func StartDev(ctx context.Context, cfg DevConfig) (*Dev, error) {
	return startDev(ctx, cfg, nodeConfig{Out: io.Discard, Flags: serverFlags{
		SigningAlgorithm: "ES256", SigningKeyLife: 720 * time.Hour,
		Delivery: "on", DeliveryWorkers: 256, MaxQueueAge: time.Minute,
		MaxInFlight: 512, MaxConnections: 10000, KeepMessages: 720 * time.Hour, KeepEvents: 9600 * time.Hour, KeepRollups: 9600 * time.Hour,
		DrainTimeout: 20 * time.Second,
		loginFlags:   loginFlags{LoginLife: login.DefaultLife, LoginIdle: login.DefaultIdle, OIDCRecheck: login.DefaultRecheck},
	}})
}

// startDev completes nc with what cfg decides.
func startDev(ctx context.Context, cfg DevConfig, nc nodeConfig) (*Dev, error) {
	nc.Now, nc.Log = cfg.Now, cfg.Log
	// What is developed here receives here.
	nc.Flags.WebhookAllow = append(slices.Clone(nc.Flags.WebhookAllow), "127.0.0.0/8", "::1")
	d, err := newDev(ctx, &cfg, &nc)
	if err != nil {
		return nil, err
	}
	if d.node, err = newNode(ctx, nc); err != nil {
		d.unlock()
		return nil, err
	}
	// The file says that the server answers, so an old one must not stand. It is
	// only ours to remove now that no other server runs on the directory.
	err = os.Remove(dataPath(cfg.Data, envFile))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		err = d.seedClients(ctx)
	}
	if err != nil {
		d.unlock()
		return nil, errors.Join(err, d.node.close())
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.stop = stop
	go func() {
		defer close(d.done)
		d.err = d.node.run(serving)
	}()
	if err = d.awaitReady(ctx); err == nil {
		err = d.writeEnv(cfg.Data)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// newDev makes ready what a node needs: storage, keys, listeners.
func newDev(ctx context.Context, cfg *DevConfig, nc *nodeConfig) (_ *Dev, err error) {
	if nc.Storage, err = cfg.storage(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return nil, err
	}
	if nc.Ring, err = devRing(cfg.Data); err != nil {
		return nil, err
	}
	d := &Dev{unlock: func() {}, done: make(chan struct{})}
	if err := d.identify(nc.Ring); err != nil {
		return nil, err
	}
	// The lock on a database in the directory is taken with the database.
	if own := dataPath(cfg.Data, databaseFile); nc.Storage.File != own {
		if d.unlock, err = lockDatabase(own); err != nil {
			return nil, err
		}
	}
	if nc.Public, nc.Admin, err = listen(ctx, cfg.Listen, cfg.AdminListen); err != nil {
		d.unlock()
		return nil, err
	}
	d.URL, d.AdminURL = "http://"+dialable(nc.Public), "http://"+dialable(nc.Admin)
	nc.AdminToken, nc.PublicURL = d.AdminToken, cfg.PublicURL
	if nc.PublicURL == "" {
		nc.PublicURL = d.URL
	}
	nc.Demo = &server.Demo{ClientID: d.TestClientID, ClientSecret: d.TestClientSecret, Inbox: d.AdminURL + "/inbox"}
	return d, nil
}

// Close drains and stops the instance.
func (d *Dev) Close() error {
	d.stop()
	<-d.done
	d.unlock()
	return d.err
}

// devRing loads the keyset of a dev instance, or makes one for a new instance.
func devRing(dir string) (*keyring.Ring, error) {
	path := dataPath(dir, keysetFile)
	ring, err := keyring.Load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return ring, err
	}
	if _, err := os.Stat(dataPath(dir, databaseFile)); err == nil {
		return nil, fmt.Errorf("%s is there, but its keyset %s is not: put the keyset back, or move the directory away",
			dataPath(dir, databaseFile), path)
	}
	if ring, err = keyring.Generate(); err != nil {
		return nil, err
	}
	return ring, keyring.Create(path, ring)
}

// devSecret derives a secret of a dev instance from its keyset, so that it is
// the same after every restart and stored nowhere but in dev.env.
func devSecret(ring *keyring.Ring, name string) (string, error) {
	versions := ring.IndexVersions()
	digest, err := ring.Index(versions[len(versions)-1], []byte("dev-secret\x00"+name))
	return base64.RawURLEncoding.EncodeToString(digest[:]), err
}

// identify tells who there is, which follows from the keyset.
func (d *Dev) identify(ring *keyring.Ring) (err error) {
	if d.AdminToken, err = devSecret(ring, "admin-token"); err != nil {
		return err
	}
	if d.TestClientID, d.TestClientSecret, err = devClient(ring, false); err != nil {
		return err
	}
	d.LiveClientID, d.LiveClientSecret, err = devClient(ring, true)
	return err
}

func devClient(ring *keyring.Ring, live bool) (id, secret string, err error) {
	env := tenant.Env(live)
	derived, err := devSecret(ring, "client-id-"+env)
	if err != nil {
		return "", "", err
	}
	id = "client-" + env + "-" + uuid.NewSHA1(uuid.NameSpaceOID, []byte(derived)).String()
	secret, err = devSecret(ring, id)
	return id, secret, err
}

// seedClients makes sure that the test and the live client exist and take the
// secrets that dev.env tells.
func (d *Dev) seedClients(ctx context.Context) error {
	if err := d.seedClient(ctx, d.TestClientID, d.TestClientSecret, false); err != nil {
		return err
	}
	return d.seedClient(ctx, d.LiveClientID, d.LiveClientSecret, true)
}

// seedClient may do so at the same time as another node.
func (d *Dev) seedClient(ctx context.Context, id, secret string, live bool) (err error) {
	const tries = 5
	for range tries {
		if err = d.keepClient(ctx, id, secret, live); !fault.Is(err, fault.Conflict) {
			break
		}
		if err := d.node.clients.Load(ctx); err != nil {
			return err
		}
	}
	return err
}

func (d *Dev) keepClient(ctx context.Context, id, secret string, live bool) error {
	clients := d.node.clients
	if _, err := clients.Authenticate(id, secret); err == nil {
		return nil
	}
	kept, err := clients.Keep(id, "secret-dev", secret)
	if err != nil {
		return err
	}
	// No limit for the whole client, and a guard that only watches, so that a load test
	// finds the machine's limits.
	err = clients.Seed(ctx, audit.Service, store.Client{
		ID: id, Name: "dev " + tenant.Env(live), Live: live, CreatedAt: d.node.cfg.Now(), Secrets: []store.Secret{kept},
		Settings: []byte(`{"clientRate":{"burst":0,"every":"0s"},"fraudGuard":"shadow"}`),
	})
	if err != nil {
		return err
	}
	return clients.Load(ctx)
}

// awaitReady waits until the public listener answers that it is ready.
func (d *Dev) awaitReady(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		if err := probe(wait, d.URL+"/readyz"); err == nil {
			return nil
		}
		select {
		case <-d.done:
			return errors.New("the server stopped")
		case <-wait.Done():
			return errors.New("the server did not become ready")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// writeEnv writes dev.env by way of a temporary file: who sees it sees all.
func (d *Dev) writeEnv(dir string) error {
	var b strings.Builder
	for _, v := range [][2]string{
		{"CODEWORD_URL", d.URL},
		{"CODEWORD_ADMIN_URL", d.AdminURL},
		{"CODEWORD_ADMIN_TOKEN", d.AdminToken},
		{"CODEWORD_CLIENT_ID", d.TestClientID},
		{"CODEWORD_CLIENT_SECRET", d.TestClientSecret},
		{"CODEWORD_LIVE_CLIENT_ID", d.LiveClientID},
		{"CODEWORD_LIVE_CLIENT_SECRET", d.LiveClientSecret},
	} {
		fmt.Fprintf(&b, "%s=%s\n", v[0], v[1])
	}
	tmp := dataPath(dir, envFile+".new")
	if err := os.WriteFile(tmp, []byte(b.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, dataPath(dir, envFile))
}

// welcome is what a developer reads first.
func (d *Dev) welcome(dir string) string {
	env := dataPath(dir, envFile)
	return fmt.Sprintf(`Codeword is running.

  API       %s    documentation at %s/docs
  Demo      %s/demo    (sign in with a code, and see how it is done)
  Console   %s    (log in with the token below)
  Inbox     %s/inbox
  Token     %s
  Settings  %s

Send a code, read it in the inbox, authenticate:

  set -a; . %s; set +a

  curl -sS -X POST "$CODEWORD_URL/v1/auth/otp/sms:send" \
    -H "ratio-client-id: $CODEWORD_CLIENT_ID" \
    -H "ratio-client-secret: $CODEWORD_CLIENT_SECRET" \
    -H "Content-Type: application/json" \
    -d '{"phoneNumber": "+16502180000"}'

  curl -sS "$CODEWORD_ADMIN_URL/admin/v1/inbox?to=%%2B16502180000" \
    -H "Authorization: Bearer $CODEWORD_ADMIN_TOKEN"

  curl -sS -X POST "$CODEWORD_URL/v1/auth/otp/sms:authenticate" \
    -H "ratio-client-id: $CODEWORD_CLIENT_ID" \
    -H "ratio-client-secret: $CODEWORD_CLIENT_SECRET" \
    -H "Content-Type: application/json" \
    -d '{"phoneId": "PHONE_ID", "otp": "CODE"}'

Stop with Ctrl-C.
`, d.URL, d.URL, d.URL, d.AdminURL, d.AdminURL, d.AdminToken, env, env)
}

// dialable is an address that reaches the listener from this machine.
func dialable(l net.Listener) string {
	host, port, err := net.SplitHostPort(l.Addr().String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return l.Addr().String()
}

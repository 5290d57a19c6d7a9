package app

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"

	"codeword/internal/tenant"
)

// ledgerFlags say where the data is; all commands that touch it share them.
type ledgerFlags struct {
	Database string `help:"Where the data is: sqlite:PATH, or postgres://USER@HOST/NAME. With a password best given as CODEWORD_DATABASE." placeholder:"URL"`
	Keyset   string `help:"File with the master keyset (mode 0600)." placeholder:"FILE"`
	Data     string `help:"Directory of a 'codeword dev' instance, for its database and its keyset." placeholder:"DIR"`
}

// resolve fills in what --data stands for, and wants both a database and a keyset.
func (f *ledgerFlags) resolve() (storage, error) { return f.resolveWith("") }

// resolveDatabase is resolve for commands that need no keys.
func (f *ledgerFlags) resolveDatabase() (storage, error) { return f.resolveStorage("") }

func (f *ledgerFlags) resolveWith(ephemeral string) (storage, error) {
	st, err := f.resolveStorage(ephemeral)
	if f.Keyset == "" {
		err = errors.Join(err, errors.New("keyset: required; 'codeword keys init' makes one"))
	}
	return st, asUsage(err)
}

func (f *ledgerFlags) resolveStorage(ephemeral string) (storage, error) {
	if f.Data != "" {
		if f.Database == "" {
			f.Database = "sqlite:" + dataPath(f.Data, databaseFile)
		}
		if f.Keyset == "" {
			f.Keyset = dataPath(f.Data, keysetFile)
		}
	}
	st, err := parseStorage(f.Database, ephemeral)
	return st, asUsage(err)
}

// storeFlags are those of commands that also touch what expires.
type storeFlags struct {
	ledgerFlags
	Ephemeral string `help:"Where what expires is kept: redis://HOST or rediss://HOST. Without it with the rest, in the database." placeholder:"URL"`
}

func (f *storeFlags) resolve() (storage, error) { return f.resolveWith(f.Ephemeral) }

func (f *storeFlags) resolveDatabase() (storage, error) { return f.resolveStorage(f.Ephemeral) }

// serverFlags are the settings of a running server, in dev and in production.
type serverFlags struct {
	TrustedProxies   []string      `help:"Addresses or CIDR blocks of proxies whose X-Forwarded-For is believed." placeholder:"CIDR"`
	LogFormat        string        `help:"auto, json or text; auto is text on a terminal." enum:"auto,json,text" default:"auto"`
	LogLevel         string        `help:"debug, info, warn or error." enum:"debug,info,warn,error" default:"info"`
	SigningAlgorithm string        `help:"Algorithm of new signing keys: ES256 or EdDSA." enum:"ES256,EdDSA" default:"ES256"`
	SigningKeyLife   time.Duration `help:"How long a signing key is used before the next takes over." default:"720h"`
	Carriers         string        `help:"YAML file with the routes and carriers of live clients' messages; SIGHUP reloads it. Without it they are shown in the inbox." placeholder:"FILE"`
	Delivery         string        `help:"on, or off to queue messages without sending them." enum:"on,off" default:"on"`
	DeliveryWorkers  int           `help:"Messages handed to carriers at once." default:"256"`
	MaxQueueAge      time.Duration `help:"How long a message may have waited for its turn, and for nothing else; beyond it sends get 503." default:"1m"`
	MaxInFlight      int           `help:"Requests worked on at once; beyond it callers get 503." default:"512"`
	MaxConnections   int           `help:"Connections held at once on the public listener." default:"10000"`
	WebhookAllow     []string      `help:"Addresses or CIDR blocks that webhooks may go to although they are not public." placeholder:"CIDR"`
	KeepMessages     time.Duration `help:"How long the message log is kept." default:"720h"`
	KeepEvents       time.Duration `help:"How long the events are kept that say who changed what, and what the service decided." default:"9600h"`
	KeepRollups      time.Duration `help:"How long the overview's figures are kept." default:"9600h"`
	DrainTimeout     time.Duration `help:"How long a stopping server may take to finish." default:"20s"`
	DrainDelay       time.Duration `help:"How long a stopping server still takes requests while /readyz fails, for load balancers to notice." default:"0s"`
	loginFlags
}

func (f *serverFlags) proxies() ([]netip.Prefix, error) {
	return networks("trusted-proxies", f.TrustedProxies)
}

func (f *serverFlags) webhookAllow() ([]netip.Prefix, error) {
	return networks("webhook-allow", f.WebhookAllow)
}

// networks reads the values of a flag.
func networks(flag string, texts []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	var errs []error
	for _, s := range texts {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %q is neither an address nor a CIDR block", flag, s))
			continue
		}
		out = append(out, p.Masked())
	}
	return out, errors.Join(errs...)
}

// carriersFile reads the carriers file; without one there is nothing in it.
func (f *serverFlags) carriersFile(publicURL string) (carriersFile, error) {
	if f.Carriers == "" {
		return carriersFile{}, nil
	}
	return loadCarriers(f.Carriers, publicURL)
}

func (f *serverFlags) validate() error {
	var errs []error
	_, err := f.proxies()
	errs = append(errs, err)
	_, err = f.webhookAllow()
	errs = append(errs, err)
	errs = append(errs, f.loginFlags.validate())
	if f.MaxInFlight < 1 {
		errs = append(errs, errors.New("max-in-flight: at least 1"))
	}
	if f.MaxConnections < 1 {
		errs = append(errs, errors.New("max-connections: at least 1"))
	}
	if f.DeliveryWorkers < 1 || f.DeliveryWorkers > 10_000 {
		errs = append(errs, errors.New("delivery-workers: from 1 to 10000"))
	}
	if f.MaxQueueAge < time.Second {
		errs = append(errs, errors.New("max-queue-age: at least 1s"))
	}
	if f.KeepMessages < tenant.MaxPeriod {
		// Phones, and with them what the quotas count, go with their messages.
		errs = append(errs, fmt.Errorf("keep-messages: at least %s, the longest period of a limit", tenant.MaxPeriod))
	}
	if f.KeepEvents < 24*time.Hour {
		errs = append(errs, errors.New("keep-events: at least 24h"))
	}
	if f.KeepRollups < 24*time.Hour {
		errs = append(errs, errors.New("keep-rollups: at least 24h"))
	}
	if f.SigningKeyLife < 24*time.Hour {
		errs = append(errs, errors.New("signing-key-life: at least 24h"))
	}
	if f.DrainDelay < 0 || f.DrainDelay >= f.DrainTimeout {
		errs = append(errs, errors.New("drain-delay: from 0s to less than drain-timeout"))
	}
	if f.DrainTimeout < time.Second {
		errs = append(errs, errors.New("drain-timeout: at least 1s"))
	}
	return errors.Join(errs...)
}

func validateListen(name, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s: %q is not HOST:PORT", name, address)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%s: %q is not a port, 0 to 65535", name, port)
	}
	return nil
}

func validatePublicURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return errors.New("public-url: required; it is the iss of every session JWT")
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("public-url: %q is not an http(s) URL", raw)
	case strings.HasSuffix(raw, "/"):
		return errors.New("public-url: without a slash at the end")
	}
	return nil
}

// configFile answers the flags of serve from a YAML file with one key per flag.
// Precedence: command line, environment, file, default. What is wrong with it
// is gathered, so that serve can report it together with everything else.
type configFile struct {
	values map[string]any
	errs   []error
}

// load implements kong.ConfigurationLoader.
func (c *configFile) load(r io.Reader) (kong.Resolver, error) {
	if err := yaml.NewDecoder(r).Decode(&c.values); err != nil && !errors.Is(err, io.EOF) {
		// It may quote the file, which may hold the admin token.
		return nil, fmt.Errorf("configuration file: %s", unquoted(err))
	}
	return c, nil
}

// err is everything that is wrong with the file.
func (c *configFile) err() error { return errors.Join(c.errs...) }

func (c *configFile) wrong(name, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("configuration file: %s: %w", name, fmt.Errorf(format, args...)))
}

// Validate implements kong.Resolver: it notes every key that serve does not
// have.
func (c *configFile) Validate(app *kong.Application) error {
	known := make(map[string]bool)
	for _, node := range app.Children {
		if node.Name == "serve" {
			for _, f := range node.Flags {
				known[f.Name] = settable(f)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.values)) {
		if !known[name] {
			c.wrong(name, "unknown setting")
		}
	}
	return nil
}

// settable reports whether a flag may stand in the file.
func settable(f *kong.Flag) bool { return f.Name != "config" && f.Name != "check" && f.Name != "help" }

// Resolve implements kong.Resolver. The environment goes before the file. A
// value that its flag cannot take is noted and left out.
func (c *configFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	value, ok := c.values[flag.Name]
	if !ok || !settable(flag) {
		return nil, nil //nolint:nilnil // kong's way of saying "not here"
	}
	text, err := settingText(value, flag.Target.Kind())
	if err == nil {
		scratch := reflect.New(flag.Target.Type()).Elem()
		err = flag.Parse(kong.ScanFromTokens(kong.Token{Type: kong.FlagValueToken, Value: text}), scratch)
		if err != nil { // kong names the flag, wrong names the key
			err = errors.New(strings.TrimPrefix(err.Error(), "--"+flag.Name+": "))
		}
	}
	if err == nil && flag.Enum != "" && !flag.EnumMap()[text] {
		err = fmt.Errorf("must be one of %s", strings.Join(flag.EnumSlice(), ", "))
	}
	if err != nil {
		c.wrong(flag.Name, "%w", err)
		return nil, nil //nolint:nilnil // kong's way of saying "not here"
	}
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil //nolint:nilnil // kong's way of saying "not here"
		}
	}
	return text, nil
}

// settingText turns a YAML value into what a flag of that kind takes: lists are
// comma-separated. Text must be text in YAML, too: 0123 or 1e40 would reach the
// flag as another number than the one in the file.
func settingText(value any, kind reflect.Kind) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", errors.New("has no value")
	case string:
		return v, nil
	case []any:
		if kind != reflect.Slice {
			return "", errors.New("takes one value, not a list")
		}
		parts := make([]string, len(v))
		for i, item := range v {
			text, ok := item.(string)
			if !ok {
				return "", errors.New("is a list of texts: write them in quotes")
			}
			parts[i] = text
		}
		return kong.JoinEscaped(parts, ','), nil
	case map[string]any:
		return "", errors.New("takes one value, not settings of its own")
	default:
		if kind == reflect.String || kind == reflect.Slice {
			return "", errors.New("is a text: write it in quotes")
		}
		return fmt.Sprint(v), nil
	}
}

// parseLevel reads what the flag's enum allows.
func parseLevel(s string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(s)); err != nil {
		return slog.LevelInfo
	}
	return l
}

var errNotReady = errors.New("not ready")

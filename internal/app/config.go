package app

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
)

// ledgerFlags say where the data is; all commands that touch it share them.
type ledgerFlags struct {
	Database string `help:"Where the data is: sqlite:PATH." placeholder:"sqlite:PATH"`
	Keyset   string `help:"File with the master keyset (mode 0600)." placeholder:"FILE"`
	Data     string `help:"Directory of a 'codeword dev' instance, instead of --database and --keyset." placeholder:"DIR"`
}

// resolve fills in what --data stands for and returns the path of the database.
func (f *ledgerFlags) resolve() (database string, err error) {
	if f.Data != "" {
		if f.Database == "" {
			f.Database = "sqlite:" + dataPath(f.Data, databaseFile)
		}
		if f.Keyset == "" {
			f.Keyset = dataPath(f.Data, keysetFile)
		}
	}
	var errs []error
	path, ok := strings.CutPrefix(f.Database, "sqlite:")
	switch {
	case f.Database == "":
		errs = append(errs, errors.New("database: required, for example sqlite:/var/lib/codeword/codeword.db"))
	case !ok || path == "":
		errs = append(errs, fmt.Errorf("database: %q is not known; write sqlite:PATH", f.Database))
	}
	if f.Keyset == "" {
		errs = append(errs, errors.New("keyset: required; 'codeword keys init' makes one"))
	}
	return path, asUsage(errors.Join(errs...))
}

// serverFlags are the settings of a running server, in dev and in production.
type serverFlags struct {
	TrustedProxies   []string      `help:"Addresses or CIDR blocks of proxies whose X-Forwarded-For is believed." placeholder:"CIDR"`
	LogFormat        string        `help:"auto, json or text; auto is text on a terminal." enum:"auto,json,text" default:"auto"`
	LogLevel         string        `help:"debug, info, warn or error." enum:"debug,info,warn,error" default:"info"`
	SigningAlgorithm string        `help:"Algorithm of new signing keys: ES256 or EdDSA." enum:"ES256,EdDSA" default:"ES256"`
	SigningKeyLife   time.Duration `help:"How long a signing key is used before the next takes over." default:"720h"`
	Delivery         string        `help:"on, or off to queue messages without sending them." enum:"on,off" default:"on"`
	MaxInFlight      int           `help:"Requests worked on at once; beyond it callers get 503." default:"512"`
	MaxConnections   int           `help:"Connections held at once on the public listener." default:"10000"`
	KeepMessages     time.Duration `help:"How long the message log is kept." default:"720h"`
	DrainTimeout     time.Duration `help:"How long a stopping server may take to finish." default:"20s"`
}

func (f *serverFlags) proxies() ([]netip.Prefix, error) {
	var out []netip.Prefix
	var errs []error
	for _, s := range f.TrustedProxies {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("trusted-proxies: %q is neither an address nor a CIDR block", s))
			continue
		}
		out = append(out, p.Masked())
	}
	return out, errors.Join(errs...)
}

func (f *serverFlags) validate() error {
	var errs []error
	_, err := f.proxies()
	errs = append(errs, err)
	if f.MaxInFlight < 1 {
		errs = append(errs, errors.New("max-in-flight: at least 1"))
	}
	if f.MaxConnections < 1 {
		errs = append(errs, errors.New("max-connections: at least 1"))
	}
	if f.KeepMessages < time.Hour {
		errs = append(errs, errors.New("keep-messages: at least 1h"))
	}
	if f.SigningKeyLife < 24*time.Hour {
		errs = append(errs, errors.New("signing-key-life: at least 24h"))
	}
	if f.DrainTimeout < time.Second {
		errs = append(errs, errors.New("drain-timeout: at least 1s"))
	}
	return errors.Join(errs...)
}

func validateListen(name, address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("%s: %q is not HOST:PORT", name, address)
	}
	return nil
}

func validatePublicURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return errors.New("public-url: required; it is the iss of every session JWT")
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("public-url: %q is not an http(s) URL", raw)
	case strings.HasSuffix(raw, "/"):
		return errors.New("public-url: without a slash at the end")
	}
	return nil
}

func readable(name, path string) error {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return f.Close()
}

// configFile answers flags from a YAML file with one key per flag of serve.
// Precedence: command line, environment, file, default.
type configFile struct{ values map[string]any }

// loadConfig implements kong.ConfigurationLoader.
func loadConfig(r io.Reader) (kong.Resolver, error) {
	c := &configFile{values: map[string]any{}}
	if err := yaml.NewDecoder(r).Decode(&c.values); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	return c, nil
}

// Validate reports every key that no flag of serve has, and every value that
// its flag cannot take, together.
func (c *configFile) Validate(app *kong.Application) error {
	flags := make(map[string]*kong.Flag)
	for _, node := range app.Children {
		if node.Name == "serve" {
			for _, f := range node.Flags {
				flags[f.Name] = f
			}
		}
	}
	var errs []error
	for name, value := range c.values {
		f, ok := flags[name]
		if !ok || name == "config" || name == "check" {
			errs = append(errs, fmt.Errorf("configuration file: %s: unknown setting", name))
			continue
		}
		target := reflect.New(f.Target.Type()).Elem()
		if err := f.Parse(kong.ScanFromTokens(kong.Token{Type: kong.FlagValueToken, Value: flatten(value)}), target); err != nil {
			errs = append(errs, fmt.Errorf("configuration file: %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// Resolve implements kong.Resolver. The environment goes before the file.
func (c *configFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil //nolint:nilnil // kong's way of saying "not here"
		}
	}
	value, ok := c.values[flag.Name]
	if !ok {
		return nil, nil //nolint:nilnil // kong's way of saying "not here"
	}
	return flatten(value), nil
}

// flatten turns a YAML value into what a flag takes: lists are comma-separated.
func flatten(value any) string {
	list, ok := value.([]any)
	if !ok {
		return fmt.Sprint(value)
	}
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i] = fmt.Sprint(v)
	}
	return strings.Join(parts, ",")
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

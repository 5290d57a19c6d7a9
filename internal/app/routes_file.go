package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"codeword/api"
	"codeword/internal/carrier/aws"
	"codeword/internal/carrier/smpp"
	"codeword/internal/carrier/telnyx"
	"codeword/internal/carrier/twilio"
	"codeword/internal/carrier/webhook"
)

// routeSettings is one route of the carriers file: how it is used, and exactly
// one block that names the carrier and says how to reach it.
type routeSettings struct {
	// Name appears in the message log, in metrics and in the callback URL.
	Name string `yaml:"name"`
	// Priority: the routes with the lowest number are used while they work.
	Priority int `yaml:"priority"`
	// Weight is the share among routes of one priority.
	Weight int `yaml:"weight"`
	// AreaCodes limits the route to numbers with these area codes (NPA).
	AreaCodes []string `yaml:"area-codes"`
	// Price of one segment, in US dollars.
	Price float64 `yaml:"price"`
	// Rate is the most messages a second; 0 for no limit.
	Rate float64 `yaml:"rate"`
	// ReceiptTimeout: a message that the carrier took goes to another route when
	// no receipt has come by then; 0 for never.
	ReceiptTimeout time.Duration `yaml:"receipt-timeout"`
	// UnknownTimeout is the same for a message of which it is not known whether
	// the carrier took it; 0 for never.
	UnknownTimeout time.Duration `yaml:"unknown-timeout"`
	// AutoReply answers STOP and HELP. Left out, it is on for the carriers that
	// leave that to their customers: smpp and webhook.
	AutoReply *bool `yaml:"auto-reply"`

	carrierBlocks
}

// carrierBlocks has one block; the others are nil.
type carrierBlocks struct {
	SMPP    *smpp.Config    `yaml:"smpp"`
	Twilio  *twilio.Config  `yaml:"twilio"`
	Telnyx  *telnyx.Config  `yaml:"telnyx"`
	AWS     *aws.Config     `yaml:"aws"`
	Webhook *webhook.Config `yaml:"webhook"`
	Log     *logSettings    `yaml:"log"`
}

// logSettings is the block of the carrier "log", which has no settings.
type logSettings struct{}

const defaultUnknownTimeout = 20 * time.Second

// maxRoutes and maxRoutesFile, in bytes, bound the file.
const (
	maxRoutes     = 100
	maxRoutesFile = 1 << 20
)

// carriersFile is what the carriers file says: the routes, and who else is asked
// about a send.
type carriersFile struct {
	Routes []routeSettings
	Online onlineSettings
}

// loadCarriers reads the carriers file and reports everything that is wrong with
// it, joined, each with the route and the field's name. Providers report to
// publicURL; if that is empty, or only this machine reaches it, they are not
// asked to.
func loadCarriers(path, publicURL string) (carriersFile, error) {
	raw, err := readSmall(path, maxRoutesFile)
	if err != nil {
		return carriersFile{}, fmt.Errorf("carriers: %w", err)
	}
	file, err := parseCarriers(raw, publicURL, os.LookupEnv)
	return file, prefixed("carriers: "+path+": ", err)
}

// readSmall reads a file of at most limit bytes.
func readSmall(path string, limit int) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	raw, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err == nil && len(raw) > limit {
		err = fmt.Errorf("%s: over %d bytes", path, limit)
	}
	return raw, err
}

// prefixed puts a prefix before each line of an error.
func prefixed(prefix string, err error) error {
	if err == nil {
		return nil
	}
	var errs []error
	for line := range strings.Lines(err.Error()) {
		errs = append(errs, errors.New(prefix+strings.TrimSuffix(line, "\n")))
	}
	return errors.Join(errs...)
}

func parseCarriers(raw []byte, publicURL string, env func(string) (string, bool)) (carriersFile, error) {
	file, err := parser.ParseBytes(bytes.TrimPrefix(raw, []byte("\ufeff")), 0) // some editors write a byte order mark
	if err != nil {
		return carriersFile{}, errors.New(unquoted(err))
	}
	d := fieldDecoder{env: env}
	var out carriersFile
	if sections, ok := d.sections(file); ok {
		out.Routes = d.routes(sections["routes"], publicURL)
		out.Online = onlineSettings{
			Lookups:      d.lookups(sections["lookups"]),
			ProofSecrets: d.proofSecrets(sections["bot-proof-secrets"]),
		}
	}
	return out, errors.Join(d.errs...)
}

// sections returns the values of the file's keys by their names.
func (d *fieldDecoder) sections(file *ast.File) (map[string]ast.Node, bool) {
	if len(file.Docs) != 1 {
		d.wrong("file", "not one YAML document")
		return nil, false
	}
	m, ok := file.Docs[0].Body.(ast.MapNode)
	if !ok {
		d.wrong("routes", "required")
		return nil, false
	}
	out := make(map[string]ast.Node)
	for entries := m.MapRange(); entries.Next(); {
		switch name := entries.Key().GetToken().Value; name {
		case "routes", "lookups", "bot-proof-secrets":
			if out[name] != nil {
				d.wrong(name, "given twice")
			}
			out[name] = entries.Value()
		default:
			d.wrong(name, "unknown setting")
		}
	}
	return out, true
}

// routes decodes the list "routes".
func (d *fieldDecoder) routes(list ast.Node, publicURL string) []routeSettings {
	nodes := sequenceOf(list)
	switch {
	case len(nodes) == 0:
		d.wrong("routes", "is not a list with at least one route")
	case len(nodes) > maxRoutes:
		d.wrong("routes", "more than %d", maxRoutes)
		return nil
	}
	routes := make([]routeSettings, len(nodes))
	seen := make(map[string]bool)
	for i, n := range nodes {
		r := &routes[i]
		*r = routeSettings{Priority: 1, Weight: 1, UnknownTimeout: defaultUnknownTimeout}
		own := fieldDecoder{env: d.env}
		own.mapping("", n, reflect.ValueOf(r).Elem())
		errs := own.merge(errors.Join(r.check(publicURL)...))
		if seen[r.Name] {
			errs = append(errs, errors.New("name: in use already"))
		}
		seen[r.Name] = true
		at := "routes[" + strconv.Itoa(i) + "]"
		if r.Name != "" {
			at = "route " + strconv.Quote(r.Name)
		}
		d.errs = append(d.errs, prefixed(at+": ", errors.Join(errs...)))
	}
	return routes
}

// maxPrice is in US dollars; more is a slip of the decimal point.
const maxPrice = 10

// block returns the settings of the route's carrier, told its name and where its
// provider reports to; nil for one that has no settings.
func (r *routeSettings) block(publicURL string) interface{ Validate() error } {
	var callback string
	if !onlyHere(publicURL) {
		callback = publicURL + api.CarrierEventsPath(r.Name)
	}
	switch {
	case r.SMPP != nil:
		r.SMPP.Name = r.Name
		return r.SMPP
	case r.Twilio != nil:
		r.Twilio.Name, r.Twilio.CallbackURL = r.Name, callback
		return r.Twilio
	case r.Telnyx != nil:
		r.Telnyx.Name, r.Telnyx.CallbackURL = r.Name, callback
		return r.Telnyx
	case r.AWS != nil:
		r.AWS.Name = r.Name
		return r.AWS
	case r.Webhook != nil:
		r.Webhook.Name = r.Name
		return r.Webhook
	default:
		return nil
	}
}

// onlyHere tells whether a URL is missing, or leads to this machine for
// everybody: a provider would refuse every message that named it.
func onlyHere(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Hostname() == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}

// check returns what is wrong with the route; its carrier says what is wrong with
// the block.
func (r *routeSettings) check(publicURL string) []error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	route := r.route(nil)
	errs = append(errs, route.Validate())
	check(r.Price <= maxPrice, "price: over %d US dollars a segment", maxPrice)
	kinds := r.kinds()
	switch len(kinds) {
	case 0:
		check(false, "one block is required: smpp, twilio, telnyx, aws, webhook or log")
	case 1:
		if b := r.block(publicURL); b != nil {
			errs = append(errs, prefixed(kinds[0]+".", b.Validate()))
		}
	default:
		check(false, "%s: a route has one carrier", strings.Join(kinds, ", "))
	}
	return errs
}

// kinds are the names of the blocks that are there.
func (r *routeSettings) kinds() []string {
	var out []string
	v := reflect.ValueOf(r.carrierBlocks)
	for i := range v.NumField() {
		if !v.Field(i).IsNil() {
			out = append(out, v.Type().Field(i).Tag.Get("yaml"))
		}
	}
	return out
}

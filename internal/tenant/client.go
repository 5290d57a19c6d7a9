package tenant

import (
	"net/netip"

	"codeword/internal/message"
	"codeword/internal/phone"
	"codeword/internal/store"
)

// Client is one business as the request path sees it: parsed, immutable and
// shared between requests.
type Client struct {
	ID       string
	Name     string
	Live     bool
	Disabled bool
	Settings Settings
	// LineTypes is Settings.AllowedLineTypes, parsed.
	LineTypes phone.LineTypes
	// Lookup is what Settings say of look-ups; a test client wants none.
	Lookup phone.LookupPolicy
	// Regions is Settings.AllowedRegions, parsed.
	Regions phone.Regions
	// Texts are what the phones get.
	Texts    *message.Texts
	Revision int64
	// Unread: the settings cannot be read, so that nothing else is known of the client than
	// its id, its name, whether it is live and its revision. No caller is one.
	Unread bool

	secrets       []store.Secret
	safeNumbers   phone.Prefixes
	safeAddresses []netip.Prefix
}

// Env is "live" or "test", as it appears in ids.
func (c *Client) Env() string { return Env(c.Live) }

// Env names the environment of a client, "live" or "test".
func Env(live bool) string {
	if live {
		return "live"
	}
	return "test"
}

// Issuer returns the trusted issuer with that exact iss claim, or nil.
func (c *Client) Issuer(iss string) *TrustedIssuer {
	for i := range c.Settings.TrustedIssuers {
		if t := &c.Settings.TrustedIssuers[i]; t.Issuer == iss {
			return t
		}
	}
	return nil
}

// Parse turns a stored client into one for the request path.
func Parse(row store.Client) (*Client, error) {
	settings, err := ParseSettings(row.Settings)
	if err != nil {
		return nil, err
	}
	regions, err := phone.ParseRegions(settings.AllowedRegions)
	if err != nil {
		return nil, err
	}
	lines, err := phone.ParseLineTypes(settings.AllowedLineTypes)
	if err != nil {
		return nil, err
	}
	lookup, err := settings.lookup(row.Live)
	if err != nil {
		return nil, err
	}
	texts, _, err := settings.Texts()
	if err != nil {
		return nil, err
	}
	safeNumbers, err := phone.ParsePrefixes(settings.SafeNumbers)
	if err != nil {
		return nil, err
	}
	safeAddresses, err := parseNetworks(settings.SafeAddresses)
	if err != nil {
		return nil, err
	}
	return &Client{
		ID:        row.ID,
		Name:      row.Name,
		Live:      row.Live,
		Disabled:  !row.DisabledAt.IsZero(),
		Settings:  settings,
		LineTypes: lines,
		Lookup:    lookup,
		Regions:   regions,
		Texts:     texts,
		Revision:  row.Revision,
		secrets:   row.Secrets,

		safeNumbers:   safeNumbers,
		safeAddresses: safeAddresses,
	}, nil
}

package redis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// Config says where the server is and what stands behind it.
type Config struct {
	// URL is redis://USER:PASSWORD@HOST:PORT/DATABASE, or rediss:// for TLS. Several
	// hosts are separated by commas. Parameters:
	//
	//	cluster=true    the hosts are nodes of a cluster
	//	sentinel=NAME   the hosts are sentinels that watch the primary NAME;
	//	                sentinel_user and sentinel_password are for them
	//	wait=N          a write counts when N replicas have it
	//	waitaof=N       and when N servers have it on their disks, the primary first
	//	                (Redis 7.2, Valkey 8)
	//	timeout=2s      bounds every call
	//	prefix=cw       begins every key, so that several services can share a server
	//	cacert=FILE     with rediss, whose certificates are good; cert=FILE and key=FILE
	//	                are for a server that asks for the client's. All of them are PEM
	//	insecure=true   with rediss, takes any certificate
	URL string
	// Ledger keeps what does not expire. The Store owns it and closes it.
	Ledger Ledger
	// Moved, unless nil, is called when accepted messages came into the ledger.
	Moved func()
	// Called, unless nil, is told how long each call of a function took, or took to
	// fail; Now, which goes with it, is its clock. It must not block.
	Called func(function string, took time.Duration)
	Now    func() time.Time
}

// settings are what a URL says.
type settings struct {
	client  rueidis.ClientOption
	timeout time.Duration
	prefix  string
	// wait is how many replicas, and waitAOF how many disks, must have a write.
	wait, waitAOF int
}

const (
	defaultPort    = "6379"
	defaultTimeout = 2 * time.Second
	leastTimeout   = 10 * time.Millisecond
	defaultPrefix  = "cw"
	longestPrefix  = 64
)

// Validate reports everything that is wrong with a URL, and no password.
func Validate(url string) error {
	_, err := parse(url)
	return err
}

func parse(raw string) (settings, error) {
	s := settings{timeout: defaultTimeout, prefix: defaultPrefix}
	scheme, rest, found := strings.Cut(raw, "://")
	if !found || scheme != "redis" && scheme != "rediss" {
		return s, errors.New("redis: write redis://HOST or rediss://HOST")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, database, _ := strings.Cut(rest, "/")
	var errs []error
	user := ""
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, authority = authority[:i], authority[i+1:]
	}
	errs = append(errs, s.hosts(authority), s.account(user), s.number(database))
	values, err := url.ParseQuery(query)
	if err != nil {
		errs = append(errs, errors.New("redis: its parameters have a % that begins no code: write it as %25"))
	}
	if scheme == "rediss" {
		s.client.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	errs = append(errs, s.parameters(values)...)
	s.client.Dialer.Timeout = s.timeout
	s.client.ConnWriteTimeout = s.timeout
	return s, errors.Join(errs...)
}

// hosts reads HOST or HOST:PORT, several of them. No error repeats what was given: a
// password may have come here by mistake.
func (s *settings) hosts(authority string) error {
	for i, host := range strings.Split(authority, ",") {
		name, port, err := net.SplitHostPort(host)
		if err != nil {
			port = defaultPort
			name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
			if strings.Contains(name, ":") && net.ParseIP(name) == nil {
				name = ""
			}
		}
		if n, err := strconv.ParseUint(port, 10, 16); name == "" || err != nil || n == 0 {
			return fmt.Errorf("redis: host %d is not HOST or HOST:PORT", i+1)
		}
		s.client.InitAddress = append(s.client.InitAddress, net.JoinHostPort(name, port))
	}
	return nil
}

func (s *settings) account(user string) error {
	name, password, hasPassword := strings.Cut(user, ":")
	var errs [2]error
	s.client.Username, errs[0] = url.PathUnescape(name)
	if hasPassword {
		s.client.Password, errs[1] = url.PathUnescape(password)
	}
	if errs[0] != nil || errs[1] != nil {
		return errors.New("redis: its user or password has a % that begins no code: write it as %25")
	}
	return nil
}

func (s *settings) number(database string) error {
	if database == "" {
		return nil
	}
	n, err := strconv.Atoi(database)
	if err != nil || n < 0 {
		return errors.New("redis: the path is the number of a database, such as /0")
	}
	s.client.SelectDB = n
	return nil
}

func (s *settings) parameters(values url.Values) (errs []error) {
	cluster, insecure := false, false
	var files certificates
	known := map[string]func(string) error{
		"cluster":           func(v string) (err error) { cluster, err = strconv.ParseBool(v); return err },
		"sentinel":          func(v string) error { s.client.Sentinel.MasterSet = v; return nil },
		"sentinel_user":     func(v string) error { s.client.Sentinel.Username = v; return nil },
		"sentinel_password": func(v string) error { s.client.Sentinel.Password = v; return nil },
		"wait":              func(v string) error { return few(v, &s.wait) },
		"waitaof":           func(v string) error { return few(v, &s.waitAOF) },
		"prefix":            func(v string) error { s.prefix = v; return plain(v) },
		"cacert":            func(v string) error { return files.authorities(v) },
		"cert":              func(v string) error { files.cert = v; return nil },
		"key":               func(v string) error { files.key = v; return nil },
		"insecure":          func(v string) (err error) { insecure, err = strconv.ParseBool(v); return err },
		"timeout": func(v string) (err error) {
			if s.timeout, err = time.ParseDuration(v); err == nil && s.timeout < leastTimeout {
				err = strconv.ErrRange
			}
			return err
		},
	}
	unknown := false
	for _, name := range slices.Sorted(maps.Keys(values)) {
		set, ok := known[name]
		switch {
		case !ok:
			unknown = true
		case set(values.Get(name)) != nil:
			errs = append(errs, fmt.Errorf("redis: the parameter %s has no such value", name))
		}
	}
	if unknown {
		errs = append(errs, fmt.Errorf("redis: there are no other parameters than %s", strings.Join(slices.Sorted(maps.Keys(known)), ", ")))
	}
	switch {
	case s.client.TLSConfig != nil:
		s.client.TLSConfig.InsecureSkipVerify = insecure
		errs = append(errs, files.into(s.client.TLSConfig)...)
	case insecure || files != (certificates{}):
		errs = append(errs, errors.New("redis: cacert, cert, key and insecure need rediss://"))
	}
	return append(errs, s.form(cluster)...)
}

// form checks that hosts and parameters fit together.
func (s *settings) form(cluster bool) (errs []error) {
	sentinel := s.client.Sentinel.MasterSet != ""
	switch {
	case cluster && sentinel:
		errs = append(errs, errors.New("redis: cluster and sentinel exclude each other"))
	case cluster && s.client.SelectDB != 0:
		errs = append(errs, errors.New("redis: a cluster has the database 0 only"))
	case !cluster && !sentinel && len(s.client.InitAddress) > 1:
		errs = append(errs, errors.New("redis: several hosts need cluster=true or sentinel=NAME"))
	}
	s.client.ForceSingleClient = !cluster && !sentinel
	if sentinel {
		s.client.Sentinel.TLSConfig = s.client.TLSConfig
	}
	return errs
}

// plain wants letters, digits, and what separates them: a brace would move the keys
// of a phone apart, and a star means something in a pattern.
func plain(v string) error {
	if v == "" || len(v) > longestPrefix || strings.Trim(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:") != "" {
		return strconv.ErrSyntax
	}
	return nil
}

// few reads a small count.
func few(v string, into *int) error {
	n, err := strconv.Atoi(v)
	if err == nil && (n < 0 || n > 9) {
		err = strconv.ErrRange
	}
	*into = n
	return err
}

package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"codeword/internal/store/postgres"
	"codeword/internal/store/redis"
)

// storage says which engines run: where what is kept is, and where what expires.
type storage struct {
	// File is the path of an SQLite database; empty for another engine.
	File string
	// Postgres is where a PostgreSQL database is; empty for another engine.
	Postgres engineURL
	// Redis is where what expires is kept; empty when that is with the rest.
	Redis engineURL
}

// The forms that the flags take, for errors.
const (
	databaseForms  = "write sqlite:PATH or postgres://USER@HOST/NAME"
	ephemeralForms = "write redis://HOST or rediss://HOST"
)

// parseStorage reads --database and --ephemeral and reports everything that is
// wrong with them. No error repeats what was given: it may hold a password.
func parseStorage(database, ephemeral string) (storage, error) {
	st, err := parseDatabase("database", database)
	if ephemeral == "" {
		return st, err
	}
	scheme, _, _ := strings.Cut(ephemeral, "://")
	if scheme != "redis" && scheme != "rediss" {
		return st, errors.Join(err, errors.New("ephemeral: not known; "+ephemeralForms+", or leave it out to keep everything in the database"))
	}
	st.Redis = engineURL{ephemeral}
	return st, errors.Join(err, named("ephemeral", st.Redis.check(redis.Validate)))
}

// parseDatabase reads a flag that names a database.
func parseDatabase(flag, text string) (st storage, err error) {
	path, isFile := strings.CutPrefix(text, "sqlite:")
	switch scheme, _, _ := strings.Cut(text, "://"); {
	case text == "":
		err = errors.New("required, for example sqlite:/var/lib/codeword/codeword.db")
	case isFile && path != "":
		st.File = path
	case scheme == "postgres" || scheme == "postgresql":
		st.Postgres = engineURL{text}
		err = st.Postgres.check(postgres.Validate)
	case scheme == "redis" || scheme == "rediss":
		err = errors.New("Redis keeps only what expires: give it as ephemeral, and " + databaseForms + " here") //nolint:staticcheck // a name
	default:
		err = errors.New("not known; " + databaseForms)
	}
	return st, named(flag, err)
}

// named puts a flag's name, in the place of an engine's, before each line of what is
// wrong with it.
func named(flag string, err error) error {
	if err == nil {
		return nil
	}
	var errs []error
	for line := range strings.SplitSeq(err.Error(), "\n") {
		line = strings.TrimPrefix(strings.TrimPrefix(line, "redis: "), "postgres: ")
		errs = append(errs, fmt.Errorf("%s: %s", flag, line))
	}
	return errors.Join(errs...)
}

// Database tells where the database is, for people.
func (st storage) Database() string {
	if st.File != "" {
		return st.File
	}
	return st.Postgres.String()
}

// lock makes sure that one server at a time runs on what only one may run on.
func (st storage) lock() (release func(), err error) {
	if st.File == "" {
		return func() {}, nil
	}
	return lockDatabase(st.File)
}

// engineURL is a connection URL. It prints without user and parameters, among
// which passwords are.
type engineURL struct{ text string }

// split cuts the text in what is before the "@", which is a secret, the hosts, and
// what follows them. An "@" further on makes it doubtful what is what.
func (u engineURL) split() (scheme, user, hosts, rest string, err error) {
	scheme, rest, _ = strings.Cut(u.text, "://")
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, rest = rest[:i], rest[i:]
	} else {
		rest = ""
	}
	if strings.Contains(rest, "@") {
		return "", "", "", "", errors.New("write the characters / ? # @ of its user, password and parameters as %2F %3F %23 %40")
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, authority = authority[:i], authority[i+1:]
	}
	return scheme, user, authority, rest, nil
}

// String is the URL without its secrets.
func (u engineURL) String() string {
	if u.text == "" {
		return ""
	}
	scheme, _, hosts, rest, err := u.split()
	if err != nil {
		scheme, _, _ = strings.Cut(u.text, "://")
		return scheme + "://…"
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if port := host[strings.LastIndexAny(host, "]:")+1:]; port != host && strings.Trim(port, "0123456789") != "" {
			return scheme + "://…" // it may be a password, before an "@" that is missing
		}
	}
	path, _, _ := strings.Cut(rest, "?")
	return scheme + "://" + hosts + path
}

// GoString implements fmt.GoStringer.
func (u engineURL) GoString() string { return u.String() }

// LogValue implements slog.LogValuer.
func (u engineURL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// check has validate look at the URL, and keeps its secrets out of what that says.
func (u engineURL) check(validate func(string) error) error {
	_, user, _, rest, err := u.split()
	if err != nil {
		return err
	}
	secrets, err := secretsOf(user, rest)
	if err != nil {
		return err
	}
	if err := validate(u.text); err != nil {
		return errors.New(withoutSecrets(err.Error(), u.text, secrets))
	}
	return nil
}

// secretsOf are the passwords of a URL, as they are written and as they are meant.
func secretsOf(user, rest string) (secrets []string, err error) {
	if _, password, ok := strings.Cut(user, ":"); ok {
		plain, err := url.PathUnescape(password)
		if err != nil {
			return nil, errors.New("its password has a % that begins no code: write it as %25")
		}
		secrets = append(secrets, password, plain)
	}
	_, query, _ := strings.Cut(rest, "?")
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.Contains(strings.ToLower(name), "password") {
			continue
		}
		secrets = append(secrets, value)
		if plain, err := url.QueryUnescape(value); err == nil {
			secrets = append(secrets, plain)
		}
	}
	return secrets, nil
}

// withoutSecrets makes a driver's words fit to be shown: drivers quote the URL, as
// they see it, before they say what is wrong.
func withoutSecrets(text, whole string, secrets []string) string {
	if strings.HasPrefix(text, "cannot parse `") {
		if _, why, ok := strings.Cut(text, "`: "); ok {
			text = why
		}
	}
	for _, s := range append([]string{whole}, secrets...) {
		if s != "" {
			text = strings.ReplaceAll(text, s, "…")
		}
	}
	return text
}

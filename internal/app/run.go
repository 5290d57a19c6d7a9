// Package app is the only wiring: configuration, subcommands and lifecycle.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"
)

// Exit codes of the command.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// streams are the standard streams that commands use.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// cli is the command line. Every flag has an environment variable: --listen is
// CODEWORD_LISTEN.
type cli struct {
	Dev        devCommand        `cmd:"" help:"Run the whole service for development, on the embedded store unless told otherwise."`
	Serve      serveCommand      `cmd:"" help:"Run the service."`
	Client     clientCommand     `cmd:"" help:"Manage clients and their secrets."`
	Keys       keysCommand       `cmd:"" help:"Manage the master keyset and the signing keys."`
	Phone      phoneCommand      `cmd:"" help:"Opt a number out of a client's messages, or block it for a time."`
	Numberplan numberplanCommand `cmd:"" help:"Tell what is known of a number, and keep the table of line types current."`
	Events     eventsCommand     `cmd:"" help:"See what operators changed, and what the service decided by itself."`
	Webhook    webhookCommand    `cmd:"" help:"Manage where events are posted to, and post them again."`
	Guard      guardCommand      `cmd:"" help:"See what the fraud guard holds back, and try it out."`
	Migrate    migrateCommand    `cmd:"" help:"Bring the database schema up to date, or move to another database."`
	Doctor     doctorCommand     `cmd:"" help:"Check configuration, store, keys and clock."`
	Backup     backupCommand     `cmd:"" help:"Copy the database to a file while the service runs."`
	Restore    restoreCommand    `cmd:"" help:"Put a backup in the place of the database."`
	Forget     forgetCommand     `cmd:"" help:"End all sessions, codes and queued messages, after a database was put back by other means than restore."`
	Send       sendCommand       `cmd:"" help:"Send a code to a number, as a client would."`
	Verify     verifyCommand     `cmd:"" help:"Authenticate with a code, as a client would."`
	Version    versionCommand    `cmd:"" help:"Print the version."`
}

// Run runs the command and returns its exit code: 0 for success, 2 for a wrong
// command line or configuration, 1 for any other failure.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var c cli
	var file configFile
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("codeword"),
		kong.Description("Self-hosted one-time passcodes by SMS."),
		kong.DefaultEnvars("CODEWORD"),
		kong.Configuration(file.load),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(streams{stdin, stdout, stderr}, &file),
	)
	if err != nil {
		return report(stderr, err, exitFailure)
	}
	command, err := parser.Parse(args)
	if exited >= 0 { // --help printed and asked to leave
		return exited
	}
	if err != nil {
		return report(stderr, withHint(err), exitUsage)
	}
	err = command.Run()
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		return report(stderr, err, exitUsage)
	default:
		return report(stderr, err, exitFailure)
	}
}

// report prints an error, one line for each that was joined, and returns code.
func report(stderr io.Writer, err error, code int) int {
	for line := range strings.Lines(err.Error()) {
		// It may quote what came from elsewhere.
		_, _ = fmt.Fprintln(stderr, "codeword:", escaped(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return code
}

// withHint adds where to read about the command whose arguments were wrong.
func withHint(err error) error {
	name := "codeword"
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil && parse.Context.Selected() != nil {
		name = parse.Context.Selected().FullPath()
	}
	return fmt.Errorf("%w\nsee '%s --help'", err, name)
}

// usageError is a configuration that cannot work; the exit code tells it from a
// failure at run time.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// asUsage marks an error, if there is one, as a usageError.
func asUsage(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{err}
}

type versionCommand struct{}

// Run prints the version that the binary was built from.
func (versionCommand) Run(s streams) error {
	_, err := fmt.Fprintln(s.out, "codeword", version())
	return err
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			v += " " + s.Value[:12]
		}
	}
	return v
}

// hostname is for logs; failure to know it is no reason to stop.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

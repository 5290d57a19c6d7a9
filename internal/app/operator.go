package app

import (
	"os"
	"os/user"
	"strconv"

	"codeword/internal/audit"
)

// The kinds of entries about the whole ledger.
const (
	eventForget  = "ledger.forget"
	eventRestore = "ledger.restore"
)

// operator names who runs this command. What sudo says of whom it acts for stands in
// the environment: a hint, and no proof.
func operator() string { return audit.CLI(account(), os.Getenv("SUDO_USER")) }

// account is the name of the process's account, or its number. It is not taken from
// the environment, as user.Current does where there is no entry for the account.
func account() string {
	uid := os.Getuid()
	if uid < 0 { // Windows has no such numbers
		u, err := user.Current()
		if err != nil {
			return "unknown"
		}
		return u.Username
	}
	id := strconv.Itoa(uid)
	u, err := user.LookupId(id)
	if err != nil {
		return id
	}
	return u.Username
}

package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"codeword/internal/store/group"
)

const (
	// maxTries bounds how often a transaction is tried that lost against another.
	maxTries = 8
	// rollbackTimeout bounds the end of a transaction that failed.
	rollbackTimeout = time.Second
)

// The SQLSTATEs that are told apart (PostgreSQL, appendix A).
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	uniqueViolation      = "23505"
	lockNotAvailable     = "55P03"
	queryCanceled        = "57014"
	checkViolation       = "23514"
)

// worthRepeating tells whether the transaction was undone for what another one
// did, and may do better now: a row that was not there when it looked is there.
func worthRepeating(err error) bool {
	switch code(err) {
	case serializationFailure, deadlockDetected, uniqueViolation:
		return true
	default:
		return false
	}
}

// isAboutValues tells whether the server complained of a value: a data exception, a
// violated constraint, or more than fits (SQLSTATE classes 22, 23 and 54).
func isAboutValues(err error) bool {
	c := code(err)
	return len(c) == 5 && (c[:2] == "22" || c[:2] == "23" || c[:2] == "54")
}

// code is the SQLSTATE of an answer of the server; empty for every other error.
func code(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code
	}
	return ""
}

// engineError turns whatever PostgreSQL says into the one thing that callers need
// to know: nothing was acknowledged.
func engineError(err error) error {
	if err == nil || group.Refusal(err) {
		return err
	}
	detail := "not reachable"
	switch c := code(err); {
	case worthRepeating(err):
		detail = "lost against other transactions too often"
	case c == lockNotAvailable || c == queryCanceled || errors.Is(err, context.DeadlineExceeded):
		detail = "took too long"
	case len(c) == 5 && c[:2] == "53":
		detail = "out of resources"
	case len(c) == 5 && c[:2] == "57":
		detail = "shutting down or starting up"
	case c != "":
		detail = "engine error"
	}
	return unavailable(detail, err)
}

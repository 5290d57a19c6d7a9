package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Plans tells how the server carries out each statement that the pool's first free
// connection has prepared, by its text. The plans are the generic ones, so that they
// do not depend on parameters.
func (s *Store) Plans(ctx context.Context) (map[string]string, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	type prepared struct {
		Name, Statement string
		Parameters      int
	}
	rows, _ := conn.Query(ctx, `SELECT name, statement, cardinality(parameter_types) FROM pg_prepared_statements WHERE statement ~ '^\s*(SELECT|WITH|UPDATE|INSERT|DELETE)'`)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[prepared])
	if err != nil {
		return nil, err
	}
	plans := make(map[string]string, len(all))
	for _, p := range all {
		explain := "EXPLAIN EXECUTE " + p.Name
		if p.Parameters > 0 {
			explain += "(" + strings.Join(slices.Repeat([]string{"NULL"}, p.Parameters), ", ") + ")"
		}
		rows, _ := conn.Query(ctx, explain, pgx.QueryExecModeSimpleProtocol)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Statement, err)
		}
		plans[p.Statement] = strings.Join(lines, "\n")
	}
	return plans, nil
}

// SynchronousCommit is what the pool's first free connection commits with.
func (s *Store) SynchronousCommit(ctx context.Context) (out string, err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Release()
	err = conn.QueryRow(ctx, "SHOW synchronous_commit").Scan(&out)
	return out, err
}

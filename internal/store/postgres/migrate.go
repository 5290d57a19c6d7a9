package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	migrator "github.com/jackc/tern/v2/migrate"
)

//go:embed migrations/*.sql
var migrations embed.FS

// versionTable tells which migrations were applied.
const versionTable = "codeword_schema"

// migrate brings the schema up to date. Several nodes may do so at once: an
// advisory lock lets one after the other.
func migrate(ctx context.Context, cfg *pgx.ConnConfig) (err error) {
	delete(cfg.RuntimeParams, "statement_timeout") // a migration takes as long as it takes
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	m, err := migrator.NewMigrator(ctx, conn, versionTable)
	if err != nil {
		return err
	}
	scripts, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if err := m.LoadMigrations(scripts); err != nil {
		return err
	}
	version, err := m.GetCurrentVersion(ctx)
	if err != nil {
		return err
	}
	// The rows of a newer release may mean what this one does not know.
	if int(version) > len(m.Migrations) {
		return fmt.Errorf("schema version %d is newer than this release's %d", version, len(m.Migrations))
	}
	return m.Migrate(ctx)
}

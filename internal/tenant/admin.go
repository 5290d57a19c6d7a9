package tenant

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"codeword/internal/audit"
	"codeword/internal/fault"
	"codeword/internal/store"
)

// maxSecrets is how many secrets of a client can be live at once: the old one
// and the new one of a rotation.
const maxSecrets = 2

// Errors of the rotation of a secret.
var (
	ErrRotating    = errors.New("a rotation is under way: finish or cancel it first")
	ErrNotRotating = errors.New("no rotation is under way")
)

// The changes below are recorded with the name of their actor, and not made when that
// fails; see audit.Trail.

// Create stores a new client and returns it with its secret, which is shown
// this once and cannot be read again. An empty id gets a fresh one.
func (r *Registry) Create(ctx context.Context, actor, id, name string, live bool, settings []byte) (store.Client, string, error) {
	if err := checkName(name); err != nil {
		return store.Client{}, "", err
	}
	settings, err := mergeSettings([]byte("{}"), settings)
	if err != nil {
		return store.Client{}, "", err
	}
	if id == "" {
		id = "client-" + Env(live) + "-" + uuid.NewString()
	}
	clear, secret, err := r.NewSecret(id)
	if err != nil {
		return store.Client{}, "", err
	}
	c := store.Client{
		ID: id, Name: name, Live: live, Settings: settings,
		Secrets: []store.Secret{secret}, CreatedAt: r.now(), Revision: 1,
	}
	if err := r.add(ctx, actor, c); err != nil {
		return store.Client{}, "", err
	}
	return c, clear, nil
}

func (r *Registry) add(ctx context.Context, actor string, c store.Client) error {
	changes, err := settingChanges(nil, c.Settings)
	if err != nil {
		return err
	}
	data := createData{Name: c.Name, Env: Env(c.Live), SecretIDs: secretIDs(c.Secrets), Changes: changes}
	return r.audit.Record(ctx, audit.Entry{Actor: actor, Client: c.ID, Kind: EventCreate, Data: data}, func() error {
		return r.store.CreateClient(ctx, c)
	})
}

// Seed makes sure that the client is there and that its secrets are those of c. What
// else is stored of it already stays as it is.
func (r *Registry) Seed(ctx context.Context, actor string, c store.Client) error {
	row, err := r.Find(ctx, c.ID)
	switch {
	case fault.Is(err, fault.NotFound):
		return r.add(ctx, actor, c)
	case err != nil:
		return err
	}
	data := updateData{map[string]any{"secrets": delta{secretIDs(row.Secrets), secretIDs(c.Secrets)}}}
	row.Secrets = c.Secrets
	return r.audit.Record(ctx, audit.Entry{Actor: actor, Client: c.ID, Kind: EventUpdate, Data: data}, func() error {
		return r.store.UpdateClient(ctx, row)
	})
}

func checkName(name string) error {
	if !printable(name, maxName) {
		return fmt.Errorf("name: 1 to %d bytes of printable text", maxName)
	}
	return nil
}

// List returns the stored clients, oldest first, also those that cannot be read.
func (r *Registry) List(ctx context.Context) ([]store.Client, error) { return r.store.Clients(ctx) }

// Find returns one stored client; fault.NotFound.
func (r *Registry) Find(ctx context.Context, id string) (store.Client, error) {
	rows, err := r.store.Clients(ctx)
	if err != nil {
		return store.Client{}, err
	}
	for _, row := range rows {
		if row.ID == id {
			return row, nil
		}
	}
	return store.Client{}, fault.New(fault.NotFound, "no client "+id)
}

// mergeSettings applies a patch and returns the result if it is valid.
func mergeSettings(stored, patch []byte) ([]byte, error) {
	if len(patch) == 0 {
		return stored, nil
	}
	if jsontext.Value(patch).Kind() != '{' {
		return nil, errors.New("settings: not a JSON object")
	}
	var fields, changes map[string]any
	if err := json.Unmarshal(stored, &fields); err != nil {
		return nil, fmt.Errorf("stored settings: %w", err)
	}
	if err := json.Unmarshal(patch, &changes); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	if err := knownNames(changes); err != nil {
		return nil, err
	}
	fields = mergePatch(fields, changes)
	merged, err := json.Marshal(fields, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	if _, err := ParseSettings(merged); err != nil {
		return nil, err
	}
	delete(fields, formerRoute)
	return json.Marshal(fields, json.Deterministic(true))
}

// knownNames refuses a name that is no setting. ParseSettings would not see
// one that is set to null, since the merge removes it.
func knownNames(changes map[string]any) error {
	known := settingNames()
	for name := range changes {
		if !known[name] {
			return fmt.Errorf("settings: unknown setting %q", name)
		}
	}
	return nil
}

// mergePatch is the MergePatch of RFC 7396 section 2 for objects.
func mergePatch(target, patch map[string]any) map[string]any {
	if target == nil {
		target = make(map[string]any)
	}
	for name, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(target, name)
		case map[string]any:
			inner, _ := target[name].(map[string]any)
			target[name] = mergePatch(inner, value)
		default:
			target[name] = value
		}
	}
	return target
}

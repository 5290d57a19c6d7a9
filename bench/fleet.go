package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	"codeword/bench/internal/target"
)

// fleet is the server under test: one process, or several on one database, among
// which connections take turns.
type fleet struct {
	nodes []*target.Server
	next  atomic.Uint64
}

func (f *fleet) first() *target.Server { return f.nodes[0] }

// Env is the dev.env of the first node.
func (f *fleet) Env() map[string]string { return f.first().Env }

// Ready is how long the first node took to start.
func (f *fleet) Ready() time.Duration { return f.first().Ready }

// host is where the next connection goes.
func (f *fleet) host() string {
	n := f.nodes[f.next.Add(1)%uint64(len(f.nodes))]
	u, err := url.Parse(n.Env["CODEWORD_URL"])
	if err != nil {
		return ""
	}
	return u.Host
}

// Usage adds up what the nodes have used.
func (f *fleet) Usage() (sum target.Usage, err error) {
	for _, n := range f.nodes {
		u, err := n.Usage()
		if err != nil {
			return sum, err
		}
		sum.CPU += u.CPU
		sum.Resident += u.Resident
		sum.Peak += u.Peak
	}
	return sum, nil
}

// Alive returns an error when a node has ended.
func (f *fleet) Alive() error {
	var errs []error
	for _, n := range f.nodes {
		errs = append(errs, n.Alive())
	}
	return errors.Join(errs...)
}

// Stop stops all nodes and returns how long that took.
func (f *fleet) Stop() time.Duration {
	began := time.Now()
	for _, n := range f.nodes {
		n.Stop()
	}
	return time.Since(began)
}

// sharedURL is the issuer of nodes that share sessions; nobody calls it.
const sharedURL = "http://codeword.invalid"

// start starts the nodes, the first one before the others, which take its keyset.
func (b *bench) start(ctx context.Context, name string) (f *fleet, cleanUp func(), err error) {
	data, remove := b.data, func() {}
	if data == "" || name == workBare {
		if data, err = os.MkdirTemp(b.dir, name+"-"); err != nil {
			return nil, nil, err
		}
		// Five million phones are not kept till the end.
		remove = func() { _ = os.RemoveAll(data) }
	}
	f = &fleet{}
	nodes := b.nodes
	if name == workBare {
		nodes = 1
	}
	for i := range nodes {
		own := data
		if i > 0 {
			own = filepath.Join(b.dir, filepath.Base(data)+"-node")
			err = takeKeyset(data, own)
		}
		var node *target.Server
		if err == nil {
			node, err = b.startNode(ctx, name, own)
		}
		if err != nil {
			f.Stop()
			remove()
			return nil, nil, err
		}
		f.nodes = append(f.nodes, node)
	}
	if name != workBare && b.settings != "" {
		if err := b.changeSettings(ctx, f, data); err != nil {
			f.Stop()
			remove()
			return nil, nil, err
		}
	}
	return f, remove, nil
}

// followed is how long it takes at most until all nodes know of a client's change.
const followed = 1500 * time.Millisecond

// changeSettings changes the settings of the client that will call.
func (b *bench) changeSettings(ctx context.Context, f *fleet, data string) error {
	id := f.Env()["CODEWORD_CLIENT_ID"]
	if b.client == "live" {
		id = f.Env()["CODEWORD_LIVE_CLIENT_ID"]
	}
	args := []string{"client", "update", id, "--data", data, "--settings", b.settings}
	if b.database != "" {
		args = append(args, "--database", b.database)
	}
	if out, err := exec.CommandContext(ctx, b.binary, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("settings: %w: %s", err, out)
	}
	select {
	case <-time.After(followed):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *bench) startNode(ctx context.Context, name, data string) (*target.Server, error) {
	command := []string{filepath.Join(b.dir, "bare"), "--data", data}
	if name != workBare {
		command = []string{b.binary, "dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data", data}
		// Codes are fetched from the inbox, so authenticate needs the loop; it is idle in the timed phase.
		if b.delivery == "off" && name != workAuthenticate {
			command = append(command, "--delivery=off")
		}
		for flag, value := range map[string]string{"--database": b.database, "--ephemeral": b.ephemeral} {
			if value != "" {
				command = append(command, flag, value)
			}
		}
		if b.nodes > 1 {
			command = append(command, "--public-url", sharedURL)
		}
		command = append(command, b.serverArgs...)
	}
	log := b.serverLog
	if log == "" {
		log = filepath.Join(data, "bench-server.log")
	}
	return target.Start(ctx, target.Config{Command: command, Data: data, Log: log})
}

// takeKeyset gives another node the keyset of the first.
func takeKeyset(from, to string) error {
	if err := os.RemoveAll(to); err != nil { // of the workload before
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(from, "keyset.json"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, "keyset.json"), raw, 0o600)
}

// engineCPU is what the processes of the engine have used so far.
func (b *bench) engineCPU() time.Duration { return target.CPUByName(b.engineProcesses) }

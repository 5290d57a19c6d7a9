package app

import (
	"context"
	"sync"
	"time"

	"codeword/internal/store"
)

// Partitions are looked after every partitionsEvery, and sooner after a failure:
// they are made a day and more before they are needed.
const (
	partitionsEvery = time.Hour
	partitionsAgain = time.Minute
)

// upkeep does what is to be done once, not once a node: it removes what has expired,
// keeps the partitions of the message log, and adds up what happened to messages.
//
// The signing keys rotate on every node instead. Each step of their rotation follows
// from the stored keys alone, and of those who want to add a key AddSigningKey lets
// one (it names the newest key that it saw), so that nodes that race do the same as
// one that is alone.
func (n *node) upkeep(ctx context.Context) error {
	return lead(ctx, n.store, upkeepTurn, func(ctx context.Context) error {
		var all sync.WaitGroup
		all.Go(func() { n.partitions(ctx) })
		all.Go(func() { n.fold(ctx) })
		f := &n.cfg.Flags
		keep := store.Sweep{KeepMessages: f.KeepMessages, KeepEvents: f.KeepEvents, KeepRollups: f.KeepRollups}
		sweep(ctx, n.store, n.cfg.Now, keep, n.log)
		all.Wait()
		return nil
	})
}

// partitions keeps the partitions until ctx ends, where the engine has some.
func (n *node) partitions(ctx context.Context) {
	if _, ok := capability[partitioned](n.store); !ok {
		return
	}
	repeat(ctx, 0, func(ctx context.Context) (pause time.Duration) {
		if !n.keepPartitions(ctx) {
			return partitionsAgain
		}
		return partitionsEvery
	})
}

// keepPartitions makes the partitions that will be needed and drops those whose
// retention has passed. Every node does so once, before it takes messages: one for
// which there is no partition keeps that of its day from being made.
func (n *node) keepPartitions(ctx context.Context) (done bool) {
	p, ok := capability[partitioned](n.store)
	if !ok {
		return true
	}
	err := p.KeepPartitions(ctx, n.cfg.Now(), n.cfg.Flags.KeepMessages)
	if err != nil && ctx.Err() == nil {
		n.log.WarnContext(ctx, "the partitions of the message log were not kept; it goes on without", "error", err)
	}
	return err == nil
}

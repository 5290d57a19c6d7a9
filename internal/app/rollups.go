package app

import (
	"context"
	"time"

	"codeword/internal/store"
)

// rollupStore is the store's part of what is counted of messages.
type rollupStore interface {
	// FoldRollups adds up to limit entries of what operations have caused, each once,
	// and tells how many those were.
	FoldRollups(ctx context.Context, limit int) (int, error)
	// Rollups calls each for the roll-ups in the order of their begins, until it fails,
	// and returns what that says. They are valid during the call alone, which must not
	// use the store.
	Rollups(ctx context.Context, q store.RollupQuery, each func(*store.Rollup) error) error
}

const (
	// foldEvery is how far the overview may be behind.
	foldEvery = 10 * time.Second
	// foldSlice bounds how many entries are added up at once: each is of one commit.
	foldSlice = 5000
)

// fold adds up what has happened to messages, until ctx ends. What could not be added
// up stays where it is, for the next time.
func (n *node) fold(ctx context.Context) {
	repeat(ctx, foldEvery, func(ctx context.Context) (pause time.Duration) {
		folded, err := n.store.FoldRollups(ctx, foldSlice)
		switch {
		case err != nil && ctx.Err() == nil:
			n.log.WarnContext(ctx, "what happened to messages was not added up; it will be", "error", err)
		case folded == foldSlice:
			return 0
		}
		return foldEvery
	})
}

// foldAll adds up what is there.
func foldAll(ctx context.Context, s rollupStore) error {
	for {
		folded, err := s.FoldRollups(ctx, foldSlice)
		if err != nil || folded < foldSlice {
			return err
		}
	}
}

package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
	// channel carries word of messages that were queued; its payload is the node
	// that did, which knows already.
	channel = "codeword_messages"
	// announceEvery bounds how often a node tells. NOTIFY takes a lock that all
	// commits with one share, so it has no place in the group's transaction.
	announceEvery = 50 * time.Millisecond
	// listenPause is between two tries to listen.
	listenPause = time.Second
)

// announcer tells other nodes that this one has queued messages. What it tells may
// be lost, which only means that they look when they would have looked anyway.
type announcer struct {
	node string
	// news holds a token while there is something to tell.
	news chan struct{}
}

func newAnnouncer() *announcer {
	return &announcer{node: uuid.NewString(), news: make(chan struct{}, 1)}
}

// queued notes that messages were committed. It never blocks.
func (a *announcer) queued() {
	select {
	case a.news <- struct{}{}:
	default:
	}
}

// Watch tells other nodes of messages that this one queues, and calls wake when
// another one tells so, until ctx ends. Connections that break are made again.
func (s *Store) Watch(ctx context.Context, wake func()) error {
	told := make(chan struct{})
	go func() {
		defer close(told)
		s.announce(ctx)
	}()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
			_ = s.listen(ctx, wake) // what was missed meanwhile is found by looking
			pause.Reset(listenPause)
		case <-ctx.Done():
			<-told
			return nil
		}
	}
}

func (s *Store) announce(ctx context.Context) {
	tick := time.NewTicker(announceEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		select {
		case <-s.announcer.news:
			_ = s.query(ctx, func(row) {}, `SELECT pg_notify($1, $2)`, channel, s.announcer.node)
		default:
		}
	}
}

func (s *Store) listen(ctx context.Context, wake func()) error {
	conn, err := pgx.ConnectConfig(ctx, s.connConfig.Copy())
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		_ = conn.Close(end)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	wake() // for what was told before
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		if n.Payload != s.announcer.node {
			wake()
		}
	}
}

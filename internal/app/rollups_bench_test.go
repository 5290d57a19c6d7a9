package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"codeword/internal/store"
	"codeword/internal/store/postgres/postgrestest"
)

// BenchmarkMessage is the way of a message through the store once it is queued: the
// claim, its outcome, a delivery receipt (from 48 callers, each with one, as webhooks of
// carriers bring them, or with sixteen), the note that its code was used, and its part of adding up. Of
// each it tells the processor time of this process and of the database's server. Give
// it many messages: -benchtime 40000x.
func BenchmarkMessage(b *testing.B) {
	for _, engine := range []string{"sqlite", "postgres"} {
		for _, receipts := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/receipts=%d", engine, receipts), func(b *testing.B) { benchmarkMessage(b, engine, receipts) })
		}
	}
}

func benchmarkMessage(b *testing.B, engine string, receipts int) {
	ctx := context.Background()
	st := storage{File: filepath.Join(b.TempDir(), "codeword.db")}
	c := &benchClock{b: b, spent: make(map[string]time.Duration)}
	if engine == "postgres" {
		url := postgrestest.Start(b, postgrestest.Options{}).URL()
		st = storage{Postgres: engineURL{text: url}}
		c.url = url
	}
	e, err := openEngine(ctx, st, nil, observers{})
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	must(err)
	defer e.Close()
	now := time.Now().UTC().Truncate(time.Hour)
	if p, ok := capability[partitioned](e); ok {
		must(p.KeepPartitions(ctx, now, 720*time.Hour))
	}
	must(e.CreateClient(ctx, store.Client{ID: "client", Name: "client", Settings: []byte("{}"), CreatedAt: now}))
	const batch = 256
	queue := e.(interface {
		QueueMessages(ctx context.Context, accepted []store.Accepted) error
	})
	for i := 0; i < b.N; i += batch {
		var accepted []store.Accepted
		for range min(batch, b.N-i) {
			phone := store.PhoneID(store.NewChallengeID())
			accepted = append(accepted, store.Accepted{
				ID: store.NewMessageID(), Client: "client", Phone: phone, Sealed: make([]byte, 45), Challenge: store.NewChallengeID(), Digits: 6,
				CreatedAt: now, ExpiresAt: now.Add(10 * time.Minute), Locale: "en",
			})
		}
		must(queue.QueueMessages(ctx, accepted))
	}
	b.ResetTimer()
	c.run(e, now, batch, receipts, must)
	b.ReportMetric(0, "ns/op")
	var all time.Duration
	for part, spent := range c.spent {
		b.ReportMetric(float64(spent.Nanoseconds())/1000/float64(b.N), part+"-us/msg")
		all += spent
	}
	b.ReportMetric(float64(all.Nanoseconds())/1000/float64(b.N), "all-us/msg")
}

// benchClock adds up the processor time of each part.
type benchClock struct {
	b     *testing.B
	url   string
	spent map[string]time.Duration
}

// run does everything to all that is queued, and adds up every tenth batch: at 256
// messages a second that would be every ten seconds.
func (c *benchClock) run(e engine, now time.Time, batch, receipts int, must func(error)) {
	ctx := context.Background()
	var outcomes [][]store.Outcome
	var phones [][]store.PhoneID
	c.part("claim", func() {
		for {
			claimed, err := e.ClaimMessages(ctx, store.Claim{Now: now, Lease: time.Hour, Limit: batch})
			must(err)
			if len(claimed) == 0 {
				return
			}
			outcomes, phones = append(outcomes, nil), append(phones, nil)
			last := len(outcomes) - 1
			for i := range claimed {
				m := &claimed[i]
				o := store.Outcome{ID: m.ID, Claims: m.Claims, Status: store.MessageSent, Route: "main", CarrierRef: m.ID.String(), RetryAt: now.Add(time.Minute)}
				o.Area = 201 + int(m.ID[15])
				o.Dispatches = []store.Dispatch{{
					At: now, Claim: 1, Route: "main", Decision: "main:chosen", Status: store.MessageSent, CarrierRef: o.CarrierRef, Segments: 1, PriceMicros: 7900,
				}}
				outcomes[last], phones[last] = append(outcomes[last], o), append(phones[last], m.Phone)
			}
		}
	})
	const every = 10
	for from := 0; from < len(outcomes); from += every {
		to := min(len(outcomes), from+every)
		c.part("record", func() {
			for _, o := range outcomes[from:to] {
				_, err := e.RecordOutcomes(ctx, now, o)
				must(err)
			}
		})
		c.part("receipt", func() {
			var callers errgroup.Group
			callers.SetLimit(48)
			for _, all := range outcomes[from:to] {
				for part := range slices.Chunk(all, receipts) {
					callers.Go(func() error {
						var rs []store.Receipt
						for _, o := range part {
							rs = append(rs, store.Receipt{Route: "main", CarrierRef: o.CarrierRef, Status: store.ReceiptDelivered, At: now})
						}
						_, err := e.ApplyReceipts(ctx, now.Add(3*time.Second), rs)
						return err
					})
				}
			}
			must(callers.Wait())
		})
		c.part("verify", func() {
			for _, p := range phones[from:to] {
				_, err := e.RecordVerified(ctx, now.Add(time.Minute), p)
				must(err)
			}
		})
		c.part("fold", func() { must(foldAll(ctx, e)) })
	}
}

func (c *benchClock) part(name string, f func()) {
	own, server := c.own(), c.server()
	f()
	c.spent[name] += c.own() - own + c.server() - server
}

func (c *benchClock) own() time.Duration {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		c.b.Fatal(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// server is what the sessions of the database have used, in steps of 10 ms.
func (c *benchClock) server() (used time.Duration) {
	if c.url == "" {
		return 0
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, c.url)
	if err != nil {
		c.b.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, _ := conn.Query(ctx, `SELECT pid FROM pg_stat_activity WHERE application_name = 'codeword'`)
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		c.b.Fatal(err)
	}
	for _, pid := range pids {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			c.b.Fatal(err)
		}
		fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:])) // from the third on (proc_pid_stat(5))
		for _, f := range fields[11:13] {
			ticks, err := strconv.Atoi(f)
			if err != nil {
				c.b.Fatal(err)
			}
			used += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return used
}

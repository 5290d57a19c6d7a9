package app

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"zombiezen.com/go/sqlite"

	"codeword/internal/audit/audittest"
	"codeword/internal/phone"
	"codeword/internal/rollup"
	"codeword/internal/store"
	"codeword/internal/store/postgres"
	"codeword/internal/store/postgres/postgrestest"
)

var (
	largeLedger = flag.Int("large", 0, "messages in the ledger of TestLargeLedger; 0 skips it")
	largeDir    = flag.String("large-dir", "", "directory for it, on a real disk (default: a temporary one)")
)

// What an operator waits for, at most.
const (
	overviewLimit = 300 * time.Millisecond
	searchLimit   = 50 * time.Millisecond
)

// TestLargeLedger fills a ledger and asks for the overview and for numbers:
//
//	go test ./internal/app -run LargeLedger -large 10000000 -v -timeout 90m
func TestLargeLedger(t *testing.T) {
	if *largeLedger == 0 {
		t.Skip("say how large: -large 10000000")
	}
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			dir := *largeDir
			if dir == "" {
				dir = t.TempDir()
			}
			l := &large{t: t, n: *largeLedger, now: time.Now(), dir: filepath.Join(dir, engine)}
			if engine == "postgres" {
				l.database = postgrestest.Start(t, postgrestest.Options{Settings: []string{"shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=30min"}}).URL()
				l.partitions()
			}
			l.fill()
			l.measure()
		})
	}
}

// large is a ledger with n messages of the last 30 days, of ten clients over three
// routes, five to each phone.
type large struct {
	t        *testing.T
	n        int
	now      time.Time
	dir      string
	database string
	numbers  []phone.Number
	ids      []store.PhoneID
	clients  []string
	numberOf map[string]int64
}

func (l *large) start() *Dev {
	l.t.Helper()
	d, err := startDev(l.t.Context(), DevConfig{
		Data: l.dir, Database: l.database, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}, nodeConfig{Out: io.Discard, Flags: serverFlags{
		SigningAlgorithm: "ES256", SigningKeyLife: 720 * time.Hour, Delivery: "off", DeliveryWorkers: 1, MaxQueueAge: time.Minute,
		MaxInFlight: 512, MaxConnections: 100, KeepMessages: 1000 * time.Hour, DrainTimeout: 20 * time.Second,
	}})
	if err != nil {
		l.t.Fatal(err)
	}
	return d
}

// must fails the test for an error.
func (l *large) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// partitions makes those that a server would have made in the last 30 days.
func (l *large) partitions() {
	s, err := postgres.Open(l.t.Context(), postgres.Config{URL: l.database})
	l.must(err)
	for day := 31; day >= 0; day-- {
		l.must(s.KeepPartitions(l.t.Context(), l.now.AddDate(0, 0, -day), 720*time.Hour))
	}
	l.must(s.Close())
}

// fill makes the clients by the server itself, and writes the rest into its tables.
func (l *large) fill() {
	d := l.start()
	l.clients = []string{d.LiveClientID}
	for i := range 9 {
		c, _, err := d.node.clients.Create(l.t.Context(), audittest.Operator, "", fmt.Sprint("client ", i), true, []byte("{}"))
		l.must(err)
		l.clients = append(l.clients, c.ID)
	}
	l.must(d.node.clients.Load(l.t.Context()))
	var areas []int
	for npa := range 1000 {
		if a, ok := phone.AreaCode(npa); ok && a.State != "" {
			areas = append(areas, npa)
		}
	}
	for k := range max(1, l.n/5) {
		n, err := phone.Parse(fmt.Sprintf("+1%d%d%04d", areas[k%len(areas)], 220+k/len(areas)/10_000, k/len(areas)%10_000))
		l.must(err)
		ids, err := d.node.otp.PhoneIDs(d.node.clients.Client(l.clients[k%len(l.clients)]), n)
		l.must(err)
		l.numbers, l.ids = append(l.numbers, n), append(l.ids, ids[0])
	}
	l.must(d.Close())
	began := time.Now()
	if l.database == "" {
		l.fillSQLite()
	} else {
		l.fillPostgres()
	}
	l.t.Logf("filled with %d messages and %d phones in %v", l.n, len(l.ids), time.Since(began).Round(time.Second))
}

// largeMessage is message i. Messages of one phone are as many apart as there are phones.
type largeMessage struct {
	id, previous    []byte
	phone           int
	at, took, used  time.Time
	status          store.MessageStatus
	route, ref, why string
	verified        int64
}

func (l *large) at(i int) time.Time {
	span := 30 * 24 * time.Hour
	return l.now.Add(-span).Add(time.Duration(float64(span) * float64(i) / float64(l.n))).Truncate(time.Microsecond)
}

func (l *large) id(i int) []byte {
	id := make([]byte, 16)
	binary.BigEndian.PutUint64(id, uint64(l.at(i).UnixMilli())<<16|0x7000|uint64(i)&0xfff)
	binary.BigEndian.PutUint64(id[8:], 1<<63|uint64(i)*0x9e3779b97f4a7c15>>2)
	return id
}

func (l *large) message(i int) (m largeMessage) {
	m.phone = i % len(l.ids)
	m.id, m.at = l.id(i), l.at(i)
	if i >= len(l.ids) {
		m.previous = l.id(i - len(l.ids))
	}
	mixed := uint64(i) * 0x9e3779b97f4a7c15 >> 33
	m.took, m.used = m.at.Add(time.Duration(mixed%20_000)*time.Millisecond), m.at.Add(time.Duration(5_000+mixed%90_000)*time.Millisecond)
	m.route, m.ref = [...]string{"alpha", "beta", "gamma"}[mixed%3], fmt.Sprintf("ref-%d", i)
	switch p := mixed % 100; {
	case p < 90:
		m.status = store.MessageDelivered
	case p < 96:
		m.status = store.MessageSent
	default:
		m.status, m.why = store.MessageFailed, [...]string{"unreachable", "filtered", "rejected", "timeout"}[p-96]
	}
	if mixed%5 > 0 && m.status != store.MessageFailed {
		m.verified = m.used.UnixMicro()
	}
	return m
}

// events are what the engine would have counted of a message.
func (l *large) events(buf []byte, m *largeMessage) []byte {
	e := rollup.Event{
		Client: l.numberOf[l.clients[m.phone%len(l.clients)]], At: m.at, Route: m.route, Area: l.numbers[m.phone].NPA(),
		Messages: true, Sent: true, Micros: 7900, Delivered: m.status == store.MessageDelivered, DeliveredAfter: m.took.Sub(m.at),
		Verified: m.verified > 0, VerifiedAfter: m.used.Sub(m.at), Reason: m.why,
	}
	if m.status == store.MessageFailed {
		e.Failed = 1
	}
	return rollup.Append(buf, &e)
}

const largeSlice = 100_000

func (l *large) slices(write func(from, to int)) {
	for from := 0; from < l.n; from += largeSlice {
		write(from, min(l.n, from+largeSlice))
	}
}

// sealed is as long as a sealed number.
var sealed = bytes.Repeat([]byte{1}, 45)

// inOrder are the phones in the order of their ids, which is quicker to write.
func (l *large) inOrder() []int {
	order := make([]int, len(l.ids))
	for k := range order {
		order[k] = k
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(l.ids[a][:], l.ids[b][:]) })
	return order
}

// last is a phone's newest message.
func (l *large) last(k int) int { return k + (l.n-1-k)/len(l.ids)*len(l.ids) }

func (l *large) fillSQLite() {
	conn, err := sqlite.OpenConn(filepath.Join(l.dir, databaseFile), sqlite.OpenReadWrite)
	l.must(err)
	defer conn.Close()
	exec := func(sql string, bind ...any) {
		stmt, err := conn.Prepare(sql)
		l.must(err)
		for i, v := range bind {
			switch v := v.(type) {
			case []byte:
				stmt.BindBytes(i+1, v)
			case string:
				stmt.BindText(i+1, v)
			case int64:
				stmt.BindInt64(i+1, v)
			default:
				stmt.BindNull(i + 1)
			}
		}
		for more := true; more; {
			more, err = stmt.Step()
			l.must(err)
			if more && strings.HasPrefix(sql, "SELECT client_id") {
				l.numberOf[stmt.ColumnText(0)] = stmt.ColumnInt64(1)
			}
		}
		l.must(stmt.Reset())
	}
	l.numberOf = make(map[string]int64)
	exec("SELECT client_id, client_no FROM clients")
	for _, sql := range []string{"PRAGMA journal_mode = DELETE", "PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -400000"} {
		exec(sql)
	}
	exec("BEGIN")
	for _, k := range l.inOrder() {
		exec(`INSERT INTO phones (phone_id, client_no, sealed, created_at, last_message, last_send_at) VALUES (?, ?, ?, ?, ?, ?)`,
			l.ids[k][:], l.numberOf[l.clients[k%len(l.clients)]], sealed, l.at(k).UnixMicro(), l.id(l.last(k)), l.at(l.last(k)).UnixMicro())
	}
	exec("COMMIT")
	l.slices(func(from, to int) {
		exec("BEGIN")
		var events []byte
		for i := from; i < to; i++ {
			m := l.message(i)
			exec(`INSERT INTO messages (message_id, client_no, phone_id, previous, challenge_id, key_version, digits, status, claims, created_at, expires_at,
					updated_at, verified_at, route, carrier_ref, error, locale, area) VALUES (?, ?, ?, ?, ?, 1, 6, ?, 1, ?, ?, ?, ?, ?, ?, ?, 'en', ?)`,
				m.id, l.numberOf[l.clients[m.phone%len(l.clients)]], l.ids[m.phone][:], nullable(m.previous), m.id, int64(m.status), m.at.UnixMicro(),
				m.at.Add(10*time.Minute).UnixMicro(), m.took.UnixMicro(), m.verified, m.route, m.ref, m.why, int64(l.numbers[m.phone].NPA()))
			exec(`INSERT INTO dispatches (message_id, n, at, claim, route, decision, status, carrier_ref, error, segments, price_micros)
				VALUES (?, 1, ?, 1, ?, 'alpha=chosen beta=not-drawn', 2, ?, '', 1, 7900)`, m.id, m.at.UnixMicro(), m.route, m.ref)
			if events = l.events(events, &m); i%1000 == 999 || i == to-1 {
				exec(`INSERT INTO rollup_events (events) VALUES (?)`, events)
				events = events[:0]
			}
		}
		exec("COMMIT")
	})
	exec("PRAGMA journal_mode = WAL")
}

// nullable is NULL for an empty value.
func nullable(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

func (l *large) fillPostgres() {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, l.database)
	l.must(err)
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT client_id, client_no FROM clients")
	l.must(err)
	l.numberOf = make(map[string]int64)
	for rows.Next() {
		var id string
		var no int64
		l.must(rows.Scan(&id, &no))
		l.numberOf[id] = no
	}
	copyTo := func(table, columns string, from, to int, row func(i int) []any) {
		_, err := conn.CopyFrom(ctx, pgx.Identifier{table}, strings.Split(columns, " "), pgx.CopyFromSlice(to-from, func(i int) ([]any, error) {
			return row(from + i), nil
		}))
		l.must(err)
	}
	order := l.inOrder()
	copyTo("phones", "phone_id client_no sealed created_at last_message last_send_at", 0, len(order), func(i int) []any {
		k := order[i]
		return []any{
			[16]byte(l.ids[k]), l.numberOf[l.clients[k%len(l.clients)]], sealed, l.at(k).UnixMicro(), [16]byte(l.id(l.last(k))), l.at(l.last(k)).UnixMicro(),
		}
	})
	l.slices(func(from, to int) {
		copyTo("messages", "message_id client_no phone_id previous challenge_id key_version digits status claims created_at expires_at updated_at "+
			"verified_at route carrier_ref error locale area", from, to, func(i int) []any {
			m := l.message(i)
			var previous any
			if m.previous != nil {
				previous = [16]byte(m.previous)
			}
			return []any{
				[16]byte(m.id), l.numberOf[l.clients[m.phone%len(l.clients)]], [16]byte(l.ids[m.phone]), previous, [16]byte(m.id), int64(1), int16(6),
				int16(m.status), int32(1), m.at.UnixMicro(), m.at.Add(10 * time.Minute).UnixMicro(), m.took.UnixMicro(), m.verified, m.route, m.ref, m.why,
				"en", int16(l.numbers[m.phone].NPA()),
			}
		})
		copyTo("dispatches", "message_id n at claim route decision status carrier_ref error segments price_micros", from, to, func(i int) []any {
			m := l.message(i)
			return []any{
				[16]byte(m.id), int32(1), m.at.UnixMicro(), int32(1), m.route, "alpha=chosen beta=not-drawn", int16(store.MessageSent), m.ref, "", int32(1), int64(7900),
			}
		})
		var entries [][]byte
		for i := from; i < to; i++ {
			if i%1000 == 0 || i == from {
				entries = append(entries, nil)
			}
			m := l.message(i)
			entries[len(entries)-1] = l.events(entries[len(entries)-1], &m)
		}
		copyTo("rollup_events", "events", 0, len(entries), func(i int) []any { return []any{entries[i]} })
	})
	_, err = conn.Exec(ctx, "VACUUM ANALYZE")
	l.must(err)
}

// measure starts a server on the ledger, adds up what is to be added up, and asks.
func (l *large) measure() {
	e, err := openEngine(l.t.Context(), l.storage(), nil, observers{})
	l.must(err)
	began := time.Now()
	for folded := 1; folded > 0; {
		folded, err = e.FoldRollups(l.t.Context(), 200)
		l.must(err)
	}
	took := time.Since(began)
	l.t.Logf("added up in %v: %v a message", took.Round(time.Second), took/time.Duration(l.n))
	l.must(e.Close())
	d := l.start()
	defer func() { l.must(d.Close()) }()
	for _, path := range []string{
		"/admin/v1/overview?range=24h", "/admin/v1/overview?range=7d", "/admin/v1/overview?range=30d", "/admin/v1/overview?range=90d",
		"/admin/v1/overview?range=30d&client=" + l.clients[3], "/admin/v1/overview?range=30d&areaCode=212", "/?range=30d",
	} {
		var all []time.Duration
		for range 9 {
			all = append(all, l.get(d, path))
		}
		l.report(path, all, overviewLimit)
	}
	var all []time.Duration
	for k := 0; k < len(l.numbers); k += 1 + len(l.numbers)/200 {
		all = append(all, l.get(d, "/admin/v1/messages?to="+url.QueryEscape(l.numbers[k].E164())))
	}
	l.report("a search by number", all, searchLimit)
}

func (l *large) storage() storage {
	st, err := (&DevConfig{Data: l.dir, Database: l.database}).storage()
	l.must(err)
	return st
}

// report fails when the slowest of these took longer than that.
func (l *large) report(what string, all []time.Duration, limit time.Duration) {
	l.t.Helper()
	first := all[0]
	slices.Sort(all)
	slowest := all[len(all)-1]
	l.t.Logf("%s: first %v, median %v, slowest of %d %v", what, first.Round(time.Microsecond), all[len(all)/2].Round(time.Microsecond), len(all), slowest.Round(time.Microsecond))
	if slowest > limit {
		l.t.Errorf("%s took %v, more than %v", what, slowest, limit)
	}
}

func (l *large) get(d *Dev, path string) time.Duration {
	l.t.Helper()
	req, err := http.NewRequestWithContext(l.t.Context(), http.MethodGet, d.AdminURL+path, nil)
	l.must(err)
	req.Header.Set("Authorization", "Bearer "+d.AdminToken)
	began := time.Now()
	resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	l.must(err)
	body, err := io.ReadAll(resp.Body)
	took := time.Since(began)
	l.must(err)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		l.t.Fatalf("%s: status %d: %s", path, resp.StatusCode, body)
	}
	if strings.Contains(path, "messages") && strings.Count(string(body), `"id"`) != 5 {
		l.t.Fatalf("%s: %s", path, body)
	}
	return took
}

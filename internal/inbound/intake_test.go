package inbound_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/fault"
	"codeword/internal/inbound"
	"codeword/internal/message"
	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is what an Intake works upon: a store of receipts that knows one after
// the other, opt-outs by client and number, and a carrier that brings answers.
type world struct {
	t  *testing.T
	mu sync.Mutex

	down     bool
	receipts []store.Receipt
	batches  []int
	effects  map[string]store.ReceiptEffect // by reference; default changed

	clients []*tenant.Client
	known   map[string]bool // "client number"
	opted   map[string]bool
	marks   int
	failing string // marks of this client fail

	replier bool
	sends   []carrier.Message
	sendErr error
	explode bool

	wakes   int
	counted map[string]int
	log     bytes.Buffer
	now     func() time.Time
	intake  *inbound.Intake
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, effects: map[string]store.ReceiptEffect{}, known: map[string]bool{}, opted: map[string]bool{},
		counted: map[string]int{}, now: func() time.Time { return t0 },
	}
	count := func(format string, args ...any) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.counted[fmt.Sprintf(format, args...)]++
	}
	var err error
	w.intake, err = inbound.New(inbound.Config{
		Receipts: w, Mark: w.mark,
		Clients: func() []*tenant.Client { return w.clients },
		Replier: func(route string) carrier.Carrier {
			if w.replier && route == "main" {
				return w
			}
			return nil
		},
		Wake: func() { w.wakes++ },
		Metrics: inbound.Metrics{
			Receipt: func(route string, e store.ReceiptEffect) { count("receipt %s %d", route, e) },
			Dropped: func(route, what string) { count("dropped %s %s", route, what) },
			Inbound: func(route string, wish message.KeywordKind) { count("inbound %s %d", route, wish) },
			Reply: func(route string, wish message.KeywordKind, outcome string) {
				count("reply %s %d %s", route, wish, outcome)
			},
		},
		Now: func() time.Time { return w.now() },
		Log: slog.New(slog.NewJSONHandler(&w.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) count(key string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counted[key]
}

func (w *world) ApplyReceipts(_ context.Context, now time.Time, receipts []store.Receipt) ([]store.Applied, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return nil, fault.New(fault.Unavailable, "disk is full")
	}
	if !now.Equal(w.now()) {
		w.t.Errorf("applied at %v", now)
	}
	w.batches = append(w.batches, len(receipts))
	w.receipts = append(w.receipts, receipts...)
	out := make([]store.Applied, len(receipts))
	for i, r := range receipts {
		out[i].Effect = store.ReceiptChanged
		if e, ok := w.effects[r.CarrierRef]; ok {
			out[i].Effect = e
		}
	}
	return out, nil
}

func (w *world) client(id, settings string, live bool) *tenant.Client {
	w.t.Helper()
	c, err := tenant.Parse(store.Client{ID: id, Name: id, Live: live, Settings: []byte(settings)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.clients = append(w.clients, c)
	return c
}

func (w *world) mark(_ context.Context, c *tenant.Client, n phone.Number, mark store.Mark) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.marks++
	key := c.ID + " " + n.E164()
	switch {
	case w.down || w.failing == c.ID:
		return fault.New(fault.Unavailable, "disk is full")
	case !w.known[key]:
		return fault.New(fault.NotFound, "phone is not known")
	case mark.BlockedUntil != nil:
		w.t.Error("a keyword blocks")
	case mark.OptedOut != nil:
		w.opted[key] = *mark.OptedOut
	}
	return nil
}

func (w *world) knows(number string, clients ...string) {
	for _, c := range clients {
		w.known[c+" "+number] = true
	}
}

// wantOpted checks for whom the number has opted out.
func (w *world) wantOpted(number string, want ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var got []string
	for _, c := range w.clients {
		if w.opted[c.ID+" "+number] {
			got = append(got, c.ID)
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		w.t.Errorf("opted out for %v, want %v", got, want)
	}
}

func (*world) Name() string           { return "fake" }
func (*world) Traits() carrier.Traits { return carrier.Traits{} }

func (w *world) Send(ctx context.Context, m carrier.Message) (carrier.Receipt, error) {
	if w.explode {
		panic("to " + m.To.E164())
	}
	if _, ok := ctx.Deadline(); !ok {
		w.t.Error("a send without a deadline")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sends = append(w.sends, m)
	return carrier.Receipt{}, w.sendErr
}

func (w *world) handle(r carrier.Reports) {
	w.t.Helper()
	if err := w.intake.Handle(w.t.Context(), "main", r); err != nil {
		w.t.Error(err)
	}
}

func says(t *testing.T, number, text string) carrier.Inbound {
	t.Helper()
	n, err := phone.Parse(number)
	if err != nil {
		t.Fatal(err)
	}
	return carrier.Inbound{From: n, To: "+18005550199", Text: message.Text(text)}
}

func TestReceipts(t *testing.T) {
	const delivered, failed = carrier.ReceiptDelivered, carrier.ReceiptFailed
	for _, c := range []struct {
		name    string
		in      carrier.DeliveryReceipt
		want    store.Receipt
		dropped string
	}{
		{"accepted", carrier.DeliveryReceipt{Ref: "r", Status: carrier.ReceiptAccepted}, store.Receipt{Status: store.ReceiptAccepted}, ""},
		{"delivered, with a reason", carrier.DeliveryReceipt{Ref: "r", Status: delivered, Reason: "opted_out"}, store.Receipt{Status: store.ReceiptDelivered}, ""},
		{"opted out", carrier.DeliveryReceipt{Ref: "r", Status: failed, Reason: carrier.ReasonOptedOut}, store.Receipt{Status: store.ReceiptFailed, Error: "opted_out", OptOut: true}, ""},
		{"filtered", carrier.DeliveryReceipt{Ref: "r", Status: failed, Reason: carrier.ReasonFiltered}, store.Receipt{Status: store.ReceiptFailed, Error: "filtered", Retry: true}, ""},
		{"no such number", carrier.DeliveryReceipt{Ref: "r", Status: failed, Reason: carrier.ReasonInvalidNumber}, store.Receipt{Status: store.ReceiptFailed, Error: "invalid_number"}, ""},
		{"a reason of its own", carrier.DeliveryReceipt{Ref: "r", Status: failed, Reason: "esme_17"}, store.Receipt{Status: store.ReceiptFailed, Error: "esme_17"}, ""},
		{"no reason", carrier.DeliveryReceipt{Ref: "r", Status: failed}, store.Receipt{Status: store.ReceiptFailed, Error: "carrier_error"}, ""},
		{"a carrier's words", carrier.DeliveryReceipt{Ref: "r", Status: failed, Reason: "No route to +16502530000"}, store.Receipt{Status: store.ReceiptFailed, Error: "carrier_error"}, ""},
		{"its time", carrier.DeliveryReceipt{Ref: "r", Status: delivered, At: t0.Add(-time.Hour)}, store.Receipt{Status: store.ReceiptDelivered, At: t0.Add(-time.Hour)}, ""},
		{"local time", carrier.DeliveryReceipt{Ref: "r", Status: delivered, At: t0.Add(14 * time.Hour)}, store.Receipt{Status: store.ReceiptDelivered, At: t0.Add(14 * time.Hour)}, ""},
		{"time far ahead", carrier.DeliveryReceipt{Ref: "r", Status: delivered, At: t0.Add(25 * time.Hour)}, store.Receipt{Status: store.ReceiptDelivered}, ""},
		{"time long ago", carrier.DeliveryReceipt{Ref: "r", Status: delivered, At: time.Unix(0, 0)}, store.Receipt{Status: store.ReceiptDelivered}, ""},
		{"time beyond the calendar", carrier.DeliveryReceipt{Ref: "r", Status: delivered, At: time.Date(99999, 1, 1, 0, 0, 0, 0, time.UTC)}, store.Receipt{Status: store.ReceiptDelivered}, ""},
		{"the longest reference", carrier.DeliveryReceipt{Ref: strings.Repeat("r", 128), Status: delivered}, store.Receipt{Status: store.ReceiptDelivered}, ""},

		{"no reference", carrier.DeliveryReceipt{Status: delivered}, store.Receipt{}, "reference"},
		{"a huge reference", carrier.DeliveryReceipt{Ref: strings.Repeat("r", 129), Status: delivered}, store.Receipt{}, "reference"},
		{"a reference that is no text", carrier.DeliveryReceipt{Ref: "r\xff", Status: delivered}, store.Receipt{}, "reference"},
		{"no status", carrier.DeliveryReceipt{Ref: "r"}, store.Receipt{}, "status"},
		{"odd status", carrier.DeliveryReceipt{Ref: "r", Status: 99}, store.Receipt{}, "status"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.handle(carrier.Reports{Receipts: []carrier.DeliveryReceipt{c.in}})
			if c.dropped != "" {
				if len(w.batches) != 0 || w.count("dropped main "+c.dropped) != 1 {
					t.Errorf("stored %v, counted %v", w.receipts, w.counted)
				}
				return
			}
			c.want.Route, c.want.CarrierRef = "main", c.in.Ref
			if len(w.receipts) != 1 || w.receipts[0] != c.want {
				t.Errorf("stored %+v, want %+v", w.receipts, c.want)
			}
			if w.count(fmt.Sprintf("receipt main %d", store.ReceiptChanged)) != 1 {
				t.Errorf("counted %v", w.counted)
			}
		})
	}
}

func manyReceipts(n int) (r carrier.Reports) {
	for i := range n {
		r.Receipts = append(r.Receipts, carrier.DeliveryReceipt{Ref: "r" + strconv.Itoa(i), Status: carrier.ReceiptDelivered})
	}
	return r
}

func TestReceiptsComeInBatches(t *testing.T) {
	w := newWorld(t)
	r := manyReceipts(600)
	r.Receipts[10].Ref = "" // dropped, and not a place in a batch
	w.effects["r599"] = store.ReceiptRequeued
	w.handle(r)
	if fmt.Sprint(w.batches) != "[256 256 87]" || w.receipts[10].CarrierRef != "r11" {
		t.Errorf("batches of %v", w.batches)
	}
	if w.wakes != 1 {
		t.Errorf("%d wakes for a message that was requeued", w.wakes)
	}
	w.handle(manyReceipts(1))
	if w.wakes != 1 {
		t.Error("a wake for nothing")
	}
	w.handle(carrier.Reports{})
	if len(w.batches) != 4 {
		t.Error("the store was asked for nothing")
	}
}

func TestTooManyReports(t *testing.T) {
	w := newWorld(t)
	w.handle(manyReceipts(4096))
	if err := w.intake.Handle(t.Context(), "main", manyReceipts(4097)); !errors.Is(err, carrier.ErrMalformed) {
		t.Errorf("got %v", err)
	}
	if len(w.receipts) != 4096 {
		t.Errorf("%d receipts were stored", len(w.receipts))
	}
}

// TestKeywords: STOP and START are of all live clients that know the phone and
// may use the route, and of nobody else.
func TestKeywords(t *testing.T) {
	const number, other = "+16502530000", "+16502530001"
	w := newWorld(t)
	w.client("all", `{}`, true)
	w.client("elsewhere", `{"routes":["backup"]}`, true)
	w.client("named", `{"routes":["backup","main"]}`, true)
	w.client("stranger", `{}`, true)
	w.client("test", `{}`, false)
	w.client("paused", `{}`, true).Disabled = true
	w.knows(number, "all", "elsewhere", "named", "test", "paused")
	w.knows(other, "all")
	all := []string{"all", "named", "paused"}
	for _, c := range []struct {
		text string
		want []string
	}{
		{"hello", nil},
		{"STOP", all},
		{"please do not stop", all},
		{"stop", all}, // repeated
		{"HELP", all},
		{"", all},
		{strings.Repeat("STOP ", 1<<16), all},
		{"START", nil},
		{"start", nil},
	} {
		w.handle(carrier.Reports{Inbound: []carrier.Inbound{says(t, number, c.text)}})
		w.wantOpted(number, c.want...)
		w.wantOpted(other)
	}
	// In the order in which the phone said so.
	stop, start := says(t, number, "STOP"), says(t, number, "START")
	w.handle(carrier.Reports{Inbound: []carrier.Inbound{stop, start}})
	w.wantOpted(number)
	w.handle(carrier.Reports{Inbound: []carrier.Inbound{start, stop}})
	w.wantOpted(number, all...)
	// A START that was written long ago does not undo a STOP; a STOP holds.
	start.At = t0.Add(-5*time.Minute - time.Second)
	w.handle(carrier.Reports{Inbound: []carrier.Inbound{start}})
	w.wantOpted(number, all...)
	start.At = t0.Add(-5 * time.Minute)
	w.handle(carrier.Reports{Inbound: []carrier.Inbound{start}})
	w.wantOpted(number)
	stop.At = t0.Add(-time.Hour)
	w.handle(carrier.Reports{Inbound: []carrier.Inbound{stop}})
	w.wantOpted(number, all...)
	if w.count("dropped main start") != 1 || w.count("inbound main 1") != 5 || len(w.sends) != 0 {
		t.Errorf("counted %v", w.counted)
	}
}

func TestInboundWithoutNumber(t *testing.T) {
	w := newWorld(t)
	w.client("all", `{}`, true)
	w.handle(carrier.Reports{Inbound: []carrier.Inbound{{Text: "STOP"}}})
	if w.marks != 0 || w.count("dropped main number") != 1 {
		t.Errorf("%d marks, counted %v", w.marks, w.counted)
	}
}

// TestStoreDown: the carrier is to repeat what is not durable. What could be
// noted is, and noting it again changes nothing.
func TestStoreDown(t *testing.T) {
	const number = "+16502530000"
	w := newWorld(t)
	w.replier = true
	for i := range 50 {
		id := fmt.Sprintf("client-%02d", i)
		w.client(id, `{}`, true)
		w.knows(number, id)
	}
	stop := carrier.Reports{Inbound: []carrier.Inbound{says(t, number, "STOP")}}
	w.down = true
	for name, r := range map[string]carrier.Reports{"receipt": manyReceipts(1), "STOP": stop} {
		if err := w.intake.Handle(t.Context(), "main", r); !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error(), "6502530000") {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.down, w.failing = false, "client-07"
	if err := w.intake.Sink("main")(t.Context(), stop); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	if !w.opted["client-49 "+number] {
		t.Error("one client's failure kept STOP from another")
	}
	if w.counted["inbound main 1"] != 0 || len(w.counted) != 0 {
		t.Errorf("counted %v before it was durable", w.counted)
	}
	w.failing = ""
	w.handle(stop)
	var want []string
	for _, c := range w.clients {
		want = append(want, c.ID)
	}
	w.wantOpted(number, want...)
}

func TestConcurrentReports(t *testing.T) {
	w := newWorld(t)
	w.replier = true
	w.client("acme", `{}`, true)
	w.client("bolt", `{}`, true)
	for i := range 8 {
		w.knows(fmt.Sprintf("+165025300%02d", i), "acme", "bolt")
	}
	var wg sync.WaitGroup
	for i := range 8 {
		for range 8 {
			wg.Go(func() {
				r := manyReceipts(10)
				r.Inbound = []carrier.Inbound{says(t, fmt.Sprintf("+165025300%02d", i), "STOP")}
				w.handle(r)
			})
		}
	}
	wg.Wait()
	for i := range 8 {
		w.wantOpted(fmt.Sprintf("+165025300%02d", i), "acme", "bolt")
	}
	if w.count(fmt.Sprintf("receipt main %d", store.ReceiptChanged)) != 640 || w.count("reply main 1 limited") != 56 {
		t.Errorf("counted %v", w.counted)
	}
}

func TestNewRefusesWhatIsIncomplete(t *testing.T) {
	if _, err := inbound.New(inbound.Config{}); err == nil {
		t.Error("an intake without a store")
	}
}

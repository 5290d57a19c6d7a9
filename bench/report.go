package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"codeword/bench/internal/hist"
	"codeword/bench/internal/load"
	"codeword/bench/internal/target"
)

// latency sums a histogram up, in milliseconds.
type latency struct {
	P50  float64 `json:"p50Ms"`
	P99  float64 `json:"p99Ms"`
	P999 float64 `json:"p999Ms"`
	Max  float64 `json:"maxMs"`
}

func summarize(h *hist.Histogram) latency {
	return latency{P50: ms(h.Quantile(0.5)), P99: ms(h.Quantile(0.99)), P999: ms(h.Quantile(0.999)), Max: ms(h.Max())}
}

// result is one row of the report.
type result struct {
	Workload    string         `json:"workload"`
	Delivery    string         `json:"delivery"`
	Nodes       int            `json:"nodes"`
	Connections int            `json:"connections"`
	Rate        int64          `json:"rate,omitempty"` // arrivals a second asked for; 0 is the closed loop
	Stored      int            `json:"stored"`
	Seconds     float64        `json:"seconds"`
	Answered    uint64         `json:"answered"`
	Throughput  float64        `json:"acceptedPerSecond"`
	Status      map[int]uint64 `json:"status"`
	Errors      uint64         `json:"errors"`
	Unsent      uint64         `json:"unsent"`
	Sample      string         `json:"sample,omitempty"`

	Latency latency `json:"latency"`          // of 200s, in the open loop from when they were due
	Service latency `json:"service"`          // of 200s, from the write
	Refused latency `json:"refused,omitzero"` // of 503s, from the write
	Lag     latency `json:"lag,omitzero"`     // how late the generator wrote

	ServerMicros float64 `json:"serverCpuMicrosPerAnswer"`
	EngineMicros float64 `json:"engineCpuMicrosPerAnswer,omitempty"`
	OwnMicros    float64 `json:"generatorCpuMicrosPerAnswer"`
	ServerCPUs   float64 `json:"serverCpus"`
	TimesBare    float64 `json:"timesBare,omitempty"`
	MemoryBefore float64 `json:"memoryBeforeMiB"`
	Memory       float64 `json:"memoryMiB"`
	MemoryPeak   float64 `json:"memoryPeakMiB"`
	ReadyMillis  float64 `json:"readyMs"`
}

func newResult(name string, cfg load.Config, s *load.Stats) result {
	r := result{
		Workload: name, Connections: cfg.Connections, Rate: cfg.Rate,
		Seconds: s.Elapsed.Seconds(), Answered: s.Answered(), Status: s.Status,
		Errors: s.Errors, Unsent: s.Unsent, Sample: s.Sample,
		Latency: summarize(s.Latency), Service: summarize(s.Service),
		Refused: summarize(s.Refused), Lag: summarize(s.Lag),
	}
	if r.Seconds > 0 {
		r.Throughput = float64(s.Status[200]) / r.Seconds
	}
	return r
}

// account adds what the phase cost, shared among all answers, refusals too.
func (r *result) account(s *load.Stats, before, after target.Usage, own, engine time.Duration) {
	if n := float64(s.Answered()); n > 0 {
		r.ServerMicros = micros(after.CPU-before.CPU) / n
		r.OwnMicros = micros(own) / n
		r.EngineMicros = micros(engine) / n
	}
	if s.Elapsed > 0 {
		r.ServerCPUs = (after.CPU - before.CPU).Seconds() / s.Elapsed.Seconds()
	}
	r.MemoryBefore, r.Memory, r.MemoryPeak = mib(before.Resident), mib(after.Resident), mib(after.Peak)
}

// failure returns what makes the row no benchmark: anything but a 200, or in
// the open loop but a 200 and a 503.
func (r *result) failure() error {
	bad := r.Errors
	for status, n := range r.Status {
		if status != 200 && (status != 503 || r.Rate == 0) {
			bad += n
		}
	}
	if bad == 0 && r.Status[200] > 0 {
		return nil
	}
	if bad == 0 {
		return fmt.Errorf("%s: no request succeeded", r.Workload)
	}
	return fmt.Errorf("%s: %d requests failed: %v, %d without an answer; first: %s", r.Workload, bad, r.Status, r.Errors, r.Sample)
}

// notes tells what the columns do not.
func (r *result) notes() string {
	var notes []string
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if r.Delivery == "on" && r.Workload != workBare && r.Workload != workAuthenticate {
		add("delivery running")
	}
	if r.Nodes > 1 && r.Workload != workBare {
		add("%d nodes", r.Nodes)
	}
	for _, status := range slices.Sorted(maps.Keys(r.Status)) {
		if status != 200 {
			add("%d× %d", r.Status[status], status)
		}
	}
	if r.Status[503] > 0 {
		add("503 in p50 %.2f, p99 %.2f, max %.1f ms", r.Refused.P50, r.Refused.P99, r.Refused.Max)
	}
	if r.Rate > 0 {
		add("from the write p99 %.2f ms", r.Service.P99)
		add("generator late p99 %.2f ms", r.Lag.P99)
		add("memory before %.0f MiB", r.MemoryBefore)
	}
	if r.Errors > 0 {
		add("%d errors", r.Errors)
	}
	if r.Unsent > 0 {
		add("%d arrivals not sent in time", r.Unsent)
	}
	return strings.Join(notes, "; ")
}

// report is all that one run found.
type report struct {
	Machine machine  `json:"machine"`
	Results []result `json:"results"`
}

// compare fills in the ratios to the bare handler, when it was measured too.
func (rep *report) compare() {
	i := slices.IndexFunc(rep.Results, func(r result) bool { return r.Workload == workBare && r.Rate == 0 })
	if i < 0 || rep.Results[i].ServerMicros <= 0 {
		return
	}
	for j := range rep.Results {
		rep.Results[j].TimesBare = rep.Results[j].ServerMicros / rep.Results[i].ServerMicros
	}
}

func (rep *report) failures() error {
	var all []error
	for i := range rep.Results {
		all = append(all, rep.Results[i].failure())
	}
	return errors.Join(all...)
}

func (rep *report) write(w io.Writer, opts options) error {
	if opts.json {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(rep)
	}
	if len(rep.Results) == 0 {
		return nil
	}
	if opts.markdown {
		return rep.markdown(w)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, rep.Machine.line())
	for _, row := range rep.rows() {
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	return table.Flush()
}

func (rep *report) markdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString(rep.Machine.line() + "\n\n")
	for i, row := range rep.rows() {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			b.WriteString("|---" + strings.Repeat("|---:", len(row)-2) + "|---|\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// rows returns the table, its heading first.
func (rep *report) rows() [][]string {
	rows := [][]string{{
		"workload", "connections", "rate", "stored", "answers", "200/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms",
		"server us", "engine us", "x bare", "generator us", "memory MiB", "peak MiB", "ready ms", "notes",
	}}
	for i := range rep.Results {
		r := &rep.Results[i]
		rate, bare, engine := "max", "-", "-"
		if r.Rate > 0 {
			rate = fmt.Sprint(r.Rate)
		}
		if r.EngineMicros > 0 {
			engine = fmt.Sprintf("%.1f", r.EngineMicros)
		}
		if r.TimesBare > 0 {
			bare = fmt.Sprintf("%.2f", r.TimesBare)
		}
		rows = append(rows, []string{
			r.Workload, fmt.Sprint(r.Connections), rate, fmt.Sprint(r.Stored), fmt.Sprint(r.Answered), fmt.Sprintf("%.0f", r.Throughput),
			fmt.Sprintf("%.2f", r.Latency.P50), fmt.Sprintf("%.2f", r.Latency.P99), fmt.Sprintf("%.2f", r.Latency.P999), fmt.Sprintf("%.1f", r.Latency.Max),
			fmt.Sprintf("%.1f", r.ServerMicros), engine, bare, fmt.Sprintf("%.1f", r.OwnMicros),
			fmt.Sprintf("%.1f", r.Memory), fmt.Sprintf("%.1f", r.MemoryPeak), fmt.Sprintf("%.0f", r.ReadyMillis), r.notes(),
		})
	}
	return rows
}

func ms(d time.Duration) float64     { return float64(d) / float64(time.Millisecond) }
func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func mib(bytes int64) float64        { return float64(bytes) / (1 << 20) }

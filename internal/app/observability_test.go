package app

import (
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// known are the labels of each metric of a node.
type known map[string][]string

var (
	description = regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)
	// selector is a metric with its matchers, if it has some.
	selector = regexp.MustCompile(`\b((?:codeword|go|process)_[a-z_]+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)(?:=~|!~|!=|=)"`)
	grouping = regexp.MustCompile(`\bby \(([^)]*)\)`)
)

// registered tells what a registry has, also where nothing has happened yet.
func registered(t *testing.T, reg *prometheus.Registry) known {
	t.Helper()
	all := make(known)
	ch := make(chan *prometheus.Desc)
	go func() {
		reg.Describe(ch)
		close(ch)
	}()
	for d := range ch {
		m := description.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		all[m[1]] = strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' })
	}
	return all
}

// labels returns those of a metric, which may be a series of a histogram.
func (k known) labels(metric string) ([]string, bool) {
	target := []string{"instance", "job"} // Prometheus adds them
	for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
		base, ok := strings.CutSuffix(metric, suffix)
		if labels, there := k[base]; ok && there {
			if suffix == "_bucket" {
				target = append(target, "le")
			}
			return append(target, labels...), true
		}
	}
	return nil, false
}

// check finds metrics and labels in a query that no node has.
func (k known) check(t *testing.T, where, query string) {
	t.Helper()
	var all []string
	for _, m := range selector.FindAllStringSubmatch(query, -1) {
		labels, ok := k.labels(m[1])
		if !ok {
			t.Errorf("%s: there is no metric %s", where, m[1])
			continue
		}
		all = append(all, labels...)
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(labels, l[1]) {
				t.Errorf("%s: %s has no label %s", where, m[1], l[1])
			}
		}
	}
	if len(all) == 0 {
		t.Errorf("%s: no metric of ours in %q", where, query)
	}
	for _, m := range grouping.FindAllStringSubmatch(query, -1) {
		for l := range strings.SplitSeq(m[1], ",") {
			if !slices.Contains(all, strings.TrimSpace(l)) {
				t.Errorf("%s: no metric has the label %s of %q", where, l, query)
			}
		}
	}
}

// TestDashboardAndRules: what deploy has for Prometheus and Grafana asks for metrics
// that exist, and the metrics keep the conventions of Prometheus.
func TestDashboardAndRules(t *testing.T) {
	d, err := StartDev(t.Context(), DevConfig{
		Data: filepath.Join(t.TempDir(), "data"), Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0",
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	metrics := registered(t, d.node.metrics)
	for name, query := range alerts(t) {
		metrics.check(t, name, query)
	}
	panels := dashboard(t)
	for name, query := range panels {
		metrics.check(t, name, query)
	}
	t.Run("labels", func(t *testing.T) {
		for name, labels := range metrics {
			for _, forbidden := range []string{"client", "client_id", "phone", "number", "address"} {
				if slices.Contains(labels, forbidden) {
					t.Errorf("%s has the label %s, of which there is no end", name, forbidden)
				}
			}
		}
	})
	t.Run("conventions", func(t *testing.T) {
		families, err := d.node.metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		problems, err := promlint.NewWithMetricFamilies(families).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if strings.HasPrefix(p.Metric, "codeword_") {
				t.Errorf("%s: %s", p.Metric, p.Text)
			}
		}
	})
	t.Run("syntax", func(t *testing.T) { parse(t, panels) })
}

// alerts are the queries of the alert rules, by name.
func alerts(t *testing.T) map[string]string {
	t.Helper()
	raw, err := os.ReadFile("../../deploy/prometheus/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	docs, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			found[r.Alert] = r.Expr
			if !strings.Contains(string(docs), "`"+r.Alert+"`") {
				t.Errorf("docs/operations.md does not say what to do about %s", r.Alert)
			}
		}
	}
	if len(found) == 0 {
		t.Fatal("no rules")
	}
	return found
}

// dashboard are the queries of the dashboard, by their panel.
func dashboard(t *testing.T) map[string]string {
	t.Helper()
	raw, err := os.ReadFile("../../deploy/grafana/codeword.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			ID      int
			Title   string
			Type    string
			GridPos struct{ X, W int }
			Targets []struct{ RefID, Expr string }
		}
	}
	if err := json.Unmarshal(raw, &board); err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	ids := make(map[int]bool)
	for _, p := range board.Panels {
		if ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 || (p.Type == "row") != (len(p.Targets) == 0) {
			t.Errorf("panel %q: its id is taken, it is too wide, or it shows nothing", p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			found[p.Title+" "+target.RefID] = target.Expr
		}
	}
	if len(found) == 0 {
		t.Fatal("no panels")
	}
	return found
}

// parse has promtool read the queries, as recording rules.
func parse(t *testing.T, queries map[string]string) {
	t.Helper()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not here (Debian: apt-get install prometheus)")
	}
	fill := strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h", "$instance", ".*")
	var rules []map[string]string
	for _, query := range queries {
		rules = append(rules, map[string]string{"record": "r" + strings.Repeat("r", len(rules)), "expr": fill.Replace(query)})
	}
	raw, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

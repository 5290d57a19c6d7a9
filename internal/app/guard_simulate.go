package app

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"codeword/internal/guard/fraud"
	"codeword/internal/guard/simulate"
)

type guardSimulate struct {
	Scenario string `required:"" help:"Scenario in YAML, or recorded traffic in CSV; docs/scenarios has examples." placeholder:"FILE"`
	JSON     bool   `name:"json" help:"Print JSON."`
}

// Run replays a scenario and prints what the guard would have done.
func (c *guardSimulate) Run(s streams) error {
	scenario, err := loadScenario(c.Scenario)
	if err != nil {
		return asUsage(err)
	}
	began := time.Now()
	report := simulate.Run(scenario)
	if c.JSON {
		return printJSON(s.out, viewReport(report))
	}
	return printReport(s.out, report, time.Since(began))
}

// shownDecisions is how many decisions people are shown; JSON has them all.
const shownDecisions = 20

func printReport(out io.Writer, r *simulate.Report, took time.Duration) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) } // Flush tells
	line("scenario\t%s", r.Scenario)
	h := r.Honest
	if h.WarmupSends > 0 {
		line("learning\t%d honest sends, %d refused", h.WarmupSends, h.WarmupRefused)
	}
	line("honest\t%d sends, %d refused (%.4f %%)", h.Sends, h.Refused, 100*h.Share())
	for _, a := range r.Attacks {
		line("attack %q\t%d sends, %d came through (%s), %s saved", a.Name, a.Sends, a.Through, dollars(a.Spent), dollars(a.Saved))
		switch {
		case a.Stopped > 0:
			line("\tstopped after %s, when %d had come through", a.Stopped.Round(time.Second), a.Before)
		case a.FirstHold > 0:
			line("\tnever stopped altogether; the first send was refused after %s", a.FirstHold.Round(time.Second))
		default:
			line("\tnot noticed")
		}
	}
	line("money\t%s spent, %s saved", dollars(r.Spent), dollars(r.Saved))
	line("decisions\t%d (simulated in %s)", len(r.Decisions), took.Round(time.Millisecond))
	for i := range r.Decisions {
		if i == shownDecisions {
			line("...\t")
			break
		}
		d := &r.Decisions[i]
		line("  %s\t%s", d.At.Format("2006-01-02 15:04:05"), describe(d))
	}
	return w.Flush()
}

// describe tells a decision in a line.
func describe(d *fraud.Decision) string {
	reasons := make([]string, 0, len(d.Reasons))
	for _, r := range d.Reasons {
		reasons = append(reasons, string(r))
	}
	n := &d.Numbers
	what := strings.TrimSpace(d.Key.Scope.String() + " " + d.Name)
	return fmt.Sprintf("%s for %s: %s; %d challenges to %d in %d s, %d used, %.3g expected",
		what, d.Until.Sub(d.At), strings.Join(reasons, ", "), n.Fresh, n.Different, n.Seconds, n.Verified, n.Expected)
}

func dollars(micros int64) string { return fmt.Sprintf("$%.2f", float64(micros)/1e6) }

// reportView is a report as JSON.
type reportView struct {
	Scenario  string         `json:"scenario"`
	Honest    honestView     `json:"honest"`
	Attacks   []attackView   `json:"attacks"`
	SpentUSD  float64        `json:"spentUsd"`
	SavedUSD  float64        `json:"savedUsd"`
	Decisions []decisionView `json:"decisions"`
}

type honestView struct {
	Sends           int     `json:"sends"`
	Refused         int     `json:"refused"`
	Share           float64 `json:"share"`
	LearningSends   int     `json:"learningSends"`
	LearningRefused int     `json:"learningRefused"`
}

type attackView struct {
	Name             string  `json:"name"`
	Sends            int     `json:"sends"`
	Through          int     `json:"through"`
	StoppedSeconds   float64 `json:"stoppedSeconds,omitempty"`
	ThroughBefore    int     `json:"throughBefore,omitempty"`
	FirstHoldSeconds float64 `json:"firstHoldSeconds,omitempty"`
	SpentUSD         float64 `json:"spentUsd"`
	SavedUSD         float64 `json:"savedUsd"`
}

// decisionView is a decision of the guard as JSON.
type decisionView struct {
	Time    time.Time      `json:"time"`
	Until   time.Time      `json:"until"`
	Client  string         `json:"client"`
	Scope   string         `json:"scope"`
	Name    string         `json:"name,omitempty"`
	Strikes int            `json:"strikes"`
	Reasons []fraud.Reason `json:"reasons"`
	Numbers fraud.Numbers  `json:"numbers"`
}

func viewDecision(d *fraud.Decision) decisionView {
	return decisionView{
		Time: d.At, Until: d.Until, Client: d.Client, Scope: d.Key.Scope.String(), Name: d.Name,
		Strikes: d.Strikes, Reasons: d.Reasons, Numbers: d.Numbers,
	}
}

func viewReport(r *simulate.Report) reportView {
	v := reportView{
		Scenario: r.Scenario,
		Honest: honestView{
			r.Honest.Sends, r.Honest.Refused, r.Honest.Share(), r.Honest.WarmupSends, r.Honest.WarmupRefused,
		},
		Attacks: []attackView{}, Decisions: []decisionView{},
		SpentUSD: float64(r.Spent) / 1e6, SavedUSD: float64(r.Saved) / 1e6,
	}
	for _, a := range r.Attacks {
		v.Attacks = append(v.Attacks, attackView{
			a.Name, a.Sends, a.Through, a.Stopped.Seconds(), a.Before, a.FirstHold.Seconds(),
			float64(a.Spent) / 1e6, float64(a.Saved) / 1e6,
		})
	}
	for i := range r.Decisions {
		v.Decisions = append(v.Decisions, viewDecision(&r.Decisions[i]))
	}
	return v
}

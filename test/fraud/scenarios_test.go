// Package fraud_test replays the attacks of docs/scenarios through the fraud guard,
// with the honest traffic around them, and holds it to its goals.
package fraud_test

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"codeword/internal/app"
)

// report is what "codeword guard simulate --json" prints.
type report struct {
	Honest struct {
		Sends, Refused, LearningRefused int
		Share                           float64
	}
	Attacks []struct {
		Name                            string
		Sends, Through, ThroughBefore   int
		StoppedSeconds, SavedUsd, Spent float64
	}
	Decisions []json.RawMessage
}

func simulate(t *testing.T, file string) (r report) {
	t.Helper()
	var out, errs bytes.Buffer
	args := []string{"guard", "simulate", "--json", "--scenario", filepath.Join("../../docs/scenarios", file)}
	if code := app.Run(context.Background(), args, nil, &out, &errs); code != 0 {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestScenarios(t *testing.T) {
	t.Parallel()
	const fast, slow = 60, 1800
	for _, tt := range []struct {
		file string
		// within is how many seconds it may take to stop the attack, and before how
		// many of its sends may come through until then.
		within float64
		before int
	}{
		{"one-block.yaml", fast, 100},
		{"spread.yaml", fast, 2500},
		{"one-address.yaml", fast, 1500},
		{"botnet.yaml", fast, 1500},
		{"decoys.yaml", fast, 2000},
		{"slow.yaml", slow, 700},
	} {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			r := simulate(t, tt.file)
			if r.Honest.Share >= 0.001 || r.Honest.LearningRefused > 0 {
				t.Errorf("refused %d of %d honest sends and %d without an attack; want less than one in a thousand, and none",
					r.Honest.Refused, r.Honest.Sends, r.Honest.LearningRefused)
			}
			a := r.Attacks[0]
			if share := float64(r.Honest.Sends) / float64(r.Honest.Sends+a.Sends); share < 0.02 {
				t.Errorf("honest traffic is %.3f of all; want at least 0.02", share)
			}
			if a.StoppedSeconds == 0 || a.StoppedSeconds > tt.within || a.ThroughBefore > tt.before {
				t.Errorf("stopped after %.0f s, when %d had come through; want at most %.0f s and %d",
					a.StoppedSeconds, a.ThroughBefore, tt.within, tt.before)
			}
			if limit := a.Sends / 3; a.Through > limit {
				t.Errorf("%d of %d came through in all; want at most %d", a.Through, a.Sends, limit)
			}
		})
	}
}

// TestNoAttack holds the guard back where people only behave otherwise than usual.
func TestNoAttack(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"sale.yaml", "outage.yaml"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			if r := simulate(t, file); r.Honest.Share >= 0.001 {
				t.Errorf("refused %d of %d honest sends; want less than one in a thousand", r.Honest.Refused, r.Honest.Sends)
			}
		})
	}
}

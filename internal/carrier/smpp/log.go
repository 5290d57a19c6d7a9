package smpp

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/time/rate"
)

// logEvery bounds lines that a peer can cause, per kind.
const logEvery = 10 * time.Second

// limitedLog writes what an operator should know, each kind of line at a
// bounded rate. No line holds a number, a text or a secret.
type limitedLog struct {
	log                                         *slog.Logger
	upLine, downLine, throttle, garbage, sinkNo rate.Sometimes
}

func newLimitedLog(cfg *settings) *limitedLog {
	few := 2 * cfg.Connections
	return &limitedLog{
		log:      cfg.Log.With("route", cfg.Name),
		upLine:   rate.Sometimes{First: few, Interval: logEvery},
		downLine: rate.Sometimes{First: few, Interval: logEvery},
		throttle: rate.Sometimes{Interval: logEvery},
		garbage:  rate.Sometimes{Interval: logEvery},
		sinkNo:   rate.Sometimes{Interval: logEvery},
	}
}

func (l *limitedLog) up(bind command) {
	l.upLine.Do(func() { l.log.Info("smpp connection bound", "bind", bind.String()) })
}

func (l *limitedLog) down(bind command, err error, wait time.Duration) {
	l.downLine.Do(func() {
		level := slog.LevelWarn
		var refused *bindError
		if errors.As(err, &refused) && refused.misconfigured() {
			level = slog.LevelError
		}
		l.log.Log(context.Background(), level, "smpp connection down", "bind", bind.String(), "error", err.Error(), "retry_in", wait.String())
	})
}

func (l *limitedLog) throttled(st status, wait time.Duration) {
	l.throttle.Do(func() { l.log.Warn("smpp throttled by the carrier", "status", st.String(), "pause", wait) })
}

func (l *limitedLog) malformed() {
	l.garbage.Do(func() { l.log.Warn("smpp carrier sent a malformed delivery") })
}

func (l *limitedLog) sinkFailed() {
	l.sinkNo.Do(func() { l.log.Warn("smpp reports not recorded, the carrier will send them again") })
}

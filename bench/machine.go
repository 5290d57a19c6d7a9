package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// machine is what a figure depends on.
type machine struct {
	CPU         string    `json:"cpu"`
	Cores       int       `json:"cores"`
	Kernel      string    `json:"kernel"`
	Go          string    `json:"go"`
	Commit      string    `json:"commit"`
	Date        time.Time `json:"date"`
	Filesystem  string    `json:"filesystem"` // that holds the data
	FsyncMillis float64   `json:"fsyncMs"`    // median of a 4 KiB append and its fsync there
}

// describeMachine gathers the facts; what cannot be found out is "unknown".
func describeMachine(ctx context.Context, dir string) machine {
	m := machine{
		CPU: "unknown", Cores: runtime.NumCPU(), Kernel: "unknown", Go: runtime.Version(),
		Commit: "unknown", Date: time.Now().UTC().Truncate(time.Second),
		Filesystem: "unknown", FsyncMillis: ms(fsyncTime(dir)),
	}
	if raw, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(raw)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if raw, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(raw))
	}
	// --exclude '*' leaves the bare hash, with "-dirty" when the tree was changed.
	if out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--exclude", "*").Output(); err == nil {
		m.Commit = strings.TrimSpace(string(out))
	}
	if raw, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			m.Filesystem = filesystemOf(string(raw), real)
		}
	}
	return m
}

func (m machine) line() string {
	return fmt.Sprintf("%s, %d cores, Linux %s, %s, data on %s (fsync %.2f ms), commit %s, %s",
		m.CPU, m.Cores, m.Kernel, m.Go, m.Filesystem, m.FsyncMillis, m.Commit, m.Date.Format(time.RFC3339))
}

// filesystemOf finds the type of the mount that holds path in the text of
// /proc/self/mountinfo (proc(5)): the one with the longest mount point.
func filesystemOf(mounts, path string) string {
	found, length := "unknown", -1
	for line := range strings.Lines(mounts) {
		left, right, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(left), strings.Fields(right)
		if !ok || len(fields) < 5 || len(kind) < 1 {
			continue
		}
		point := fields[4]
		inside := point == "/" || path == point || strings.HasPrefix(path, point+"/")
		if inside && len(point) >= length {
			found, length = kind[0], len(point)
		}
	}
	return found
}

// fsyncTime returns the median time of 25 small durable appends in dir, 0 when
// it cannot be measured.
func fsyncTime(dir string) time.Duration {
	f, err := os.CreateTemp(dir, "fsync-")
	if err != nil {
		return 0
	}
	defer func() { _, _ = f.Close(), os.Remove(f.Name()) }()
	times := make([]time.Duration, 25)
	for i := range times {
		began := time.Now()
		if _, err := f.Write(make([]byte, 4<<10)); err != nil {
			return 0
		}
		if err := f.Sync(); err != nil {
			return 0
		}
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	return times[len(times)/2]
}

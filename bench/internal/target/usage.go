package target

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the times in /proc/PID/stat: USER_HZ is 100 on every
// Linux that Go runs on.
const tick = 10 * time.Millisecond

// Usage is what a process has used since it started.
type Usage struct {
	CPU      time.Duration // user and system, all threads, in steps of 10 ms
	Resident int64         // bytes of memory now
	Peak     int64         // bytes of memory at most
}

// ReadUsage reads the accounting of a process from /proc; it needs Linux.
func ReadUsage(pid int) (Usage, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return Usage{}, err
	}
	var u Usage
	if u.CPU, err = ParseStat(string(stat)); err != nil {
		return Usage{}, err
	}
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return Usage{}, err
	}
	u.Resident, u.Peak, err = ParseStatus(string(status))
	return u, err
}

// CPUByName is what all running processes with one of these names have used. A name
// is the program's, up to 15 characters, as in /proc/PID/comm. What ended meanwhile
// is not in it.
func CPUByName(names []string) (sum time.Duration) {
	if len(names) == 0 {
		return 0
	}
	comms, _ := filepath.Glob("/proc/[0-9]*/comm") // the pattern is good
	for _, file := range comms {
		name, err := os.ReadFile(file)
		if err != nil || !slices.Contains(names, strings.TrimSpace(string(name))) {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(filepath.Dir(file), "stat"))
		if err != nil {
			continue
		}
		if cpu, err := ParseStat(string(stat)); err == nil {
			sum += cpu
		}
	}
	return sum
}

// ParseStat adds user and system time in the text of /proc/PID/stat (proc(5)).
func ParseStat(stat string) (time.Duration, error) {
	// The program's name, in parentheses, may hold anything, also parentheses.
	end := strings.LastIndexByte(stat, ')')
	fields := strings.Fields(stat[end+1:])
	if end < 0 || len(fields) < 13 {
		return 0, errors.New("target: unreadable process stat")
	}
	var total time.Duration
	for _, field := range fields[11:13] { // fields 14 and 15 of the whole line
		ticks, err := strconv.ParseInt(field, 10, 63)
		if err != nil {
			return 0, fmt.Errorf("target: process stat: %w", err)
		}
		total += time.Duration(ticks) * tick
	}
	return total, nil
}

// ParseStatus reads VmRSS and VmHWM, in bytes, from the text of
// /proc/PID/status.
func ParseStatus(status string) (resident, peak int64, err error) {
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		var into *int64
		switch name {
		case "VmRSS":
			into = &resident
		case "VmHWM":
			into = &peak
		default:
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 53)
		if err != nil {
			return 0, 0, fmt.Errorf("target: process status: %w", err)
		}
		*into = kib << 10
	}
	if resident == 0 || peak == 0 {
		return 0, 0, errors.New("target: no memory figures in process status")
	}
	return resident, peak, nil
}

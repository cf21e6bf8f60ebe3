package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// usage watches the memory and the CPU time of a process.
type usage struct {
	pid  int
	stop chan struct{}

	mu   sync.Mutex
	most int64 // bytes, since the last reset
	now  int64
}

func watch(pid int) *usage {
	u := &usage{pid: pid, stop: make(chan struct{})}
	u.sample()
	go func() {
		for {
			select {
			case <-u.stop:
				return
			case <-time.After(50 * time.Millisecond):
				u.sample()
			}
		}
	}()
	return u
}

func (u *usage) close() { close(u.stop) }

func (u *usage) sample() {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", u.pid))
	if err != nil {
		return // it has ended
	}
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, "VmRSS:")
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		if err != nil {
			return
		}
		u.mu.Lock()
		u.now = n << 10
		u.most = max(u.most, u.now)
		u.mu.Unlock()
	}
}

// memory returns the resident memory now and the most since the last reset, in
// MB.
func (u *usage) memory() (now, most float64) {
	u.sample()
	u.mu.Lock()
	defer u.mu.Unlock()
	return float64(u.now) / 1e6, float64(u.most) / 1e6
}

func (u *usage) reset() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.most = 0
}

// cpu returns the CPU time of the process so far, in seconds.
func (u *usage) cpu() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", u.pid))
	if err != nil {
		return 0
	}
	// "pid (name) state ...": the name may hold anything, brackets too.
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100 // clock ticks
}

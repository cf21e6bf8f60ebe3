package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// result is what one write took: seconds, and the most memory in MB.
type result struct {
	wall, start, cpu, memory float64
}

// ours has deltastreamer take the new objects.
func (o options) ours(ctx context.Context, s step, input string) (result, error) {
	from := filepath.Join(input, "topics", topicOf(s.table), folder)
	to := filepath.Join(o.dir, "bronze", "topics", topicOf(s.table), folder)
	if err := os.MkdirAll(to, 0o755); err != nil {
		return result{}, err
	}
	files, err := os.ReadDir(from)
	if err != nil {
		return result{}, err
	}
	for _, f := range files {
		if err := os.Link(filepath.Join(from, f.Name()), filepath.Join(to, f.Name())); err != nil {
			return result{}, err
		}
	}
	file := filepath.Join(o.dir, "deltastreamer.yaml")
	text := fmt.Sprintf(`store.url: file://%[1]s
topics.dir: bronze/topics
topics: %[2]s
index.dir: %[1]s/index
hoodie.database.name: ours
`, o.dir, topicOf(s.table))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return result{}, err
	}
	cmd := exec.CommandContext(ctx, o.streamer, "run", "-c", file, "--once", "--op", strings.ToUpper(s.op))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	began := time.Now()
	err = cmd.Run()
	r := used(cmd.ProcessState)
	r.wall = time.Since(began).Seconds()
	if err != nil {
		return r, fmt.Errorf("%w: %s", err, stderr.String())
	}
	return r, nil
}

// used is the CPU time and the memory of a process that has ended.
func used(s *os.ProcessState) result {
	if s == nil {
		return result{}
	}
	r := result{cpu: (s.UserTime() + s.SystemTime()).Seconds()}
	if u, ok := s.SysUsage().(*syscall.Rusage); ok {
		r.memory = float64(u.Maxrss) / 1e3
	}
	return r
}

// spark has a fresh Spark write the same rows.
func (o options) spark(ctx context.Context, s step, input string) (result, error) {
	mode := "append"
	if s.op == "bulk_insert" {
		mode = "overwrite"
	}
	// hudi-check's script knows Avro by the input's path.
	cmd := exec.CommandContext(ctx, o.python, o.script, "0.15.0", s.op, filepath.Join(input, "topics", topicOf(s.table), folder),
		filepath.Join(o.dir, "spark", s.table), mode, "3g")
	cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Join(o.dir, "tmp"), "PYTHONDONTWRITEBYTECODE=1")
	cmd.Dir = o.dir
	// The JVM is Python's child: if we are stopped, it is to end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	began := time.Now()
	out, err := cmd.Output()
	wall := time.Since(began).Seconds()
	if err != nil {
		return result{}, fmt.Errorf("%w: %s", err, lastLines(stderr.String()))
	}
	var told struct {
		Start  float64 `json:"jvm_start_s"`
		CPU0   float64 `json:"jvm_start_cpu_s"`
		CPU    float64 `json:"write_cpu_s"`
		Memory float64 `json:"jvm_peak_rss_mb"`
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &told); err != nil {
		return result{}, fmt.Errorf("what spark_write.py says is no JSON: %q", lines[len(lines)-1])
	}
	return result{wall: wall, start: told.Start, cpu: told.CPU0 + told.CPU, memory: told.Memory}, nil
}

func lastLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}

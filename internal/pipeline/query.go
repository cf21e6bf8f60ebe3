package pipeline

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// QueryEach runs SQL in lakeq as of a moment ("": now) and calls row for each
// row of the answer; values is valid only during the call.
func (p *Pipeline) QueryEach(ctx context.Context, sql, asOf string, row func(values []string) error) error {
	cmd := p.lakeq(ctx, sql, asOf, "csv")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := eachRecord(out, row)
	if readErr != nil {
		_ = cmd.Process.Kill()
	}
	if err := cmd.Wait(); err != nil && readErr == nil {
		return fmt.Errorf("lakeq: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return readErr
}

func eachRecord(r io.Reader, row func(values []string) error) error {
	lines := csv.NewReader(r)
	lines.ReuseRecord = true
	for first := true; ; first = false {
		values, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if first { // the columns' names
			continue
		}
		if err := row(values); err != nil {
			return err
		}
	}
}

// Query is QueryEach for a short answer.
func (p *Pipeline) Query(ctx context.Context, sql, asOf string) ([][]string, error) {
	var rows [][]string
	err := p.QueryEach(ctx, sql, asOf, func(values []string) error {
		rows = append(rows, append([]string(nil), values...))
		return nil
	})
	return rows, err
}

// Table runs SQL in lakeq and returns what a person would see.
func (p *Pipeline) Table(ctx context.Context, sql, asOf string) (string, error) {
	cmd := p.lakeq(ctx, sql, asOf, "table")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("lakeq: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

func (p *Pipeline) lakeq(ctx context.Context, sql, asOf, format string) *exec.Cmd {
	args := []string{"--lake", p.Lake(), "sql", "-o", format}
	if asOf != "" {
		args = append(args, "--as-of", asOf)
	}
	return exec.CommandContext(ctx, p.bin("lakeq"), append(args, sql)...)
}

package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"tributary/internal/ops"
)

// screen writes the story. On a terminal it has one line that is rewritten
// while something goes on; elsewhere that line is written now and then.
type screen struct {
	w        io.Writer
	terminal bool
	last     time.Time // when a progress line was last written elsewhere
	open     bool      // a progress line stands unfinished on the terminal
}

func newScreen(w io.Writer) *screen {
	return &screen{w: w, terminal: ops.IsTerminal(w), last: time.Now()}
}

// say writes lines.
func (s *screen) say(format string, args ...any) {
	s.clear()
	fmt.Fprintf(s.w, format+"\n", args...)
}

// title begins a part of the story.
func (s *screen) title(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if s.terminal {
		text = "\x1b[1m" + text + "\x1b[0m" // bold
	}
	s.say("\n%s", text)
}

// block writes text, indented.
func (s *screen) block(text string) {
	s.say("    %s", strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    "))
}

// progress shows what is going on.
func (s *screen) progress(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if s.terminal {
		fmt.Fprintf(s.w, "\r\x1b[K%s", text)
		s.open = true
		return
	}
	if time.Since(s.last) < 3*time.Second {
		return
	}
	s.last = time.Now()
	fmt.Fprintln(s.w, text)
}

func (s *screen) clear() {
	if s.open {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.open = false
	}
}

// step runs f and says how long it took.
func (s *screen) step(what string, f func() error) error {
	start := time.Now()
	if s.terminal {
		s.progress("  %s …", what)
	}
	if err := f(); err != nil {
		s.clear()
		return err
	}
	s.say("  %-72s %6.1f s", what, time.Since(start).Seconds())
	return nil
}

// number writes n with commas.
func number[T int | int64](n T) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// megabytes writes a number of bytes.
func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// table writes rows of cells under a head, in columns; the ones whose name
// ends with a sign of ">" are set to the right.
func table(head []string, rows [][]string) string {
	width := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(strings.TrimSuffix(cell, ">"))))
		}
	}
	var b strings.Builder
	line := func(row []string) {
		for i, cell := range row {
			if i > 0 {
				b.WriteString("  ")
			}
			cell = strings.TrimSuffix(cell, ">")
			pad := strings.Repeat(" ", width[i]-len([]rune(cell)))
			if strings.HasSuffix(head[i], ">") {
				b.WriteString(pad + cell)
			} else {
				b.WriteString(cell + pad)
			}
		}
		trimmed := strings.TrimRight(b.String(), " ")
		b.Reset()
		b.WriteString(trimmed + "\n")
	}
	line(head)
	rule := make([]string, len(head))
	for i := range rule {
		rule[i] = strings.Repeat("─", width[i])
	}
	line(rule)
	for _, row := range rows {
		line(row)
	}
	return b.String()
}

package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Check is one thing that was looked at.
type Check struct {
	Scenario string   `json:"scenario"`
	Name     string   `json:"check"`
	Result   string   `json:"result"`           // Passed, Failed or LeftOut
	Detail   []string `json:"detail,omitempty"` // the difference, or why it was left out
}

// The results of a Check.
const (
	Passed  = "passed"
	Failed  = "FAILED"
	LeftOut = "left out"
)

// Report is what a run found.
type Report struct {
	Version string  `json:"tributary"`
	Server  string  `json:"server"`
	About   []Fact  `json:"about,omitempty"` // what else is known of the server
	Checks  []Check `json:"checks"`
	// Purposes are what scenarios look at, by their names.
	Purposes map[string]string `json:"scenarios,omitempty"`
}

// Failures is how many checks failed.
func (r *Report) Failures() (n int) {
	for i := range r.Checks {
		if r.Checks[i].Result == Failed {
			n++
		}
	}
	return n
}

func (r *Report) add(c Check) { r.Checks = append(r.Checks, c) }

func (r *Report) purpose(scenario, what string) {
	if r.Purposes == nil {
		r.Purposes = make(map[string]string)
	}
	r.Purposes[scenario] = what
}

// compare adds a check that two lists of lines are equal.
func (r *Report) compare(scenario, name string, got, want []string) {
	c := Check{Scenario: scenario, Name: name, Result: Passed}
	if !slices.Equal(got, want) {
		c.Result, c.Detail = Failed, difference(got, want)
	}
	r.add(c)
}

// difference lists what is missing (-) and what is too much (+) among lines that
// are the same, of which those far from any difference are left out.
func difference(got, want []string) (out []string) {
	// length[i][j] is how many lines got[i:] and want[j:] have in common.
	length := make([][]int, len(got)+1)
	for i := range length {
		length[i] = make([]int, len(want)+1)
	}
	for i := len(got) - 1; i >= 0; i-- {
		for j := len(want) - 1; j >= 0; j-- {
			length[i][j] = max(length[i+1][j], length[i][j+1])
			if got[i] == want[j] {
				length[i][j] = length[i+1][j+1] + 1
			}
		}
	}
	for i, j := 0, 0; i < len(got) || j < len(want); {
		switch {
		case i < len(got) && j < len(want) && got[i] == want[j]:
			out = append(out, "  "+got[i])
			i, j = i+1, j+1
		case i == len(got) || j < len(want) && length[i][j+1] >= length[i+1][j]:
			out = append(out, "- "+want[j])
			j++
		default:
			out = append(out, "+ "+got[i])
			i++
		}
	}
	return nearby(out)
}

// nearby keeps the lines that differ and one on either side.
func nearby(list []string) (out []string) {
	differs := func(i int) bool { return i >= 0 && i < len(list) && list[i][0] != ' ' }
	for i := range list {
		if differs(i-1) || differs(i) || differs(i+1) {
			out = append(out, list[i])
		}
	}
	return out
}

// scenarioNames are the scenarios in their order.
func (r *Report) scenarioNames() (out []string) {
	for _, c := range r.Checks {
		if !slices.Contains(out, c.Scenario) {
			out = append(out, c.Scenario)
		}
	}
	return out
}

// of returns the checks of a scenario, and how many of them have a result.
func (r *Report) of(scenario string) (list []Check, counts map[string]int) {
	counts = make(map[string]int)
	for _, c := range r.Checks {
		if c.Scenario == scenario {
			list = append(list, c)
			counts[c.Result]++
		}
	}
	return list, counts
}

// WriteText writes a table for a terminal, with the differences below.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, by tributary %s\n", r.Server, r.Version)
	for _, f := range r.About {
		fmt.Fprintf(&b, "  %s: %s\n", f.Name, f.Value)
	}
	fmt.Fprintf(&b, "\n%-14s %7s %7s %9s\n", "scenario", "passed", "failed", "left out")
	for _, name := range r.scenarioNames() {
		_, n := r.of(name)
		fmt.Fprintf(&b, "%-14s %7d %7d %9d\n", name, n[Passed], n[Failed], n[LeftOut])
	}
	for _, c := range r.Checks {
		if c.Result != Passed {
			fmt.Fprintf(&b, "\n%s: %s: %s\n", c.Result, c.Scenario, c.Name)
			for _, line := range c.Detail {
				fmt.Fprintf(&b, "    %s\n", line)
			}
		}
	}
	if r.Failures() > 0 {
		b.WriteString("\n(- must be and did not come, + came and must not be)\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// cellText is text for a cell of a table.
func cellText(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// WriteMarkdown writes every check.
func (r *Report) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Conformance of %s\n\nBy tributary %s: %d checks, %d failed.\n", r.Server, r.Version, len(r.Checks), r.Failures())
	if len(r.About) > 0 {
		b.WriteString("\n| of the server | |\n|---|---|\n")
	}
	for _, f := range r.About {
		fmt.Fprintf(&b, "| %s | %s |\n", cellText(f.Name), cellText(f.Value))
	}
	for _, name := range r.scenarioNames() {
		fmt.Fprintf(&b, "\n## %s\n\n", name)
		if p := r.Purposes[name]; p != "" {
			fmt.Fprintf(&b, "%s.\n\n", p)
		}
		fmt.Fprintf(&b, "| check | result |\n|---|---|\n")
		list, _ := r.of(name)
		for _, c := range list {
			fmt.Fprintf(&b, "| %s | %s |\n", cellText(c.Name), c.Result)
		}
		for _, c := range list {
			if len(c.Detail) > 0 {
				fmt.Fprintf(&b, "\n%s: %s\n\n```\n%s\n```\n", c.Result, c.Name, strings.Join(c.Detail, "\n"))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON writes the report as it is.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

package conformance

import (
	"embed"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed scenarios types
var files embed.FS

// scenario is a file below scenarios, as a database has it:
//
//	# title
//	batch 2            max.batch.size; optional
//	restart            a new source after every batch; optional
//	== tables          statements, each ended by a semicolon at the end of a line;
//	                   the tables {name} are captured
//	== rows            statements
//	== snapshot        what a snapshot gives of them
//	== do              transactions, with empty lines between; a last line ROLLBACK
//	                   takes one back
//	== stream          what they give
//	== stop, == start  end the source, and go on from its position with a new one
//	== settle          wait until what was written can be seen by sources
//	== refused         a new source must not go on: its error needs a human, and
//	                   has this text in it
//
// A section that is followed by names of databases is for these only; statements
// before it that are for others only do not count.
type scenario struct {
	name, title string
	batch       int
	restart     bool
	steps       []step
}

// step is a section of a scenario.
type step struct{ kind, text string }

var kinds = []string{"tables", "rows", "snapshot", "do", "stream", "stop", "start", "settle", "refused"}

// scenarios are those of a database, in the order of their files.
func scenarios(kind string) ([]scenario, error) {
	list, err := files.ReadDir("scenarios")
	if err != nil {
		return nil, fmt.Errorf("list the scenarios: %w", err)
	}
	var out []scenario
	for _, f := range list {
		text, err := files.ReadFile(path.Join("scenarios", f.Name()))
		if err != nil {
			return nil, fmt.Errorf("read scenario %s: %w", f.Name(), err)
		}
		s, err := parseScenario(strings.TrimSuffix(f.Name(), ".txt"), string(text), kind)
		if err != nil {
			return nil, fmt.Errorf("scenario %s: %w", f.Name(), err)
		}
		if len(s.steps) > 0 {
			out = append(out, s)
		}
	}
	return out, nil
}

func parseScenario(name, text, kind string) (s scenario, err error) {
	_, s.name, _ = strings.Cut(name, "-")
	head, rest, _ := strings.Cut(text, "\n== ")
	for _, line := range strings.Split(head, "\n") {
		switch word, value, _ := strings.Cut(line, " "); word {
		case "#":
			s.title = strings.TrimSpace(s.title + " " + value)
		case "batch":
			if s.batch, err = strconv.Atoi(value); err != nil {
				return s, fmt.Errorf("batch: %w", err)
			}
		case "restart":
			s.restart = true
		case "":
		default:
			return s, fmt.Errorf("%q is not understood", line)
		}
	}
	for _, section := range strings.Split("\n"+rest, "\n== ") {
		title, body, _ := strings.Cut(strings.TrimPrefix(section, "\n"), "\n")
		words := strings.Fields(title)
		if len(words) == 0 {
			continue
		}
		if !slices.Contains(kinds, words[0]) {
			return s, fmt.Errorf("there is no section %q", words[0])
		}
		if len(words) == 1 || slices.Contains(words[1:], kind) {
			s.steps = append(s.steps, step{words[0], strings.TrimSpace(body)})
		}
	}
	return s, nil
}

// statements splits SQL at the semicolons that end lines.
func statements(text string) (out []string) {
	for _, s := range strings.Split(text+"\n", ";\n") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// paragraphs splits text at empty lines.
func paragraphs(text string) (out []string) {
	for _, p := range strings.Split(text, "\n\n") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

var created = regexp.MustCompile(`CREATE TABLE \{([a-z]+)\}`)

// tables are the names of the tables that statements make.
func tables(text string) (out []string) {
	for _, m := range created.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

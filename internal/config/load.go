package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strings"

	"tributary/internal/fault"
)

// Problem is a fault of one option that only its owner can see: a
// contradiction, a value out of range. Load adds the file and the line.
type Problem struct {
	Key     string
	Message string
}

// Validator is implemented by option structs that check themselves.
type Validator interface {
	Validate() []Problem
}

// Load reads the YAML file at path into dst, a pointer to a struct of options.
// All faults of the file come back as one error, a line each, marked as
// needing a human.
func Load(path string, dst any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fault.Human(fmt.Errorf("read configuration: %w", err), "give the path of a YAML file with -c")
	}
	return Parse(path, text, dst)
}

// Parse is Load for a file already read; path is used in messages, and to
// find files named in values.
func Parse(path string, text []byte, dst any) error {
	fields, err := fieldsOf(dst)
	if err != nil {
		return err
	}
	l := &loader{path: path}
	values := l.flatten(text)
	l.fill(fields, values)
	if len(l.faults) == 0 {
		if v, ok := dst.(Validator); ok {
			for _, p := range v.Validate() {
				l.addAt(values[p.Key].line, p.Key, p.Message)
			}
		}
	}
	return l.err()
}

type loader struct {
	path   string
	faults []located
}

type located struct {
	line int
	text string
}

func (l *loader) addAt(line int, key, message string) {
	text := message
	if key != "" {
		text = key + ": " + message
	}
	l.faults = append(l.faults, located{line, text})
}

func (l *loader) err() error {
	if len(l.faults) == 0 {
		return nil
	}
	sort.SliceStable(l.faults, func(i, j int) bool { return l.faults[i].line < l.faults[j].line })
	var errs []error
	for _, f := range l.faults {
		if f.line > 0 {
			errs = append(errs, fmt.Errorf("%s:%d: %s", l.path, f.line, f.text))
		} else {
			errs = append(errs, fmt.Errorf("%s: %s", l.path, f.text))
		}
	}
	return fault.Human(errors.Join(errs...), "correct the file; --help lists every option")
}

// fill sets every field from values and reports what is unknown, missing or of
// the wrong form.
func (l *loader) fill(fields []field, values map[string]value) {
	known := make(map[string]bool, len(fields))
	var names, prefixes []string
	for _, f := range fields {
		known[f.name] = true
		if p, ok := strings.CutSuffix(f.name, "*"); ok {
			prefixes = append(prefixes, p)
		} else {
			names = append(names, f.name)
		}
	}
	for key, v := range values {
		if !known[key] && !hasAnyPrefix(key, prefixes) {
			l.addAt(v.line, key, "unknown option"+suggestion(key, names))
		}
	}
	for _, f := range fields {
		if prefix, ok := strings.CutSuffix(f.name, "*"); ok {
			l.fillPrefix(f, prefix, known, values)
			continue
		}
		v, given := values[f.name]
		if !given {
			if f.required {
				l.addAt(0, f.name, "missing; "+f.doc)
			} else if err := f.setDefault(); err != nil {
				l.addAt(0, f.name, err.Error())
			}
			continue
		}
		if err := l.resolve(&v); err != nil {
			l.addAt(v.line, f.name, err.Error())
			continue
		}
		if f.required && len(v.items) == 1 && v.items[0] == "" {
			l.addAt(v.line, f.name, "empty; "+f.doc)
			continue
		}
		if err := f.set(v); err != nil {
			l.addAt(v.line, f.name, err.Error())
		}
	}
}

func (l *loader) fillPrefix(f field, prefix string, known map[string]bool, values map[string]value) {
	m := map[string]string{}
	for key, v := range values {
		if known[key] || !strings.HasPrefix(key, prefix) {
			continue
		}
		if err := l.resolve(&v); err != nil {
			l.addAt(v.line, key, err.Error())
			continue
		}
		m[key] = strings.Join(v.items, ",")
	}
	f.target.Set(reflect.ValueOf(m))
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

func suggestion(key string, names []string) string {
	best, dist := "", len(key)/3+2
	for _, n := range names {
		if d := distance(key, n, dist); d < dist {
			best, dist = n, d
		}
	}
	if best == "" {
		return "; --help lists every option"
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is the Levenshtein distance of a and b, or limit when it is at
// least that.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diag
			if a[i-1] != b[j-1] {
				cost++
			}
			diag = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return min(row[len(b)], limit)
}

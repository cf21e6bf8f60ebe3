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

// Verdict is what is known of an option, or of a value of one, that dst does
// not have.
type Verdict struct {
	// Message says why nothing is lost without it or, if Refused, why it must
	// not be given.
	Message string
	Refused bool
}

// Foreigner is implemented by option structs that know options of the program
// whose files they read which they have no use for. It is asked about names
// and values that are otherwise faults; false leaves them so. With own, dst has
// the option and it is about the value alone.
type Foreigner interface {
	Foreign(key, value string, own bool) (Verdict, bool)
}

// Completer is implemented by option structs in which options follow from
// others. It is called before Validate.
type Completer interface{ Complete() }

// Warning tells of an option that was given and does nothing.
type Warning struct {
	Line    int
	Key     string
	Message string
}

// Load reads the YAML file at path into dst, a pointer to a struct of options.
// All faults of the file come back as one error, a line each, marked as
// needing a human.
func Load(path string, dst any) error {
	_, err := Read(path, dst)
	return err
}

// Read is Load for a dst that is a Foreigner: it also returns what was given
// and does nothing.
func Read(path string, dst any) ([]Warning, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Human(fmt.Errorf("read configuration: %w", err), "give the path of a YAML file with -c")
	}
	return read(path, text, dst)
}

// Parse is Load for a file already read; path is used in messages, and to
// find files named in values.
func Parse(path string, text []byte, dst any) error {
	_, err := read(path, text, dst)
	return err
}

func read(path string, text []byte, dst any) ([]Warning, error) {
	fields, err := fieldsOf(dst)
	if err != nil {
		return nil, err
	}
	l := &loader{path: path}
	l.foreign, _ = dst.(Foreigner)
	values := l.flatten(text)
	l.fill(fields, values)
	if c, ok := dst.(Completer); ok && len(l.faults) == 0 {
		c.Complete()
	}
	if len(l.faults) == 0 {
		if v, ok := dst.(Validator); ok {
			for _, p := range v.Validate() {
				l.addAt(values[p.Key].line, p.Key, p.Message)
			}
		}
	}
	sort.Slice(l.warnings, func(i, j int) bool { return l.warnings[i].Line < l.warnings[j].Line })
	return l.warnings, l.err()
}

type loader struct {
	path     string
	foreign  Foreigner // nil = none
	faults   []located
	warnings []Warning
}

// known reports whether a Foreigner knew an option that is otherwise a fault,
// and notes what it said.
func (l *loader) known(key string, v value, own bool) bool {
	if l.foreign == nil {
		return false
	}
	x, ok := l.foreign.Foreign(key, strings.Join(v.items, ","), own)
	switch {
	case !ok:
	case x.Refused:
		l.addAt(v.line, key, x.Message)
	default:
		l.warnings = append(l.warnings, Warning{v.line, key, x.Message})
	}
	return ok
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
		if known[key] || hasAnyPrefix(key, prefixes) {
			continue
		}
		before := len(l.warnings)
		if !l.known(key, v, false) {
			l.addAt(v.line, key, "unknown option"+Suggestion(key, names))
		} else if near := Nearest(key, names); len(l.warnings) > before && distance(key, near, 3) < 3 {
			l.warnings[before].Message += fmt.Sprintf("; did you mean %q?", near)
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
		err := f.set(v)
		if err != nil && l.known(f.name, v, true) {
			err = f.setDefault()
		}
		l.addFault(v.line, f.name, err)
	}
}

func (l *loader) addFault(line int, key string, err error) {
	if err != nil {
		l.addAt(line, key, err.Error())
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

// Nearest is the name that is most like another, "" if none is like it.
func Nearest(name string, names []string) string {
	best, dist := "", len(name)/3+2
	for _, n := range names {
		if d := distance(name, n, dist); d < dist {
			best, dist = n, d
		}
	}
	return best
}

// Suggestion is what a message about an unknown option ends with.
func Suggestion(key string, names []string) string {
	best := Nearest(key, names)
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

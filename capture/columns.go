package capture

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"tributary/envelope"
)

// ColumnOptions change what becomes of columns.
type ColumnOptions struct {
	Keys        string            `opt:"message.key.columns" doc:"other keys: TABLE:COLUMN,COLUMN;TABLE:… with regular expressions of tables"`
	SourceType  []string          `opt:"column.propagate.source.type" doc:"regular expressions of columns (schema.table.column) whose type in the database is told in the schema"`
	SourceTypes []string          `opt:"datatype.propagate.source.type" doc:"the same by type (schema.table.TYPE)"`
	Comments    bool              `opt:"include.schema.comments" default:"false" doc:"tell comments of columns in the schema, where the database has them"`
	MaskWith    map[string]string `opt:"column.mask.with.*" doc:"column.mask.with.N.chars: regular expressions of text columns whose values become N asterisks"`
	MaskHash    map[string]string `opt:"column.mask.hash.*" doc:"column.mask.hash.ALGORITHM.with.salt.SALT, or column.mask.hash.v2.…: regular expressions of text columns whose values become their hash"`
	Truncate    map[string]string `opt:"column.truncate.to.*" doc:"column.truncate.to.N.chars: regular expressions of text columns of which N characters stay"`
}

// rewrite compiles the options. Faults are those of single options.
func (o *ColumnOptions) rewrite() (w envelope.Rewrite, faults []Fault) {
	fault := func(key string, err error) { faults = append(faults, Fault{key, err.Error()}) }
	w.Comments = o.Comments
	for _, rule := range strings.Split(o.Keys, ";") {
		if rule = strings.TrimSpace(rule); rule == "" {
			continue
		}
		k, err := keyRule(rule)
		if err != nil {
			fault("message.key.columns", err)
			continue
		}
		w.Keys = append(w.Keys, k)
	}
	if match, err := matchColumns(o.SourceType); err != nil {
		fault("column.propagate.source.type", err)
	} else if len(o.SourceType) > 0 {
		w.Types = append(w.Types, match)
	}
	if res, err := compileAll(o.SourceTypes); err != nil {
		fault("datatype.propagate.source.type", err)
	} else if len(res) > 0 {
		w.Types = append(w.Types, func(id envelope.TableID, c *envelope.Column) bool {
			name, _, _ := c.SourceType()
			return matches(res, id.String()+"."+name)
		})
	}
	for key, list := range o.masks() {
		m, err := parseMask(key, list)
		if err != nil {
			fault(key, err)
			continue
		}
		w.Masks = append(w.Masks, m)
	}
	return w, faults
}

// MessageKey returns the columns that message.key.columns makes a table's key, nil
// if it has its own. The options must have no faults.
func (o *ColumnOptions) MessageKey(id envelope.TableID) []string {
	w, _ := o.rewrite()
	for _, k := range w.Keys {
		if k.Match(id) {
			return k.Columns
		}
	}
	return nil
}

func (o *ColumnOptions) masks() map[string]string {
	out := make(map[string]string)
	for _, m := range []map[string]string{o.MaskWith, o.MaskHash, o.Truncate} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

func keyRule(rule string) (envelope.KeyRule, error) {
	i := strings.LastIndexByte(rule, ':')
	if i < 1 || i == len(rule)-1 {
		return envelope.KeyRule{}, fmt.Errorf("%q is not TABLE:COLUMN,COLUMN", rule)
	}
	re, err := regexp.Compile("(?i)^(?:" + strings.TrimSpace(rule[:i]) + ")$")
	if err != nil {
		return envelope.KeyRule{}, err
	}
	k := envelope.KeyRule{Match: func(id envelope.TableID) bool {
		if id.Catalog != "" && id.Schema != "" && re.MatchString(id.Schema+"."+id.Name) {
			return true // SQL Server's tables may be named without their database
		}
		return re.MatchString(id.String())
	}}
	for c := range strings.SplitSeq(rule[i+1:], ",") {
		k.Columns = append(k.Columns, strings.TrimSpace(c))
	}
	return k, nil
}

// parseMask reads one of column.mask.with.N.chars, column.truncate.to.N.chars
// and column.mask.hash.ALGORITHM.with.salt.SALT.
func parseMask(key, list string) (m envelope.Mask, err error) {
	if rest, ok := strings.CutPrefix(key, "column.mask.hash."); ok {
		version := 1
		if v2, ok := strings.CutPrefix(rest, "v2."); ok {
			rest, version = v2, 2
		}
		algorithm, salt, ok := strings.Cut(rest, ".with.salt.")
		if !ok {
			return m, fmt.Errorf("the name must be column.mask.hash.ALGORITHM.with.salt.SALT")
		}
		m.Hash, err = envelope.Hasher(algorithm, []byte(salt), version)
	} else {
		rest, truncate := strings.CutPrefix(key, "column.truncate.to.")
		rest = strings.TrimPrefix(rest, "column.mask.with.")
		number, ok := strings.CutSuffix(rest, ".chars")
		n, nerr := strconv.Atoi(number)
		switch {
		case !ok || nerr != nil || n < 0 || truncate && n == 0:
			return m, fmt.Errorf("the name must have a number of characters: column.mask.with.10.chars, column.truncate.to.20.chars")
		case truncate:
			m.Truncate = n
		default:
			m.Chars = n
		}
	}
	if err != nil {
		return m, err
	}
	m.Match, err = matchColumns(strings.Split(list, ","))
	return m, err
}

func matchColumns(list []string) (func(envelope.TableID, *envelope.Column) bool, error) {
	res, err := compileAll(list)
	if err != nil {
		return nil, err
	}
	return func(id envelope.TableID, c *envelope.Column) bool { return matches(res, id.String()+"."+c.Name) }, nil
}

func compileAll(list []string) ([]*regexp.Regexp, error) {
	var out []*regexp.Regexp
	for _, t := range list {
		if t = strings.TrimSpace(t); t == "" {
			continue
		}
		re, err := regexp.Compile("(?i)^(?:" + t + ")$")
		if err != nil {
			return nil, err
		}
		out = append(out, re)
	}
	return out, nil
}

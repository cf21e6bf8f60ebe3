package mssqltest

import (
	"slices"
	"strings"
	"time"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

const serverName = "MODEL"

// functions of the schema sys, by name.
var sysFunctions = map[string]func(db *Database) function{
	"fn_cdc_get_max_lsn": func(db *Database) function {
		return function0(lsnType, 0, nil, false, func(s *session, _ []any) (any, error) {
			st, err := s.cdcState(db)
			if err != nil {
				return nil, err
			}
			return st.maxLSN().orNull(), nil
		})
	},
	"fn_cdc_get_min_lsn": func(db *Database) function {
		return simple(lsnType, 1, []tds.Type{sysname}, func(s *session, a []any) (any, error) {
			st, err := s.cdcState(db)
			if err != nil {
				return nil, err
			}
			in := st.instance(a[0].(string))
			if in == nil || !s.authorized(db, st, in) {
				return LSN{}.Bytes(), nil
			}
			return in.low().orNull(), nil // it is the column start_lsn
		})
	},
	"fn_cdc_increment_lsn": func(*Database) function {
		return simple(lsnType, 1, []tds.Type{lsnType}, func(_ *session, a []any) (any, error) { return lsnOf(a[0].([]byte)).increment(1).Bytes(), nil })
	},
	"fn_cdc_decrement_lsn": func(*Database) function {
		return simple(lsnType, 1, []tds.Type{lsnType}, func(_ *session, a []any) (any, error) { return lsnOf(a[0].([]byte)).increment(-1).Bytes(), nil })
	},
	"fn_cdc_map_lsn_to_time": func(db *Database) function {
		return simple(dtType, 1, []tds.Type{lsnType}, func(s *session, a []any) (any, error) {
			st, err := s.cdcState(db)
			if err != nil {
				return nil, err
			}
			l := lsnOf(a[0].([]byte))
			i, ok := slices.BinarySearchFunc(st.times, l, func(r timeRow, l LSN) int { return r.lsn.Compare(l) })
			if !ok {
				return nil, nil
			}
			return st.times[i].end, nil
		})
	},
	"fn_cdc_map_time_to_lsn": func(db *Database) function {
		return simple(lsnType, 2, []tds.Type{nvarchar(30), dtType}, func(s *session, a []any) (any, error) {
			st, err := s.cdcState(db)
			if err != nil {
				return nil, err
			}
			return mapTime(st, a[0].(string), a[1].(time.Time))
		})
	},
	"fn_cdc_get_column_ordinal": func(db *Database) function {
		return simple(intType, 2, []tds.Type{sysname, sysname}, func(s *session, a []any) (any, error) {
			st, err := s.cdcState(db)
			if err != nil {
				return nil, err
			}
			in := st.instance(a[0].(string))
			if in == nil {
				return nil, nil
			}
			for _, c := range in.columns {
				if strings.EqualFold(c.name, a[1].(string)) {
					return int64(c.ordinal), nil
				}
			}
			return nil, nil
		})
	},
	"fn_cdc_is_bit_set": func(*Database) function {
		return simple(bitType, 2, []tds.Type{intType, varbinary(128)}, func(s *session, a []any) (any, error) {
			i, m := int(a[0].(int64))-1, a[1].([]byte)
			if i < 0 || i >= 8*len(m) {
				return false, nil
			}
			return m[maskByte(len(m), i, s.srv.opts.MaskLowFirst)]&(1<<(i%8)) != 0, nil
		})
	},
}

func mapTime(st *state, how string, at time.Time) (any, error) {
	switch how = strings.ToLower(how); how {
	case "smallest greater than", "smallest greater than or equal":
		for _, r := range st.times {
			if r.end.After(at) || strings.HasSuffix(how, "equal") && r.end.Equal(at) {
				return r.lsn.Bytes(), nil
			}
		}
	case "largest less than", "largest less than or equal":
		for i := len(st.times) - 1; i >= 0; i-- {
			if r := st.times[i]; r.end.Before(at) || strings.HasSuffix(how, "equal") && r.end.Equal(at) {
				return r.lsn.Bytes(), nil
			}
		}
	default:
		return nil, sqlError(22852, "Invalid relational operator '%s' for the function fn_cdc_map_time_to_lsn.", how)
	}
	return nil, nil
}

// cdcState is the state of a database where CDC is enabled.
func (s *session) cdcState(db *Database) (*state, error) {
	if err := s.enter(db); err != nil {
		return nil, err
	}
	st, err := s.state(db)
	if err != nil {
		return nil, err
	}
	if !st.cdc {
		// The functions read cdc.lsn_time_mapping, which there is not.
		return nil, invalidObject("cdc.lsn_time_mapping")
	}
	return st, nil
}

// qualifiedCall is a scalar function of a schema: [db.]sys.f(…).
func (c *compiler) qualifiedCall(x *tsql.Call, name string) (value, error) {
	db := c.s.db
	q := x.Name[:len(x.Name)-1]
	if len(q) == 2 {
		if db = c.s.srv.DB(q[0]); db == nil {
			return value{}, sqlError(911, "Database '%s' does not exist. Make sure that the name is entered correctly.", q[0])
		}
	}
	f, ok := sysFunctions[name]
	if !ok || len(q) > 2 || !strings.EqualFold(q.Last(), "sys") {
		return value{}, sqlError(4121, "Cannot find either column \"%s\" or the user-defined function or aggregate \"%s\", or the name is ambiguous.", q[0], strings.Join(x.Name, "."))
	}
	args, err := c.args(x)
	if err != nil {
		return value{}, err
	}
	return f(db)(c, x, args)
}

// tableFunction is a function in FROM: those that read the changes.
func (c *compiler) tableFunction(s *tsql.Table, db *Database, st *state, schema, name string) (*relation, error) {
	inst, ok := strings.CutPrefix(strings.ToLower(name), "fn_cdc_get_all_changes_")
	if !strings.EqualFold(schema, "cdc") || !ok {
		return nil, invalidObject(strings.Join(s.Name, "."))
	}
	in := st.instance(inst)
	if in == nil || !st.cdc {
		return nil, invalidObject("cdc." + name)
	}
	if !c.s.authorized(db, st, in) {
		return nil, (&entity{db: db, schema: "cdc", name: name}).denied("SELECT")
	}
	if len(s.Args) != 3 {
		return nil, c.insufficient(name)
	}
	inner := *c
	inner.scope = &scope{outer: c.scope}
	var args []value
	for i, t := range []tds.Type{lsnType, lsnType, nvarchar(30)} {
		if s.Args[i] == nil {
			return nil, c.insufficient(name)
		}
		v, err := inner.expr(s.Args[i])
		if err == nil {
			v, err = v.as(t)
		}
		if err != nil {
			return nil, err
		}
		args = append(args, v)
	}
	r := changeTable(in, !c.s.srv.opts.SeqvalsReversed)
	scan := r.scan
	// The function has neither __$end_lsn nor __$command_id.
	full := r.cols
	r.cols = append(append(slices.Clone(full[:1]), full[2:5]...), full[5:len(full)-1]...)
	if r.orders = [][]int{{0, 1, 2}}; c.s.srv.opts.SeqvalsReversed {
		r.orders = [][]int{{0}}
	}
	r.setTable(db.name, "cdc", name)
	r.scan = func(e *env, low any, yield func([]any) bool) error {
		var v [3]any
		for i := range args {
			var err error
			if v[i], err = args[i].eval(&env{up: e}); err != nil {
				return err
			}
		}
		from, to, before, err := c.changeRange(st, in, name, v)
		if err != nil {
			return err
		}
		if b, ok := low.([]byte); ok && lsnOf(b).Compare(from) > 0 {
			from = lsnOf(b)
		}
		out := make([]any, len(r.cols))
		return scan(e, from.Bytes(), func(row []any) bool {
			if compareBytes(row[0].([]byte), to[:]) > 0 {
				return false
			}
			if row[3].(int64) == 3 && !before {
				return true
			}
			out[0] = row[0]
			copy(out[1:], row[2:len(row)-1])
			return yield(out)
		})
	}
	return r, nil
}

// insufficient is the error that a server gives for a range outside the validity
// interval: its text is about something else.
func (c *compiler) insufficient(name string) error {
	return &Error{Number: 313, State: 3, Class: 16, Text: "An insufficient number of arguments were supplied for the procedure or function cdc." + name + " ... ."}
}

func (c *compiler) changeRange(st *state, in *instance, name string, v [3]any) (from, to LSN, before bool, err error) {
	if v[0] == nil || v[1] == nil || v[2] == nil {
		return from, to, false, c.insufficient(name)
	}
	from, to = lsnOf(v[0].([]byte)), lsnOf(v[1].([]byte))
	switch strings.ToLower(strings.TrimSpace(v[2].(string))) {
	case "all":
	case "all update old":
		before = true
	default:
		return from, to, false, c.insufficient(name)
	}
	if from.Compare(in.startLSN) < 0 || to.Compare(st.maxLSN()) > 0 || from.Compare(to) > 0 {
		return from, to, false, c.insufficient(name)
	}
	return from, to, before, nil
}

package mysql

import (
	"slices"
	"strconv"
	"strings"

	"tributary/capture/mysql/ddl"
	"tributary/envelope"
)

// effect is what a statement did to one table.
type effect struct {
	kind string // CREATE, ALTER or DROP
	id   envelope.TableID
	old  envelope.TableID // what it was called before, if it was renamed
	// def is the table afterwards; nil when it was dropped, or when it is not
	// known what it is like.
	def *tableDef
	ddl string // the statement, as far as it is about this table
}

// apply has a statement, made in a database, change the definitions.
func (h *history) apply(database string, st *ddl.Statement) []effect {
	switch st.Kind {
	case ddl.CreateDatabase, ddl.AlterDatabase:
		name := h.name(st.Database)
		if name == "" {
			name = database
		}
		if st.Charset != "" {
			h.charsets[name] = st.Charset
		}
	case ddl.DropDatabase:
		name := h.name(st.Database)
		delete(h.charsets, name)
		for key, d := range h.defs {
			if d.ID.Catalog == name {
				delete(h.defs, key)
			}
		}
	case ddl.CreateTable:
		return h.create(database, st)
	case ddl.AlterTable, ddl.CreateIndex, ddl.DropIndex:
		return h.alter(database, st)
	case ddl.DropTable:
		return h.drop(database, st)
	case ddl.RenameTable:
		var out []effect
		for _, r := range st.Renames {
			out = append(out, h.rename(h.id(database, r.From), h.id(database, r.To), r.Text))
		}
		return out
	}
	return nil
}

// name is a name as the server keeps it.
func (h *history) name(s string) string {
	if h.fold {
		return strings.ToLower(s)
	}
	return s
}

func (h *history) id(database string, n ddl.Name) envelope.TableID {
	if n.Database == "" {
		n.Database = database
	}
	return envelope.TableID{Catalog: h.name(n.Database), Name: h.name(n.Table)}
}

func (h *history) create(database string, st *ddl.Statement) []effect {
	c := st.Create
	id := h.id(database, c.Table)
	if c.Temporary || c.Unless && h.defs[id.String()] != nil {
		return nil
	}
	e := effect{kind: "CREATE", id: id, ddl: st.Text}
	switch {
	case c.Like != nil:
		if like := h.defs[h.id(database, *c.Like).String()]; like != nil {
			d := like.clone()
			d.ID = id
			e.def = d
		}
	case !c.Select:
		e.def = h.newDef(id, c)
	}
	h.set(id, e.def)
	return []effect{e}
}

func (h *history) newDef(id envelope.TableID, c *ddl.Create) *tableDef {
	d := &tableDef{ID: id, Charset: c.Charset, Comment: c.Comment}
	if d.Charset == "" {
		d.Charset = h.charset(id.Catalog)
	}
	for i := range c.Columns {
		col := &c.Columns[i]
		d.Columns = append(d.Columns, h.column(d, col))
		d.columnKeys(col)
	}
	for i := range c.Keys {
		d.addKey(&c.Keys[i])
	}
	d.chooseKey()
	return d
}

// charset is the default character set of a database.
func (h *history) charset(database string) string {
	if c, ok := h.charsets[database]; ok {
		return c
	}
	return h.server
}

// set notes what a table looks like, nil = that is not known, or it is gone.
func (h *history) set(id envelope.TableID, d *tableDef) {
	if d == nil {
		delete(h.defs, id.String())
		return
	}
	h.defs[id.String()] = d
}

func (h *history) drop(database string, st *ddl.Statement) []effect {
	var out []effect
	for _, d := range st.Drops {
		if d.Temporary {
			continue
		}
		id := h.id(database, d.Table)
		delete(h.defs, id.String())
		out = append(out, effect{kind: "DROP", id: id, ddl: d.Prefix + tableName(id) + d.Suffix})
	}
	return out
}

func (h *history) rename(from, to envelope.TableID, text string) effect {
	e := effect{kind: "ALTER", id: to, old: from, ddl: text}
	if d := h.defs[from.String()]; d != nil {
		e.def = d.clone()
		e.def.ID = to
	}
	delete(h.defs, from.String())
	h.set(to, e.def)
	return e
}

func (h *history) alter(database string, st *ddl.Statement) []effect {
	id := h.id(database, st.Table)
	if st.Kind != ddl.AlterTable && len(st.Changes) == 0 { // an index that is no key
		return nil
	}
	e := effect{kind: "ALTER", id: id, ddl: st.Text}
	d := h.defs[id.String()]
	known := d != nil
	if known {
		d = d.clone()
	}
	for i := range st.Changes {
		c := &st.Changes[i]
		switch {
		case c.Kind == ddl.MoveTable:
			e.old, e.id = id, h.id(database, c.Table)
		case known:
			known = h.change(d, c)
		}
	}
	if known {
		d.ID = e.id
		d.chooseKey()
		e.def = d
		if st.Kind != ddl.AlterTable && slices.Equal(d.Key, h.defs[id.String()].Key) {
			h.set(id, d) // another index: the rows' key is the same
			return nil
		}
	}
	delete(h.defs, id.String())
	h.set(e.id, e.def)
	return []effect{e}
}

// change makes one change; false if the table cannot have been what it was
// taken for.
func (h *history) change(d *tableDef, c *ddl.Change) bool {
	at := d.index(c.Name)
	switch c.Kind {
	case ddl.AddColumn:
		if at >= 0 {
			return c.Lenient
		}
		d.Columns = append(d.Columns, h.column(d, &c.Column))
		d.columnKeys(&c.Column)
		return d.move(len(d.Columns)-1, c)
	case ddl.ModifyColumn:
		if at < 0 {
			return c.Lenient
		}
		d.renamed(d.Columns[at].Name, c.Column.Name)
		d.Columns[at] = h.column(d, &c.Column)
		d.columnKeys(&c.Column)
		return d.move(at, c)
	case ddl.DropColumn:
		if at < 0 {
			return c.Lenient
		}
		d.renamed(d.Columns[at].Name, "")
		d.Columns = slices.Delete(d.Columns, at, at+1)
	case ddl.RenameColumn:
		if at < 0 {
			return false
		}
		d.renamed(d.Columns[at].Name, c.To)
		d.Columns[at].Name = c.To
	case ddl.SetDefault:
		if at < 0 {
			return false
		}
		d.Columns[at].setDefault(&c.Column)
	case ddl.AddKey:
		d.addKey(&c.Key)
	case ddl.DropKey:
		d.Keys = slices.DeleteFunc(d.Keys, func(k keyDef) bool { return strings.EqualFold(k.Name, c.Name) })
	case ddl.RenameKey:
		for i := range d.Keys {
			if strings.EqualFold(d.Keys[i].Name, c.Name) {
				d.Keys[i].Name = c.To
			}
		}
	case ddl.Convert, ddl.SetCharset:
		if d.Charset = c.Charset; d.Charset == "" {
			d.Charset = h.charset(d.ID.Catalog)
		}
		for i := range d.Columns {
			if c.Kind == ddl.Convert && d.Columns[i].Charset != "" {
				d.Columns[i].Charset = d.Charset
			}
		}
	case ddl.SetComment:
		d.Comment = c.Comment
	}
	return true
}

// clone copies what a change may change.
func (d *tableDef) clone() *tableDef {
	c := *d
	c.Columns, c.Keys = slices.Clone(d.Columns), slices.Clone(d.Keys)
	for i := range c.Keys {
		c.Keys[i].Columns = slices.Clone(c.Keys[i].Columns)
	}
	return &c
}

// index finds a column; names of columns have no case.
func (d *tableDef) index(name string) int {
	return slices.IndexFunc(d.Columns, func(c columnDef) bool { return strings.EqualFold(c.Name, name) })
}

// move brings a column to its place.
func (d *tableDef) move(at int, c *ddl.Change) bool {
	if !c.First && c.After == "" {
		return true
	}
	col := d.Columns[at]
	d.Columns = slices.Delete(d.Columns, at, at+1)
	to := 0
	if c.After != "" {
		if to = d.index(c.After) + 1; to == 0 {
			return false
		}
	}
	d.Columns = slices.Insert(d.Columns, to, col)
	return true
}

// renamed has the keys follow a column; to "" drops it.
func (d *tableDef) renamed(from, to string) {
	if from == to {
		return
	}
	for i := range d.Keys {
		k := &d.Keys[i]
		for j := range k.Columns {
			if k.Columns[j] == from {
				k.Columns[j] = to
			}
		}
		if to == "" {
			k.Columns = slices.DeleteFunc(k.Columns, func(c string) bool { return c == "" })
		}
	}
	d.Keys = slices.DeleteFunc(d.Keys, func(k keyDef) bool { return len(k.Columns) == 0 })
}

// columnKeys adds the keys that a column's definition makes.
func (d *tableDef) columnKeys(c *ddl.Column) {
	if c.Primary {
		d.addKey(&ddl.Key{Name: primaryKey, Primary: true, Columns: []string{c.Name}})
	}
	if c.Unique {
		d.addKey(&ddl.Key{Columns: []string{c.Name}})
	}
}

func (d *tableDef) addKey(k *ddl.Key) {
	key := keyDef{Name: k.Name, Prefix: k.Prefix}
	for _, name := range k.Columns {
		if at := d.index(name); at >= 0 {
			name = d.Columns[at].Name
			if k.Primary {
				d.Columns[at].Nullable = false
			}
		}
		key.Columns = append(key.Columns, name)
	}
	if k.Primary {
		d.Keys = slices.Insert(d.Keys, 0, key)
		return
	}
	if key.Name == "" && len(key.Columns) > 0 { // the server names it so
		key.Name = key.Columns[0]
		for n := 2; slices.ContainsFunc(d.Keys, func(o keyDef) bool { return strings.EqualFold(o.Name, key.Name) }); n++ {
			key.Name = key.Columns[0] + "_" + strconv.Itoa(n)
		}
	}
	d.Keys = append(d.Keys, key)
}

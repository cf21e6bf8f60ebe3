package mysql

import (
	"context"
	"slices"
)

// keyDef is a primary or unique key.
type keyDef struct {
	Name    string   `json:"n"`
	Columns []string `json:"c"`           // "" = an expression
	Prefix  bool     `json:"p,omitempty"` // of some column only the beginning counts
}

const primaryKey = "PRIMARY"

// chooseKey sets Key: to the primary key, else to the first unique key that no
// null is in. The server takes those of whole columns first.
func (d *tableDef) chooseKey() {
	d.Key = nil
	usable := func(k *keyDef) bool {
		for _, name := range k.Columns {
			if c := d.column(name); c == nil || c.Nullable {
				return false
			}
		}
		return len(k.Columns) > 0
	}
	for _, test := range []func(k *keyDef) bool{
		func(k *keyDef) bool { return k.Name == primaryKey },
		func(k *keyDef) bool { return !k.Prefix && usable(k) },
		usable,
	} {
		if i := slices.IndexFunc(d.Keys, func(k keyDef) bool { return test(&k) }); i >= 0 {
			d.Key = d.Keys[i].Columns
			return
		}
	}
}

// readKeys reads the primary key and the unique ones.
func (s *serverCatalog) readKeys(ctx context.Context, d *tableDef) error {
	err := s.conn.rows(ctx, "SHOW INDEX FROM "+tableName(d.ID)+" WHERE Non_unique = 0", func(cells [][]byte) error {
		name, column := string(cells[2]), string(cells[4]) // the column of an expression is NULL
		if len(d.Keys) == 0 || d.Keys[len(d.Keys)-1].Name != name {
			d.Keys = append(d.Keys, keyDef{Name: name})
		}
		last := &d.Keys[len(d.Keys)-1]
		if d.Versioned != "" && column == d.Versioned { // the server adds it
			return nil
		}
		last.Columns = append(last.Columns, column)
		last.Prefix = last.Prefix || cells[7] != nil
		return nil
	})
	d.chooseKey()
	return err
}

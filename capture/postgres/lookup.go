package postgres

import (
	"context"
	"slices"

	"tributary/envelope"
)

// lookup finds tables in the catalog. What the message says of the columns is
// of the moment of the change and counts; the catalog of now adds what the
// message leaves out: whether a column may be null, its default, the key.
func (s *Source) lookup(c *catalog) lookup {
	return func(ctx context.Context, oid uint32, id envelope.TableID, columns []relationColumn) (*captured, error) {
		if !s.filter.Table(id) {
			return nil, nil
		}
		now, err := c.byOID(ctx, oid)
		if err != nil {
			return nil, err
		}
		return resolve(ctx, c, id, columns, now)
	}
}

// resolve joins a Relation message with the catalog's idea of the table. now is
// nil if the table is gone: then the key is what the message marks as the
// replica identity, unless that is the whole row.
func resolve(ctx context.Context, c *catalog, id envelope.TableID, columns []relationColumn, now *tableInfo) (*captured, error) {
	var infos []columnInfo
	var key []string
	for _, col := range columns {
		info := columnInfo{name: col.name}
		var err error
		if info.typ, err = c.typeOf(ctx, col.oid, col.typmod); err != nil {
			return nil, err
		}
		info.native = info.typ.name
		if now != nil {
			for _, n := range now.columns {
				if n.name != col.name {
					continue
				}
				info.notNull = n.notNull
				if n.typ.oid == info.typ.oid && n.typ.typmod == info.typ.typmod {
					info.def, info.native = n.def, n.native
				}
			}
		}
		infos = append(infos, info)
	}
	if now != nil {
		key = now.key
	} else if slices.ContainsFunc(columns, func(c relationColumn) bool { return !c.key }) {
		for i, col := range columns {
			if col.key {
				key = append(key, col.name)
				infos[i].notNull = true
			}
		}
	}
	return c.build.table(id, infos, key)
}

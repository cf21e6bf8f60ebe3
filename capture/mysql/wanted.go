package mysql

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tributary/envelope"
	"tributary/internal/config"
	"tributary/internal/fault"
)

// checkTables looks whether what the lists name is there. A table may have been
// dropped, or be made later: that is for a warning, unless there is nothing at all
// to begin with.
func (n *session) checkTables(ctx context.Context, first bool) error {
	missing := n.cfg.tables.Unmatched(n.ids)
	if len(missing) > 0 {
		n.unmatched = fmt.Sprintf("no table matches %s of table.include.list", strings.Join(missing, ", "))
	}
	if len(n.ids) > 0 || !first {
		if n.unmatched != "" {
			n.log.Warn("entries of table.include.list match no table: it was dropped, is to come, or the name is wrong", "entries", strings.Join(missing, ", "))
		}
		return nil
	}
	databases, err := n.conn.table(ctx, "SHOW DATABASES")
	if err != nil {
		return err
	}
	var names []string
	for _, r := range databases {
		if !system(r[0]) {
			names = append(names, r[0])
		}
	}
	for _, want := range n.cfg.wanted() {
		if slices.ContainsFunc(names, func(have string) bool { return strings.EqualFold(have, want) }) {
			continue
		}
		hint := "correct database.include.list and table.include.list (database.table), create the database, or grant the user SELECT on its tables: of others it is told nothing"
		if near := config.Nearest(want, names); near != "" {
			hint = fmt.Sprintf("did you mean %s? Else %s", near, hint)
		}
		return fault.Humanf(hint, "database %s does not exist, or the user may not see it", want)
	}
	if n.unmatched != "" {
		return fault.Humanf("correct table.include.list (database.table), create the table, or grant the user SELECT on it", "%s", n.unmatched)
	}
	return fault.Humanf("correct table.include.list and database.include.list, or grant the user SELECT", "there is no table to capture")
}

// wanted are the databases that the lists name as they are, without a pattern.
func (s *settings) wanted() (out []string) {
	const special = `\.*+?()[]{}|^$`
	for _, d := range s.IncludeDatabases {
		if !strings.ContainsAny(d, special) {
			out = append(out, d)
		}
	}
	for _, t := range s.IncludeTables {
		d, _, ok := strings.Cut(t, ".")
		if d = strings.TrimSuffix(d, `\`); ok && !strings.ContainsAny(d, special) && s.databases.Table(envelope.TableID{Name: d}) {
			out = append(out, d)
		}
	}
	return out
}

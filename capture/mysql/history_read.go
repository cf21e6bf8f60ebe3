package mysql

import (
	"context"
	"fmt"

	"tributary/envelope"
)

// readHistory begins the history with what the server tells. Where the log has
// no names of columns, that is also about tables that may get the name of a
// captured one.
func (n *session) readHistory(ctx context.Context) error {
	if err := n.history.read(ctx, n.conn); err != nil {
		return err
	}
	n.history.adopt(n.tables)
	if n.server.described() {
		return nil
	}
	others, err := n.catalog.tables(ctx, func(id envelope.TableID) bool {
		return n.tables[id.String()] == nil && n.cfg.databases.Table(envelope.TableID{Name: id.Catalog})
	})
	if err != nil {
		return err
	}
	for _, id := range others {
		if _, _, err := n.found(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// settled makes sure that the definitions are those at the position that was
// taken after they were read: it reads them once more, and fails, so that all
// begins anew, if a table has changed in between.
func (n *session) settled(ctx context.Context) error {
	for _, id := range n.ids {
		def, err := n.catalog.table(ctx, id)
		if err != nil {
			return fmt.Errorf("read the definition of table %s: %w", id, err)
		}
		if def != nil {
			def.exclude(n.cfg)
		}
		if def == nil || !def.same(n.tables[id.String()].current().def) {
			return fmt.Errorf("table %s was changed while its definition was read", id)
		}
	}
	return nil
}

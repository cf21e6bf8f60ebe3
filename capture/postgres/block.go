package postgres

import (
	"strconv"

	"tributary/envelope"
)

// Block is the source block of this connector's events. version is what
// source.version says.
func Block(o *Options, version string) envelope.Block {
	fields := envelope.CommonFields(sequence)
	fields = append(fields,
		envelope.SchemaField(),
		envelope.TableField(false),
		envelope.LongField("txId", true, func(s *envelope.Source) int64 { return s.TxID }),
		envelope.LongField("lsn", true, func(s *envelope.Source) int64 { return s.LSN }),
		envelope.LongField("xmin", true, func(*envelope.Source) int64 { return 0 }),
	)
	revision := 0
	if o.Version == "3.5" {
		revision = 1
		fields = append(fields,
			envelope.StringField("origin", true, func(s *envelope.Source) string { return s.Origin }),
			envelope.LongField("origin_lsn", true, func(s *envelope.Source) int64 { return s.OriginLSN }),
		)
	}
	return envelope.Block{
		Version: version, Connector: "postgresql", Package: "io.debezium.connector.postgresql",
		Name: o.Prefix, Database: o.Database, Fields: fields, Revision: revision, Transaction: transactionID,
	}
}

// transactionID is the transaction's number and the position of the change
// itself, as Debezium has it: the part before the colon is what the events of
// a transaction have in common.
func transactionID(dst []byte, s *envelope.Source) []byte {
	return strconv.AppendInt(append(strconv.AppendInt(dst, s.TxID, 10), ':'), s.LSN, 10)
}

// sequence is the pair of the last commit before and the change's own
// position, as JSON in a string.
func sequence(dst []byte, s *envelope.Source) []byte {
	var buf [48]byte
	b := append(buf[:0], '[')
	if s.LastCommit == 0 {
		b = append(b, "null"...)
	} else {
		b = append(strconv.AppendInt(append(b, '"'), s.LastCommit, 10), '"')
	}
	b = append(strconv.AppendInt(append(b, `,"`...), s.LSN, 10), `"]`...)
	return envelope.AppendBytes(dst, b)
}

package bronze

import (
	"encoding/json"
	"fmt"
	"strconv"

	"tributary/internal/avro"
)

// Meta is what the header of an object tells besides the schema.
type Meta struct {
	Topic     string
	Partition int32
	First     int64 // offset of the first record
	Last      int64 // offset of the last record
	Records   int64
	SchemaID  int64    // the registry's id of the writer schema; 0 = unknown
	KeyFields []string // the fields of the record's key; empty = it has none
	// Durable: once this object exists, every record of the partition with an
	// offset up to Durable is in an object that exists. -1 = none.
	Durable int64
	// BodyCRC is the CRC-32C of everything after the header.
	BodyCRC uint32
}

// The keys of the header.
const (
	keyTopic     = "tributary.topic"
	keyPartition = "tributary.partition"
	keyFirst     = "tributary.first.offset"
	keyLast      = "tributary.last.offset"
	keyRecords   = "tributary.records"
	keySchemaID  = "tributary.schema.id"
	keyKeyFields = "tributary.key.fields"
	keyDurable   = "tributary.durable.offset"
	keyBodyCRC   = "tributary.body.crc32c"
)

// entries returns m as the header holds it.
func (m *Meta) entries(schema string, codec avro.Codec) (map[string]string, error) {
	fields := m.KeyFields
	if fields == nil {
		fields = []string{}
	}
	key, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("encode the key's fields: %w", err)
	}
	num := func(v int64) string { return strconv.FormatInt(v, 10) }
	return map[string]string{
		avro.MetaSchema: schema,
		avro.MetaCodec:  string(codec),
		keyTopic:        m.Topic,
		keyPartition:    num(int64(m.Partition)),
		keyFirst:        num(m.First),
		keyLast:         num(m.Last),
		keyRecords:      num(m.Records),
		keySchemaID:     num(m.SchemaID),
		keyKeyFields:    string(key),
		keyDurable:      num(m.Durable),
		keyBodyCRC:      fmt.Sprintf("%08x", m.BodyCRC),
	}, nil
}

// parseMeta reads a header by its lookup function.
func parseMeta(get func(string) (string, bool)) (Meta, error) {
	var m Meta
	var err error
	num := func(key string, bits int) int64 {
		text, ok := get(key)
		if err != nil {
			return 0
		}
		if !ok {
			err = fmt.Errorf("%w: its header lacks %s: this is no object of bronze", ErrDamaged, key)
			return 0
		}
		v, perr := strconv.ParseInt(text, 10, bits)
		if perr != nil {
			err = fmt.Errorf("%w: its header's %s is no number", ErrDamaged, key)
		}
		return v
	}
	m.Topic, _ = get(keyTopic)
	m.Partition = int32(num(keyPartition, 32))
	m.First, m.Last = num(keyFirst, 64), num(keyLast, 64)
	m.Records, m.Durable = num(keyRecords, 64), num(keyDurable, 64)
	m.SchemaID = num(keySchemaID, 64)
	if err != nil {
		return Meta{}, err
	}
	fields, _ := get(keyKeyFields)
	if err := json.Unmarshal([]byte(fields), &m.KeyFields); err != nil {
		return Meta{}, fmt.Errorf("%w: its header's %s is no list of names: %w", ErrDamaged, keyKeyFields, err)
	}
	sum, _ := get(keyBodyCRC)
	crc, err := strconv.ParseUint(sum, 16, 32)
	if err != nil {
		return Meta{}, fmt.Errorf("%w: its header's %s is no checksum", ErrDamaged, keyBodyCRC)
	}
	m.BodyCRC = uint32(crc)
	return m, nil
}

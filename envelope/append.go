package envelope

import "tributary/internal/avro"

// Unavailable is what stands for a value that the log does not carry because
// it is unchanged (PostgreSQL's TOAST).
const Unavailable = "__debezium_unavailable_value"

// AppendInt appends an Avro int.
func AppendInt(dst []byte, v int32) []byte { return avro.AppendLong(dst, int64(v)) }

// AppendLong appends an Avro long: a zig-zag varint.
func AppendLong(dst []byte, v int64) []byte { return avro.AppendLong(dst, v) }

// AppendBoolean appends an Avro boolean.
func AppendBoolean(dst []byte, v bool) []byte { return avro.AppendBoolean(dst, v) }

// AppendFloat appends an Avro float.
func AppendFloat(dst []byte, v float32) []byte { return avro.AppendFloat(dst, v) }

// AppendDouble appends an Avro double.
func AppendDouble(dst []byte, v float64) []byte { return avro.AppendDouble(dst, v) }

// AppendBytes appends an Avro bytes value: length and content.
func AppendBytes(dst, v []byte) []byte { return avro.AppendBytes(dst, v) }

// AppendString appends an Avro string. v must be UTF-8.
func AppendString(dst []byte, v string) []byte { return avro.AppendString(dst, v) }

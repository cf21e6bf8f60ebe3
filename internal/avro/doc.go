// Package avro reads and writes Avro without ever building a value: schemas are
// parsed into a small model, record bytes are walked straight into columns by a
// plan compiled once for each writer schema, and container files are made by
// splicing records that are encoded already.
//
// It is the only package that imports an Avro library, and uses it for nothing
// but reading schema text. Bytes from outside are read by the code here: it
// never panics on them, and never allocates more than they hold.
//
// Layout of the bytes, in short (Avro specification 1.11, "Binary encoding"):
// int and long are zigzag varints; float and double are 4 and 8 bytes, little
// endian; bytes and string are a long and as many bytes; a record is its fields
// end to end; a union is the index of its branch as a long and then the branch;
// an array or map is a row of blocks, each a count and its items, ended by a
// count of 0; a negative count is followed by the size of the block in bytes.
package avro

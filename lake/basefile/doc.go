// Package basefile is one Parquet file of a Hudi table: columns in, bytes out,
// and back. It knows Parquet's pages and Hudi's footer (bloom filter, key range),
// but neither file names nor which row wins.
//
// Writing goes column by column: Encode turns a column.Column into a Chunk, the
// compressed pages of one column in one row group, which needs no place in a
// file yet, so that columns are encoded side by side. A Writer puts chunks one
// after another and ends with the footer. A chunk of an existing file can be
// taken over as bytes (File.Chunk), without decoding.
//
// The pages are data pages of version 1: PLAIN, or RLE_DICTIONARY where a sample
// says that it pays, levels RLE. That is what every reader of Hudi tables knows.
//
// This is the only package that imports parquet-go. It uses that library to read
// pages, and its Thrift types for headers and footers.
package basefile

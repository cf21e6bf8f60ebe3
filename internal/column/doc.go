// Package column holds rows column by column: the form in which a batch
// travels from Avro bytes to Parquet pages.
//
// A value is kept in one of three physical kinds, so that every switch over a
// column has three cases. What the value means (a date, a decimal, a
// timestamp) is the business of the schema beside the batch, not of this
// package.
package column

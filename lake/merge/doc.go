// Package merge decides which row wins where a batch of changes meets the stored
// rows of a table. It is pure: batches in, selections out, no I/O and no
// knowledge of files.
//
// The rows of a batch with one key are events, ordered by the ordering column
// and, where that ties, by their place in the batch. An event that is older
// than the stored row is void; the others are applied in order. A kept cell
// takes the value of the event before it, or of the stored row, or, where
// neither exists, its own. A delete removes whatever there was before it.
//
// So the outcome depends on the sequence of events alone and not on how it was
// cut into batches, and events that are applied again change nothing.
package merge

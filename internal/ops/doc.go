// Package ops is what every daemon has around its work: the command line with
// its exit codes, logging, and the HTTP endpoint for health and metrics.
package ops

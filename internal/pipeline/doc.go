// Package pipeline runs the whole of Tributary on one machine: real databases
// with TICKIT in them (SQL Server is a model, as no server can be had), the broker,
// the registry and the daemons, every one a process of its own and configured by
// the files in configs/. The demo and the end-to-end tests share it.
//
// It asks the daemons nothing that a user could not: their command lines, their
// output, and the files of the lake.
package pipeline

// Package e2e tests the whole pipeline from the outside: real databases (SQL
// Server is a model of it), every daemon a process of its own, and the lake
// compared with the databases value by value.
package e2e

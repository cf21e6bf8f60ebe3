// Package archtest holds the tests of the repository's shape: the arrows
// between its packages point down only, each heavy library has one importer,
// and every package says what lives in it. It has no code of its own.
package archtest

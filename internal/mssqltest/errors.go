package mssqltest

import (
	"errors"
	"fmt"
)

// Error is an error as the server sends it.
type Error struct {
	Number int32
	State  byte
	Class  byte // the severity: above 10 a statement fails, from 20 the session ends
	Text   string
	Proc   string
	Line   int32
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Text, e.Number) }

// sqlError makes an error of severity 16.
func sqlError(number int32, format string, args ...any) *Error {
	return &Error{Number: number, State: 1, Class: 16, Text: fmt.Sprintf(format, args...)}
}

func withClass(e *Error, class byte) *Error {
	e.Class = class
	return e
}

// notInModel is the error for what a server would do and the model does not. The
// number is in the range of user errors, so that it is not taken for a server's.
func notInModel(format string, args ...any) *Error {
	return sqlError(50000, "not in the model: "+format, args...)
}

var (
	// errDropped ends a connection without another word.
	errDropped = errors.New("the connection is dropped")
	// errCancelled: the client sent an attention.
	errCancelled = errors.New("cancelled")
)

func invalidObject(name string) *Error { return sqlError(208, "Invalid object name '%s'.", name) }
func invalidColumn(name string) *Error { return sqlError(207, "Invalid column name '%s'.", name) }

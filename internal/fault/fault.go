// Package fault tells errors that a retry may heal from those that need a
// human, and carries the sentence that tells the human what to do. Daemons end
// with exit code 1 for the first and 2 for the second.
package fault

import (
	"errors"
	"fmt"
)

type human struct {
	err  error
	hint string
}

func (h *human) Error() string { return h.err.Error() }
func (h *human) Unwrap() error { return h.err }

// Human marks err as one that no retry heals. hint says what to do about it,
// as a sentence without an end stop; it may be empty. A nil err stays nil.
func Human(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &human{err: err, hint: hint}
}

// Humanf is Human with a formatted error.
func Humanf(hint, format string, args ...any) error {
	return Human(fmt.Errorf(format, args...), hint)
}

type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }

// Hinted gives err, which a retry may heal, a sentence that says what to look at
// when it does not. An error that has a hint already keeps that one, which is
// nearer to the cause. A nil err stays nil.
func Hinted(err error, hint string) error {
	if err == nil || Hint(err) != "" {
		return err
	}
	return &hinted{err: err, hint: hint}
}

// NeedsHuman reports whether err, or an error that it wraps, was marked by
// Human.
func NeedsHuman(err error) bool {
	var h *human
	return errors.As(err, &h)
}

// Hint returns what to do about err, or "": the hint nearest to the outside.
func Hint(err error) string {
	switch e := err.(type) { //nolint:errorlint // each error of the chain is looked at in turn
	case nil:
		return ""
	case *human:
		if e.hint != "" {
			return e.hint
		}
	case *hinted:
		return e.hint
	}
	switch e := err.(type) { //nolint:errorlint // as above
	case interface{ Unwrap() error }:
		return Hint(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			if h := Hint(err); h != "" {
				return h
			}
		}
	}
	return ""
}

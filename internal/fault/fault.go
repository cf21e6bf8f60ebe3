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

// NeedsHuman reports whether err, or an error that it wraps, was marked by
// Human.
func NeedsHuman(err error) bool {
	var h *human
	return errors.As(err, &h)
}

// Hint returns what to do about err, or "".
func Hint(err error) string {
	for {
		var h *human
		if !errors.As(err, &h) {
			return ""
		}
		if h.hint != "" {
			return h.hint
		}
		err = h.err
	}
}

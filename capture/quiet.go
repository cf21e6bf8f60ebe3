package capture

import "regexp"

// Quiet hides what an error quotes: a server's complaint about a value quotes
// the value, which may be of a row, and no row may be logged. The error keeps
// what it wraps.
func Quiet(err error) error {
	if text := quoted.ReplaceAllString(err.Error(), "$1***$2"); text != err.Error() {
		return &quietError{text, err}
	}
	return err
}

// A quote that is not closed hides the rest.
var quoted = regexp.MustCompile(`(?s)(["'])(?:[^"'\\]|\\.)+(["']|$)`)

type quietError struct {
	text string
	err  error
}

func (e *quietError) Error() string { return e.text }

func (e *quietError) Unwrap() error { return e.err }

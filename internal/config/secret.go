package config

import "log/slog"

// Secret is a value that is never printed: every way of formatting it gives
// "***".
type Secret string

const masked = "***"

// Reveal returns the value itself, for the one place that needs it.
func (s Secret) Reveal() string { return string(s) }

// String, GoString, MarshalText and LogValue keep the value out of messages,
// dumps, files and logs.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString is String for %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText is String for encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue is String for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

package ops

import (
	"io"
	"log/slog"
	"os"
)

// NewLogger returns a logger for a daemon: text when w is a terminal, JSON
// otherwise; LOG_FORMAT (text, json) and LOG_LEVEL (debug, info, warn, error)
// say otherwise.
func NewLogger(w io.Writer, name string) *slog.Logger {
	level := slog.LevelInfo
	if text := os.Getenv("LOG_LEVEL"); text != "" {
		// An unreadable level leaves the default.
		_ = level.UnmarshalText([]byte(text))
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: durationText}
	text := IsTerminal(w)
	switch os.Getenv("LOG_FORMAT") {
	case "text":
		text = true
	case "json":
		text = false
	}
	var handler slog.Handler = slog.NewJSONHandler(w, options)
	if text {
		handler = slog.NewTextHandler(w, options)
	}
	return slog.New(handler).With("daemon", name)
}

// durationText writes durations as text, such as 1.5s, where JSON would have a number
// of nanoseconds.
func durationText(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// IsTerminal reports whether w is a terminal: progress lines are for people.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

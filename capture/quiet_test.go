package capture

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestQuiet(t *testing.T) {
	for text, want := range map[string]string{
		`invalid input syntax for type integer: "a b" (22P02)`: `invalid input syntax for type integer: "***" (22P02)`,
		`Duplicate entry 'x\'y' for key 'item.PRIMARY'`:        `Duplicate entry '***' for key '***'`,
		"a 'value that\ngoes on":                               "a '***",
		"nothing is quoted":                                    "nothing is quoted",
	} {
		if got := Quiet(errors.New(text)).Error(); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if err := Quiet(fmt.Errorf("'x': %w", io.EOF)); !errors.Is(err, io.EOF) {
		t.Errorf("%v is not what it was", err)
	}
}

package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"tributary/internal/fault"
)

func TestHintAndClass(t *testing.T) {
	base := errors.New("refused")
	for _, c := range []struct {
		name  string
		err   error
		hint  string
		human bool
	}{
		{"nil", nil, "", false},
		{"plain", base, "", false},
		{"hinted", fault.Hinted(base, "start it"), "start it", false},
		{"hinted within", fmt.Errorf("run: %w", fault.Hinted(base, "start it")), "start it", false},
		{"human", fault.Human(base, "mend it"), "mend it", true},
		{"human without a hint around one with", fault.Human(fault.Human(base, "mend it"), ""), "mend it", true},
		{"the first hint stays", fault.Hinted(fault.Human(base, "mend it"), "start it"), "mend it", true},
		{"the outer hint", fault.Human(fault.Hinted(base, "start it"), "mend it"), "mend it", true},
		{"joined", errors.Join(base, fmt.Errorf("x: %w", fault.Human(base, "mend it"))), "mend it", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := fault.Hint(c.err); got != c.hint {
				t.Errorf("hint %q, want %q", got, c.hint)
			}
			if got := fault.NeedsHuman(c.err); got != c.human {
				t.Errorf("needs a human: %v, want %v", got, c.human)
			}
			if c.err != nil && !errors.Is(c.err, base) {
				t.Error("the error within is lost")
			}
		})
	}
	if fault.Hinted(nil, "x") != nil || fault.Human(nil, "x") != nil {
		t.Error("nil did not stay nil")
	}
}

package blob

import (
	"fmt"
	"strings"
)

// checkKey reports a key that no store takes; see Store.
func checkKey(key string) error {
	if key == "" {
		return fmt.Errorf("empty object key")
	}
	for part := range strings.SplitSeq(key, "/") {
		switch part {
		case "", ".", "..":
			return fmt.Errorf("object key %q: empty, . and .. parts are not allowed", key)
		}
	}
	if strings.ContainsRune(key, 0) {
		return fmt.Errorf("object key %q holds a zero byte", key)
	}
	return nil
}

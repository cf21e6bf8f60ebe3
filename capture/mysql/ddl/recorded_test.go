package ddl

import (
	"encoding/json"
	"testing"
)

// ddlOf are the statements in a line of a recorded schema history.
func ddlOf(t *testing.T, line string) []string {
	t.Helper()
	var l struct {
		DDL   string `json:"ddl"`
		Value *struct {
			DDL string `json:"ddl"`
		} `json:"value"`
	}
	if err := json.Unmarshal([]byte(line), &l); err != nil {
		t.Fatal(err)
	}
	if l.Value != nil {
		l.DDL = l.Value.DDL
	}
	return []string{l.DDL}
}

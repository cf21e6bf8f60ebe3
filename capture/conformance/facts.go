package conformance

import (
	"context"
	"strings"
)

// Fact is something about the server by which a stranger tells what was tested.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// question is a query for facts: the columns of its rows from the first on. A name
// that is "" is of a column that is left out.
type question struct {
	query string
	names []string
}

func ask(name, query string) question { return question{query, []string{name}} }

// facts asks a server. What it does not answer is a fact too.
func facts(ctx context.Context, s session, list []question) (out []Fact) {
	for _, q := range list {
		rows, err := s.Query(ctx, q.query)
		for i, name := range q.names {
			if name == "" {
				continue
			}
			var values []string
			for _, row := range rows {
				if i < len(row) {
					values = append(values, strings.Join(strings.Fields(row[i]), " "))
				}
			}
			f := Fact{name, strings.Join(values, ", ")}
			if err != nil {
				f.Value = "not to be had: " + err.Error()
			}
			out = append(out, f)
		}
	}
	return out
}

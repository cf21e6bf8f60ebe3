package emit

import (
	"strings"

	"tributary/envelope"
	"tributary/internal/fault"
)

// Planner tells what becomes of tables' records, without Kafka and registry: what it
// refuses, Emit would.
func Planner(f *envelope.Format) func(*envelope.Table) (envelope.Plan, error) {
	return func(t *envelope.Table) (envelope.Plan, error) {
		p, err := f.Plan(t)
		// A topic that is made of values stands in braces.
		if err == nil && !legalTopic(strings.NewReplacer("{", "", "}", "").Replace(p.Topic)) {
			err = fault.Humanf("correct the transform, topic.prefix or the table's name", "records of table %s go to the topic %q, whose name Kafka does not allow", t.ID, p.Topic)
		}
		return p, err
	}
}

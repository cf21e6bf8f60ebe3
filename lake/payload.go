package lake

import (
	"fmt"
	"strings"

	"tributary/internal/fault"
)

// Payload is Hudi's name for the rule by which the rows of one key become one:
// the short name of a class of org.apache.hudi.common.model. Rows of one batch
// are ordered by the precombine column first, the later of equal ones winning.
type Payload string

// The payloads that this package writes with.
const (
	// EventTime compares with the stored row: it stays when its precombine value
	// is the greater one. It is what new tables get unless told otherwise.
	EventTime Payload = "DefaultHoodieRecordPayload"
	// Overwrite takes the newest row of each batch, whatever is stored. It is
	// what Hudi's writers use for tables that do not tell.
	Overwrite Payload = "OverwriteWithLatestAvroPayload"
)

const (
	payloadPackage = "org.apache.hudi.common.model."
	// The identities of Hudi 1.x's strategies, which stand for a payload.
	strategyEventTime  = "eeb8d96f-b1e4-49fd-bbf8-28ac514178e5"
	strategyCommitTime = "ce9acb64-bde0-424c-9b91-f6ebba25356d"
)

// ParsePayload reads the name of a class, with or without its package. "" is
// EventTime. Another payload than those two, and EventTimeAvroPayload, which is
// EventTime by another name, is an error that needs a human.
func ParsePayload(class string) (Payload, error) {
	switch name := strings.TrimPrefix(class, payloadPackage); name {
	case "", string(EventTime), "EventTimeAvroPayload":
		return EventTime, nil
	case string(Overwrite):
		return Overwrite, nil
	default:
		return "", fault.Humanf("write the table with Spark, or make it anew with "+string(EventTime)+" or "+string(Overwrite),
			"payload class %s is not one that is written here", class)
	}
}

// payload returns the rule by which the table's rows are merged. A table of
// Hudi's that tells none is written by its default; one of ours of before the
// rule was recorded by ours.
func (p properties) payload() (Payload, error) {
	if class := p[propPayload]; class != "" {
		return ParsePayload(class)
	}
	switch mode := strings.ToUpper(p[propMergeMode]); mode {
	case "EVENT_TIME_ORDERING":
		return EventTime, nil
	case "COMMIT_TIME_ORDERING":
		return Overwrite, nil
	case "":
	default:
		return "", fault.Humanf("write the table with Spark", "merge mode %s is not one that is written here", mode)
	}
	switch id := p[propMergeStrategy]; id {
	case strategyEventTime:
		return EventTime, nil
	case strategyCommitTime:
		return Overwrite, nil
	case "":
	default:
		return "", fault.Humanf("write the table with Spark", "merge strategy %s is not one that is written here", id)
	}
	if _, ours := p[propOwnDatabase]; ours {
		return EventTime, nil
	}
	return Overwrite, nil
}

// alias gives the properties that Hudi 1.x names otherwise the names of 0.x.
func (p properties) alias() {
	if fields := p.list(propOrdering); p[propPrecombine] == "" && len(fields) == 1 {
		p[propPrecombine] = fields[0]
	}
}

// checkWritable refuses what this package reads but cannot write rightly.
func (p properties) checkWritable(base string) error {
	if p.mergeOnRead() {
		return fault.Humanf("write it with Spark", "table %s is merge-on-read, which is read but not written", base)
	}
	if p.later() {
		return fault.Humanf("write it with Spark, or make it anew in version 6", "table %s is of version %s, which is read but not written", base, p[propVersion])
	}
	if p.is(propDropPartitions, false) {
		return fault.Humanf("write it with Spark", "table %s has its partition columns in its paths alone, which is read but not written", base)
	}
	if !p.is(propMetaFields, true) {
		return fault.Humanf("write it with Spark", "table %s has no columns of Hudi's own, without which rows are not found again", base)
	}
	if fields := p.list(propOrdering); p[propPrecombine] == "" && len(fields) > 1 {
		return fault.Humanf("write it with Spark", "table %s is ordered by several fields (%s), of which one is supported", base, p[propOrdering])
	}
	if _, err := p.keygen(); err != nil {
		return fmt.Errorf("table %s: %w", base, err)
	}
	if _, err := p.payload(); err != nil {
		return fmt.Errorf("table %s: %w", base, err)
	}
	return nil
}

// payload returns the rule by which this process merges rows into the table.
func (t *Table) payload() (Payload, error) {
	own, err := t.props.payload()
	if err != nil || t.opt.Payload == "" || t.opt.Payload == own {
		return own, err
	}
	if t.props[propPayload] != "" || t.props[propMergeMode] != "" || t.props[propMergeStrategy] != "" {
		return "", fault.Humanf("leave the payload class out of the writer's settings, or make the table anew",
			"table %s is merged by %s, not by %s", t.base, own, t.opt.Payload)
	}
	return t.opt.Payload, nil
}

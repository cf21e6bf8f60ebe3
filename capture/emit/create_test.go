package emit

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"tributary/internal/topic"
)

func TestTopicGroups(t *testing.T) {
	o := Options{Partitions: 2, Replication: -1, TopicGroups: []string{"kept", "wide"}, TopicSettings: map[string]string{
		"topic.creation.kept.include": "a\\..*,b", "topic.creation.kept.exclude": "a\\.x", "topic.creation.kept.cleanup.policy": "compact",
		"topic.creation.wide.include": ".*", "topic.creation.wide.partitions": "12", "topic.creation.wide.replication.factor": "3",
		"topic.creation.default.retention.ms": "1000",
	}}
	c, fault := o.creation()
	if fault != nil {
		t.Fatal(fault)
	}
	for name, want := range map[string]topic.Spec{
		"a.y": {Name: "a.y", Partitions: 2, Loose: true, Config: map[string]string{"cleanup.policy": "compact"}},
		"a.x": {Name: "a.x", Partitions: 12, Replication: 3, Loose: true},
	} {
		if d := cmp.Diff(want, c.spec(name)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	o.TopicGroups = nil
	if _, fault := o.creation(); fault == nil || fault.key != "topic.creation.kept.cleanup.policy" {
		t.Errorf("a group that there is not: %v", fault)
	}
	o.TopicSettings = map[string]string{"topic.creation.default.retention.ms": "1000"}
	c, fault = o.creation()
	if d := cmp.Diff(topic.Spec{Name: "z", Partitions: 2, Loose: true, Config: map[string]string{"retention.ms": "1000"}}, c.spec("z")); fault != nil || d != "" {
		t.Errorf("%v %s", fault, d)
	}
	for key, value := range map[string]string{"topic.creation.g.partitions": "0", "topic.creation.g.include": "(", "topic.creation.g.cleanup.policy": "x"} {
		o := Options{Partitions: 1, TopicGroups: []string{"g"}, TopicSettings: map[string]string{key: value}}
		if _, fault := o.creation(); fault == nil {
			t.Errorf("%s: %s is taken", key, value)
		}
	}
}

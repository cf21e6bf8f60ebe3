package registry

import (
	"fmt"
	"strings"

	"tributary/internal/avrotext"
	"tributary/internal/fault"
)

// Naming is how the artifact of a topic's schemas is named: the strategies of
// Apicurio's and of Confluent's serializers.
type Naming string

const (
	// TopicName is <topic>-key and <topic>-value, in the default group.
	TopicName Naming = "topic"
	// SimpleTopicName is the topic, for keys and values alike: it suits topics
	// whose keys have no schema, and is what AWS's serializers do.
	SimpleTopicName Naming = "simple-topic"
	// RecordName is the record's full name: Confluent's RecordNameStrategy,
	// Apicurio's QualifiedRecordIdStrategy.
	RecordName Naming = "record"
	// GroupedRecordName is the record's name in the group of its namespace:
	// Apicurio's RecordIdStrategy.
	GroupedRecordName Naming = "grouped-record"
	// TopicRecordName is <topic>-<the record's full name>: Confluent's.
	TopicRecordName Naming = "topic-record"
	// GroupedTopicRecordName is <topic>-<the record's name> in the group of the
	// record's namespace: Apicurio's TopicRecordIdStrategy.
	GroupedTopicRecordName Naming = "grouped-topic-record"
)

// namings are the names of the strategies, with the Java classes' own.
var namings = []struct {
	name   string
	naming Naming
}{
	{"topic", TopicName}, {"TopicNameStrategy", TopicName}, {"TopicIdStrategy", TopicName},
	{"simple-topic", SimpleTopicName}, {"SimpleTopicIdStrategy", SimpleTopicName}, {"AWSSchemaNamingStrategyDefaultImpl", SimpleTopicName},
	{"record", RecordName}, {"RecordNameStrategy", RecordName}, {"QualifiedRecordIdStrategy", RecordName},
	{"grouped-record", GroupedRecordName}, {"RecordIdStrategy", GroupedRecordName},
	{"topic-record", TopicRecordName}, {"TopicRecordNameStrategy", TopicRecordName},
	{"grouped-topic-record", GroupedTopicRecordName}, {"TopicRecordIdStrategy", GroupedTopicRecordName},
}

// ParseNaming reads a strategy's name, or the name of a Java class of it, with
// or without its package.
func ParseNaming(s string) (Naming, error) {
	class := s[strings.LastIndexByte(s, '.')+1:]
	var known []string
	for _, n := range namings {
		if n.name == class {
			return n.naming, nil
		}
		known = append(known, n.name)
	}
	return "", fmt.Errorf("%q is none of the naming strategies %s", s, strings.Join(known, ", "))
}

func (n Naming) artifact(topic string, isKey bool, text string) (Artifact, error) {
	switch n {
	case TopicName:
		if isKey {
			return Artifact{ID: topic + "-key"}, nil
		}
		return Artifact{ID: topic + "-value"}, nil
	case SimpleTopicName:
		return Artifact{ID: topic}, nil
	}
	full := avrotext.FullName(text)
	if full == "" {
		return Artifact{}, fault.Humanf("choose a naming strategy by topic", "the schema of topic %s has no name to call its artifact by", topic)
	}
	dot := strings.LastIndexByte(full, '.')
	space, name := full[:max(dot, 0)], full[dot+1:]
	switch n {
	case RecordName:
		return Artifact{ID: full}, nil
	case TopicRecordName:
		return Artifact{ID: topic + "-" + full}, nil
	case GroupedRecordName:
		return Artifact{Group: space, ID: name}, nil
	case GroupedTopicRecordName:
		return Artifact{Group: space, ID: topic + "-" + name}, nil
	}
	return Artifact{}, fmt.Errorf("naming strategy %q is not known", n)
}

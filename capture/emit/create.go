package emit

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tributary/internal/topic"
)

// creation says with which settings topics are created: topic.creation.* of
// Kafka Connect.
type creation struct {
	groups []topicGroup
	others topic.Spec
}

// topicGroup is one of topic.creation.groups.
type topicGroup struct {
	include, exclude []*regexp.Regexp
	spec             topic.Spec
}

// optionFault is what is wrong with an option.
type optionFault struct{ key, message string }

const creationPrefix = "topic.creation."

// creation reads the options. Groups have those of the group default where
// they have none of their own, but for the settings.
func (o *Options) creation() (creation, *optionFault) {
	c := creation{others: topic.Spec{Partitions: int32(o.Partitions), Replication: replication(o.Replication), Loose: true}} //nolint:gosec // a count
	for _, key := range slices.Sorted(maps.Keys(o.TopicSettings)) {
		name, _, _ := strings.Cut(strings.TrimPrefix(key, creationPrefix), ".")
		if name != "default" && !slices.Contains(o.TopicGroups, name) {
			return c, &optionFault{key, "topic.creation.groups has no " + name}
		}
	}
	var fault *optionFault
	if c.others, _, fault = o.group("default", c.others); fault != nil {
		return c, fault
	}
	for _, name := range o.TopicGroups {
		base := c.others
		base.Config = nil
		spec, lists, fault := o.group(name, base)
		if fault != nil {
			return c, fault
		}
		if len(lists["include"]) == 0 {
			return c, &optionFault{creationPrefix + "groups", "there is no " + creationPrefix + name + ".include"}
		}
		c.groups = append(c.groups, topicGroup{lists["include"], lists["exclude"], spec})
	}
	return c, nil
}

// group reads the settings of one group into spec.
func (o *Options) group(name string, spec topic.Spec) (topic.Spec, map[string][]*regexp.Regexp, *optionFault) {
	lists := make(map[string][]*regexp.Regexp)
	for key, value := range o.TopicSettings {
		setting, ok := strings.CutPrefix(key, creationPrefix+name+".")
		if !ok {
			continue
		}
		switch setting {
		case "include", "exclude":
			for p := range strings.SplitSeq(value, ",") {
				re, err := regexp.Compile("^(?:" + strings.TrimSpace(p) + ")$")
				if err != nil {
					return spec, nil, &optionFault{key, err.Error()}
				}
				lists[setting] = append(lists[setting], re)
			}
		case "partitions", "replication.factor":
			n, err := strconv.ParseInt(value, 10, 16)
			if err != nil || n == 0 || n < -1 {
				return spec, nil, &optionFault{key, strconv.Quote(value) + " is no number from 1 on, nor -1 for the broker's default"}
			}
			if setting == "partitions" {
				spec.Partitions = int32(max(n, 0))
			} else {
				spec.Replication = replication(int(n))
			}
		default:
			if spec.Config == nil {
				spec.Config = make(map[string]string)
			}
			spec.Config[setting] = value
		}
	}
	return spec, lists, nil
}

// spec is how the topic is created.
func (c *creation) spec(name string) topic.Spec {
	spec := c.others
	for _, g := range c.groups {
		if matches(g.include, name) && !matches(g.exclude, name) {
			spec = g.spec
			break
		}
	}
	spec.Name = name
	return spec
}

func matches(res []*regexp.Regexp, name string) bool {
	return slices.ContainsFunc(res, func(re *regexp.Regexp) bool { return re.MatchString(name) })
}

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// value is what a file gives for one option: its scalars (one, or a list's),
// as text.
type value struct {
	line  int
	items []string
	list  bool
}

// flatten parses the file into options by dotted name.
func (l *loader) flatten(text []byte) map[string]value {
	values := map[string]value{}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		l.addAt(0, "", "not a YAML file: "+strings.TrimPrefix(err.Error(), "yaml: "))
		return values
	}
	if len(doc.Content) == 0 {
		return values
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		l.addAt(root.Line, "", "the file must be a mapping of option names to values")
		return values
	}
	l.walk("", root, values)
	return values
}

func (l *loader) walk(prefix string, node *yaml.Node, values map[string]value) {
	for i := 0; i+1 < len(node.Content); i += 2 {
		k, v := node.Content[i], node.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			l.addAt(k.Line, prefix, "an option name must be plain text")
			continue
		}
		key := k.Value
		if prefix != "" {
			key = prefix + "." + key
		}
		// An alias to a mapping could contain itself; options need none.
		if v.Kind == yaml.AliasNode {
			if v = v.Alias; v.Kind != yaml.ScalarNode {
				l.addAt(k.Line, key, "an alias may stand for a plain value only")
				continue
			}
		}
		switch v.Kind {
		case yaml.MappingNode:
			l.walk(key, v, values)
		case yaml.SequenceNode:
			items := make([]string, 0, len(v.Content))
			for _, c := range v.Content {
				if c.Kind != yaml.ScalarNode {
					l.addAt(c.Line, key, "a list may hold plain values only")
					continue
				}
				items = append(items, c.Value)
			}
			l.put(values, key, value{line: k.Line, items: items, list: true})
		default:
			text := v.Value
			if v.Tag == "!!null" {
				text = ""
			}
			l.put(values, key, value{line: k.Line, items: []string{text}})
		}
	}
}

func (l *loader) put(values map[string]value, key string, v value) {
	if old, twice := values[key]; twice {
		l.addAt(v.line, key, fmt.Sprintf("given twice; first on line %d", old.line))
		return
	}
	values[key] = v
}

var reference = regexp.MustCompile(`\$\{(env|file|secretsmanager|ssm):([^}]*)\}`)

// resolve replaces references to the environment and to files by what they
// name. Other ${…} forms are left alone: they are templates of the option.
func (l *loader) resolve(v *value) error {
	var failed error
	for i, item := range v.items {
		v.items[i] = reference.ReplaceAllStringFunc(item, func(ref string) string {
			m := reference.FindStringSubmatch(ref)
			out, err := l.lookup(m[1], m[2])
			if err != nil && failed == nil {
				failed = err
			}
			return out
		})
	}
	return failed
}

func (l *loader) lookup(provider, arg string) (string, error) {
	switch provider {
	case "env":
		v, ok := os.LookupEnv(arg)
		if !ok {
			return "", fmt.Errorf("environment variable %s is not set", arg)
		}
		return v, nil
	case "file":
		return l.property(arg)
	default:
		return "", fmt.Errorf("${%s:…} cannot be resolved by this version; use ${env:…} or ${file:…}", provider)
	}
}

// property reads one key of a Java properties file: "path:key". A relative
// path is taken from the folder of the configuration file.
func (l *loader) property(arg string) (string, error) {
	i := strings.LastIndexByte(arg, ':')
	if i < 0 {
		return "", fmt.Errorf("${file:%s} must be ${file:path:key}", arg)
	}
	path, key := arg[:i], arg[i+1:]
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(l.path), path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("resolve ${file:%s}: %w", arg, err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		k, v, ok := strings.Cut(line, "=")
		if ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v), nil
		}
	}
	return "", fmt.Errorf("resolve ${file:%s}: %s has no key %s", arg, path, key)
}

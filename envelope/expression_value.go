package envelope

import (
	"cmp"
	"errors"
	"math/big"
	"regexp"
	"strings"
)

// truth is whether a value counts as true.
func truth(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case nil:
		return false
	case string:
		return v != ""
	case int64:
		return v != 0
	case float64:
		return v != 0
	case []byte:
		return len(v) > 0
	case *big.Rat:
		return v.Sign() != 0
	}
	return true
}

func compareValues(name string, x, y any) (bool, error) {
	switch name {
	case "==":
		return equal(x, y), nil
	case "!=":
		return !equal(x, y), nil
	case "in":
		items, ok := y.([]any)
		if !ok {
			return false, errors.New("what follows in must be a list")
		}
		for _, v := range items {
			if equal(x, v) {
				return true, nil
			}
		}
		return false, nil
	case "=~":
		text, ok1 := x.(string)
		pattern, ok2 := y.(string)
		if !ok1 || !ok2 {
			return false, nil
		}
		re, err := regexp.Compile(javaPattern(pattern))
		if err != nil {
			return false, errors.New("what follows =~ is no regular expression")
		}
		return re.MatchString(text), nil
	}
	c, ok := order(x, y)
	switch name {
	case "<":
		return ok && c < 0, nil
	case "<=":
		return ok && c <= 0, nil
	case ">":
		return ok && c > 0, nil
	default:
		return ok && c >= 0, nil
	}
}

func equal(x, y any) bool {
	if x == nil || y == nil {
		return x == nil && y == nil
	}
	c, ok := order(x, y)
	return ok && c == 0
}

// order compares two values of a kind: numbers exactly, whatever their types.
func order(x, y any) (int, bool) {
	if a, ok := x.(int64); ok {
		if b, ok := y.(int64); ok {
			return cmp.Compare(a, b), true
		}
	}
	if a, ok := rational(x); ok {
		b, ok := rational(y)
		if !ok {
			return 0, false
		}
		return a.Cmp(b), true
	}
	switch a := x.(type) {
	case string:
		b, ok := y.(string)
		return strings.Compare(a, b), ok
	case []byte:
		b, ok := y.([]byte)
		return strings.Compare(string(a), string(b)), ok
	case bool:
		b, ok := y.(bool)
		if !ok || a == b {
			return 0, ok
		}
		return map[bool]int{false: -1, true: 1}[a], true
	}
	return 0, false
}

func rational(v any) (*big.Rat, bool) {
	switch v := v.(type) {
	case int64:
		return new(big.Rat).SetInt64(v), true
	case float64:
		r := new(big.Rat)
		if r.SetFloat64(v) == nil {
			return nil, false // NaN or infinite
		}
		return r, true
	case *big.Rat:
		return v, true
	}
	return nil, false
}

func call(name string, v, arg any) (any, error) {
	if name == "equals" {
		return equal(v, arg), nil
	}
	if items, ok := v.([]any); ok && (name == "contains" || name == "includes") {
		return compareValues("in", arg, items)
	}
	text, ok := v.(string)
	if !ok {
		return nil, nil // of null, or of what is no text
	}
	other, _ := arg.(string)
	switch name {
	case "startsWith":
		return strings.HasPrefix(text, other), nil
	case "endsWith":
		return strings.HasSuffix(text, other), nil
	case "contains", "includes":
		return strings.Contains(text, other), nil
	case "matches":
		re, err := regexp.Compile("^(?:" + javaPattern(other) + ")$")
		if err != nil {
			return nil, errors.New("the argument of matches is no regular expression")
		}
		return re.MatchString(text), nil
	case "toLowerCase":
		return strings.ToLower(text), nil
	case "toUpperCase":
		return strings.ToUpper(text), nil
	case "isEmpty":
		return text == "", nil
	default:
		return int64(len([]rune(text))), nil
	}
}

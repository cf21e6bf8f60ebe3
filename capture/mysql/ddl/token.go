package ddl

import (
	"strings"
	"unicode/utf8"
)

// token is a piece of a statement.
type token struct {
	kind byte   // one of the constants below, or a punctuation mark itself
	text string // as it stands in the statement
	at   int    // where it begins
}

const (
	word   = 'w' // a name or key word that is not quoted
	quoted = 'q' // a quoted name
	text   = 's' // a string
	number = 'n'
)

// is reports whether the token is a key word.
func (t *token) is(key string) bool { return t.kind == word && strings.EqualFold(t.text, key) }

// oneOf reports whether the token is one of some key words.
func (t *token) oneOf(keys ...string) bool {
	for _, k := range keys {
		if t.is(k) {
			return true
		}
	}
	return false
}

// name reports whether the token may be the name of something, and which.
func (t *token) name() (string, bool) {
	switch t.kind {
	case word:
		return t.text, true
	case quoted:
		q := t.text[:1]
		return strings.ReplaceAll(t.text[1:len(t.text)-1], q+q, q), true
	}
	return "", false
}

// tokens cuts a statement into its tokens. What is in executable comments is
// part of the statement; other comments are left out. ansi is whether " quotes
// names; backslash whether \ escapes within strings.
func tokens(sql string, ansi, backslash bool) []token {
	var out []token
	for i := 0; i < len(sql); {
		start := i
		switch c := sql[i]; {
		case c <= ' ' || c == '\u007f':
			i++
			continue
		case c == '#', strings.HasPrefix(sql[i:], "--") && (i+2 == len(sql) || sql[i+2] <= ' '):
			i = after(sql, i, "\n")
			continue
		case strings.HasPrefix(sql[i:], "/*!"), strings.HasPrefix(sql[i:], "/*M!"):
			i += strings.IndexByte(sql[i:], '!') + 1
			for i < len(sql) && sql[i] >= '0' && sql[i] <= '9' {
				i++
			}
			continue
		case strings.HasPrefix(sql[i:], "/*"):
			i = after(sql, i+2, "*/")
			continue
		case strings.HasPrefix(sql[i:], "*/"): // of an executable comment
			i += 2
			continue
		case c == '`', c == '"', c == '\'':
			kind := byte(text)
			if c == '`' || c == '"' && ansi {
				kind = quoted
			}
			i = closing(sql, i, backslash && kind == text)
			out = append(out, token{kind, sql[start:i], start})
			continue
		case c >= '0' && c <= '9':
			for i < len(sql) && (inWord(sql[i]) || sql[i] == '.') {
				i++
			}
			out = append(out, token{number, sql[start:i], start})
			continue
		case inWord(c):
			for i < len(sql) && inWord(sql[i]) {
				i++
			}
			out = append(out, token{word, sql[start:i], start})
			continue
		default:
			_, n := utf8.DecodeRuneInString(sql[i:])
			i += n
			out = append(out, token{c, sql[start:i], start})
		}
	}
	for len(out) > 0 && out[len(out)-1].kind == ';' {
		out = out[:len(out)-1]
	}
	return out
}

func inWord(c byte) bool {
	return c == '_' || c == '$' || c == '@' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// after is where what follows an end begins.
func after(sql string, i int, end string) int {
	n := strings.Index(sql[i:], end)
	if n < 0 {
		return len(sql)
	}
	return i + n + len(end)
}

// closing is where what follows the quotation that begins at i begins.
func closing(sql string, i int, backslash bool) int {
	q := sql[i]
	for i++; i < len(sql); i++ {
		switch {
		case sql[i] == '\\' && backslash:
			i++
		case sql[i] == q && i+1 < len(sql) && sql[i+1] == q:
			i++
		case sql[i] == q:
			return i + 1
		}
	}
	return len(sql)
}

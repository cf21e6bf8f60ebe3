package tsql

import (
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind byte

const (
	tEOF tokenKind = iota
	tIdent
	tQuoted // a quoted identifier
	tString
	tNString
	tInt
	tDec
	tFloat
	tBinary
	tVar    // @x
	tGlobal // @@x
	tPunct
)

type token struct {
	kind tokenKind
	text string // without quotes and escapes
	line int
	pos  int
}

// is compares a keyword or a punctuation mark.
func (t token) is(word string) bool {
	switch t.kind {
	case tIdent, tPunct:
		return strings.EqualFold(t.text, word)
	}
	return false
}

// SyntaxError is a text outside the subset. Number is that of a server's error.
type SyntaxError struct {
	Number int
	Line   int
	Text   string
}

func (e *SyntaxError) Error() string { return e.Text }

type lexer struct {
	src  string
	pos  int
	line int
}

func (l *lexer) fail(number int, format string, args ...any) error {
	return &SyntaxError{number, l.line, fmt.Sprintf(format, args...)}
}

// lex gives all tokens of a text; the last is tEOF.
func lex(src string) ([]token, error) {
	l := &lexer{src: src, line: 1}
	var out []token
	for {
		if err := l.space(); err != nil {
			return nil, err
		}
		t, err := l.next()
		if err != nil {
			return nil, err
		}
		out = append(out, t)
		if t.kind == tEOF {
			return out, nil
		}
	}
}

func (l *lexer) space() error {
	for l.pos < len(l.src) {
		rest := l.src[l.pos:]
		switch r, n := utf8.DecodeRuneInString(rest); {
		case r == '\n':
			l.line++
			l.pos++
		case unicode.IsSpace(r) || r == 0xFEFF:
			l.pos += n
		case strings.HasPrefix(rest, "--"):
			if i := strings.IndexByte(rest, '\n'); i >= 0 {
				l.pos += i
			} else {
				l.pos = len(l.src)
			}
		case strings.HasPrefix(rest, "/*"):
			if err := l.comment(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

// comment passes over a comment; they nest.
func (l *lexer) comment() error {
	depth := 0
	for l.pos < len(l.src) {
		rest := l.src[l.pos:]
		switch {
		case strings.HasPrefix(rest, "/*"):
			depth++
			l.pos += 2
		case strings.HasPrefix(rest, "*/"):
			depth--
			l.pos += 2
			if depth == 0 {
				return nil
			}
		default:
			if rest[0] == '\n' {
				l.line++
			}
			l.pos++
		}
	}
	return l.fail(113, "Missing end comment mark '*/'.")
}

func identStart(r rune) bool { return unicode.IsLetter(r) || r == '_' || r == '#' }
func identPart(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '#' || r == '$' || r == '@'
}

func (l *lexer) word(from int) string {
	end := from
	for end < len(l.src) {
		r, n := utf8.DecodeRuneInString(l.src[end:])
		if !identPart(r) {
			break
		}
		end += n
	}
	l.pos = end
	return l.src[from:end]
}

func (l *lexer) next() (token, error) {
	t := token{line: l.line, pos: l.pos}
	if l.pos >= len(l.src) {
		return t, nil
	}
	rest := l.src[l.pos:]
	r, _ := utf8.DecodeRuneInString(rest)
	var err error
	switch {
	case (r == 'N' || r == 'n') && len(rest) > 1 && rest[1] == '\'':
		l.pos++
		t.kind = tNString
		t.text, err = l.quoted('\'')
	case r == '\'':
		t.kind = tString
		t.text, err = l.quoted('\'')
	case r == '[':
		t.kind = tQuoted
		t.text, err = l.quoted(']')
	case r == '"':
		t.kind = tQuoted
		t.text, err = l.quoted('"')
	case identStart(r):
		t.kind, t.text = tIdent, l.word(l.pos)
	case strings.HasPrefix(rest, "@@"):
		t.kind, t.text = tGlobal, strings.ToUpper(l.word(l.pos+2))
	case r == '@':
		t.kind, t.text = tVar, "@"+l.word(l.pos+1)
	case strings.HasPrefix(rest, "0x") || strings.HasPrefix(rest, "0X"):
		return l.binary(t)
	case r >= '0' && r <= '9' || r == '.' && len(rest) > 1 && rest[1] >= '0' && rest[1] <= '9':
		return l.number(t), nil
	default:
		return l.punct(t, rest)
	}
	return t, err
}

func (l *lexer) quoted(end byte) (string, error) {
	start := l.pos
	var b strings.Builder
	for l.pos++; l.pos < len(l.src); l.pos++ {
		c := l.src[l.pos]
		if c == '\n' {
			l.line++
		}
		if c != end {
			b.WriteByte(c)
			continue
		}
		if l.pos+1 < len(l.src) && l.src[l.pos+1] == end {
			b.WriteByte(end)
			l.pos++
			continue
		}
		l.pos++
		return b.String(), nil
	}
	return "", l.fail(105, "Unclosed quotation mark after the character string '%s'.", l.src[start+1:])
}

func (l *lexer) binary(t token) (token, error) {
	start := l.pos + 2
	end := start
	for end < len(l.src) && strings.IndexByte("0123456789abcdefABCDEF", l.src[end]) >= 0 {
		end++
	}
	digits := l.src[start:end]
	if len(digits)%2 == 1 {
		digits = "0" + digits
	}
	b, err := hex.DecodeString(digits)
	if err != nil {
		return t, l.fail(102, "Incorrect syntax near '%s'.", digits)
	}
	l.pos = end
	t.kind, t.text = tBinary, string(b)
	return t, nil
}

func (l *lexer) number(t token) token {
	digits := func() {
		for l.pos < len(l.src) && l.src[l.pos] >= '0' && l.src[l.pos] <= '9' {
			l.pos++
		}
	}
	start := l.pos
	t.kind = tInt
	digits()
	if l.pos < len(l.src) && l.src[l.pos] == '.' {
		t.kind = tDec
		l.pos++
		digits()
	}
	if l.pos < len(l.src) && (l.src[l.pos] == 'e' || l.src[l.pos] == 'E') {
		back := l.pos
		l.pos++
		if l.pos < len(l.src) && (l.src[l.pos] == '+' || l.src[l.pos] == '-') {
			l.pos++
		}
		if l.pos < len(l.src) && l.src[l.pos] >= '0' && l.src[l.pos] <= '9' {
			t.kind = tFloat
			digits()
		} else {
			l.pos = back
		}
	}
	t.text = l.src[start:l.pos]
	return t
}

func (l *lexer) punct(t token, rest string) (token, error) {
	t.kind = tPunct
	for _, p := range []string{"<>", "!=", "<=", ">=", "!<", "!>", "+=", "-=", "::"} {
		if strings.HasPrefix(rest, p) {
			l.pos += 2
			t.text = p
			return t, nil
		}
	}
	if strings.IndexByte("()+-*/%=<>,.;&|^~{}:?", rest[0]) < 0 {
		_, n := utf8.DecodeRuneInString(rest)
		return t, l.fail(102, "Incorrect syntax near '%s'.", rest[:n])
	}
	l.pos++
	t.text = rest[:1]
	return t, nil
}

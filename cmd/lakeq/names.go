package main

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// identifiers returns the words of an SQL text that could name a table, in
// lower case: bare identifiers and quoted ones, not what stands in strings and
// comments. Too many is harmless: a table that is opened for nothing costs a
// listing.
func identifiers(sql string) map[string]bool {
	words := make(map[string]bool)
	for i := 0; i < len(sql); {
		c := sql[i]
		switch {
		case c == '\'':
			i = skipQuoted(sql, i, '\'')
		case c == '"':
			end := skipQuoted(sql, i, '"')
			word := strings.TrimSuffix(sql[i+1:end], `"`)
			words[strings.ToLower(strings.ReplaceAll(word, `""`, `"`))] = true
			i = end
		case strings.HasPrefix(sql[i:], "--"):
			i = skipTo(sql, i, "\n")
		case strings.HasPrefix(sql[i:], "/*"):
			i = skipTo(sql, i, "*/")
		default:
			r, n := utf8.DecodeRuneInString(sql[i:])
			if r != '_' && !unicode.IsLetter(r) {
				i += n
				continue
			}
			end := i
			for end < len(sql) {
				r, n := utf8.DecodeRuneInString(sql[end:])
				if r != '_' && r != '$' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
					break
				}
				end += n
			}
			words[strings.ToLower(sql[i:end])] = true
			i = end
		}
	}
	return words
}

// statements splits an SQL text at the semicolons between its statements. Parts
// without a word are left out.
func statements(sql string) []string {
	var out []string
	from := 0
	end := func(at int) {
		if s := strings.TrimSpace(sql[from:at]); len(identifiers(s)) > 0 || strings.ContainsAny(s, "'0123456789") {
			out = append(out, s)
		}
		from = at + 1
	}
	for i := 0; i < len(sql); {
		switch c := sql[i]; {
		case c == '\'' || c == '"':
			i = skipQuoted(sql, i, c)
		case strings.HasPrefix(sql[i:], "--"):
			i = skipTo(sql, i, "\n")
		case strings.HasPrefix(sql[i:], "/*"):
			i = skipTo(sql, i, "*/")
		case c == '$':
			i = skipDollar(sql, i)
		case c == ';':
			end(i)
			i++
		default:
			i++
		}
	}
	if from < len(sql) {
		end(len(sql))
	}
	return out
}

// skipDollar returns the index behind the text between $tag$ and $tag$ that starts
// at i, or behind the dollar if none does.
func skipDollar(sql string, i int) int {
	n := strings.IndexByte(sql[i+1:], '$')
	if n < 0 || i > 0 && isWord(rune(sql[i-1])) || strings.IndexFunc(sql[i+1:i+1+n], func(r rune) bool { return !isWord(r) }) >= 0 {
		return i + 1
	}
	tag := sql[i : i+n+2]
	if end := strings.Index(sql[i+len(tag):], tag); end >= 0 {
		return i + len(tag) + end + len(tag)
	}
	return len(sql)
}

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// skipQuoted returns the index behind the quoted text that starts at i; a
// doubled quote is part of it.
func skipQuoted(sql string, i int, quote byte) int {
	for i++; i < len(sql); i++ {
		if sql[i] != quote {
			continue
		}
		if i+1 < len(sql) && sql[i+1] == quote {
			i++
			continue
		}
		return i + 1
	}
	return len(sql)
}

// skipTo returns the index behind the next end after i.
func skipTo(sql string, i int, end string) int {
	p := strings.Index(sql[i:], end)
	if p < 0 {
		return len(sql)
	}
	return i + p + len(end)
}

// nearest returns the names closest to want, at most three, best first; none
// that differ in more than a third of their letters, or much more than the best.
func nearest(want string, names []string) []string {
	type scored struct {
		name string
		dist int
	}
	want = strings.ToLower(want)
	var best []scored
	for _, n := range names {
		low := strings.ToLower(n)
		d := editDistance(want, low)
		if strings.HasPrefix(low, want) || strings.HasPrefix(want, low) {
			d = min(d, 1)
		}
		if d > 1+max(len(want), len(low))/3 {
			continue
		}
		at := len(best)
		for at > 0 && best[at-1].dist > d {
			at--
		}
		best = append(best[:at], append([]scored{{n, d}}, best[at:]...)...)
	}
	var out []string
	for i := 0; i < len(best) && i < 3 && best[i].dist <= best[0].dist+1; i++ {
		out = append(out, best[i].name)
	}
	return out
}

// editDistance is Levenshtein's, over bytes.
func editDistance(a, b string) int {
	prev := make([]int, len(b)+1)
	cur := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
		}
		prev, cur = cur, prev
	}
	return prev[len(b)]
}

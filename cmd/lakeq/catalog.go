package main

import (
	"strings"

	"tributary/internal/fault"
	"tributary/lake"
)

// catalog is the tables of a lake, and the ways to name one: by its name, with its
// database before it, or by its folder, the only one that is always unambiguous.
type catalog []lake.Ref

// database is the one that a table is shown in.
func database(r lake.Ref) string {
	if r.Database == "" {
		return "main"
	}
	return r.Database
}

func qualified(r lake.Ref) string { return database(r) + "." + r.Name }

// named returns the tables that a name may mean.
func (c catalog) named(name string) catalog {
	var found catalog
	folder := strings.Trim(name, "/")
	for _, r := range c {
		if r.Base == folder {
			return catalog{r}
		}
		if strings.EqualFold(r.Name, name) || strings.EqualFold(qualified(r), name) {
			found = append(found, r)
		}
	}
	return found
}

// find returns the one table that a name means.
func (c catalog) find(name string) (lake.Ref, error) {
	switch found := c.named(name); len(found) {
	case 0:
		return lake.Ref{}, c.missing(name)
	case 1:
		return found[0], nil
	default:
		return lake.Ref{}, found.ambiguous(name, "")
	}
}

// means reports whether a name means the table alone.
func (c catalog) means(name string, r lake.Ref) bool {
	found := c.named(name)
	return len(found) == 1 && found[0] == r
}

// label is the shortest name that means the table alone.
func (c catalog) label(r lake.Ref) string {
	for _, name := range []string{r.Name, qualified(r)} {
		if c.means(name, r) {
			return name
		}
	}
	return r.Base
}

// views returns the schemas and names by which a query that has the words, in lower
// case, may want to see the table.
func (c catalog) views(r lake.Ref, words map[string]bool) (names [][2]string) {
	if words[strings.ToLower(r.Name)] {
		if c.means(qualified(r), r) {
			names = append(names, [2]string{database(r), r.Name})
		}
		if c.means(r.Name, r) && database(r) != "main" {
			names = append(names, [2]string{"main", r.Name})
		}
	}
	if words[strings.ToLower(r.Base)] && !strings.EqualFold(r.Base, r.Name) {
		names = append(names, [2]string{"main", r.Base})
	}
	return names
}

// ambiguous is the error for a name of all tables of c. Folders are to be written
// between the quotes.
func (c catalog) ambiguous(name, quote string) error {
	var folders, names []string
	same := false
	for n, r := range c {
		folders = append(folders, r.Base)
		names = append(names, qualified(r))
		for _, other := range c[:n] {
			same = same || strings.EqualFold(qualified(other), qualified(r))
		}
	}
	hint := "write " + strings.Join(names, " or ")
	if same {
		hint = "write the table's folder: " + quote + strings.Join(folders, quote+" or "+quote) + quote
	}
	return fault.Humanf(hint, "%d tables are named %s: those in %s", len(c), name, strings.Join(folders, " and "))
}

// missing is the error for a table that is not there.
func (c catalog) missing(name string) error {
	hint := "see lakeq tables"
	if len(c) == 0 {
		hint = "the lake has no tables: see that --lake is right, or run the streamer first"
	}
	if near := c.near(name); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return fault.Humanf(hint, "there is no table %s", name)
}

// near returns the tables whose names are most like a name, at most three.
func (c catalog) near(name string) []string {
	var labels, like []string
	for _, r := range c {
		labels = append(labels, c.label(r))
		switch {
		case strings.Contains(name, "/"):
			like = append(like, r.Base)
		case strings.Contains(name, "."):
			like = append(like, qualified(r))
		default:
			like = append(like, c.label(r))
		}
	}
	near := nearest(name, like)
	if _, table, ok := strings.Cut(name, "."); ok && len(near) == 0 { // of another database
		near = nearest(table, labels)
	}
	return near
}

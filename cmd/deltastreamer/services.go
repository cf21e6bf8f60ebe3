package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"tributary/internal/config"
	"tributary/internal/fault"
	"tributary/internal/ops"
	"tributary/lake"
)

// serviceCommands are the table services as calls of a person. Each tells what it
// is about to do before it does it.
func serviceCommands() []ops.Command {
	var out []ops.Command
	for _, s := range []struct {
		name, usage string
		run         func(*call) error
	}{
		{"clean", "-c FILE [--dry-run] [--list] [--hours N | --commits N] TABLE   remove base files that time travel no longer needs; default: what the configuration keeps", clean},
		{"archive", "-c FILE [--dry-run] [--list] TABLE   move old instants off the timeline, as hoodie.keep.min.commits and hoodie.keep.max.commits say", archive},
		{"cluster", "-c FILE [--dry-run] [--list] [--min-files N] TABLE   merge small base files of a partition", cluster},
		{"rollback", "-c FILE [--dry-run] [--list] TABLE INSTANT   undo the newest commit, or take back a clustering that another engine has planned", rollback},
		{"savepoint", "-c FILE create TABLE [INSTANT] [--comment TEXT] | delete TABLE INSTANT | list TABLE   pin the table as of a commit; default: the newest", savepoint},
		{"restore", "-c FILE [--dry-run] [--list] TABLE INSTANT   undo every commit after a savepoint", restore},
	} {
		usage := s.usage
		out = append(out, ops.Command{Name: s.name, Usage: usage, Run: func(ctx context.Context, args []string, log *slog.Logger) error {
			c, err := newCall(ctx, s.name, usage, args, log)
			if err != nil {
				return err
			}
			return c.do(s.run)
		}})
	}
	return out
}

// call is a call of a service.
type call struct {
	ctx     context.Context //nolint:containedctx // a call has one
	out     io.Writer
	log     *slog.Logger
	opt     *Options
	name    string
	usage   string
	args    []string // what is not a flag
	dryRun  bool
	list    bool
	hours   int
	commits int
	files   int
	comment string
	table   *lake.Table
}

// newCall reads the arguments of a service. Flags may come before and after names.
func newCall(ctx context.Context, name, usage string, args []string, log *slog.Logger) (*call, error) {
	c := &call{ctx: ctx, out: os.Stdout, log: log, name: name, usage: usage, opt: &Options{}}
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	path := fs.String("c", "", "configuration `FILE`")
	fs.BoolVar(&c.dryRun, "dry-run", false, "tell what would be done, and do nothing")
	fs.BoolVar(&c.list, "list", false, "name every file and instant")
	switch name {
	case "clean":
		fs.IntVar(&c.hours, "hours", 0, "hours that stay readable")
		fs.IntVar(&c.commits, "commits", 0, "commits that stay readable")
	case "cluster":
		fs.IntVar(&c.files, "min-files", 0, "small files of a partition that are worth it")
	case "savepoint":
		fs.StringVar(&c.comment, "comment", "", "a note for people")
	}
	given := map[string]int{}
	for rest := args; ; {
		if err := fs.Parse(rest); err != nil {
			return nil, c.misuse(err)
		}
		if fs.NArg() == 0 {
			break
		}
		c.args, rest = append(c.args, fs.Arg(0)), fs.Args()[1:]
	}
	fs.Visit(func(f *flag.Flag) {
		if n, ok := f.Value.(flag.Getter).Get().(int); ok {
			given[f.Name] = n
		}
	})
	switch {
	case *path == "":
		return nil, c.misuse(errors.New("a configuration file is needed"))
	case name == "clean" && len(given) > 1:
		return nil, c.misuse(errors.New("--hours and --commits exclude each other"))
	}
	for flag, n := range given {
		if n < 1 {
			return nil, c.misuse(fmt.Errorf("--%s %d: must be 1 or more", flag, n))
		}
	}
	return c, config.Load(*path, c.opt)
}

func (c *call) misuse(err error) error {
	usage, _, _ := strings.Cut(c.usage, "   ")
	return fault.Human(fmt.Errorf("deltastreamer %s: %w", c.name, err), "call it as: deltastreamer "+c.name+" "+usage)
}

func (c *call) say(format string, args ...any) { fmt.Fprintf(c.out, format+"\n", args...) }

// do runs a service.
func (c *call) do(run func(*call) error) error {
	err := run(c)
	if c.table == nil {
		return err
	}
	return errors.Join(err, c.table.Close(context.WithoutCancel(c.ctx)))
}

// open opens the table, of which there must be n names of arguments after it.
func (c *call) open(names ...string) error {
	if len(c.args) != 1+len(names) {
		return c.misuse(fmt.Errorf("it takes %s, not %q", strings.Join(append([]string{"a table"}, names...), " and "), c.args))
	}
	s, err := c.opt.service(c.ctx, c.log, ops.NewMetrics(), false)
	if err != nil {
		return err
	}
	set := &s.Settings
	base := strings.TrimPrefix(set.LakeRoot+"/"+set.Database+"/"+c.args[0], "/")
	opt := set.Table
	opt.Services = lake.Services{} // the call is all that is done
	c.table, err = lake.Open(c.ctx, set.Lake, base, opt)
	if errors.Is(err, lake.ErrNoTable) {
		return fault.Human(err, "give the name of a table of database "+set.Database+", or correct hoodie.database.name")
	}
	if err != nil {
		return err
	}
	c.say("table %s, newest commit %s", base, or(c.table.Timeline().Newest().Time, "none"))
	return nil
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// count writes a number of things, of which what names one.
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// carryOut tells the plan and, unless that is all that was asked for, does it.
func (c *call) carryOut(what string, plan lake.Plan, err error, do func() (string, error)) error {
	if err != nil {
		return err
	}
	c.say("%s:", what)
	lines := plan.Describe(c.list)
	for _, l := range lines {
		c.say("  %s", l)
	}
	switch {
	case c.dryRun:
		c.say("dry run: nothing was done")
		return nil
	case slices.Equal(lines, lake.Plan{}.Describe(false)):
		return nil
	}
	done, err := do()
	if err != nil {
		return err
	}
	c.say("done: %s", done)
	return nil
}

func clean(c *call) error {
	if err := c.open(); err != nil {
		return err
	}
	keep := c.opt.services().Keep
	if c.hours > 0 || c.commits > 0 {
		keep = lake.Retention{Hours: c.hours, Commits: c.commits}
	}
	plan, err := c.table.PlanClean(c.ctx, keep)
	return c.carryOut("clean", plan, err, func() (string, error) {
		i, err := c.table.Clean(c.ctx, keep)
		return "clean " + i.Time, err
	})
}

func archive(c *call) error {
	if err := c.open(); err != nil {
		return err
	}
	least, most := c.opt.ArchiveMin, c.opt.ArchiveMax
	plan, err := c.table.PlanArchive(c.ctx, least, most)
	return c.carryOut("archive", plan, err, func() (string, error) {
		n, err := c.table.Archive(c.ctx, least, most)
		return count(n, "instant") + " archived", err
	})
}

func cluster(c *call) error {
	if err := c.open(); err != nil {
		return err
	}
	how := c.opt.services().Clustering
	how.MinFiles = c.files
	plan, err := c.table.PlanCluster(c.ctx, how)
	return c.carryOut("cluster", plan, err, func() (string, error) {
		i, err := c.table.Cluster(c.ctx, how)
		return "clustering " + i.Time, err
	})
}

func rollback(c *call) error {
	if err := c.open("an instant"); err != nil {
		return err
	}
	instant := c.args[1]
	plan, err := c.table.PlanRollback(c.ctx, instant)
	return c.carryOut("rollback of "+instant, plan, err, func() (string, error) {
		err := c.table.Rollback(c.ctx, instant)
		return instant + " is gone, the newest commit is " + or(c.table.Timeline().Newest().Time, "none"), err
	})
}

func restore(c *call) error {
	if err := c.open("a savepoint"); err != nil {
		return err
	}
	instant := c.args[1]
	plan, err := c.table.PlanRestore(c.ctx, instant)
	return c.carryOut("restore to "+instant, plan, err, func() (string, error) {
		i, err := c.table.Restore(c.ctx, instant)
		return "restore " + i.Time, err
	})
}

func savepoint(c *call) error {
	if len(c.args) == 0 {
		return c.misuse(errors.New("it takes create, delete or list"))
	}
	verb := c.args[0]
	c.args = c.args[1:]
	names := map[string][]string{"create": {"an instant"}, "delete": {"an instant"}, "list": nil}
	want, ok := names[verb]
	if !ok {
		return c.misuse(fmt.Errorf("%q is none of create, delete and list", verb))
	}
	if verb == "create" && len(c.args) == 1 {
		want = nil
	}
	if err := c.open(want...); err != nil {
		return err
	}
	pins := c.table.Timeline().Savepoints()
	if verb == "list" {
		for _, at := range pins {
			c.say("%s", at)
		}
		c.say("%s", count(len(pins), "savepoint"))
		return nil
	}
	instant := c.table.Timeline().Newest().Time
	if len(c.args) == 2 {
		instant = c.args[1]
	}
	if verb == "delete" && !slices.Contains(pins, instant) {
		return fault.Humanf("list the savepoints that there are", "the table has no savepoint %s", instant)
	}
	if err := c.table.CheckWritable(c.ctx); err != nil {
		return err
	}
	if verb == "create" {
		if err := c.table.CheckSavepoint(instant); err != nil {
			return err
		}
	}
	c.say("%s savepoint %s", verb, instant)
	if c.dryRun {
		c.say("dry run: nothing was done")
		return nil
	}
	var err error
	if verb == "create" {
		err = c.table.Savepoint(c.ctx, instant, c.opt.Name, c.comment)
	} else {
		err = c.table.DropSavepoint(c.ctx, instant)
	}
	if err == nil {
		c.say("done: %s", count(len(c.table.Timeline().Savepoints()), "savepoint"))
	}
	return err
}

package ops

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"tributary/internal/config"
	"tributary/internal/fault"
)

// The exit codes of every command.
const (
	ExitDone  = 0 // what was asked for is done
	ExitRetry = 1 // a fault that a retry may heal
	ExitHuman = 2 // a fault that needs a human
)

// Command is one verb of a daemon. Run gets the arguments after the verb and a
// context that ends at the first SIGINT or SIGTERM; returning the context's
// own error then counts as done.
type Command struct {
	Name    string
	Usage   string  // arguments and one line of what it does: "-c FILE  start the daemon"
	Help    string  // further lines for --help, each ended; none when empty
	Options any     // nil, or a pointer to the struct of options whose list --help prints
	Groups  []Group // further lists of options, each under its title
	Run     func(ctx context.Context, args []string, log *slog.Logger) error
}

// Group is a list of options that --help prints under a title.
type Group struct {
	Title   string
	Options any // pointer to a struct of options; those of the command's Options are left out
}

// Main runs the command line of the daemon name and returns its exit code. A
// second signal ends the process at once.
func Main(name, about string, commands ...Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// Once the first signal came, the next one has its default effect again.
	context.AfterFunc(ctx, stop)
	return run(ctx, os.Stdout, os.Stderr, name, about, os.Args[1:], commands)
}

func run(ctx context.Context, stdout, stderr io.Writer, name, about string, args []string, commands []Command) int {
	if len(args) == 0 || isHelp(args[0]) {
		out, code := stdout, ExitDone
		if len(args) == 0 {
			out, code = stderr, ExitHuman
		}
		printUsage(out, name, about, commands)
		return code
	}
	if args[0] == "version" || args[0] == "--version" || args[0] == "-version" {
		fmt.Fprintln(stdout, name, Version())
		return ExitDone
	}
	for _, c := range commands {
		if c.Name != args[0] {
			continue
		}
		if len(args) == 2 && isHelp(args[1]) {
			printCommand(stdout, name, c)
			return ExitDone
		}
		return Report(stderr, name, c.Run(ctx, args[1:], NewLogger(stderr, name)))
	}
	fmt.Fprintf(stderr, "%s: unknown command %q\n\n", name, args[0])
	printUsage(stderr, name, about, commands)
	return ExitHuman
}

func isHelp(arg string) bool {
	return arg == "help" || arg == "-h" || arg == "-help" || arg == "--help"
}

// Report prints err for a person and returns the exit code that it stands for.
func Report(w io.Writer, name string, err error) int {
	if err == nil || errors.Is(err, context.Canceled) && !fault.NeedsHuman(err) {
		return ExitDone
	}
	if errors.Is(err, flag.ErrHelp) {
		return ExitDone
	}
	fmt.Fprintf(w, "%s: %s\n", name, indent(err.Error()))
	if hint := fault.Hint(err); hint != "" {
		fmt.Fprintf(w, "  what to do: %s\n", hint)
	}
	if fault.NeedsHuman(err) {
		return ExitHuman
	}
	return ExitRetry
}

func indent(s string) string { return strings.ReplaceAll(s, "\n", "\n  ") }

// ConfigFile parses the arguments of a verb that takes just -c FILE and
// returns the path.
func ConfigFile(verb string, args []string) (string, error) {
	fs := flag.NewFlagSet(verb, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	path := fs.String("c", "", "configuration `FILE`")
	if err := fs.Parse(args); err != nil {
		return "", fault.Human(fmt.Errorf("%s: %w", verb, err), "call it as: "+verb+" -c FILE")
	}
	if *path == "" || fs.NArg() > 0 {
		return "", fault.Human(fmt.Errorf("%s: a configuration file is needed", verb), "call it as: "+verb+" -c FILE")
	}
	return *path, nil
}

// Version is the module's version, or the revision that it was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 && !strings.Contains(version, s.Value[:12]) {
			version += " (" + s.Value[:12] + ")"
		}
	}
	return version
}

func printUsage(w io.Writer, name, about string, commands []Command) {
	fmt.Fprintf(w, "%s: %s\n\nUsage:\n", name, about)
	for _, c := range commands {
		fmt.Fprintf(w, "  %s %s %s\n", name, c.Name, c.Usage)
	}
	fmt.Fprintf(w, "  %s version   print the version\n", name)
	fmt.Fprintf(w, "  %s COMMAND --help   print a command's options\n", name)
	fmt.Fprint(w, "\nExit codes: 0 done, 1 a fault that a retry may heal, 2 a fault that needs a human.\nEnvironment: LOG_LEVEL=debug|info|warn|error, LOG_FORMAT=text|json.\n")
}

func printCommand(w io.Writer, name string, c Command) {
	fmt.Fprintf(w, "Usage:\n  %s %s %s\n", name, c.Name, c.Usage)
	if c.Help != "" {
		fmt.Fprint(w, "\n"+c.Help)
	}
	if c.Options != nil {
		fmt.Fprint(w, "\nOptions of the file (dotted or nested YAML):\n")
	}
	common := make(map[string]bool)
	if c.Options != nil {
		for _, o := range config.Options(c.Options) {
			common[o.Name] = true
			printOption(w, o)
		}
	}
	for _, g := range c.Groups {
		fmt.Fprintf(w, "\n%s:\n", g.Title)
		for _, o := range config.Options(g.Options) {
			if !common[o.Name] {
				printOption(w, o)
			}
		}
	}
}

func printOption(w io.Writer, o config.Option) {
	fmt.Fprintf(w, "  %s", o.Name)
	switch {
	case o.Required:
		fmt.Fprint(w, " (required)")
	case o.Default != "":
		fmt.Fprintf(w, " = %s", o.Default)
	}
	if o.Enum != nil {
		fmt.Fprintf(w, " [%s]", strings.Join(o.Enum, "|"))
	}
	fmt.Fprintf(w, "\n      %s\n", o.Doc)
}

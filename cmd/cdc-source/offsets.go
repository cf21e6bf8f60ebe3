package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"tributary/capture"
	"tributary/capture/emit"
	"tributary/capture/snapshot"
	"tributary/envelope"
	"tributary/internal/fault"
	"tributary/internal/ops"
)

// offsetsUsage is how the command is called.
const offsetsUsage = "call it as: offsets show -c FILE, offsets set -c FILE '{…}' (or @PATH, or - for the standard input) or offsets reset -c FILE"

func offsetsCommand(ctx context.Context, args []string, log *slog.Logger) error {
	return offsets(ctx, args, log, os.Stdout)
}

// offsets shows, sets or resets the stored position of a connector.
func offsets(ctx context.Context, args []string, log *slog.Logger, out io.Writer) error {
	if len(args) == 0 {
		return fault.Humanf(offsetsUsage, "offsets: what to do is missing")
	}
	verb, args := args[0], args[1:]
	var position capture.Position
	switch verb {
	case "show", "reset":
	case "set":
		if len(args) == 0 {
			return fault.Humanf(offsetsUsage, "offsets set: a position is needed")
		}
		var err error
		if position, err = readPosition(args[len(args)-1]); err != nil {
			return err
		}
		args = args[:len(args)-1]
	default:
		return fault.Humanf(offsetsUsage, "offsets: %q is none of show, set, reset", verb)
	}
	c, err := load(ctx, "offsets "+verb, args, log)
	if err != nil {
		return err
	}
	if verb == "set" {
		// The database knows whether it can go on there.
		source, err := c.source(log)
		if err != nil {
			return err
		}
		if position, err = fromDebezium(ctx, source, position, out); err != nil {
			return err
		}
		inner, _ := snapshot.Split(position)
		if err := source.Check(ctx, inner, io.Discard); err != nil {
			return fmt.Errorf("check the position: %w", err)
		}
	}
	emitter, err := emit.New(c.emit, c.common.Name, envelope.NewFormat(c.common.Format(c.block(ops.Version()))), log)
	if err != nil {
		return err
	}
	defer emitter.Close()
	return c.offsets(ctx, emitter, verb, position, out)
}

func (c *connector) offsets(ctx context.Context, e *emit.Emitter, verb string, position capture.Position, out io.Writer) error {
	if verb == "show" {
		old, err := e.Stored(ctx)
		if err != nil {
			return err
		}
		if len(old) == 0 {
			old = capture.Position("none")
		}
		_, err = fmt.Fprintf(out, "%s\n", old)
		return err
	}
	old, err := e.Resume(ctx)
	if err != nil {
		return err
	}
	if err := e.SetPosition(ctx, position); err != nil {
		return err
	}
	if len(old) > 0 {
		_, err = fmt.Fprintf(out, "the position before was\n%s\n", old)
	}
	return err
}

// readPosition reads a position from the command line, from a file (@PATH) or from
// the standard input (-).
func readPosition(arg string) (capture.Position, error) {
	text, err := []byte(arg), error(nil)
	switch path, isFile := strings.CutPrefix(arg, "@"); {
	case isFile:
		text, err = os.ReadFile(path)
	case arg == "-":
		text, err = io.ReadAll(os.Stdin)
	}
	if err != nil {
		return nil, fault.Human(fmt.Errorf("offsets set: read the position: %w", err), offsetsUsage)
	}
	if _, ok, _ := capture.ReadDebezium(text); !ok && !json.Valid(text) {
		return nil, fault.Humanf("give it as offsets show prints it, in quotes, or as Kafka Connect's GET /connectors/NAME/offsets does", "offsets set: the position is no JSON")
	}
	return text, nil
}

// fromDebezium makes a position of offsets of Debezium; one of ours it leaves as it
// is.
func fromDebezium(ctx context.Context, s source, text capture.Position, out io.Writer) (capture.Position, error) {
	list, ok, err := capture.ReadDebezium(text)
	if err != nil || !ok {
		return text, err
	}
	at, err := s.FromDebezium(ctx, list)
	if err != nil {
		return nil, err
	}
	var tables []capture.DebeziumTable
	for i := range list {
		more, err := list[i].Incremental()
		if err != nil {
			return nil, err
		}
		tables = append(tables, more...)
	}
	fmt.Fprintf(out, "the offset of Debezium becomes the position\n%s\n", at)
	for _, t := range tables {
		fmt.Fprintf(out, "the incremental snapshot of %s begins again at its first row\n", t.Name)
	}
	return snapshot.WithTables(at, tables)
}

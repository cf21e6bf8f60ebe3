package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"tributary/capture"
	"tributary/capture/emit"
	"tributary/capture/snapshot"
	"tributary/envelope"
	"tributary/internal/fault"
	"tributary/internal/ops"
)

// offsetsUsage is how the command is called.
const offsetsUsage = "call it as: offsets show -c FILE, offsets set -c FILE '{…}' or offsets reset -c FILE"

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
		position, args = capture.Position(args[len(args)-1]), args[:len(args)-1]
		if !json.Valid(position) {
			return fault.Humanf("give it as offsets show prints it, in quotes", "offsets set: the position is no JSON")
		}
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

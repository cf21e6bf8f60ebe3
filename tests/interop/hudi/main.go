// Command hudi writes tables of every kind that the lake writes, for other Hudi
// engines to read and change, and reads on after them.
//
//	hudi write DIR                 every kind: DIR/<kind>/table and DIR/<kind>/expected/<instant>.jsonl
//	hudi write DIR KIND...         these kinds
//	hudi after TABLE ROWS.json DIR TABLE was changed by another engine, which read the rows in ROWS.json last:
//	                               reads the same, goes on writing, and puts the rows expected then into DIR
//
// The rows expected come from a plain map that every change is made to as well,
// not from what the lake reads.
package main

import (
	"context"
	"fmt"
	"os"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "hudi:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) >= 2 && args[0] == "write":
		return writeKinds(ctx, args[1], args[2:])
	case len(args) == 4 && args[0] == "after":
		return after(ctx, args[1], args[2], args[3])
	}
	return fmt.Errorf("give: write DIR [KIND...], or: after TABLE ROWS.json DIR")
}

package ops

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"tributary/internal/fault"
)

func TestExitCodesAndHints(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		want string
	}{
		{nil, ExitDone, ""},
		{context.Canceled, ExitDone, ""},
		{errors.New("connect: refused"), ExitRetry, "d: connect: refused\n"},
		{fault.Human(errors.New("no slot"), "create it"), ExitHuman, "d: no slot\n  what to do: create it\n"},
	} {
		var out bytes.Buffer
		if code := Report(&out, "d", c.err); code != c.code || out.String() != c.want {
			t.Errorf("%v: got %d %q, want %d %q", c.err, code, out.String(), c.code, c.want)
		}
	}
}

func TestCommandLine(t *testing.T) {
	ran := ""
	commands := []Command{{
		Name: "run", Usage: "-c FILE  start",
		Options: &struct {
			Name string `opt:"name" required:"true" doc:"name of it"`
		}{},
		Run: func(_ context.Context, args []string, _ *slog.Logger) error {
			path, err := ConfigFile("d run", args)
			ran = path
			return err
		},
	}}
	for _, c := range []struct {
		args       string
		code       int
		out, errs  string
		configPath string
	}{
		{"run -c x.yaml", ExitDone, "", "", "x.yaml"},
		{"run", ExitHuman, "", "what to do: call it as: d run -c FILE", ""},
		{"fly", ExitHuman, "", `unknown command "fly"`, ""},
		{"", ExitHuman, "", "Usage:", ""},
		{"--help", ExitDone, "d run -c FILE  start", "", ""},
		{"run --help", ExitDone, "name (required)\n      name of it", "", ""},
		{"version", ExitDone, "d ", "", ""},
	} {
		ran = ""
		var out, errs bytes.Buffer
		code := run(t.Context(), &out, &errs, "d", "does things", strings.Fields(c.args), commands)
		if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.errs) || ran != c.configPath {
			t.Errorf("%q: code %d, path %q, stdout %q, stderr %q", c.args, code, ran, out.String(), errs.String())
		}
	}
}

func TestDurationsAreText(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		t.Setenv("LOG_FORMAT", format)
		var out bytes.Buffer
		NewLogger(&out, "d").With("since", 2*time.Minute).WithGroup("g").Info("done", "took", 1500*time.Millisecond, "n", 7)
		if format == "text" {
			if !strings.Contains(out.String(), "since=2m0s g.took=1.5s g.n=7") {
				t.Errorf("got %s", out.String())
			}
			continue
		}
		var line struct {
			Since string `json:"since"`
			G     struct {
				Took string `json:"took"`
				N    int    `json:"n"`
			} `json:"g"`
		}
		if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.Since != "2m0s" || line.G.Took != "1.5s" || line.G.N != 7 {
			t.Errorf("%s: %+v, %v", out.String(), line, err)
		}
	}
}

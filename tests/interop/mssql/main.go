// Mssql runs the model of SQL Server by itself, for clients in other languages:
//
//	mssql ADDRESS [SCRIPT...]
//
// It listens on the address with the user sa and the password Secret1!, has the
// database crm, runs the scripts in it, and prints "ready". It ends when its
// standard input does. With MSSQL_TRACE set, it prints the statements that it ran
// when it ends; MSSQL_AGENT is the agent's interval.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"tributary/internal/mssqltest"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() (err error) {
	opts := mssqltest.Options{Addr: os.Args[1], Encrypt: true, Password: "Secret1!", Databases: []string{"crm"}}
	if v := os.Getenv("MSSQL_AGENT"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			return err
		}
		opts.AgentInterval = d
	}
	srv, err := mssqltest.Start(context.Background(), opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	for _, name := range os.Args[2:] {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for i, batch := range strings.Split(string(text), "\nGO\n") {
			if err := srv.DB("crm").Exec(batch); err != nil {
				return fmt.Errorf("%s, batch %d: %w", name, i+1, err)
			}
		}
	}
	fmt.Println("ready")
	// Each line of the input is a text to run.
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if err := srv.DB("crm").Exec(in.Text()); err != nil {
			fmt.Println("error:", err)
		} else {
			fmt.Println("ok")
		}
	}
	if os.Getenv("MSSQL_TRACE") != "" {
		for _, s := range srv.Statements() {
			fmt.Fprintln(os.Stderr, strings.Join(strings.Fields(s), " "))
		}
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"tributary/internal/proc"
	"tributary/internal/topic"
)

// stack is the broker and the registry.
type stack struct {
	dir      string
	own      string // the binary of cdc-source
	kafka    string
	registry string // its URL
	running  []*proc.Process
}

func startStack(ctx context.Context, o options) (*stack, error) {
	s := &stack{dir: o.dir, own: o.binary}
	kafka, err1 := freePort()
	web, err2 := freePort()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	s.kafka, s.registry = kafka, "http://"+web+"/apis/registry/v2"
	start := s.startOwn
	if o.rig != "" {
		start = func(web string) error { return s.startReal(ctx, o, web) }
	}
	if err := start(web); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	for _, addr := range []string{kafka, web} {
		if err := s.listening(ctx, addr); err != nil {
			return nil, errors.Join(err, s.stop())
		}
	}
	if err := s.warm(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// warm makes a few transactions, so that the broker has its own topics and has
// done once what it is to do quickly.
func (s *stack) warm(ctx context.Context) error {
	if err := s.createTopic(ctx, "warm"); err != nil {
		return err
	}
	w, err := topic.NewWriter(ctx, s.kafkaOptions(), "warm", slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer w.Close()
	for range 200 {
		if err := w.WriteTx(ctx, []topic.Record{{Topic: "warm", Value: []byte("warm")}}); err != nil {
			return err
		}
	}
	return nil
}

// startOwn runs the embedded broker and registry.
func (s *stack) startOwn(web string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := s.start("broker", self, "broker", filepath.Join(s.dir, "kafka"), s.kafka); err != nil {
		return err
	}
	file := filepath.Join(s.dir, "registry.yaml")
	text := fmt.Sprintf("listen.address: %s\ndata.file: %s\n", web, filepath.Join(s.dir, "registry.db"))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	return s.start("registry", s.own, "registry", "-c", file)
}

// startReal runs Kafka in a JVM and Apicurio's registry.
func (s *stack) startReal(ctx context.Context, o options, web string) error {
	controller, err := freePort()
	if err != nil {
		return err
	}
	file := filepath.Join(s.dir, "server.properties")
	text := fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[2]s
listeners=PLAINTEXT://%[1]s,CONTROLLER://%[2]s
advertised.listeners=PLAINTEXT://%[1]s
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=%[3]s
num.partitions=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
message.max.bytes=20000000
`, s.kafka, controller, filepath.Join(s.dir, "kafka"))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	jars := filepath.Join(o.rig, "stack", "libs-kafka", "*")
	quiet := "-Dlog4j.configuration=file:" + filepath.Join(o.tool, "etc", "log4j.properties")
	if err := s.run(ctx, "format", "java", "-Xmx256m", quiet, "-cp", jars, "kafka.tools.StorageTool", "format", "-t", "AAAAAAAAQACAAAAAAAAAAg", "-c", file); err != nil {
		return err
	}
	if err := s.start("kafka", "java", "-Xms512m", "-Xmx1g", "-XX:+UseG1GC", quiet, "-cp", jars, "kafka.Kafka", file); err != nil {
		return err
	}
	host, port, _ := strings.Cut(web, ":")
	return s.start("apicurio", "java", "-Xmx512m", "-Dquarkus.http.host="+host, "-Dquarkus.http.port="+port,
		"-jar", filepath.Join(o.rig, "stack", "apicurio", "apicurio-registry-app-2.6.13.Final-runner.jar"))
}

func (s *stack) start(name, path string, args ...string) error {
	p, err := s.process(name, path, args...)
	if err == nil {
		s.running = append(s.running, p)
	}
	return err
}

// process runs a program whose output goes to a log of that name.
func (s *stack) process(name, path string, args ...string) (*proc.Process, error) {
	program, err := exec.LookPath(path)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(s.log(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	return proc.Start(proc.Spec{Path: program, Args: args, Dir: s.dir, Log: log})
}

// run runs a program to its end.
func (s *stack) run(ctx context.Context, name, path string, args ...string) error {
	p, err := s.process(name, path, args...)
	if err != nil {
		return err
	}
	for !p.Exited() {
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), p.Stop())
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := p.Wait(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, tail(s.log(name)))
	}
	return nil
}

func (s *stack) log(name string) string { return filepath.Join(s.dir, name+".log") }

func (s *stack) stop() error {
	var errs []error
	for _, p := range s.running {
		errs = append(errs, p.Stop())
	}
	return errors.Join(errs...)
}

func (s *stack) listening(ctx context.Context, addr string) error {
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		var dialer net.Dialer
		c, err := dialer.DialContext(ctx, "tcp", addr)
		if err == nil {
			return c.Close()
		}
		for _, p := range s.running {
			if p.Exited() {
				return fmt.Errorf("a server ended while it started: see the logs in %s", s.dir)
			}
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("nothing answers at %s: see the logs in %s", addr, s.dir)
		}
	}
}

func (s *stack) kafkaOptions() topic.Options {
	return topic.Options{
		Brokers: []string{s.kafka}, ClientID: "bench", Protocol: "PLAINTEXT", Compression: "none",
		MaxRequest: 1 << 20, TransactionTimeout: time.Minute, DeliveryTimeout: time.Minute,
	}
}

// createTopic makes a topic before anybody writes to it, so that the consumer
// waits for its first record, not for the news that it exists.
func (s *stack) createTopic(ctx context.Context, name string) error {
	admin, err := topic.NewAdmin(ctx, s.kafkaOptions(), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer admin.Close()
	return admin.EnsureTopics(ctx, topic.Spec{Name: name, Partitions: 1})
}

func freePort() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

// tail returns a log's last lines, for an error.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}

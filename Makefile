# Everything that a person runs here. Each target does its own set-up.
SHELL   := /bin/bash
BUILD   := $(CURDIR)/build
BIN     := $(BUILD)/bin
DAEMONS := cdc-source s3-sink deltastreamer
GOFILES := $(shell find . -name '*.go' -not -path './build/*') go.mod

.DEFAULT_GOAL := help
.PHONY: help build demo test lint bench interop setup fuzz clean

help: ## print this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the daemons (static binaries), lakeq and the demo into build/bin
	@mkdir -p $(BIN)
	@for d in $(DAEMONS) demo; do CGO_ENABLED=0 go build -trimpath -o $(BIN)/$$d ./cmd/$$d || exit 1; done
	@CGO_ENABLED=1 go build -trimpath -o $(BIN)/lakeq ./cmd/lakeq

setup: ## install the servers that tests and the demo use, as far as they are missing (needs root)
	@tests/setup.sh

demo: ## run the whole pipeline on real databases of its own and tell its story (KEEP=1 leaves it running)
	@tests/setup.sh demo
	@$(MAKE) --no-print-directory build
	@$(BIN)/demo run $(if $(KEEP),--keep)

test: build ## run every test: unit, golden, fuzz seeds, real databases, end to end, readers of other makers
	@tests/test.sh

fuzz: ## run every fuzz target for FUZZTIME (20s) each; a finding becomes a seed of make test
	@tests/fuzz.sh

lint: ## run the linters
	go vet ./...
	go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run

bench: ## measure: every Go benchmark, and beside the real Debezium and Spark with Hudi
	@tests/bench/bench.sh

interop: build setup ## hold ours against the real Hudi (Spark), hudi-rs, registry clients and SQL Server
	@tests/interop/interop.sh

clean: ## remove everything that was built or downloaded into the build folder
	@[ ! -e $(BUILD)/demo/running.json ] || $(BIN)/demo stop
	rm -rf $(BUILD)

#!/bin/bash
# Runs every test: formatting and vet, unit and golden tests, the real
# databases, end to end, and the seeds of every fuzz target (make fuzz goes on from them).
# The build folder holds whatever the tests download or make.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=()

step() { # NAME COMMAND...
    local name=$1 start=$SECONDS; shift
    echo "== $name"
    if "$@"; then echo "== $name: ok in $((SECONDS - start)) s"; else failed+=("$name"); fi
}

formatted() {
    local out; out=$(gofmt -l $(git ls-files '*.go' 2>/dev/null || find . -name '*.go' -not -path './build/*'))
    [ -z "$out" ] || { echo "not gofmt'd:"; echo "$out"; return 1; }
}

# Without the servers, what needs none still runs, and the rest says what it misses.
servers() { tests/setup.sh; }

# The readers of other makers (hudi-rs, fastavro, pyarrow) live in a venv, and
# moto, an imitation of AWS.
readers() {
    [ -x build/venv/bin/python ] || python3 -m venv build/venv || return 1
    build/venv/bin/python -c 'import hudi, pyarrow, fastavro, moto.server, pytds, pymssql' 2> /dev/null ||
        build/venv/bin/pip install --quiet --disable-pip-version-check hudi==0.5.0 pyarrow fastavro 'moto[server,glue]==5.2.5' \
            python-tds==1.17.1 pymssql==2.4.6
}

mkdir -p build
step "servers" servers
step "readers" readers
step "format" formatted
step "vet" go vet ./...
step "tests" go test -timeout 15m ./...

if [ ${#failed[@]} -gt 0 ]; then
    printf 'failed: %s\n' "${failed[*]}"
    exit 1
fi
echo "all passed in $SECONDS s"

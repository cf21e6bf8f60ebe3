#!/bin/bash
# Runs every test: formatting and vet, unit and golden tests, the real
# databases, end to end, and a short run of every fuzz target.
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

fuzz() { go test -run '^$' -fuzz "^$2\$" -fuzztime "${FUZZTIME:-3s}" -fuzzminimizetime 10x "$1" > build/fuzz.log 2>&1; }

fuzz_smoke() {
    local rc=0 pkg target
    while read -r pkg target; do
        # Go can end a fuzz run with "context deadline exceeded" and no failing input
        # when its time is up on a busy machine: that run is made again, once.
        fuzz "$pkg" "$target" || { ! grep -q 'Failing input' build/fuzz.log && fuzz "$pkg" "$target"; } ||
            { echo "$pkg $target:"; tail -40 build/fuzz.log; rc=1; }
    done < <(grep -rl --include='*_test.go' '^func Fuzz' --exclude-dir=build . | xargs grep -H '^func Fuzz' |
        sed -E 's#^(.*)/[^/]*:func (Fuzz[A-Za-z0-9_]*).*#\1 \2#' | sort -u)
    return $rc
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
step "fuzz smoke" fuzz_smoke

if [ ${#failed[@]} -gt 0 ]; then
    printf 'failed: %s\n' "${failed[*]}"
    exit 1
fi
echo "all passed in $SECONDS s"

#!/bin/bash
# Runs every fuzz target for FUZZTIME (20s) each. What a run finds is random, so it
# gates nothing: the failing input that Go writes beside the test becomes a seed,
# and the seeds are part of every test run. Arguments name packages; none, all.
set -uo pipefail
cd "$(dirname "$0")/.."
mkdir -p build
failed=()

fuzz() { go test -run '^$' -fuzz "^$2\$" -fuzztime "${FUZZTIME:-20s}" -fuzzminimizetime 10x "$1" > build/fuzz.log 2>&1; }

while read -r pkg target; do
    echo "== $pkg $target"
    # Go can end a fuzz run with "context deadline exceeded" and no failing input
    # when its time is up on a busy machine: that run is made again, once.
    fuzz "$pkg" "$target" || { ! grep -q 'Failing input' build/fuzz.log && fuzz "$pkg" "$target"; } ||
        { tail -40 build/fuzz.log; failed+=("$pkg.$target"); }
done < <(grep -rl --include='*_test.go' '^func Fuzz' --exclude-dir=build "${@:-.}" | xargs grep -H '^func Fuzz' |
    sed -E 's#^(\./)?(.*)/[^/]*:func (Fuzz[A-Za-z0-9_]*).*#./\2 \3#' | sort -u)

if [ ${#failed[@]} -gt 0 ]; then
    printf 'failed: %s\n' "${failed[*]}"
    exit 1
fi
echo "all passed in $SECONDS s"

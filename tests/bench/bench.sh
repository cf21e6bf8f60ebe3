#!/bin/bash
# bench.sh [go] [capture] [debezium] [hudi]: all measurements, or those named, one after
# another, so that none disturbs another. What they print is kept below build/bench. A
# part that cannot be made is named at the end, and fails the whole.
#
#   go        every Go benchmark once (a hop each), a package at a time
#   capture   cdc-source as a process against its goals and the floors
#   debezium  the same beside a real Debezium
#   hudi      deltastreamer beside a real Spark with Hudi
set -uo pipefail
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- go capture debezium hudi
mkdir -p build/bench
failed=()

benchmarks() {
    tests/setup.sh && go test -p 1 -timeout 60m -run '^$' -bench . -benchmem ./... 2>&1 | tee build/bench/go.txt
}

for part; do
    echo "== $part"
    start=$SECONDS
    case $part in
    go) benchmarks ;;
    capture | debezium | hudi) "tests/bench/$part.sh" ;;
    *) echo "bench.sh: there is no part $part" >&2; exit 2 ;;
    esac || failed+=("$part")
    echo "== $part: $((SECONDS - start)) s"
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "not measured: ${failed[*]}" >&2
    exit 1
fi

#!/bin/bash
# large.sh: what memory cdc-source takes while one large transaction of PostgreSQL
# passes. MEGABYTES of rows (4096) take about four times as much on the disk, in the
# build folder and TMPDIR: in the database's table and log, in cdc-source's file, and
# half of it in the broker. About a minute a GB.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$PWD/build/bench/large
tests/setup.sh postgresql
mkdir -p "$out"
CGO_ENABLED=0 go build -trimpath -o "$out/cdc-source" ./cmd/cdc-source
go build -trimpath -o "$out/bench" ./tests/bench/capture
status=0
"$out/bench" -transaction "${MEGABYTES:-4096}" -cdc-source "$out/cdc-source" -dir "$out/run" | tee "$out/report.txt" || status=$?
rm -rf "$out/run/kafka"
exit "$status"

#!/bin/bash
# capture.sh: cdc-source by itself against the goals and the floors, with the embedded
# broker and registry, each a process: PostgreSQL and MySQL. About 2 minutes.
#
# ROWS, CHANGES and SECONDS_AT_RATE make it shorter or longer, DATABASES=mariadb chooses others.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$PWD/build/bench/capture
databases=${DATABASES:-postgresql,mysql}
# shellcheck disable=SC2086
tests/setup.sh ${databases//,/ }
mkdir -p "$out"
CGO_ENABLED=0 go build -trimpath -o "$out/cdc-source" ./cmd/cdc-source
go build -trimpath -o "$out/bench" ./tests/bench/capture
# The program takes this shell's place, so that it is what an interrupt reaches.
exec > >(tee "$out/report.txt")
exec "$out/bench" -databases "$databases" -rows "${ROWS:-1000000}" -changes "${CHANGES:-500000}" -seconds "${SECONDS_AT_RATE:-12}" \
    -cdc-source "$out/cdc-source" -dir "$out/run"

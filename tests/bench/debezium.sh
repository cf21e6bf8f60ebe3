#!/bin/bash
# debezium.sh: cdc-source beside the real Debezium 3.0.8 in Kafka Connect: the same
# PostgreSQL and MySQL, Kafka and Apicurio's registry, data, consumer and run. Prints a
# table: ours, Debezium, ratio, floor, goal. About 8 minutes, most of them Debezium's.
#
# Needs Java 17, Maven and Python. What it installs lies below build/bench. ROWS, CHANGES
# and SECONDS_AT_RATE make it shorter, DATABASES=mysql chooses one.
set -euo pipefail
cd "$(dirname "$0")/../.."
tool=$PWD/../shared/tools/debezium-bench
rig=$PWD/build/bench/debezium
out=$PWD/build/bench/beside
databases=${DATABASES:-postgresql,mysql}
fail() { echo "debezium.sh: $*" >&2; exit 1; }

[ -f "$tool/setup.sh" ] || fail "the tool that installs Debezium is missing: $tool"
for program in java mvn python3 psql; do
    command -v "$program" > /dev/null || fail "$program is missing: apt-get install openjdk-17-jre-headless maven python3-venv postgresql-client"
done
# shellcheck disable=SC2086
tests/setup.sh ${databases//,/ }
mkdir -p "$rig" "$out"
if [ ! -e "$rig/ready" ]; then
    echo "installing Kafka, Connect, Debezium and Apicurio's registry into build/bench/debezium"
    RIG=$rig bash "$tool/setup.sh" > "$rig/setup.log" 2>&1 ||
        { tail -5 "$rig/setup.log" >&2; fail "Debezium could not be installed, so nothing was compared: see $rig/setup.log"; }
    touch "$rig/ready"
fi
CGO_ENABLED=0 go build -trimpath -o "$out/cdc-source" ./cmd/cdc-source
go build -trimpath -o "$out/bench" ./tests/bench/capture
# The program takes this shell's place, so that it is what an interrupt reaches.
exec > >(tee "$out/report.txt")
exec "$out/bench" -databases "$databases" -rows "${ROWS:-1000000}" -changes "${CHANGES:-500000}" -seconds "${SECONDS_AT_RATE:-12}" \
    -debezium "$rig" -tool "$tool" -cdc-source "$out/cdc-source" -dir "$out/run"

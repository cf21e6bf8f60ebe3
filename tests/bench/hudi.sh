#!/bin/bash
# hudi.sh: deltastreamer beside a real Spark 3.5 with Hudi 0.15: bulk insert of a million
# sales, upsert of 1% of them, of 1% of the newest, and of all of 172,456. Both read the
# same Avro files; wall times are those of whole processes. About 2 minutes.
#
# Needs Java 17, Maven and Python. What it installs lies below build/hudi-check. ROWS and
# SMALL make the tables smaller.
set -euo pipefail
cd "$(dirname "$0")/../.."
tool=$PWD/../shared/tools/hudi-check
home=$PWD/build/hudi-check
out=$PWD/build/bench/hudi
fail() { echo "hudi.sh: $*" >&2; exit 1; }

[ -f "$tool/bench/spark_write.py" ] || fail "the tool that runs Spark is missing: $tool"
for program in java mvn python3; do
    command -v "$program" > /dev/null || fail "$program is missing: apt-get install openjdk-17-jre-headless maven python3-venv"
done
mkdir -p "$home" "$out"
if [ ! -e "$home/jars/spark-avro_2.12-3.5.4.jar" ] || ! "$home/venv/bin/python" -c 'import pyspark' 2> /dev/null; then
    echo "installing Spark and Hudi into build/hudi-check"
    HUDI_CHECK_HOME=$home bash "$tool/setup.sh" > "$out/setup.log" 2>&1 ||
        { tail -5 "$out/setup.log" >&2; fail "Spark and Hudi could not be installed, so nothing was compared: see $out/setup.log"; }
fi
CGO_ENABLED=0 go build -trimpath -o "$out/deltastreamer" ./cmd/deltastreamer
go build -trimpath -o "$out/bench" ./tests/bench/hudi
# The program takes this shell's place, so that it is what an interrupt reaches.
export HUDI_JARS=$home/jars
exec > >(tee "$out/report.txt")
exec "$out/bench" -rows "${ROWS:-1000000}" -small "${SMALL:-172456}" -deltastreamer "$out/deltastreamer" \
    -python "$home/venv/bin/python" -script "$tool/bench/spark_write.py" -dir "$out/run"

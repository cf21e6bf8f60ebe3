#!/bin/bash
# The real Java serdes and Kafka Connect converters of Apicurio 2.6 and 3.x,
# confluent-kafka (Python) and franz-go's client of registries, all against our
# registry: once as Apicurio 3.3, once as 2.6.
#
# CLIENTS="java2 go" runs some clients only; the tool's README lists them.
set -uo pipefail
cd "$(dirname "$0")/../.."
. tests/interop/needs.sh
check=$PWD/../shared/tools/registry-check
home=$PWD/build/registry-check
[ -f "$check/registry_check.sh" ] || { echo "the conformance check is missing: $check"; exit 1; }

if [ ! -f "$home/ready" ]; then
    rm -rf "$home"
    mkdir -p "$home"
    cp -r "$check/." "$home/"
    chmod -R u+w "$home"
    "$home/setup.sh" > "$home/setup.log" 2>&1 || { tail -5 "$home/setup.log"; exit 1; }
    python3 -m venv "$home/venv" || exit 1
    "$home/venv/bin/pip" install --quiet --disable-pip-version-check 'confluent-kafka[avro,schemaregistry]==2.16.1' || exit 1
    touch "$home/ready"
fi
CGO_ENABLED=0 go build -trimpath -o build/bin/cdc-source ./cmd/cdc-source || exit 1

pid=
stop() { [ -z "$pid" ] || { kill "$pid"; wait "$pid"; pid=; }; }
trap stop EXIT

failed=0
one() { # VERSION PORT CLIENTS KNOWN-GAPS
    local work=$home/run-$1
    rm -rf "$work"
    mkdir -p "$work"
    cat > "$work/registry.yaml" <<-YAML
		listen.address: 127.0.0.1:$2
		data.file: $work/registry.db
		apicurio.version: "$1"
	YAML
    build/bin/cdc-source registry -c "$work/registry.yaml" > "$work/log" 2>&1 &
    pid=$!
    echo "as Apicurio $1:"
    for _ in $(seq 600); do
        curl -sf "http://127.0.0.1:$2/healthz" > /dev/null && break
        kill -0 "$pid" 2> /dev/null || { echo "the registry did not start:"; tail -5 "$work/log"; failed=1; pid=; return; }
        sleep 0.1
    done
    CLIENTS=$3 PYTHON=$home/venv/bin/python "$home/registry_check.sh" "http://127.0.0.1:$2" "$4" > "$work/out" 2>&1 || failed=1
    grep -v '"ok": *true' "$work/out"
    stop
}
one 3.3 18781 "${CLIENTS:-java2 java3 connect3 python go}" /dev/null
one 2.6 18782 "${CLIENTS:-java2 python go}" "$home/known_gaps_apicurio-2.6.txt"
exit $failed

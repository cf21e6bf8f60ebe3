#!/bin/bash
# Runs the tests with the software of other makers, one script after another. Each
# installs what it needs below build/.
set -uo pipefail
cd "$(dirname "$0")"
scripts=(hudi.sh registry.sh sqlserver.sh debezium-sqlserver.sh)

failed=()
for s in "${scripts[@]}"; do
    echo "== $s"
    "./$s" || failed+=("$s")
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}"
    exit 1
fi
echo "all passed in $SECONDS s"

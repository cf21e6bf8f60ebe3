#!/bin/bash
# Runs the tests with the software of other makers, one script after another. Each
# installs what it needs below build/.
set -uo pipefail
cd "$(dirname "$0")"
scripts=(sqlserver.sh debezium-sqlserver.sh registry.sh hudi.sh) # the longest one last

failed=()
for s in "${scripts[@]}"; do
    start=$SECONDS
    echo "== $s"
    if "./$s"; then echo "== $s: ok in $((SECONDS - start)) s"; else failed+=("$s"); echo "== $s: FAILED after $((SECONDS - start)) s"; fi
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}"
    exit 1
fi
echo "all passed in $SECONDS s"

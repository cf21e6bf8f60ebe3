#!/bin/bash
# Real Hudi and our tables: Spark with Hudi 0.15.0 and 1.1.1, and hudi-rs, read
# every kind of table that the lake writes, at every instant, and write to a copy
# of it (upsert, delete, clean, rollback, clustering, metadata table). Then the
# lake reads that copy, writes on, and hudi-rs reads it again.
#
# KINDS="plain hive" runs some kinds only, ENGINES=0.15.0 one Spark only.
set -uo pipefail
cd "$(dirname "$0")/../.."
. tests/interop/needs.sh
check=$PWD/../shared/tools/hudi-check
home=$PWD/build/hudi-check
work=$PWD/build/interop/hudi
[ -f "$check/hudi_check.py" ] || { echo "the conformance check is missing: $check"; exit 1; }

rm -rf "$work"
mkdir -p "$home" "$work/tmp"
if ! [ "$home/ready" -nt "$check/setup.sh" ]; then
    HUDI_CHECK_HOME=$home bash "$check/setup.sh" > "$home/setup.log" 2>&1 || { tail -5 "$home/setup.log"; exit 1; }
    touch "$home/ready"
fi
export HUDI_JARS=$home/jars TMPDIR=$work/tmp PYTHONDONTWRITEBYTECODE=1
python=$home/venv/bin/python
go build -o "$work/hudi" ./tests/interop/hudi || exit 1
read -ra kinds <<< "${KINDS:-}"
"$work/hudi" write "$work" "${kinds[@]}" > "$work/kinds" || exit 1
[ -s "$work/kinds" ] || { echo "no such kind: $KINDS"; exit 1; }

failed=0
one() { # KIND ENGINE
    local table=$work/$1/table kept copy
    case $1 in
    dated | timed) # what Spark writes to them needs options that the checker does not give
        kept=$work/tmp/$1-$2 copy=$work/tmp/$1-$2/table
        rm -rf "$kept" && mkdir -p "$kept" && cp -r "$table" "$copy" || return 1
        "$python" "$check/hudi_check.py" "$table" --quick --expected "$work/$1/expected" &&
            HUDI_CHECK=$check HUDI_WH=$kept/wh "$python" tests/interop/hudi/follow.py "$2" "$copy" "$work/$1/expected" "$kept/$2.json" > "$work/log" 2>&1 ||
            { cat "$work/log"; return 1; }
        echo "$(grep -c '^ok' "$work/log") of Spark's steps ok"
        ;;
    *)
        "$python" "$check/hudi_check.py" "$table" --full --mem 1g --engines "rs,$2" \
            --expected "$work/$1/expected" --keep > "$work/log" 2>&1
        local rc=$?
        tail -1 "$work/log"
        kept=$(sed -n 's/^kept //p' "$work/log")
        copy=$kept/copy-$2/table
        [ $rc = 0 ] || { [ "$1" = encoded ] && "$python" tests/interop/hudi/known.py "$2" "$kept/$2.json" < "$work/log"; } ||
            { cat "$work/log"; return 1; }
        ;;
    esac
    "$work/hudi" after "$copy" "$kept/$2.json" "$kept/after" &&
        "$python" "$check/hudi_check.py" "$copy" --quick --expected "$kept/after" | grep -v '^WARN' || return 1
    rm -rf "$kept"
}
while read -r kind; do
    for engine in ${ENGINES:-0.15.0 1.1.1}; do
        echo "== $kind, Hudi $engine"
        one "$kind" "$engine" < /dev/null || { echo "FAILED $kind, Hudi $engine"; failed=1; }
    done
done < "$work/kinds"
exit $failed

"""Whether what the checker found are only faults of the engine that are known.

    known.py ENGINE ROWS.json < LOG

Hudi 1.1.1's incremental reads give partition columns as they are in the path,
url-encoded. So these reads, and nothing else, may have failed, and with that column
decoded they must be the rows of their commits, as the read of the moment has
them. ROWS.json is the checker's result of the engine.
"""
import json
import sys
from urllib.parse import unquote

engine, result = sys.argv[1:]
failed = [line.rstrip("\n") for line in sys.stdin if line.startswith("FAIL ")]
if engine != "1.1.1" or not failed:
    sys.exit(1)
with open(result, encoding="utf-8") as f:
    reads = json.load(f)["reads"]


def plain(rows, encoded=()):
    decoded = ({k: unquote(v) if k in encoded and v is not None else v for k, v in r.items()} for r in rows)
    return sorted(json.dumps(r, sort_keys=True) for r in decoded)


for line in failed:
    name = line.removeprefix(f"FAIL spark {engine}: ").split(":")[0]
    kind, _, moments = name.partition(" ")
    if kind != "incremental":
        sys.exit(1)
    begin, end = moments.split(" ")
    got = reads[name]
    want = [r for r in reads["as of " + end] if begin < r["_hoodie_commit_time"] <= end]
    # The partition column is the one whose text is that of the path.
    encoded = {k for r in got for k, v in r.items() if not k.startswith("_") and r["_hoodie_partition_path"] == f"{k}={v}"}
    if len(encoded) != 1 or plain(got, encoded) != plain(want):
        print(f"{name}: more than the partition column differs")
        sys.exit(1)
print(f"{len(failed)} incremental reads of Hudi {engine} differ in the url-encoded partition column alone, a known fault of its own")

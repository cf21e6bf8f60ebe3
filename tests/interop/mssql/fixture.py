"""Turns what RunDebezium wrote into fixtures, or compares it with them.

fixture.py record|check RUN-DIRECTORY FIXTURE-DIRECTORY

RUN-DIRECTORY holds NAME.jsonl and NAME.properties of every variant. A fixture is
NAME/records.jsonl, NAME/connector.json, and schemas.json for all variants: the
layout of the other databases' recorded events, without Avro bytes. What changes
from run to run (times, the run's id) is set to zero in both.
"""
import hashlib
import json
import os
import re
import sys

MASKED = {"ts_ms", "ts_us", "ts_ns", "__ts_ms", "__source_ts_ms"}
schemas = {}


def masked(v):
    if isinstance(v, dict):
        return {k: 0 if k in MASKED and isinstance(x, int) else masked(x) for k, x in v.items()}
    if isinstance(v, list):
        return [masked(x) for x in v]
    if isinstance(v, str):
        # Debezium's own signals, which open and close the windows of a snapshot.
        v = re.sub(r"^[0-9a-f-]{36}-(open|close)$", r"window-\1", v)
        v = re.sub(r'"(open|close)WindowTimestamp": "[^"]*"', r'"\1WindowTimestamp": ""', v)
    return v


def part(v):
    """A key or value: its payload, and its schema by reference."""
    if v is None:
        return None
    text = json.dumps(v["schema"], separators=(",", ":"), ensure_ascii=False)
    name = "connect-" + hashlib.sha256(text.encode()).hexdigest()[:12]
    schemas[name] = v["schema"]
    return {"connectSchema": name, "payload": masked(v["payload"])}


def records(path):
    out = []
    with open(path, encoding="utf-8") as f:
        for line in f:
            r = json.loads(line)
            headers = [{"key": h["key"], **part(h["value"])} for h in r["headers"]]
            for h in headers:
                if h["key"].endswith(".runId"):
                    h["payload"] = ""
            out.append({"seq": r["seq"], "topic": r["topic"], "headers": headers, "key": part(r["key"]), "value": part(r["value"]),
                        "sourcePartition": r["sourcePartition"], "sourceOffset": masked(r["sourceOffset"])})
    return out


def connector(path):
    out = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            if "=" in line:
                k, v = line.rstrip("\n").split("=", 1)
                if not k.startswith(("offset.", "schema.history.")):
                    out[k] = {"database.port": "${DB_PORT}", "database.password": "${DB_PASSWORD}"}.get(k, v)
    return out


mode, run, fixture = sys.argv[1:4]
differences = 0
names = sorted(n[:-6] for n in os.listdir(run) if n.endswith(".jsonl"))
for name in names:
    got = [json.dumps(r, ensure_ascii=False, separators=(",", ":")) for r in records(f"{run}/{name}.jsonl")]
    target = f"{fixture}/{name}/records.jsonl"
    if mode == "record":
        os.makedirs(f"{fixture}/{name}", exist_ok=True)
        with open(target, "w", encoding="utf-8") as f:
            f.write("\n".join(got) + "\n")
        with open(f"{fixture}/{name}/connector.json", "w", encoding="utf-8") as f:
            json.dump(connector(f"{run}/{name}.properties"), f, indent=1, sort_keys=True)
            f.write("\n")
        continue
    if not os.path.exists(target):
        print(f"{name}: not recorded")
        differences += 1
        continue
    with open(f"{fixture}/{name}/connector.json", encoding="utf-8") as f:
        if json.load(f) != connector(f"{run}/{name}.properties"):
            print(f"{name}: recorded with other options")
            differences += 1
            continue
    with open(target, encoding="utf-8") as f:
        want = f.read().splitlines()
    for i in range(max(len(got), len(want))):
        g, w = (got[i] if i < len(got) else "nothing"), (want[i] if i < len(want) else "nothing")
        if g != w:
            at = next((k for k in range(min(len(g), len(w))) if g[k] != w[k]), min(len(g), len(w)))
            print(f"{name}, record {i + 1}, at {at}:\n  got  {g[max(0, at - 80):at + 160]}\n  want {w[max(0, at - 80):at + 160]}")
            differences += 1
            break
for name in sorted(os.listdir(fixture)):
    if os.path.isdir(f"{fixture}/{name}") and name not in names:
        print(f"{name}: recorded, and not run")
        differences += 1
if mode == "record":
    with open(f"{fixture}/schemas.json", "w", encoding="utf-8") as f:
        f.write("{\n" + ",\n".join(f'"{k}":' + json.dumps(schemas[k], ensure_ascii=False, separators=(",", ":")) for k in sorted(schemas)) + "\n}\n")
print(f"{len(names)} variants, {differences} of them differ")
sys.exit(1 if differences or not names else 0)

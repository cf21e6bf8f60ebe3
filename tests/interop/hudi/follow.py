"""Spark with Hudi reads a table whose partitions are made of a time, and writes to it.

    follow.py VERSION TABLE EXPECTED OUT.json

The checker writes with the options that hoodie.properties does not hold at their
defaults, and Hudi's writers take none of hoodie.keygen.timebased from there: each
job brings them along. They are given here, as such a job would. TABLE is changed. Every
mismatch is a line that begins with FAIL, and exit code 1; the rows as they are in the
end go to OUT.json, as the checker writes them.

The partition column itself is left out: Spark shows the text of the path in its place.
"""
import json, os, sys

sys.path.insert(0, os.environ["HUDI_CHECK"])
from common import META, read_jsonl, spark, spark_rows  # noqa: E402
from hudi_check import data_instants, load_props, num  # noqa: E402

version, table, expected, out = sys.argv[1:5]
props = load_props(os.path.join(table, ".hoodie", "hoodie.properties"))
made = props["hoodie.table.partition.fields"].split(":")[0]
failed = False


def check(ok, what, told=""):
    global failed
    failed |= not ok
    print("ok  " if ok else "FAIL", f"spark {version}: {what}: {told}")


S = spark(version, mem="1g")
base = {
    "hoodie.table.name": props["hoodie.table.name"],
    "hoodie.datasource.write.recordkey.field": props["hoodie.table.recordkey.fields"],
    "hoodie.datasource.write.partitionpath.field": made,
    "hoodie.datasource.write.precombine.field": props["hoodie.table.precombine.field"],
    "hoodie.datasource.write.keygenerator.class": "org.apache.hudi.keygen.TimestampBasedKeyGenerator",
    "hoodie.datasource.write.payload.class": props["hoodie.compaction.payload.class"],
    "hoodie.datasource.write.hive_style_partitioning": props["hoodie.datasource.write.hive_style_partitioning"],
    "hoodie.index.type": "BLOOM", "hoodie.metadata.enable": "false", "hoodie.clean.automatic": "false",
    "hoodie.embed.timeline.server": "false", "hoodie.upsert.shuffle.parallelism": "2",
    "hoodie.bloom.index.filter.type": "DYNAMIC_V0", "hoodie.parquet.small.file.limit": "0",
}
base.update({k: v for k, v in props.items() if k.startswith("hoodie.keygen.timebased.")})
if not version.startswith("0."):
    base.update({"hoodie.write.table.version": "6", "hoodie.write.auto.upgrade": "false", "hoodie.write.concurrency.mode": "SINGLE_WRITER"})


# Hudi 0.15.0 reads no table of its own either that is partitioned by a time in a column
# of numbers, except without its file index.
reads = {"hoodie.metadata.enable": "false"}
if version.startswith("0.") and props["hoodie.keygen.timebased.timestamp.type"] != "DATE_STRING":
    reads["hoodie.file.index.enable"] = "false"


def frame(**options):
    return S.read.format("hudi").options(**reads, **options).load(table)


def rows(**options):
    return spark_rows(frame(**options).drop(made))


def plain(list_of_rows):
    return sorted(json.dumps({k: num(v) for k, v in r.items() if k not in META}, sort_keys=True) for r in list_of_rows)


def keyed(list_of_rows):
    return {r["_hoodie_record_key"]: r for r in list_of_rows}


def stored(keys):
    """The rows as their base files hold them, the time included."""
    at = frame().where(f"_hoodie_record_key in ({', '.join(map(repr, keys))})").select("_hoodie_partition_path", "_hoodie_file_name").distinct().collect()
    d = S.read.parquet(*(os.path.join(table, r[0], r[1]) for r in at)).where(f"_hoodie_record_key in ({', '.join(map(repr, keys))})").drop(*META)
    return S.createDataFrame(d.collect(), d.schema).coalesce(1)


def save(d, op="upsert", **more):
    d.write.format("hudi").options(**{**base, **more, "hoodie.datasource.write.operation": op}).mode("append").save(table)


for name in sorted(os.listdir(expected)):
    instant = name.removesuffix(".jsonl")
    got, want = plain(rows(**{"as.of.instant": instant})), plain(read_jsonl(os.path.join(expected, name)))
    check(got == want, f"as of {instant}", f"{len(got)} rows, {len(want)} expected")

before = keyed(rows())
keys = sorted(before)
pick = keys[:: max(1, len(keys) // 7)][:7]
save(stored(pick))
now = rows()
new = data_instants(table)[-1]
check(len(now) == len(before) and all(keyed(now)[k]["_hoodie_commit_time"] == new for k in pick), "upsert of 7 existing keys", f"{len(before)} -> {len(now)} rows")
same = all({**before[k], "_hoodie_file_name": ""} == {**keyed(now)[k], "_hoodie_file_name": ""} for k in keys if k not in pick)
check(same, "untouched rows")
check(plain(now) == plain(before.values()), "rows that were written again")

from pyspark.sql import functions as F  # noqa: E402

save(stored(pick[:1]).withColumn("id", F.lit(2000000001).cast("bigint")))
check(len(rows()) == len(before) + 1, "upsert of a new key")
save(stored(pick[:3]), "delete")
now = rows()
check(len(now) == len(before) - 2 and not set(pick[:3]) & set(keyed(now)), "delete of 3 keys", f"{len(now)} rows")
save(stored(pick[3:5]), **{"hoodie.clean.automatic": "true", "hoodie.clean.commits.retained": "1", "hoodie.keep.min.commits": "2", "hoodie.keep.max.commits": "3"})
check(plain(rows()) == plain(now), "an upsert that cleans and archives")
json.dump({"reads": {"copy": rows()}}, open(out, "w"))
S.stop()
sys.exit(failed)

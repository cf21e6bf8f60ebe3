"""record_hudi.py VERSION TABLEVERSION OUT [scenario...]

Records tables of real Hudi in the form of the golden ones: the folder, the rows
at every instant, and the incremental reads, as the engine that wrote them reads
them. It needs pyspark 3.5.4, the Hudi bundle of VERSION (0.15.0 or 1.1.1) in the
folder HUDI_JARS, and common.py of the project's hudi-check in HUDI_CHECK.
"""
import os, sys, json, shutil, zipfile, datetime as dt, decimal, random, traceback
sys.path.insert(0, os.environ["HUDI_CHECK"])
import common
V, TV, OUT = sys.argv[1], int(sys.argv[2]), sys.argv[3]
only = sys.argv[4:]
S = common.spark(V, cores=2, mem="2g")
from pyspark.sql import types as T
WORK = f"/srv/lake{TV}/hudi-{V}-{TV}"  # it is written into plans: of no real machine
shutil.rmtree(WORK, ignore_errors=True); os.makedirs(WORK)
D = decimal.Decimal
BASE = T.StructType([T.StructField("saleid", T.LongType()), T.StructField("qty", T.IntegerType()), T.StructField("price", T.DecimalType(8,2)),
  T.StructField("saletime", T.TimestampType()), T.StructField("note", T.StringType()), T.StructField("year", T.IntegerType()),
  T.StructField("month", T.StringType()), T.StructField("__source_ts_ms", T.LongType()), T.StructField("_hoodie_is_deleted", T.BooleanType())])
def sale(i, ts, note="n", dele=False, year=None, qty=None):
    return (i, qty if qty is not None else i % 5, D(i*100+ts%100)/100, dt.datetime(2008,1,1+i%27,3,i%60,ts%60,123456), f"{note}{i}", year if year is not None else 2007+i%3, f"{i%2+1:02d}", ts, dele)
def df(rows, schema=BASE): return S.createDataFrame(rows, schema)
P = "org.apache.hudi.common.model."

class Tab:
    def __init__(self, name, note, **opts):
        self.name, self.note = name, note
        self.path = f"{WORK}/{name}"
        self.dir = f"{OUT}/hudi-tables/hudi-{V}/{name}" + ("" if TV == 6 else f"_v{TV}")
        shutil.rmtree(self.dir, ignore_errors=True); os.makedirs(self.dir + "/expected"); os.makedirs(self.dir + "/incremental")
        self.opts = {"hoodie.table.name": name, "hoodie.datasource.write.recordkey.field": "saleid", "hoodie.datasource.write.precombine.field": "__source_ts_ms",
          "hoodie.datasource.write.partitionpath.field": "", "hoodie.datasource.write.keygenerator.class": "org.apache.hudi.keygen.NonpartitionedKeyGenerator",
          "hoodie.metadata.enable": "false", "hoodie.upsert.shuffle.parallelism": "2", "hoodie.insert.shuffle.parallelism": "2", "hoodie.bulkinsert.shuffle.parallelism": "1",
          "hoodie.delete.shuffle.parallelism": "2", "hoodie.embed.timeline.server": "false", "hoodie.index.type": "BLOOM", "hoodie.compact.inline": "false",
          "hoodie.datasource.write.payload.class": P + "OverwriteWithLatestAvroPayload", "hoodie.datasource.write.reconcile.schema": "false"}
        if V != "0.15.0":
            self.opts.update({"hoodie.write.table.version": str(TV), "hoodie.write.auto.upgrade": "false"})
        self.opts.update({k: v for k, v in opts.items()})
        self.steps, self.instants = [], []
    def part(self, fields="year", hive="true"):
        kg = "SimpleKeyGenerator" if "," not in fields else "ComplexKeyGenerator"
        self.opts.update({"hoodie.datasource.write.partitionpath.field": fields, "hoodie.datasource.write.keygenerator.class": "org.apache.hudi.keygen."+kg, "hoodie.datasource.write.hive_style_partitioning": hive})
        return self
    def mor(self): self.opts["hoodie.datasource.write.table.type"] = "MERGE_ON_READ"; return self
    def tl(self):
        d = self.path + "/.hoodie" + ("/timeline" if TV > 6 else "")
        out = {}
        for f in os.listdir(d) if os.path.isdir(d) else []:
            p = f.split(".")
            if len(p) == 2 and p[1] in ("commit", "deltacommit", "replacecommit") and p[0].replace("_","").isdigit(): out[p[0].split("_")[0]] = p[1]
        return sorted(out)
    def rows(self, **o):
        return common.spark_rows(S.read.format("hudi").options(**{k.replace("__","."): v for k, v in o.items()}).load(self.path))
    def did(self, what, before, fails=False):
        new = [i for i in self.tl() if i not in before]
        self.steps.append({"step": what, "instants": new})
        if not new: return
        rows = self.rows()
        common.write_jsonl(f"{self.dir}/expected/{new[-1]}.jsonl", rows)
        if "MERGE" in self.opts.get("hoodie.datasource.write.table.type", ""):
            common.write_jsonl(f"{self.dir}/expected_read_optimized/{new[-1]}.jsonl", common.spark_rows(S.read.format("hudi").option("hoodie.datasource.query.type","read_optimized").load(self.path)))
        for n in new[:-1]:
            r = common.spark_rows(S.read.format("hudi").option("as.of.instant", n).load(self.path))
            common.write_jsonl(f"{self.dir}/expected/{n}.jsonl", r); self.instants.append({"instant": n, "truth_from": "time travel"})
        self.instants.append({"instant": new[-1], "rows": len(rows)})
    def write(self, op, rows, schema=BASE, what=None, fail=False, **extra):
        before = self.tl()
        o = dict(self.opts); o["hoodie.datasource.write.operation"] = op; o.update(extra)
        if fail:
            o.update({"hoodie.precommit.validators": "org.apache.hudi.client.validator.SqlQuerySingleResultPreCommitValidator", "hoodie.precommit.validators.single.value.sql.queries": "select count(*) from <TABLE_NAME>#-77"})
        try:
            (df(rows, schema) if not hasattr(rows, "columns") else rows).write.format("hudi").options(**o).mode("append").save(self.path)
        except Exception as e:
            if not fail: raise
        else:
            if fail: print("  did not fail", self.name)
        self.did(what or op + (" made to fail" if fail else ""), before)
        return self
    def call(self, sql, what=None):
        before = self.tl()
        r = S.sql(sql.replace("PATH", self.path)).collect()
        self.did(what or sql.split("(")[0], before)
        return r
    def end(self):
        tl = self.tl()
        for a in self.instants:
            i = a["instant"]
            a["on_active_timeline"] = i in tl
            want = common.read_jsonl(f"{self.dir}/expected/{i}.jsonl")
            try:
                got = common.spark_rows(S.read.format("hudi").option("as.of.instant", i).load(self.path))
                a["rows_time_travel"] = len(got)
                if "truth_from" not in a:
                    a["time_travel_equals_truth"] = json.loads(json.dumps(got)) == want
            except Exception as e:
                a["time_travel_error"] = str(e).split("\n")[0][:200]
        inc = []
        pairs = [("000", tl[0])] + list(zip(tl, tl[1:])) + [("000", tl[-1]), (tl[0], tl[-1])]
        for f, t in dict.fromkeys(pairs):
            if f == t: continue
            try:
                o = {"hoodie.datasource.query.type": "incremental", "hoodie.datasource.read.begin.instanttime": f, "hoodie.datasource.read.end.instanttime": t}
                if TV > 6: o["hoodie.read.timeline.holes.resolution.policy"] = "BLOCK"
                rows = common.spark_rows(S.read.format("hudi").options(**o).load(self.path))
                common.write_jsonl(f"{self.dir}/incremental/{f}_{t}.jsonl", rows); inc.append({"from_exclusive": f, "to_inclusive": t, "rows": len(rows)})
            except Exception as e:
                inc.append({"from_exclusive": f, "to_inclusive": t, "error": str(e).split("\n")[0][:200]})
        z = zipfile.ZipFile(self.dir + "/table.zip", "w", zipfile.ZIP_DEFLATED)
        for d, _, fs in os.walk(self.path):
            for f in fs:
                if f.endswith(".crc"): continue
                p = os.path.join(d, f); z.write(p, os.path.relpath(p, self.path))
        z.close()
        props = dict(l.rstrip("\n").split("=", 1) for l in open(self.path + "/.hoodie/hoodie.properties") if "=" in l and l[0] != "#")
        json.dump({"table": self.name, "writer": f"Apache Hudi {V}", "table_version": TV, "note": self.note, "steps": self.steps, "instants": self.instants, "incremental": inc, "pending": [], "write_config": self.opts, "hoodie.properties": props}, open(self.dir + "/about.json", "w"), indent=1)

def R(ids, ts, **k): return [sale(i, ts, **k) for i in ids]
SC = {}
def scenario(f): SC[f.__name__] = f; return f

@scenario
def zstd():
    t = Tab("zstd", "zstd, bulk_insert row writer, SIMPLE index, delete_partition", **{"hoodie.parquet.compression.codec": "zstd", "hoodie.index.type": "SIMPLE"}).part()
    t.write("bulk_insert", R(range(1, 61), 100)); t.write("upsert", R(range(5, 25), 200, note="u")); t.write("bulk_insert", R(range(61, 80), 300))
    t.write("delete_partition", R([1], 400), **{"hoodie.datasource.write.partitions.to.delete": "year=2008"}); t.write("upsert", R(range(1, 10), 500, note="v")); t.end()
@scenario
def restore():
    t = Tab("restore", "savepoint and restore")
    t.write("insert", R(range(1, 41), 100)); t.write("upsert", R(range(5, 20), 200, note="u")); sp = t.tl()[-1]
    t.call(f"call create_savepoint(path => 'PATH', commit_time => '{sp}')")
    t.write("upsert", R(range(30, 60), 300, note="w")); t.write("delete", R(range(1, 4), 400))
    t.call(f"call rollback_to_savepoint(path => 'PATH', instant_time => '{sp}')") if V == "0.15.0" else t.call(f"call rollback_to_savepoint(path => 'PATH', instant_time => '{sp}')")
    t.write("upsert", R(range(50, 55), 500, note="x")); t.write("upsert", R(range(8, 12), 600, note="y")); t.end()
def mor_event(name, payload):
    t = Tab(name, "merge-on-read, " + payload, **{"hoodie.datasource.write.payload.class": P + payload}).part().mor()
    t.write("upsert", R(range(1, 41), 1000))
    t.write("upsert", R(range(1, 11), 2000, note="u"))
    t.write("upsert", R(range(1, 6), 1500, note="late") + R(range(20, 24), 500, note="older") + R(range(11, 14), 1000, note="tie"))
    t.write("upsert", R(range(6, 8), 1800, dele=True, note="d") + R(range(8, 10), 3000, dele=True, note="d") + R(range(25, 27), 10, dele=True, note="d") + R(range(90, 93), 3000))
    t.write("delete", R(range(30, 33), 10))
    t.write("upsert", R(range(8, 10), 2500, note="back") + R(range(30, 32), 5, note="back"))
    t.write("upsert", R(range(8, 9), 4000, note="back2") + R(range(12, 13), 2000, note="t"))
    t.call("call run_compaction(op => 'schedule', path => 'PATH')")
    t.write("upsert", R(range(14, 18), 5000, note="after") + R(range(200, 203), 5000))
    t.write("upsert", R(range(14, 15), 4500, note="lateafter"))
    return t
@scenario
def mor_overwrite_pending(): mor_event("mor_overwrite_pending", "OverwriteWithLatestAvroPayload").end()
@scenario
def mor_event_pending(): mor_event("mor_event_pending", "DefaultHoodieRecordPayload").end()
@scenario
def mor_event_compacted():
    t = mor_event("mor_event_compacted", "DefaultHoodieRecordPayload")
    t.call("call run_compaction(op => 'run', path => 'PATH')")
    t.write("upsert", R(range(14, 18), 6000, note="more")); t.write("delete", R(range(1, 3), 7000)); t.end()
@scenario
def mor_rollback():
    t = Tab("mor_rollback", "merge-on-read, failed writes rolled back").part().mor()
    t.write("insert", R(range(1, 31), 100)); t.write("upsert", R(range(1, 11), 200, note="u")); t.write("upsert", R(range(5, 40), 300, note="bad"), fail=True)
    t.write("upsert", R(range(8, 14), 400, note="w")); t.write("upsert", R(range(1, 20), 450, note="bad2"), fail=True); t.end()
@scenario
def cow_failed():
    t = Tab("cow_failed", "failed write rolled back, one left pending").part("year,month", "false")
    t.write("insert", R(range(1, 31), 100)); t.write("upsert", R(range(5, 40), 300, note="bad"), fail=True)
    t.write("upsert", R(range(8, 14), 400, note="w")); t.write("upsert", R(range(1, 20), 450, note="bad2"), fail=True); t.end()
NEST = T.StructType([T.StructField("saleid", T.LongType(), False), T.StructField("b", T.BooleanType()), T.StructField("sh", T.ShortType()), T.StructField("i", T.IntegerType()), T.StructField("f", T.FloatType()), T.StructField("d", T.DoubleType()),
  T.StructField("dec5", T.DecimalType(5,2)), T.StructField("dec15", T.DecimalType(15,4)), T.StructField("dec30", T.DecimalType(30,10)), T.StructField("day", T.DateType()), T.StructField("at", T.TimestampType()),
  T.StructField("bin", T.BinaryType()), T.StructField("arr", T.ArrayType(T.IntegerType(), False)), T.StructField("arrs", T.ArrayType(T.StructType([T.StructField("x", T.IntegerType()), T.StructField("y", T.StringType())]), False)),
  T.StructField("m", T.MapType(T.StringType(), T.DoubleType())), T.StructField("mm", T.MapType(T.StringType(), T.ArrayType(T.StringType(), False))), T.StructField("st", T.StructType([T.StructField("a", T.IntegerType()), T.StructField("t", T.TimestampType()), T.StructField("q", T.DecimalType(9,3)), T.StructField("in", T.StructType([T.StructField("z", T.DateType())]))])),
  T.StructField("aa", T.ArrayType(T.ArrayType(T.LongType(), False), False)), T.StructField("__source_ts_ms", T.LongType())])
def nest(i, ts):
    if i % 7 == 0: return (i,) + (None,) * 17 + (ts,)
    return (i, i % 2 == 0, i, i * 3, i / 3, -i / 7, D(i) / 100, D(-i * 12345) / 10000, D(10)**18 + D(i) / 10, dt.date(1969, 12, 1) + dt.timedelta(days=i * 11), dt.datetime(1969, 12, 31, 23, 59, 59, i) + dt.timedelta(days=i * 400, microseconds=i * 7),
      bytes([i % 256, 0, 255]), [1] * (i % 4), [(i, "é" * i), (None, None)] if i % 3 else [], {f"k{j}": j / i for j in range(i % 3)}, {"a": ["x"] * (i % 2)}, (i, dt.datetime(2020, 1, 1, 0, 0, i % 60, i), D(i) / 8 if i % 8 == 0 else None, (dt.date(2000, 1, 1),)) if i % 5 else None, [[j] * j for j in range(i % 3)], ts)
@scenario
def mor_types():
    t = Tab("mor_types", "every type in avro log blocks").mor()
    t.write("insert", [nest(i, 100) for i in range(1, 22)], NEST); t.write("upsert", [nest(i + 0, 200) for i in range(3, 16)], NEST); t.end()
@scenario
def mor_parquet():
    t = Tab("mor_parquet", "every type in parquet log blocks", **{"hoodie.logfile.data.block.format": "parquet"}).mor()
    t.write("insert", [nest(i, 100) for i in range(1, 22)], NEST); t.write("upsert", [nest(i + 0, 200) for i in range(3, 16)], NEST); t.end()
@scenario
def types_bulk():
    t = Tab("types_bulk", "row writer: every type, 3-level lists, int decimals")
    S.conf.set("spark.sql.parquet.enableVectorizedReader", "false")
    S.conf.set("spark.sql.parquet.enableVectorizedReader", "false")  # it fails over short columns
    t.write("bulk_insert", [nest(i, 100) for i in range(1, 22)], NEST); t.write("bulk_insert", [nest(i, 200) for i in range(30, 36)], NEST); t.end()
    S.conf.set("spark.sql.parquet.enableVectorizedReader", "true")
    S.conf.set("spark.sql.parquet.enableVectorizedReader", "true")
@scenario
def mor_bucket():
    t = Tab("mor_bucket", "bucket index: file groups of logs alone", **{"hoodie.index.type": "BUCKET", "hoodie.bucket.index.num.buckets": "2"}).part().mor()
    t.write("upsert", R(range(1, 31), 100)); t.write("upsert", R(range(5, 40), 200, note="u")); t.write("delete", R(range(1, 4), 300)); t.write("upsert", R(range(2, 6), 400, note="w"))
    t.call("call run_compaction(op => 'scheduleandexecute', path => 'PATH')"); t.write("upsert", R(range(1, 9), 500, note="x")); t.end()
@scenario
def mor_replace():
    t = Tab("mor_replace", "merge-on-read: insert_overwrite, delete_partition, clustering", **{"hoodie.parquet.small.file.limit": "0"}).part().mor()
    t.write("insert", R(range(1, 31), 100)); t.write("upsert", R(range(5, 12), 200, note="u")); t.write("insert", R(range(31, 50), 250)); t.write("insert_overwrite", R([3, 6, 9, 300], 300, note="io"))
    t.write("upsert", R(range(1, 9), 350, note="y")); t.write("upsert", R(range(2, 4), 400, note="c"), **{"hoodie.clustering.inline": "true", "hoodie.clustering.inline.max.commits": "1", "hoodie.clustering.plan.strategy.small.file.limit": "100000000"})
    t.write("upsert", R(range(10, 14), 450, note="z")); t.write("delete_partition", R([1], 500), **{"hoodie.datasource.write.partitions.to.delete": "year=2009"}); t.write("insert_overwrite_table", R(range(500, 510), 600)); t.write("upsert", R(range(505, 512), 700, note="k")); t.end()
@scenario
def archived():
    t = Tab("archived", "archived, never cleaned", **{"hoodie.clean.automatic": "false", "hoodie.keep.min.commits": "2", "hoodie.keep.max.commits": "3", "hoodie.cleaner.commits.retained": "1", "hoodie.archive.automatic": "true", "hoodie.commits.archival.batch": "3"})
    t.write("insert", R(range(1, 21), 100))
    for n in range(7): t.write("upsert", R(range(n, n + 6), 200 + n, note=f"u{n}"))
    t.end()
@scenario
def archived_evolve():
    t = Tab("archived_evolve", "archived with cleaning and a new column", **{"hoodie.keep.min.commits": "3", "hoodie.keep.max.commits": "4", "hoodie.cleaner.commits.retained": "2"}).part()
    t.write("insert", R(range(1, 21), 100))
    for n in range(3): t.write("upsert", R(range(n, n + 6), 200 + n, note=f"u{n}"))
    s2 = T.StructType(BASE.fields + [T.StructField("extra", T.StringType())])
    for n in range(4): t.write("upsert", [r + (f"e{n}",) for r in R(range(n + 9, n + 30), 300 + n, note=f"v{n}")], s2)
    t.end()
@scenario
def versions():
    t = Tab("versions", "cleaned by file versions", **{"hoodie.cleaner.policy": "KEEP_LATEST_FILE_VERSIONS", "hoodie.cleaner.fileversions.retained": "1"}).part()
    t.write("insert", R(range(1, 21), 100))
    for n in range(4): t.write("upsert", R([3 * n + 1, 3 * n + 4], 200 + n, note=f"u{n}"))
    t.end()
@scenario
def virtual():
    t = Tab("virtual", "no meta columns", **{"hoodie.populate.meta.fields": "false", "hoodie.index.type": "SIMPLE"}).part()
    t.write("insert", R(range(1, 21), 100)); t.write("insert", R(range(30, 41), 100)); t.end()
@scenario
def drop_partition():
    t = Tab("drop_partition", "partition columns are not in the files", **{"hoodie.datasource.write.drop.partition.columns": "true"}).part("year,month")
    t.opts["hoodie.datasource.write.keygenerator.class"] = "org.apache.hudi.keygen.ComplexKeyGenerator"
    t.opts["hoodie.write.complex.keygen.validation.enable"] = "false"
    t.write("upsert", R(range(1, 21), 100)); t.write("upsert", R(range(10, 31), 200, note="u")); t.end()
@scenario
def drop_plain():
    t = Tab("drop_plain", "partition columns are not in the files, plain folders", **{"hoodie.datasource.write.drop.partition.columns": "true"}).part("note", "false")
    t.opts["hoodie.datasource.write.partitionpath.urlencode"] = "true"
    t.write("upsert", [r[:4] + (["a/b", "c=d", "é ü", None][r[0] % 4],) + r[5:] for r in R(range(1, 21), 100)]); t.write("upsert", [r[:4] + (["a/b", "c=d", "é ü", None][r[0] % 4],) + r[5:] for r in R(range(10, 31), 200)]); t.end()
@scenario
def timekey():
    t = Tab("timekey", "TimestampBasedKeyGenerator", **{"hoodie.keygen.timebased.timestamp.type": "EPOCHMILLISECONDS", "hoodie.keygen.timebased.output.dateformat": "yyyy/MM/dd", "hoodie.keygen.timebased.timezone": "UTC"}).part("__source_ts_ms", "false")
    t.opts["hoodie.datasource.write.keygenerator.class"] = "org.apache.hudi.keygen.TimestampBasedKeyGenerator"
    t.write("upsert", [sale(i, 86400000 * (i % 3) + 5) for i in range(1, 21)]); t.write("upsert", [sale(i, 86400000 * (i % 3) + 50, note="u") for i in range(10, 31)]); t.end()
def widen(name, mor):
    t = Tab(name, "types made wider")
    if mor: t.mor()
    F = T.StructField
    def sch(a, b, c, d): return T.StructType([F("saleid", T.LongType()), F("a", a), F("b", b), F("c", c), F("d", d), F("__source_ts_ms", T.LongType())])
    I, L, FL, DB, ST = T.IntegerType(), T.LongType(), T.FloatType(), T.DoubleType(), T.StringType()
    t.write("insert", [(i, i * 3, i * 5, i / 3, i * 10**10) for i in range(1, 21)] and [(i, i * 3, i * 5, i / 3, i * 10**10, 100) for i in range(1, 21)], sch(I, I, FL, L))
    t.write("upsert", [(i, i * 3, i + 0.5, i / 7, float(i) / 3, 200) for i in range(15, 25)], sch(L, FL, DB, FL))
    t.write("upsert", [(i, i * 3.25, i + 0.25, i / 7, float(i) / 3, 300) for i in range(20, 28)], sch(DB, DB, DB, DB))
    t.write("upsert", [(i, "x", "y", "z", "w", 400) for i in range(26, 30)], sch(ST, ST, ST, ST))
    return t
@scenario
def widened(): widen("widened", False).end()
@scenario
def mor_widened(): widen("mor_widened", True).end()
@scenario
def cdc():
    t = Tab("cdc", "change data capture on", **{"hoodie.table.cdc.enabled": "true"}).part()
    t.write("insert", R(range(1, 21), 100)); t.write("upsert", R(range(10, 31), 200, note="u")); t.write("delete", R(range(1, 4), 300)); t.end()
@scenario
def mor_mdt():
    t = Tab("mor_mdt", "merge-on-read with metadata table and record index", **{"hoodie.metadata.enable": "true", "hoodie.metadata.index.column.stats.enable": "true", "hoodie.metadata.record.index.enable": "true"}).part().mor()
    t.write("insert", R(range(1, 21), 100)); t.write("upsert", R(range(10, 31), 200, note="u")); t.write("delete", R(range(1, 4), 300)); t.end()
@scenario
def mor_logcompact():
    t = Tab("mor_logcompact", "log compaction", **{"hoodie.log.compaction.inline": "true", "hoodie.log.compaction.blocks.threshold": "2", "hoodie.compact.inline.max.delta.commits": "30", "hoodie.log.compaction.enable": "true", "hoodie.optimized.log.blocks.scan.enable": "true"}).mor()
    t.write("insert", R(range(1, 21), 100))
    for n in range(5): t.write("upsert", R(range(n, n + 6), 200 + n, note=f"u{n}"))
    t.end()
@scenario
def mor_partial():
    t = Tab("mor_partial", "PartialUpdateAvroPayload", **{"hoodie.datasource.write.payload.class": P + "PartialUpdateAvroPayload"}).mor()
    t.write("insert", R(range(1, 21), 100)); t.write("upsert", [r[:1] + (None,) + r[2:4] + (None,) + r[5:] for r in R(range(5, 16), 200)]); t.write("upsert", [r[:2] + (None,) + r[3:] for r in R(range(10, 26), 150, note="p")]); t.end()
@scenario
def mor_debezium():
    t = Tab("mor_debezium", "PostgresDebeziumAvroPayload", **{"hoodie.datasource.write.payload.class": P + "debezium.PostgresDebeziumAvroPayload", "hoodie.datasource.write.precombine.field": "_event_lsn"}).mor()
    F = T.StructField
    s = T.StructType([F("saleid", T.LongType()), F("note", T.StringType()), F("_change_operation_type", T.StringType()), F("_event_lsn", T.LongType())])
    t.write("upsert", [(i, f"n{i}", "r", 100 + i) for i in range(1, 21)], s); t.write("upsert", [(i, "__debezium_unavailable_value" if i % 2 else f"u{i}", "u", 200 + i) for i in range(5, 12)], s)
    t.write("upsert", [(i, f"d{i}", "d", 300 + i) for i in range(8, 14)] + [(i, "late", "u", 1) for i in range(5, 8)] + [(15, "late", "u", 3)], s); t.end()
@scenario
def clustered():
    t = Tab("clustered", "clustering by a plan, then executed", **{"hoodie.parquet.small.file.limit": "0"}).part()
    t.write("insert", R(range(1, 21), 100)); t.write("insert", R(range(21, 41), 100)); t.write("bulk_insert", R(range(41, 60), 100))
    t.call("call run_clustering(path => 'PATH', op => 'schedule')"); t.write("insert", R(range(61, 70), 200)); t.call("call run_clustering(path => 'PATH', op => 'execute')"); t.write("upsert", R(range(15, 45), 300, note="u")); t.end()
@scenario
def clustering_pending():
    t = Tab("clustering_pending", "a clustering that is planned", **{"hoodie.parquet.small.file.limit": "0"}).part()
    t.write("insert", R(range(1, 21), 100)); t.write("insert", R(range(21, 41), 100)); t.call("call run_clustering(path => 'PATH', op => 'schedule')"); t.write("insert", R(range(61, 70), 200)); t.end()
@scenario
def mor_seconds():
    t = Tab("mor_strings", "ordering by text and by decimal", **{"hoodie.datasource.write.precombine.field": "seq", "hoodie.datasource.write.payload.class": P + "DefaultHoodieRecordPayload"}).mor()
    F = T.StructField
    s = T.StructType([F("saleid", T.LongType()), F("note", T.StringType()), F("seq", T.DecimalType(12, 2))])
    t.write("upsert", [(i, "a", D(i - 10)) for i in range(1, 21)], s); t.write("upsert", [(i, "b", D(i - 11)) for i in range(1, 12)] + [(i, "b", D(i)) for i in range(12, 16)], s); t.write("upsert", [(i, "c", D(-i)) for i in range(1, 21)], s); t.end()
@scenario
def schema_on_read():
    t = Tab("schema_on_read", "columns renamed, dropped and retyped by ALTER TABLE")
    S.sql("set hoodie.schema.on.read.enable=true")
    before = t.tl()
    S.sql(f"create table sor_{TV} (saleid bigint, qty int, note string, price float, ts bigint) using hudi location '{t.path}' tblproperties (primaryKey='saleid', preCombineField='ts', 'hoodie.metadata.enable'='false' {chr(44)+chr(39)+'hoodie.write.table.version'+chr(39)+'='+chr(39)+str(TV)+chr(39)+','+chr(39)+'hoodie.write.auto.upgrade'+chr(39)+'='+chr(39)+'false'+chr(39) if V!='0.15.0' else ''})")
    for q in ["insert into sor_T values (1, 2, 'a', 1.5, 10), (2, 3, 'b', 2.5, 10)", "alter table sor_T rename column note to remark", "insert into sor_T values (2, 4, 'c', 3.5, 20), (3, 5, 'd', 4.25, 20)", "alter table sor_T alter column qty type bigint", "insert into sor_T values (4, 40000000000, 'e', 3.5, 30)", "alter table sor_T add columns (extra string)", "alter table sor_T drop column price", "insert into sor_T values (5, 40000000000, 'e', 30, 'more')"]:
        b = t.tl(); S.sql(q.replace("sor_T", f"sor_{TV}")); t.did(q[:60], b)
    S.sql("set hoodie.schema.on.read.enable=false")
    t.end()

@scenario
def later_mor():
    t = Tab("later_mor", "merge-on-read by event time: logs, deletes, compaction", **{"hoodie.datasource.write.payload.class": P + "DefaultHoodieRecordPayload"}).mor()
    t.write("upsert", R(range(1, 21), 1000)); t.write("upsert", R(range(1, 6), 1500, note="u") + R(range(6, 9), 500, note="older"))
    t.write("upsert", R(range(2, 4), 1200, dele=True, note="d") + R(range(8, 10), 3000, dele=True, note="d") + R(range(11, 13), 10, dele=True) + R(range(90, 93), 3000))
    t.write("delete", R(range(15, 17), 10))
    t.call("call run_compaction(op => 'schedule', path => 'PATH')"); t.write("upsert", R(range(8, 10), 2500, note="back") + R(range(15, 16), 5, note="back") + R(range(200, 202), 5000))
    t.call("call run_compaction(op => 'run', path => 'PATH')"); t.write("upsert", R(range(4, 7), 6000, note="more")); t.end()
for n, f in SC.items():
    if only and n not in only: continue
    try:
        t0 = dt.datetime.now(); f(); print(n, "ok", (dt.datetime.now() - t0).seconds, "s", flush=True)
    except Exception as e:
        print(n, "FAILED", str(e)[:600].replace("\n", " | "), flush=True); 
        if os.environ.get("TB"): traceback.print_exc()
S.stop()

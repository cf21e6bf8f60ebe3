"""Reads a Hudi table with hudi-rs and prints what it holds as JSON.

read_hudi.py TABLE INSTANT...

One line for each instant: {"instant": ..., "columns": [...], "rows": [[...], ...]}.
Every value is text, in the form that the Go test gives its own: see interop_test.go.
"""
import datetime
import decimal
import json
import sys

import pyarrow as pa
from hudi import HudiReadOptions, HudiTableBuilder

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MICRO = datetime.timedelta(microseconds=1)


def text(v):
    if v is None:
        return None
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, float):
        return v.hex()
    if isinstance(v, (bytes, bytearray)):
        return bytes(v).hex()
    if isinstance(v, decimal.Decimal):
        return format(v, "f")
    if isinstance(v, datetime.datetime):
        return str((v - EPOCH) // MICRO)
    if isinstance(v, datetime.time):
        return str(((v.hour * 60 + v.minute) * 60 + v.second) * 1_000_000 + v.microsecond)
    if isinstance(v, datetime.date):
        return v.isoformat()
    return str(v)


def main(table, instants):
    hudi = HudiTableBuilder.from_base_uri(table).build()
    for instant in instants:
        batches = hudi.read(HudiReadOptions().with_as_of_timestamp(instant))
        columns, rows = [], []
        if batches:
            t = pa.Table.from_batches(batches)
            columns = t.column_names
            rows = [[text(v) for v in r] for r in zip(*(c.to_pylist() for c in t.columns))]
        print(json.dumps({"instant": instant, "columns": columns, "rows": rows}))


main(sys.argv[1], sys.argv[2:])

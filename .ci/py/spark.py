"""Compares what Spark finds in the export of topic `odd` under OUT with the RECORDS that readers.py made.

usage: spark.py RECORDS OUT
"""

import base64
import json
import sys
from itertools import zip_longest

from pyspark.sql import DataFrame, SparkSession

# Offsets around the end of the first row group.
RANGE = (131_000, 131_200)


def expected_rows(path: str) -> list[tuple]:
    decode = lambda text: None if text is None else base64.b64decode(text, validate=True)
    next_offset: dict[int, int] = {}
    rows = []
    with open(path, encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            partition = record["partition"]
            offset = next_offset.get(partition, 0)
            next_offset[partition] = offset + 1
            headers = [(name, decode(data)) for name, data in record["headers"]]
            rows.append((partition, offset, record["ts_ns"], record["ts_ns"] // 1000, decode(record["key"]), decode(record["value"]), headers))
    return sorted(rows, key=lambda row: row[:2])


def rows_of(frame: DataFrame) -> list[tuple]:
    columns = frame.selectExpr("partition", "_offset", "_ts_ns", "unix_micros(_ts) AS micros", "_key", "_value", "_headers")
    binary = lambda data: None if data is None else bytes(data)
    found = [
        (row[0], row[1], row[2], row[3], binary(row[4]), binary(row[5]), [(header["key"], binary(header["value"])) for header in row[6]])
        for row in columns.collect()
    ]
    return sorted(found, key=lambda row: row[:2])


def compare(what: str, found: list[tuple], expected: list[tuple]) -> None:
    for have, want in zip_longest(found, expected):
        assert have == want, f"{what}\n   found {have}\nexpected {want}"
    print(f"  Spark: {what}: {len(found)} rows, sum of offsets {sum(row[1] for row in found)}: as made")


def main(records: str, out: str) -> None:
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").config("spark.sql.session.timeZone", "UTC")
    spark = builder.config("spark.driver.memory", "2g").getOrCreate()
    log = spark.read.parquet(f"{out}/topic=odd")
    names = {field.name: field.dataType.simpleString() for field in log.schema}
    headers = "array<struct<key:string,value:binary>>"
    assert names == {
        **{"_offset": "bigint", "_ts_ns": "bigint", "_ts": "timestamp", "_key": "binary", "_value": "binary", "_headers": headers},
        **{"_leader_epoch": "int", "_producer_id": "bigint", "partition": "int"},
    }, names
    expected = expected_rows(records)
    compare("all", rows_of(log), expected)
    in_range = log.filter(f"_offset >= {RANGE[0]} AND _offset < {RANGE[1]}")
    compare("a range", rows_of(in_range), [row for row in expected if RANGE[0] <= row[1] < RANGE[1]])
    spark.stop()


main(*sys.argv[1:])

"""Writes Parquet files without offsets as other tools do, and compares what `tidelog import` made of them.

`make LAKE` writes them: by pyarrow (among them INT96 times, dictionaries, several codecs), DuckDB (directories of columns), Polars, pandas.
`check LAKE` reads the records of the topic as `tidelog cat` prints them from the standard input: they must be all rows, in the order of time,
then of the files' paths, then as they stand in the file.
`json LAKE` reads records whose values are whole rows.
"""

import json
import random
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 3000
START = datetime(2024, 1, 1)


def make(lake: Path) -> None:
    random.seed(7)
    # Many equal ones, in no order.
    times = [START + timedelta(milliseconds=random.randrange(ROWS)) for _ in range(ROWS)]
    devices = [f"device {i % 7}" if i % 11 else None for i in range(ROWS)]

    def lines(name: str) -> list[str]:
        return [f"{name} {i} значение" for i in range(ROWS)]

    for directory in ["arrow/day=1", "polars", "pandas"]:
        (lake / directory).mkdir(parents=True)
    for name, options in [
        ("int96", {"use_deprecated_int96_timestamps": True}),
        ("gzip", {"compression": "gzip", "data_page_version": "2.0", "write_statistics": False}),
        ("lz4", {"compression": "lz4", "coerce_timestamps": "ms", "row_group_size": 100}),
        ("sorted", {"compression": "none"}),
    ]:
        table = pa.table({
            "at": pa.array(times, pa.timestamp("us")),
            "device": pa.array(devices).dictionary_encode(),
            "line": pa.array(lines(name), pa.large_string()),
        })
        table = table.sort_by("at") if name == "sorted" else table
        pq.write_table(table, lake / "arrow/day=1" / f"{name}.parquet", **{"row_group_size": 700, **options})
    duckdb.sql(f"""
        COPY (
            SELECT TIMESTAMP '2024-01-01' + INTERVAL (i // 2) MILLISECOND AS at, 'device ' || (i % 3) AS device, 'DuckDB ' || i AS line, i % 4 AS part
            FROM range({ROWS}) t(i)
        ) TO '{lake}/duckdb' (FORMAT parquet, PARTITION_BY (part))
    """)
    polars.DataFrame({"at": times, "device": devices, "line": lines("Polars")}).write_parquet(lake / "polars/x.parquet")
    frame = pandas.DataFrame({"at": pandas.to_datetime(times, utc=True).tz_convert("Europe/Berlin"), "device": devices, "line": lines("pandas")})
    frame.to_parquet(lake / "pandas/x.parquet")


def nanoseconds(time: datetime) -> int:
    time = time.replace(tzinfo=timezone.utc) if time.tzinfo is None else time
    return (time - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1) * 1000


def expected(lake: Path) -> list[tuple[int, str | None, str]]:
    rows = []
    for path in sorted(lake.rglob("*.parquet"), key=lambda path: str(path.relative_to(lake)).encode()):
        # Not `read_table`: columns of directories are not wanted.
        columns = pq.ParquetFile(path).read(columns=["at", "device", "line"]).to_pydict()
        rows += zip(map(nanoseconds, columns["at"]), columns["device"], columns["line"])
    return sorted(rows, key=lambda row: row[0])


def records() -> list[dict]:
    found = [json.loads(line) for line in sys.stdin]
    assert [record["offset"] for record in found] == list(range(len(found)))
    return found


def check(lake: Path, rows_are_json: bool) -> None:
    wanted, found = expected(lake), records()
    assert len(wanted) == len(found) == 7 * ROWS, (len(wanted), len(found))
    for number, (row, record) in enumerate(zip(wanted, found)):
        value = json.loads(record["value"])["line"] if rows_are_json else record["value"]
        assert row == (record["ts_ns"], record["key"], value), f"record {number} is {record}, row {row} was expected"
        if rows_are_json:
            at = datetime.fromisoformat(json.loads(record["value"])["at"])
            assert nanoseconds(at) == row[0], record
    kind = "rows as JSON" if rows_are_json else "rows"
    print(f"  {len(found)} {kind} of pyarrow, DuckDB, Polars and pandas, in the order of time")


command, lake = sys.argv[1], Path(sys.argv[2])
if command == "make":
    make(lake)
elif command == "check":
    check(lake, False)
elif command == "json":
    check(lake, True)
else:
    sys.exit(__doc__)

"""Makes odd records, and compares what six readers find in their export with them: five of Parquet, and deltalake by the Delta log.

`make` prints one JSON object a line: partition, ts_ns, key, value, headers; bytes in base64, null as null.
`check RECORDS OUT` reads the export of topic `odd` under OUT.
`typed LINES OUT` compares the typed columns of topic `quakes` under OUT with what Python's own JSON finds in LINES.
"""

import base64
import json
import os
import sys
from datetime import datetime, timezone
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import duckdb
import fastparquet
import pandas
import polars
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import DeltaTable

# More than a row group of 131,072 rows in the first partition, so that filters have something to leave out. In the third one times are near
# each other, and encoded as differences. In the last one the first pages have no keys and no headers, then more keys than a dictionary takes.
ROWS_PER_PARTITION = [140_000, 1_000, 5_000, 24_000]
NEAR = 2
EDGES = 3
# 2024-01-01T00:00:00.123456789Z
START_NS = 1_704_067_200_123_456_789
# Offsets around the end of the first row group.
RANGE = (131_000, 131_200)


class Row(NamedTuple):
    offset: int
    ts_ns: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


def odd_record(i: int) -> tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]:
    """Timestamp, key, value and headers of the record at offset `i`."""
    plain = b"value %d" % i
    cases = [
        (START_NS + i, b"key %d" % (i % 7), plain, []),
        (START_NS + i, None, plain, []),
        (START_NS + i, b"", plain, []),
        (START_NS - i * 10**9, b"tombstone", None, []),
        (START_NS + i, b"empty value", b"", []),
        (-1 - i, b"before 1970", plain, []),
        (START_NS + i, b"\xff\xfe\x00key", b"\x80\x81\x00" + plain, []),
        (START_NS + i, "ключ".encode(), "значение 値".encode() + plain, [("header", b"one")]),
        (START_NS + i, b"headers", plain, [("twice", b"1"), ("other", b"\xff\x00"), ("twice", b"2"), ("null", None), ("empty", b"")]),
        (START_NS, None, None, [("имя", b"only headers"), ("", b"no name")]),
        (START_NS + i, b"long" * 100, plain * 20, [("long", b"h" * 300)]),
    ]
    return cases[i % len(cases)]


def make() -> None:
    encode = lambda data: None if data is None else base64.b64encode(data).decode()
    for partition, rows in enumerate(ROWS_PER_PARTITION):
        for offset in range(rows):
            ts_ns, key, value, headers = odd_record(offset)
            if partition == EDGES and offset < 14_000:
                key, headers = (None if offset < 5_000 else b"%0160d" % offset), []
            if partition == NEAR:
                ts_ns = START_NS + offset * 1_000_000 + offset * 7919 % 97 * 500_000
            record = {"partition": partition, "ts_ns": ts_ns, "key": encode(key), "value": encode(value)}
            print(json.dumps(record | {"headers": [[name, encode(data)] for name, data in headers]}))


def records(path: str) -> list[list[Row]]:
    """The records as `make` printed them, by partition."""
    decode = lambda text: None if text is None else base64.b64decode(text, validate=True)
    partitions: list[list[Row]] = [[] for _ in ROWS_PER_PARTITION]
    with open(path, encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            rows = partitions[record["partition"]]
            headers = [(name, decode(data)) for name, data in record["headers"]]
            rows.append(Row(len(rows), record["ts_ns"], decode(record["key"]), decode(record["value"]), headers))
    return partitions


def check(records_path: str, out: str) -> None:
    for partition, expected in enumerate(records(records_path)):
        home = Path(out) / "topic=odd" / f"partition={partition}"
        files = sorted(str(path) for path in home.iterdir() if not path.name.startswith("."))
        check_names(files, len(expected))
        for file in files:
            check_schema(file, partition == NEAR)
        headless = [row._replace(headers=[]) for row in expected]
        for name, read, wanted in [
            ("pyarrow", read_pyarrow, expected),
            ("pandas", read_pandas, expected),
            ("DuckDB", read_duckdb, expected),
            ("Polars", read_polars, expected),
            ("fastparquet", read_fastparquet, headless),
        ]:
            whole, in_range = read(files)
            compare(f"{name}, partition {partition}", whole, wanted)
            compare(f"{name}, partition {partition}, range", in_range, wanted[slice(*RANGE)])
            print(
                f"  {name}: partition {partition}: {len(whole)} rows, sum of offsets {sum(row.offset for row in whole)}, {len(in_range)} in the range: as made"
            )
    check_hive(out)
    check_delta(str(Path(out) / "topic=odd"), records(records_path))


def compare(what: str, found: list[Row], expected: list[Row]) -> None:
    for have, want in zip_longest(found, expected):
        assert have == want, f"{what}\n   found {have}\nexpected {want}"


def check_names(files: list[str], rows: int) -> None:
    """The names are the first and last offset, without gap or overlap."""
    next_offset = 0
    for file in files:
        first, last = Path(file).name.removesuffix(".parquet").split("-")
        assert len(first) == len(last) == 20 and int(first) == next_offset, f"{file}: expected to begin at {next_offset}"
        next_offset = int(last) + 1
    assert next_offset == rows, f"the names end at {next_offset}, expected {rows}"


def check_schema(file: str, is_near: bool) -> None:
    parquet = pq.ParquetFile(file)
    schema = parquet.schema_arrow
    headers = pa.struct([pa.field("key", pa.string(), nullable=False), pa.field("value", pa.binary())])
    expected = {
        "_offset": (pa.int64(), False),
        "_ts_ns": (pa.int64(), False),
        "_ts": (pa.timestamp("us", tz="UTC"), False),
        "_key": (pa.binary(), True),
        "_value": (pa.binary(), True),
        "_leader_epoch": (pa.int32(), None),
        "_producer_id": (pa.int64(), True),
    }
    assert schema.names == ["_offset", "_ts_ns", "_ts", "_key", "_value", "_headers", "_leader_epoch", "_producer_id"], schema.names
    for name, (kind, nullable) in expected.items():
        field = schema.field(name)
        assert field.type == kind and nullable in (None, field.nullable), f"{file}: {field}, expected {kind}, nullable {nullable}"
    items = schema.field("_headers").type
    assert pa.types.is_list(items), f"{file}: _headers is {items}"
    found = [(field.name, field.type, field.nullable) for field in items.value_type]
    assert found == [(field.name, field.type, field.nullable) for field in headers], f"{file}: _headers holds {found}"
    assert parquet.metadata.metadata[b"tidelog.schema_version"] == b"1", parquet.metadata.metadata
    for group in map(parquet.metadata.row_group, range(parquet.num_row_groups)):
        columns = {column.path_in_schema: column for column in map(group.column, range(group.num_columns))}
        for name in ["_offset", "_ts_ns"]:
            assert columns[name].statistics.has_min_max, f"{file}: {name} has no statistics"
        for name in ["_ts_ns", "_ts"]:
            # fastparquet 2026.9.0 unpacks deltas of more than 28 bits (0.27 s in ns) to garbage, without a word, or crashes.
            is_delta = "DELTA_BINARY_PACKED" in columns[name].encodings
            assert is_delta == is_near, f"{file}: {name} is delta-encoded: {is_delta}, its times are near each other: {is_near}"


def rows_of(columns: dict[str, list]) -> list[Row]:
    """Rows of plain Python columns; a header is a dict of key and value."""
    pairs = [[(header["key"], header["value"]) for header in headers] for headers in columns["_headers"]]
    return [Row(*row) for row in zip(columns["_offset"], columns["_ts_ns"], columns["_key"], columns["_value"], pairs, strict=True)]


def check_micros(micros: list[int], nanos: list[int]) -> None:
    """`_ts` is `_ts_ns` in whole microseconds."""
    for micro, nano in zip(micros, nanos, strict=True):
        assert micro == nano // 1000, f"_ts is {micro} us where _ts_ns is {nano}"


def read_pyarrow(files: list[str]) -> tuple[list[Row], list[Row]]:
    log = ds.dataset(files)
    whole = log.to_table()
    check_micros(whole["_ts"].cast(pa.int64()).to_pylist(), whole["_ts_ns"].to_pylist())
    in_range = log.to_table(filter=(ds.field("_offset") >= RANGE[0]) & (ds.field("_offset") < RANGE[1]))
    for file in files:
        check_checksums(file)
    return rows_of(whole.to_pydict()), rows_of(in_range.to_pydict())


def check_checksums(file: str) -> None:
    """Each page has a checksum: one bit in the last byte of a column is found."""
    assert pq.read_table(file, partitioning=None, page_checksum_verification=True).num_rows
    group = pq.read_metadata(file).row_group(0)
    whole = Path(file).read_bytes()
    for column in map(group.column, range(group.num_columns)):
        pages = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
        flipped = bytearray(whole)
        flipped[pages + column.total_compressed_size - 1] ^= 1
        try:
            pq.read_table(pa.BufferReader(bytes(flipped)), page_checksum_verification=True)
        except OSError as error:
            assert "CRC" in str(error), f"{file}: {column.path_in_schema}: {error}"
        else:
            raise AssertionError(f"{file}: a flipped bit in {column.path_in_schema} is not found")


def read_pandas(files: list[str]) -> tuple[list[Row], list[Row]]:
    def rows(frame: pandas.DataFrame) -> list[Row]:
        frame = frame.assign(
            _key=frame["_key"].astype(object).where(frame["_key"].notna(), None),
            _value=frame["_value"].astype(object).where(frame["_value"].notna(), None),
        )
        return rows_of({name: frame[name].tolist() for name in ["_offset", "_ts_ns", "_key", "_value", "_headers"]})

    whole = pandas.concat([pandas.read_parquet(file, engine="pyarrow") for file in files])
    check_micros(whole["_ts"].astype("int64").tolist(), whole["_ts_ns"].tolist())
    filters = [("_offset", ">=", RANGE[0]), ("_offset", "<", RANGE[1])]
    return rows(whole), rows(pandas.read_parquet(files, engine="pyarrow", filters=filters))


def read_duckdb(files: list[str]) -> tuple[list[Row], list[Row]]:
    connection = duckdb.connect()
    connection.register("log", connection.read_parquet(files))

    def rows(condition: str) -> list[Row]:
        names = ["_offset", "_ts_ns", "_key", "_value", "_headers"]
        found = connection.execute(f"SELECT {', '.join(names)} FROM log WHERE {condition} ORDER BY _offset").fetchall()
        return rows_of(dict(zip(names, map(list, zip(*found)), strict=True)) if found else {key: [] for key in names})

    times = connection.execute("SELECT epoch_us(_ts), _ts_ns FROM log").fetchall()
    check_micros([micro for micro, _ in times], [nano for _, nano in times])
    return rows("true"), rows(f"_offset >= {RANGE[0]} AND _offset < {RANGE[1]}")


def read_polars(files: list[str]) -> tuple[list[Row], list[Row]]:
    log = polars.scan_parquet(files)
    whole = log.collect()
    check_micros(whole["_ts"].to_physical().to_list(), whole["_ts_ns"].to_list())
    in_range = log.filter((polars.col("_offset") >= RANGE[0]) & (polars.col("_offset") < RANGE[1])).collect()
    return rows_of(whole.to_dict(as_series=False)), rows_of(in_range.to_dict(as_series=False))


def read_fastparquet(files: list[str]) -> tuple[list[Row], list[Row]]:
    """All columns are read, as its user would; headers are left out of the rows, since it gives None for every list of structs."""
    none = lambda column: [None if value is None or value is pandas.NA else value for value in column.tolist()]

    def rows(frame: pandas.DataFrame) -> list[Row]:
        columns = zip(frame["_offset"].tolist(), frame["_ts_ns"].tolist(), none(frame["_key"]), none(frame["_value"]), strict=True)
        return [Row(*row, headers=[]) for row in columns]

    log = fastparquet.ParquetFile(files)
    whole = log.to_pandas()
    check_micros(whole["_ts"].astype("int64").tolist(), whole["_ts_ns"].tolist())
    filters = [("_offset", ">=", RANGE[0]), ("_offset", "<", RANGE[1])]
    # Its filters choose row groups; its row_filter unpacks the wrong values, whoever wrote the file.
    in_groups = log.to_pandas(filters=filters)
    return rows(whole), rows(in_groups[(in_groups["_offset"] >= RANGE[0]) & (in_groups["_offset"] < RANGE[1])])


def check_hive(out: str) -> None:
    """Topic and partition come from the path."""
    sql = "SELECT topic, partition, count(*), sum(_offset) FROM read_parquet(?, hive_partitioning = true) GROUP BY ALL ORDER BY partition"
    found = duckdb.execute(sql, [f"{out}/topic=*/partition=*/*.parquet"]).fetchall()
    expected = [("odd", partition, rows, rows * (rows - 1) // 2) for partition, rows in enumerate(ROWS_PER_PARTITION)]
    assert found == expected, f"found {found}, expected {expected}"
    print("  DuckDB: topic and partition from the path")


def check_delta(table: str, expected: list[list[Row]]) -> None:
    """The Delta log names all files, a range of them is what it is in the files, and its transactions are the next offsets."""
    delta = DeltaTable(table)
    columns = [(field.name, str(field.type)) for field in delta.schema().fields]
    assert columns[0] == ("_offset", 'PrimitiveType("long")') and columns[-1] == ("partition", 'PrimitiveType("integer")'), columns
    for partition, wanted in enumerate(expected):
        found = delta.to_pyarrow_table(filters=[("partition", "=", partition)]).sort_by("_offset")
        compare(f"deltalake, partition {partition}", rows_of(found.to_pydict()), wanted)
        in_range = (ds.field("partition") == partition) & (ds.field("_offset") >= RANGE[0]) & (ds.field("_offset") < RANGE[1])
        found = delta.to_pyarrow_dataset().to_table(filter=in_range).sort_by("_offset")
        compare(f"deltalake, partition {partition}, range", rows_of(found.to_pydict()), wanted[slice(*RANGE)])
        assert delta.transaction_version(f"tidelog:odd/{partition}") == len(wanted)
    # Polars' own reader takes the `topic=` of the table's path for a column that the table should have.
    scanned = polars.scan_delta(table, use_pyarrow=True).group_by("partition").agg(polars.len(), polars.col("_offset").sum()).sort("partition").collect()
    sums = [(partition, len(rows), sum(row.offset for row in rows)) for partition, rows in enumerate(expected)]
    assert scanned.rows() == sums, f"Polars by the Delta log: {scanned.rows()}, expected {sums}"
    print(f"  deltalake, Polars: version {delta.version()} of the table, {len(delta.file_uris())} files: as made")


def check_typed(lines: str, out: str) -> None:
    """Each typed column has what the JSON value has, in every reader, by the Delta log too."""
    with open(lines, encoding="utf-8") as file:
        expected = [json.loads(line) for line in file]
    names = list(expected[0])
    instant = lambda text: datetime.fromisoformat(text.replace("Z", "+00:00"))
    wanted = {name: [instant(row[name]) if name == "time" else row[name] for row in expected] for name in names}
    wanted["mag"] = [float(value) for value in wanted["mag"]]
    files = sorted(str(path) for path in (Path(out) / "topic=quakes/partition=0").glob("*.parquet"))
    # fastparquet gives times without their zone.
    utc = lambda column: [value.astimezone(timezone.utc) if value.tzinfo else value.replace(tzinfo=timezone.utc) for value in column]
    for reader, read in [
        ("pyarrow", lambda: ds.dataset(files).to_table(columns=names).to_pydict()),
        ("pandas", lambda: pandas.concat([pandas.read_parquet(file, columns=names) for file in files]).to_dict("list")),
        ("DuckDB", lambda: duckdb.read_parquet(files).order("_offset").select(*names).to_arrow_table().to_pydict()),
        ("Polars", lambda: polars.read_parquet(files, columns=names).to_dict(as_series=False)),
        ("fastparquet", lambda: fastparquet.ParquetFile(files).to_pandas(columns=names).to_dict("list")),
        ("deltalake", lambda: DeltaTable(f"{out}/topic=quakes").to_pyarrow_table().sort_by("_offset").select(names).to_pydict()),
    ]:
        found = read()
        for name in names:
            column = utc(found[name]) if name == "time" else found[name]
            for number, (have, want) in enumerate(zip_longest(column, wanted[name])):
                assert have == want, f"{reader}: row {number}: {name} is {have!r}, expected {want!r}"
        print(f"  {reader}: {len(expected)} rows of {len(names)} typed columns: as in their JSON")
    strong = [offset for offset, row in enumerate(expected) if row["mag"] > 4.5]
    table = f"{out}/topic=quakes"
    for reader, found in [
        ("pyarrow", ds.dataset(files).to_table(filter=ds.field("mag") > 4.5)["_offset"].to_pylist()),
        ("DuckDB", [offset for (offset,) in duckdb.sql(f"SELECT _offset FROM read_parquet({files}) WHERE mag > 4.5 ORDER BY _offset").fetchall()]),
        ("Polars", polars.scan_parquet(files).filter(polars.col("mag") > 4.5).collect()["_offset"].to_list()),
        ("deltalake", DeltaTable(table).to_pyarrow_table(filters=[("mag", ">", 4.5)])["_offset"].to_pylist()),
    ]:
        assert sorted(found) == strong, f"{reader}: mag > 4.5 in {len(found)} rows, expected {len(strong)}"
    print(f"  {len(strong)} rows by a filter on a typed column, by the Delta log too")


match sys.argv[1:]:
    case ["make"]:
        make()
    case ["check", records_path, out]:
        check(records_path, out)
    case ["typed", lines, out]:
        check_typed(lines, out)
    case _:
        sys.exit(__doc__)
sys.stdout.flush()
# Threads that deltalake leaves behind may abort the interpreter as it ends, after everything was compared.
os._exit(0)

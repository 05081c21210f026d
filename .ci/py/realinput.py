"""Compares a Parquet export with the NDJSON that was imported, through DuckDB and pyarrow. What is expected is computed from the source file alone."""

import argparse
import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow.compute as pc
import pyarrow.dataset as ds

NS_PER_UNIT = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def main() -> None:
    arguments = parse_arguments()
    expected = Expected(arguments)
    files = sorted(str(path) for path in Path(arguments.out).rglob("*.parquet"))
    assert files, f"no Parquet files under {arguments.out}"
    for name, reader in [("DuckDB", duckdb_facts), ("pyarrow", pyarrow_facts)]:
        found = reader(files, expected.range)
        wrong = {fact: (found.get(fact), want) for fact, want in expected.facts.items() if found.get(fact) != want}
        assert not wrong, f"{name}, (found, expected): {wrong}"
        print(f"  {name}: {', '.join(f'{fact} {value}' for fact, value in found.items() if 'sha256' not in fact)}, values identical")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("out")
    parser.add_argument("--key", required=True)
    parser.add_argument("--timestamp", required=True)
    parser.add_argument("--timestamp-unit", choices=NS_PER_UNIT)
    return parser.parse_args()


class Expected:
    """The facts of the source: offsets are line numbers from 0."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        key_path, time_path = (path.removeprefix(".").split(".") for path in (arguments.key, arguments.timestamp))
        rows = null_keys = key_bytes = 0
        times = []
        values, lines = hashlib.sha256(), []
        with open(arguments.source, "rb") as source:
            for line in source:
                value = line.removesuffix(b"\n")
                fields = json.loads(value)
                key = at(fields, key_path)
                null_keys += key is None
                key_bytes += 0 if key is None else len(key_text(key))
                times.append(nanos(at(fields, time_path), arguments.timestamp_unit))
                values.update(value + b"\n")
                lines.append(hashlib.sha256(value).digest())
                rows += 1
        self.range = (rows // 3, min(rows // 3 + 1000, rows))
        self.facts = {
            "rows": rows,
            "offset_sum": rows * (rows - 1) // 2,
            "min_ts_ns": min(times),
            "max_ts_ns": max(times),
            "null_keys": null_keys,
            "null_values": 0,
            "key_bytes": key_bytes,
            "headers": 0,
            "in_range": self.range[1] - self.range[0],
            "range_sha256": hashlib.sha256(b"".join(lines[slice(*self.range)])).hexdigest(),
            "values_sha256": values.hexdigest(),
        }


def at(fields: dict, path: list[str]):
    for name in path:
        fields = fields.get(name) if isinstance(fields, dict) else None
    return fields


def key_text(key) -> bytes:
    """A string gives its bytes, anything else its JSON text."""
    return (key if isinstance(key, str) else json.dumps(key, separators=(",", ":"), ensure_ascii=False)).encode()


def nanos(time, unit: str | None) -> int:
    if not isinstance(time, str):
        return time * NS_PER_UNIT[unit]
    whole, fraction, zone = re.fullmatch(r"(.{19})(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", time).groups()
    seconds = int(datetime.fromisoformat(whole + zone.replace("Z", "+00:00")).astimezone(UTC).timestamp())
    return seconds * 10**9 + int((fraction or "").ljust(9, "0"))


def duckdb_facts(files: list[str], offsets: tuple[int, int]) -> dict:
    connection = duckdb.connect()
    connection.execute("SET preserve_insertion_order = true")
    log = connection.read_parquet(files)
    connection.register("log", log)
    names = ["rows", "offset_sum", "min_ts_ns", "max_ts_ns", "null_keys", "null_values", "key_bytes", "headers"]
    row = connection.execute(
        "SELECT count(*), sum(_offset), min(_ts_ns), max(_ts_ns), count(*) - count(_key), count(*) - count(_value),"
        " coalesce(sum(octet_length(_key)), 0), coalesce(sum(len(_headers)), 0) FROM log"
    ).fetchone()
    facts = dict(zip(names, map(int, row), strict=True))
    in_range = connection.execute("SELECT _value FROM log WHERE _offset >= ? AND _offset < ? ORDER BY _offset", offsets).fetchall()
    facts["in_range"] = len(in_range)
    facts["range_sha256"] = hashlib.sha256(b"".join(hashlib.sha256(value).digest() for (value,) in in_range)).hexdigest()
    values, last = hashlib.sha256(), -1
    for batch in connection.sql("SELECT _offset, _value FROM log").to_arrow_reader(4096):
        last = update(values, last, batch["_offset"].to_pylist(), batch["_value"].to_pylist())
    facts["values_sha256"] = values.hexdigest()
    return facts


def pyarrow_facts(files: list[str], offsets: tuple[int, int]) -> dict:
    log = ds.dataset(files)
    narrow = log.to_table(columns=["_offset", "_ts_ns", "_key", "_headers"])
    facts = {
        "rows": narrow.num_rows,
        "offset_sum": pc.sum(narrow["_offset"]).as_py(),
        "min_ts_ns": pc.min(narrow["_ts_ns"]).as_py(),
        "max_ts_ns": pc.max(narrow["_ts_ns"]).as_py(),
        "null_keys": narrow["_key"].null_count,
        "key_bytes": pc.sum(pc.binary_length(narrow["_key"])).as_py() or 0,
        "headers": pc.sum(pc.list_value_length(narrow["_headers"])).as_py() or 0,
    }
    wanted = (pc.field("_offset") >= offsets[0]) & (pc.field("_offset") < offsets[1])
    in_range = log.to_table(columns=["_value"], filter=wanted)["_value"].to_pylist()
    facts["in_range"] = len(in_range)
    facts["range_sha256"] = hashlib.sha256(b"".join(hashlib.sha256(value).digest() for value in in_range)).hexdigest()
    values, last, null_values = hashlib.sha256(), -1, 0
    for batch in log.to_batches(columns=["_offset", "_value"]):
        null_values += batch["_value"].null_count
        last = update(values, last, batch["_offset"].to_pylist(), batch["_value"].to_pylist())
    return facts | {"null_values": null_values, "values_sha256": values.hexdigest()}


def update(values, last: int, offsets: list[int], batch: list[bytes]) -> int:
    """Adds values to the checksum; the file's own order must be that of the offsets, each one more than the one before."""
    for offset, value in zip(offsets, batch, strict=True):
        assert offset == last + 1, f"offset {offset} after {last}"
        values.update(value + b"\n")
        last = offset
    return last


main()

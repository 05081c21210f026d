"""What the export and its files cost, beside pyarrow and in other readers.

`rows N` prints N records as NDJSON.
`range FILE` reads 1,000 rows in the middle of FILE with each reader, traced by strace, and fails if one reads more than 4 MB.
`compare TIDELOG STORE TOPIC WORK ROUNDS` writes the rows by the export and by pyarrow in turn, in the same encodings, on the same processors, and
prints medians as Markdown. The export reads its rows from a log in the page cache and syncs what it writes; pyarrow has them in memory and does not.
"""

import json
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq

GROUP_ROWS = 131_072
PAGE_ROWS = 4096
RANGE_ROWS = 1000
RANGE_BYTES_MAX = 4_000_000
# Each reads `log` where `_offset` is from `first` to before `end`, and prints how many rows it has.
READERS = {
    "pyarrow": """
import pyarrow.dataset as ds
print(ds.dataset(log).to_table(filter=(ds.field("_offset") >= first) & (ds.field("_offset") < end)).num_rows)""",
    "pandas": """
import pandas
print(len(pandas.read_parquet(log, engine="pyarrow", filters=[("_offset", ">=", first), ("_offset", "<", end)])))""",
    "DuckDB": """
import duckdb
print(len(duckdb.execute(f"SELECT * FROM '{log}' WHERE _offset >= {first} AND _offset < {end}").fetchall()))""",
    "Polars": """
import polars
print(polars.scan_parquet(log).filter((polars.col("_offset") >= first) & (polars.col("_offset") < end)).collect().height)""",
}
COLUMNS = ["_offset", "_ts_ns", "_ts", "_key", "_value", "_headers", "_leader_epoch", "_producer_id"]


def rows(count):
    chance = random.Random(1)
    at = 1_700_000_000_000_000
    for number in range(count):
        at += chance.randrange(5_000)
        user, cents, note = chance.randrange(20_000), chance.randrange(100_000), chance.getrandbits(40)
        print(f'{{"user":"user-{user:06d}","at":{at},"item":"sku-{number % 977:04d}","cents":{10_000 + cents},"note":"{note:010x} left at the door"}}')


def read_range(file):
    metadata = pq.read_metadata(file)
    begin = int(metadata.metadata[b"tidelog.first_offset"]) + metadata.num_rows // 2
    limits = f"log, first, end = {file!r}, {begin}, {begin + RANGE_ROWS}"
    print(f"{RANGE_ROWS} rows of {metadata.num_rows}, in {os.path.getsize(file) / 1e6:.1f} MB")
    for reader, program in READERS.items():
        trace = Path(file).with_name(".trace")
        command = ["strace", "-f", "-qq", "-y", "-e", "trace=read,readv,pread64,preadv,preadv2", "-o", str(trace)]
        child = subprocess.run([*command, sys.executable, "-c", limits + program], stdout=subprocess.PIPE, text=True)
        size, calls = bytes_read(trace.read_text(errors="replace"), file)
        trace.unlink()
        found = child.stdout.strip()
        assert (child.returncode, found) == (0, str(RANGE_ROWS)), f"{reader}: exit code {child.returncode}, {found} rows"
        print(f"  {reader}: {size / 1e6:.2f} MB in {calls} reads")
        assert 0 < size <= RANGE_BYTES_MAX, f"{reader} read {size} bytes, expected at most {RANGE_BYTES_MAX}"


def bytes_read(trace, file):
    """Bytes that calls returned of the file. A call that another thread's interrupts is in two lines, the second without its arguments."""
    size = calls = 0
    unfinished = set()
    for line in trace.splitlines():
        process = line.split(" ", 1)[0]
        if f"<{file}>" in line and line.endswith("<unfinished ...>"):
            unfinished.add(process)
        elif f"<{file}>" in line or (" resumed>" in line and process in unfinished):
            unfinished.discard(process)
            size += max(int(re.search(r"= (-?\d+)", line.rsplit(")", 1)[1])[1]), 0)
            calls += 1
    return size, calls


# What the export writes, as pyarrow is told it.
def tuned(compression):
    plain = {"_leader_epoch", "_producer_id", "_key", "_headers.list.element.key"}
    return {
        "version": "2.6",
        "compression": compression,
        "compression_level": 1 if compression == "zstd" else None,
        "row_group_size": GROUP_ROWS,
        "max_rows_per_page": PAGE_ROWS,
        "data_page_size": 64 << 20,
        "use_dictionary": sorted(plain),
        "column_encoding": {"_offset": "DELTA_BINARY_PACKED", "_ts_ns": "DELTA_BINARY_PACKED", "_ts": "DELTA_BINARY_PACKED"},
        "write_statistics": ["_offset", "_ts_ns", "_ts"],
        "write_page_index": True,
        "store_schema": False,
    }


def default(compression):
    return {"compression": compression, "compression_level": 1 if compression == "zstd" else None}


def by_pyarrow(table, path, options):
    before, began = os.times(), time.monotonic()
    pq.write_table(table, path, **options)
    wall, after = time.monotonic() - began, os.times()
    return wall, after.user + after.system - before.user - before.system, os.path.getsize(path)


def by_export(tidelog, store, topic, out, compression):
    shutil.rmtree(out, ignore_errors=True)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [tidelog, "export", store, topic, "--to", out, "--compression", compression, "--json"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, report["bytes"]


def compare(tidelog, store, topic, work, rounds):
    out, path = os.path.join(work, "out"), os.path.join(work, "pyarrow.parquet")
    by_export(tidelog, store, topic, out, "zstd")
    table = pq.read_table(out, columns=COLUMNS, partitioning=None).combine_chunks()
    print(f"{table.num_rows} rows, {table.nbytes >> 20} MiB in memory, {os.cpu_count()} processors, {rounds} rounds in turn, medians\n")
    print("| compression | writer | wall s | CPU s | MB | rows per CPU s, export / this | wall, this / export |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for compression in ("zstd", "none"):
        writers = {
            "export, from the log": lambda: by_export(tidelog, store, topic, out, compression),
            "pyarrow, the same encodings": lambda: by_pyarrow(table, path, tuned(compression)),
            "pyarrow, its defaults": lambda: by_pyarrow(table, path, default(compression)),
        }
        measured = {name: [] for name in writers}
        for _ in range(rounds):
            for name, write in writers.items():
                os.sync()  # what the one before left to the kernel is not this one's
                measured[name].append(write())
        medians = {name: [statistics.median(column) for column in zip(*runs)] for name, runs in measured.items()}
        own_wall, own_cpu, _ = next(iter(medians.values()))
        for name, (wall, cpu, size) in medians.items():
            print(f"| {compression} | {name} | {wall:.2f} | {cpu:.2f} | {size / 1e6:.0f} | {cpu / own_cpu:.2f} | {wall / own_wall:.2f} |")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["rows", count]:
            rows(int(count))
        case ["range", file]:
            read_range(file)
        case ["compare", tidelog, store, topic, work, rounds]:
            compare(tidelog, store, topic, work, int(rounds))
        case _:
            sys.exit(__doc__)

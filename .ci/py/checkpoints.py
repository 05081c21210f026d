"""A Delta log with checkpoints, ours and deltalake's, whose commits are deleted behind them: each reader finds the same rows, and the export goes on.

usage: checkpoints.py TIDELOG APPEND_RECORDS WORK
"""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import polars
from deltalake import DeltaTable

ROWS = [300, 100]
TOPIC = "checked"


def run(*command: object, stdin: str | None = None) -> str:
    return subprocess.run([str(part) for part in command], input=stdin, check=True, text=True, stdout=subprocess.PIPE).stdout


class Export:
    """The export of a topic, a few rows at a time, and what every reader must find."""

    def __init__(self, tidelog: str, append_records: str, work: Path) -> None:
        self.tidelog, self.store, self.out = tidelog, work / "checked-store", work / "checked-out"
        self.table, self.next = self.out / f"topic={TOPIC}", [0, 0]
        encode = lambda text: base64.b64encode(text.encode()).decode()
        lines = [
            json.dumps({"partition": partition, "ts_ns": offset, "key": encode(f"key {offset % 7}"), "value": encode(f"value {offset}"), "headers": []})
            for partition, rows in enumerate(ROWS)
            for offset in range(rows)
        ]
        run(append_records, self.store, TOPIC, stdin="\n".join(lines))

    def grow(self, partition: int, rows: int) -> None:
        """Exports so many rows, as a file and a commit."""
        until = self.next[partition] + rows
        command = [self.tidelog, "export", self.store, TOPIC, "--to", self.out, "--partition", partition, "--until", until, "--json"]
        found = json.loads(run(*command))
        assert found["rows"] == rows and found["partitions"][0]["checkpoint_failures"] == [], found
        self.next[partition] = until

    def log(self, name: str) -> Path:
        return self.table / "_delta_log" / name

    def versions(self, suffix: str) -> list[int]:
        return sorted(int(path.name[:20]) for path in self.log("").iterdir() if path.name.endswith(suffix) and path.name[:20].isdigit())

    def clean_up(self, before: int) -> None:
        for version in self.versions(".json"):
            if version < before:
                self.log(f"{version:020}.json").unlink()

    def check(self, what: str, is_in_order: bool = True) -> None:
        """Every reader of the Delta log finds each row once, and where the export is; and so does the import, if rows were not put out of order."""
        table = DeltaTable(str(self.table))
        expected = [(partition, offset, f"value {offset}".encode()) for partition, rows in enumerate(self.next) for offset in range(rows)]
        rows = lambda columns: sorted(zip(*(columns[name] for name in ("partition", "_offset", "_value")), strict=True))
        found = rows(table.to_pyarrow_table().to_pydict())
        assert found == expected, f"{what}: deltalake found {len(found)} rows, expected {len(expected)}"
        found = rows(polars.scan_delta(str(self.table), use_pyarrow=True).collect().to_dict(as_series=False))
        assert found == expected, f"{what}: Polars found {len(found)} rows, expected {len(expected)}"
        files = [uri.removeprefix("file://") for uri in table.file_uris()]
        found = duckdb.read_parquet(files, hive_partitioning=True).select("partition", "_offset", "_value").fetchall()
        assert sorted(found) == expected, f"{what}: DuckDB found {len(found)} rows in the files that the log names, expected {len(expected)}"
        marks = [table.transaction_version(f"tidelog:{TOPIC}/{partition}") for partition in range(len(ROWS))]
        assert [mark or 0 for mark in marks] == self.next, f"{what}: the watermarks are {marks}, expected {self.next}"
        commits, checkpoints = self.versions(".json"), self.versions(".checkpoint.parquet")
        print(f"  {what}: {len(expected)} rows in version {table.version()}, commits {commits[0]} to {commits[-1]}, checkpoints {checkpoints}")
        if not is_in_order:
            return
        restored = self.out.with_name(f"restored {what}")
        run(self.tidelog, "import", restored, TOPIC, "--from-parquet", self.out)
        for partition, count in enumerate(self.next):
            lines = run(self.tidelog, "cat", restored, TOPIC, "--partition", partition).splitlines() if count else []
            assert len(lines) == count, f"{what}: {len(lines)} records restored of partition {partition}, expected {count}"


def main(tidelog: str, append_records: str, work: str) -> None:
    export = Export(tidelog, append_records, Path(work))
    export.grow(0, 10)
    # As users of a table configure it.
    DeltaTable(str(export.table)).alter.set_table_properties({"delta.checkpointInterval": "5"})
    for _ in range(9):
        export.grow(0, 10)
    export.grow(1, 10)
    ours = export.versions(".checkpoint.parquet")
    assert ours == [5, 10], ours
    export.check("ours")
    export.clean_up(10)
    export.check("ours alone")
    export.grow(0, 10)
    export.grow(1, 10)
    export.check("behind ours")

    table = DeltaTable(str(export.table))
    table.create_checkpoint()
    theirs = table.version()
    assert theirs in export.versions(".checkpoint.parquet"), export.versions(".checkpoint.parquet")
    export.clean_up(theirs)
    export.grow(1, 10)
    export.grow(0, 10)
    export.check("behind deltalake's")

    # What their own clean-up leaves, by its own rules.
    table = DeltaTable(str(export.table))
    table.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 days", "delta.enableExpiredLogCleanup": "true"})
    for commit in export.versions(".json"):
        os.utime(export.log(f"{commit:020}.json"), (commit, commit))
    table = DeltaTable(str(export.table))
    table.create_checkpoint()
    table.cleanup_metadata()
    first = export.versions(".json")[0]
    assert first > theirs, f"cleanup_metadata left commit {first}"
    export.grow(0, 10)
    export.check("cleaned up by deltalake")

    # Our compaction: by the path too, each row is there once.
    files = len(list(export.table.glob("partition=*/*.parquet")))
    run(tidelog, "export", export.store, TOPIC, "--to", export.out, "--compact", "--partition", 0, "--until", export.next[0])
    run(tidelog, "export", export.store, TOPIC, "--to", export.out, "--compact", "--partition", 1, "--until", export.next[1])
    assert files > 10 and len(list(export.table.glob("partition=*/*.parquet"))) == len(ROWS), f"{files} files before"
    export.check("put together")
    by_path = duckdb.read_parquet(f"{export.table}/partition=*/*.parquet", hive_partitioning=True)
    found = by_path.aggregate("count(*), count(DISTINCT (partition, _offset))").fetchall()
    assert found == [(sum(export.next), sum(export.next))], f"by the path: {found}"
    for _ in range(2):
        export.grow(0, 10)
        export.grow(1, 10)

    # Their compaction, and a checkpoint of it by us: files that are named no more, and tombstones.
    table = DeltaTable(str(export.table))
    table.optimize.compact()
    before = set(export.versions(".checkpoint.parquet"))
    while not set(export.versions(".checkpoint.parquet")) - before:
        export.grow(0, 5)
    newest = max(export.versions(".checkpoint.parquet"))
    export.clean_up(newest)
    export.check("over deltalake's compaction", is_in_order=False)
    export.grow(1, 10)
    export.check("behind it", is_in_order=False)


main(*sys.argv[1:])
sys.stdout.flush()
# Threads that deltalake leaves behind may abort the interpreter as it ends, after everything was compared.
os._exit(0)

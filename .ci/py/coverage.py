"""Adds up the lines that tests run of the format and of recovery, from cargo llvm-cov's summary: coverage.py SUMMARY LEAST. Measures nothing."""

import json
import sys

RECOVERY = ["recovery", "plan", "walk", "decision", "files", "checkpoint", "offset_index"]

path, least = sys.argv[1], float(sys.argv[2])
files = json.load(open(path, encoding="utf-8"))["data"][0]["files"]
failed = False
for name, parts in [("format", ["/format/src/"]), ("recovery", [f"/src/log/{part}.rs" for part in RECOVERY])]:
    lines = [file["summary"]["lines"] for file in files if any(part in file["filename"] for part in parts)]
    count, covered = sum(line["count"] for line in lines), sum(line["covered"] for line in lines)
    share = 100 * covered / count
    print(f"{name}: {covered} of {count} lines, {share:.2f} %")
    failed |= share < least
sys.exit(1 if failed else 0)

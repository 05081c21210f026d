"""Counts, in a strace of `tidelog append`, the acks that a sync of the log stands before. Arguments: the program, an empty directory."""

import json
import re
import subprocess
import sys
from pathlib import Path

RECORDS = 25
SYNCS = {"fdatasync", "fsync", "syncfs"}
CALL = re.compile(r"(?P<pid>\d+) +(?:(?P<name>\w+)\((?P<begun>.*)|<\.\.\. (?P<resumed>\w+) resumed>(?P<rest>.*))")
# A file of segments, or the directory as a whole.
OF_THE_LOG = re.compile(r"^\d+<(?P<path>[^>]*)>")


def main(program: str, directory: Path) -> None:
    durable = synced_acks(program, directory / "durable", ["--ack", "durable"])
    written = synced_acks(program, directory / "written", ["--ack", "written", "--sync-policy", "os"])
    print(f"  acks behind a sync of the log that began after their record was read: durable {durable} of {RECORDS}, written {written} of {RECORDS}")
    assert durable == RECORDS, "a durable ack was printed without a sync"
    assert written < RECORDS // 2, "written acks seem synced too: the trace is not told apart"


def synced_acks(program: str, store: Path, options: list[str]) -> int:
    store.mkdir()
    trace = store / "trace"
    command = ["strace", "-f", "-y", "-s", "256", "-e", "trace=read,write,writev,fdatasync,fsync,syncfs", "-o", str(trace)]
    command += [program, "append", str(store / "store"), "traced", "--format", "lines", "--print-acks", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        expect(child, "open")
        for i in range(RECORDS):
            child.stdin.write(record(i) + "\n")
            child.stdin.flush()
            expect(child, "acked", offset=i)
        child.stdin.close()
        expect(child, "closed", next_offset=RECORDS)
    assert child.returncode == 0, f"append ended with {child.returncode}"
    return judge(trace)


def record(i: int) -> str:
    return f"traced record {i}"


def expect(child: subprocess.Popen, event: str, **facts) -> None:
    line = child.stdout.readline()
    found = json.loads(line) if line else {}
    wanted = {"event": event} | facts
    assert wanted.items() <= found.items(), f"append printed {line!r}, expected {wanted}"


def judge(trace: Path) -> int:
    """How many acks a sync stands before that began after the read of the ack's record, and returned 0."""
    begun: dict[str, tuple[bool, bool]] = {}
    read = synced = False
    acks = count = 0
    for line in trace.read_text().splitlines():
        call = CALL.match(line)
        if call is None:
            continue
        name, pid = call["name"] or call["resumed"], call["pid"]
        text = call["begun"] or call["rest"]
        if name in SYNCS:
            if call["name"]:
                begun[pid] = (read, of_the_log(name, text))
            assert "unfinished" in text or text.endswith("= 0"), f"a sync failed: {line}"
            if "unfinished" not in text:
                after_the_read, of_a_segment = begun.pop(pid)
                synced |= after_the_read and of_a_segment and read
        elif name == "read" and record(acks) in text:
            read, synced = True, False
        elif name in {"write", "writev"} and f'"acked\\",\\"offset\\":{acks},' in text.replace(" ", ""):
            assert read, f"offset {acks} was acked before its record was read"
            count += synced
            acks += 1
            read = synced = False
    assert acks == RECORDS, f"{acks} acks in the trace, expected {RECORDS}"
    return count


def of_the_log(name: str, text: str) -> bool:
    opened = OF_THE_LOG.match(text)
    return name == "syncfs" or (opened is not None and opened["path"].endswith(".log"))


main(sys.argv[1], Path(sys.argv[2]))

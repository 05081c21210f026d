"""Fails, or kills the program at, the n-th of each system call that changes the disk, by strace, n = 1, 2, ... until it comes no more.
Arguments: the program, an empty directory. After each run everything acknowledged must be there, and appends go on."""

import itertools
import json
import shutil
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path

RECORDS = 60
VALUE = "x" * 4000
# Small segments, so that rolls, seals and checkpoints come within the records.
APPEND = ["logs", "--print-acks", "--segment-bytes", "64KiB", "--set", "scrub_bytes_per_second=1000000"]
# What the engine calls to change a disk, and the errors that a disk, or the limits of a process, answer with.
CALLS = {
    "openat": ["EMFILE", "EACCES"],
    "pwrite64": ["EIO", "ENOSPC"],
    "fallocate": ["ENOSPC", "EIO"],
    "ftruncate": ["EIO"],
    "mmap": ["ENOMEM"],
    "fdatasync": ["EIO"],
    "fsync": ["EIO"],
    "renameat2": ["EIO"],
    "rename": ["EIO"],
    "mkdir": ["ENOSPC"],
    "unlink": ["EIO"],
    "flock": ["EAGAIN"],
    "getdents64": ["EIO"],
    "pread64": ["EIO"],
    "clone3": ["EAGAIN"],
}
KILLED = -9


def main(program: str, directory: Path) -> None:
    runs = Counter()
    first = ordinals_at_start(program, directory)
    for call, errors in CALLS.items():
        for how in [f"error={error}" for error in errors] + ["signal=SIGKILL"]:
            start = first.get(call, 0) + 1
            for nth in itertools.count(start):
                if not inject(program, directory / "store", call, how, nth):
                    break
                runs[call, how] += 1
    for (call, how), count in sorted(runs.items()):
        print(f"  {call:12} {how:20} {count:5} runs")
    reached = {call for call, _ in runs}
    print(f"  {runs.total()} runs with a system call that failed or was the last one: nothing acknowledged is lost, renumbered or wrong")
    assert reached == CALLS.keys(), f"never injected: {CALLS.keys() - reached}"


def ordinals_at_start(program: str, directory: Path) -> dict[str, int]:
    """How many of each call the loader and the runtime make before the program touches its store: failing those shows nothing."""
    trace = directory / "start"
    run(["strace", "-o", str(trace), program, "append", str(directory / "store"), *APPEND])
    shutil.rmtree(directory / "store")
    counts = Counter()
    for line in trace.read_text().splitlines():
        if "/store" in line and not line.startswith("execve"):
            return counts
        counts[line.split("(")[0]] += 1
    raise AssertionError("the program never came to its store")


def inject(program: str, store: Path, call: str, how: str, nth: int) -> bool:
    """One run from an empty directory, and one on what it left; whether the call came that often in one thread."""
    shutil.rmtree(store, ignore_errors=True)
    trace = store.with_name("trace")
    acked: dict[int, str] = {}
    came = False
    for _ in range(2):
        strace = ["strace", "-f", "-o", str(trace), "-e", f"trace={call}", "-e", f"inject={call}:{how}:when={nth}"]
        code = check(run([*strace, program, "append", str(store), *APPEND]), acked, f"{call} {nth} {how}")
        came |= code == KILLED or "(INJECTED)" in trace.read_text()
    settle(program, store, acked, f"{call} {nth} {how}")
    return came


def run(command: list[str]) -> subprocess.CompletedProcess:
    lines = "".join(f"{number} {VALUE}\n" for number in range(RECORDS))
    return subprocess.run(command, input=lines.encode(), capture_output=True, timeout=120, check=False)


def check(done: subprocess.CompletedProcess, acked: dict[int, str], what: str) -> int:
    """Remembers what was acknowledged; the program may fail, but in no other way than it says it does."""
    said = done.stderr.decode(errors="replace")
    # strace ends as its child did.
    assert done.returncode in {0, 1, 3, KILLED, 137}, f"{what}: exit code {done.returncode}: {said}"
    assert "panicked" not in said and "strace:" not in said, f"{what}: {said}"
    for line in done.stdout.decode().splitlines():
        event = json.loads(line) if line.endswith("}") else {}
        if event.get("event") == "acked":
            assert event["offset"] not in acked, f"{what}: offset {event['offset']} was given out twice"
            acked[event["offset"]] = event["crc32"]
    return KILLED if done.returncode == 137 else done.returncode


def settle(program: str, store: Path, acked: dict[int, str], what: str) -> None:
    """Without faults: everything acknowledged is there, and one more record finds its place behind it."""
    more = subprocess.run([program, "append", str(store), "logs", "--print-acks"], input=b"more\n", capture_output=True, check=False)
    assert more.returncode == 0, f"{what}: then appending fails: {more.stderr.decode()}"
    cat = subprocess.run([program, "cat", str(store), "logs"], capture_output=True, check=False)
    assert cat.returncode == 0, f"{what}: then reading fails: {cat.stderr.decode()}"
    records = [json.loads(line) for line in cat.stdout.decode().splitlines()]
    offsets = [record["offset"] for record in records]
    assert offsets == list(range(len(offsets))), f"{what}: offsets are not dense: {offsets}"
    found = {record["offset"]: f"{zlib.crc32(record['value'].encode()):08x}" for record in records}
    for offset, crc32 in acked.items():
        assert found.get(offset) == crc32, f"{what}: offset {offset} was acknowledged as {crc32} and is {found.get(offset)}"
    assert records[-1]["value"] == "more", f"{what}: the last record is not the last appended"
    verify = subprocess.run([program, "verify", str(store)], capture_output=True, check=False)
    assert verify.returncode == 0, f"{what}: then verify ends with {verify.returncode}: {verify.stderr.decode()}"


main(sys.argv[1], Path(sys.argv[2]))

"""Cuts the power of an ext4 under a program that acknowledges records, and looks whether they are there. Arguments: the program, an empty directory,
the scope of syncs, how many cuts, a seed, options of the mount; with `nobarrier`, where nothing is flushed, records must be missing."""

import errno
import random
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from fuse import FUSE, FuseOSError, Operations

SIZE = 192 << 20
PAGE = 4096
SECONDS = 2.0
# What is kept of what was written after the last flush. Pages are the least that ext4 writes.
MODES = ["nothing", "everything", "some writes", "some pages"]


class Device(Operations):
    """The one file `disk`, and what was done to it since `record` was called."""

    def __init__(self) -> None:
        self.changing = threading.Lock()
        self.bytes = bytearray(SIZE)
        self.base: bytes | None = None
        # ("write", position, bytes), ("flush",) and ("acked", {partition: records}), in order.
        self.events: list[tuple] = []

    def getattr(self, path, fh=None):
        if path == "/":
            return {"st_mode": 0o40755, "st_nlink": 2}
        if path == "/disk":
            return {"st_mode": 0o100644, "st_nlink": 1, "st_size": SIZE}
        raise FuseOSError(errno.ENOENT)

    def readdir(self, path, fh):
        return [".", "..", "disk"]

    def read(self, path, size, offset, fh):
        return bytes(self.bytes[offset : offset + size])

    def write(self, path, data, offset, fh):
        with self.changing:
            self.bytes[offset : offset + len(data)] = data
        self.note(("write", offset, data))
        return len(data)

    def fsync(self, path, datasync, fh):
        self.note(("flush",))
        return 0

    def truncate(self, path, length, fh=None):
        return 0

    def record(self) -> None:
        with self.changing:
            self.base, self.events = bytes(self.bytes), []

    def note(self, event: tuple) -> None:
        with self.changing:
            if self.base is not None:
                self.events.append(event)


def main(program: str, directory: Path, scope: str, cuts: int, seed: int, options: str) -> None:
    chance, device, mounted = random.Random(seed), Device(), directory / "mounted"
    mounted.mkdir()
    with served(device, directory / "served") as disk:
        run("mkfs.ext4", "-q", "-F", disk)
        with loop_device(disk) as loop, mount(mounted, "-o", options, loop):
            run(program, mounted / "store", "3", scope)
            run("sync", "-f", mounted)
            device.record()
            append(device, program, mounted / "store", scope)
            events = list(device.events)
    asked, missing = 0, 0
    for _ in range(cuts):
        before = events[: chance.randrange(1, len(events) + 1)]
        acked = next((event[1] for event in reversed(before) if event[0] == "acked"), {})
        mode = chance.choice(MODES)
        (directory / "image").write_bytes(after_a_cut(device.base, before, mode, chance))
        there, error = records(program, directory / "image", mounted)
        lost = {partition: (there.get(partition, 0), count) for partition, count in acked.items() if there.get(partition, 0) < count}
        assert options == "nobarrier" or not lost, f"after event {len(before)}, {mode} kept: partitions with fewer than acknowledged: {lost} {error}"
        asked += sum(acked.values())
        missing += sum(count - found for found, count in lost.values())
    flushes = sum(event == ("flush",) for event in events)
    print(f"  {scope}, {options}: {cuts} cuts among {len(events)} events, {flushes} of them flushes; {missing} missing of {asked} acknowledged records")
    assert asked > 0, "nothing was acknowledged: this shows nothing"
    assert options != "nobarrier" or missing > 0, "nothing was flushed, and nothing is missing: this sees nothing"


def append(device: Device, program: str, store: Path, scope: str) -> None:
    """Until the time is up. What is acknowledged by when is noted among the events."""
    acked: dict[int, int] = {}
    child = subprocess.Popen([program, store, "1000000", scope], stdout=subprocess.PIPE, text=True)
    ends = time.monotonic() + SECONDS
    for line in child.stdout:
        partition, offset = map(int, line.split())
        acked[partition] = offset + 1
        device.note(("acked", dict(acked)))
        if time.monotonic() > ends:
            break
    child.kill()
    child.wait()


def after_a_cut(base: bytes, events: list[tuple], mode: str, chance: random.Random) -> bytearray:
    """What the medium may hold: everything up to the last flush, and of what was written since, what `mode` says."""
    image = bytearray(base)
    last_flush = max((at for at, event in enumerate(events) if event == ("flush",)), default=-1)
    for at, event in enumerate(events):
        if event[0] != "write":
            continue
        _, position, data = event
        keeps_write = at < last_flush or mode == "everything" or (mode == "some writes" and chance.random() < 0.5)
        for start in range(0, len(data), PAGE):
            if keeps_write or (mode == "some pages" and chance.random() < 0.5):
                image[position + start : position + min(start + PAGE, len(data))] = data[start : start + PAGE]
    return image


def records(program: str, image: Path, mounted: Path) -> tuple[dict[int, int], str]:
    """How many are in each partition, each of them as it was appended; none, and why, where the store, or the file system, does not open."""
    try:
        with mount(mounted, "-o", "loop", image):
            out = subprocess.run([program, mounted / "store", "check"], check=True, capture_output=True, text=True).stdout
            return {int(number): int(count) for number, count in map(str.split, out.splitlines())}, ""
    except subprocess.CalledProcessError as error:
        return {}, error.stderr or str(error)


def run(*command) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def mount(directory: Path, *what):
    run("mount", *what, directory)
    try:
        yield
    finally:
        run("umount", directory)


@contextmanager
def served(device: Device, directory: Path):
    directory.mkdir()
    server = threading.Thread(target=lambda: FUSE(device, str(directory), foreground=True, nothreads=True, big_writes=True), daemon=True)
    server.start()
    while not (directory / "disk").exists():
        assert server.is_alive(), "the file system is not served"
        time.sleep(0.05)
    try:
        yield directory / "disk"
    finally:
        run("umount", directory)
        server.join()


@contextmanager
def loop_device(file: Path):
    found = subprocess.run(["losetup", "--find", "--show", file], check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield found
    finally:
        run("losetup", "--detach", found)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), sys.argv[6])

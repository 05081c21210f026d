"""Two exporters into one bucket, killed at random moments while the log grows: the Delta log names each offset once.

usage: s3.py DIRECTORY ROUNDS SEED, where DIRECTORY holds the program tidelog and is empty otherwise.
"""

import base64
import os
import random
import subprocess
import sys
import threading
import time

import boto3
import botocore.exceptions
import deltalake
import pyarrow.fs
import pyarrow.parquet
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "bucket"
BULK_LINES = 30_000
LOAD_LINES_PER_S = 4_000


class Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        pass


def serve() -> str:
    """Starts the server in this process; returns its address. It answers one request at a time: it looks for an object and puts it in two steps."""
    application, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def one_at_a_time(environ: dict, start_response: object) -> list:
        with lock:
            answer = application(environ, start_response)
            try:
                return list(answer)
            finally:
                getattr(answer, "close", lambda: None)()

    server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def check_conditions(client: object) -> None:
    """A put that asks for nothing to be there is refused where something is, and changes nothing."""
    client.put_object(Bucket=BUCKET, Key="condition", Body=b"first", IfNoneMatch="*")
    try:
        client.put_object(Bucket=BUCKET, Key="condition", Body=b"second", IfNoneMatch="*")
    except botocore.exceptions.ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert status == 412, f"the second put was answered with {status}"
    else:
        raise AssertionError("the server does not honour If-None-Match: it took the second put")
    assert client.get_object(Bucket=BUCKET, Key="condition")["Body"].read() == b"first"
    print("  If-None-Match is honoured: the second put is answered with 412, and changes nothing")


class Load:
    """Lines that are appended until it is told to stop."""

    def __init__(self, program: str, store: str, chance: random.Random) -> None:
        self.lines: list[bytes] = []
        self.chance, self.stopped = chance, threading.Event()
        self.process = subprocess.Popen([program, "append", store, "load"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.thread = threading.Thread(target=self.feed, daemon=True)

    def line(self, least: int) -> bytes:
        padding = base64.b64encode(self.chance.randbytes(least + self.chance.randrange(300)))
        line = b"%d %s" % (len(self.lines), padding)
        self.lines.append(line)
        return line + b"\n"

    def feed(self) -> None:
        stdin = self.process.stdin
        # Enough that nobody can press for a file of several parts.
        for _ in range(BULK_LINES):
            stdin.write(self.line(600))
        while not self.stopped.is_set():
            for _ in range(LOAD_LINES_PER_S // 20):
                stdin.write(self.line(20))
            stdin.flush()
            time.sleep(0.05)
        stdin.close()

    def stop(self) -> None:
        self.stopped.set()
        self.thread.join()
        assert self.process.wait() == 0, "the load failed"


def race(program: str, store: str, rounds: int, chance: random.Random) -> None:
    """Runs exporters two at a time, and kills one of them or both."""
    killed, done, fenced = 0, 0, 0
    for number in range(rounds):
        exporters = []
        for _ in range(2):
            rows = chance.choice([1_500, 4_000, 40_000])
            command = [program, "export", store, "load", "--to", f"s3://{BUCKET}/out", "--rows-per-file", str(rows)]
            command += chance.choice([[], [], ["--follow", "--every", "1"]])
            exporters.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
        for which, exporter in enumerate(exporters):
            # In each second round the two race undisturbed, but for those that would never end.
            if "--follow" in exporter.args or number % 2 == 0 and (which == 0 or chance.random() < 0.5):
                time.sleep(chance.uniform(0.02, 0.7))
                exporter.kill()
            error = exporter.communicate()[1]
            if exporter.returncode == -9:
                killed += 1
            elif exporter.returncode == 0:
                done += 1
            else:
                assert exporter.returncode == 3 and "another process was first" in error, f"round {number}: {exporter.returncode}: {error}"
                fenced += 1
    print(f"  {rounds} rounds of two exporters: {killed} killed, {fenced} fenced, {done} done")
    assert killed > 0, "nobody was killed in the middle: this shows nothing"


def uploads(client: object) -> set[str]:
    return {upload["UploadId"] for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])}


def kill_upload(client: object, command: list[str]) -> None:
    """Runs an exporter, and kills it when it has begun an upload."""
    before = uploads(client)
    exporter = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while exporter.poll() is None and not uploads(client) - before:
        time.sleep(0.01)
    exporter.kill()
    exporter.wait()


def finish(program: str, store: str, place: str) -> None:
    """Exports what is left; then nothing is."""
    export = [program, "export", store, "load", "--to", f"s3://{BUCKET}/{place}"]
    subprocess.run(export, check=True, stdout=subprocess.DEVNULL)
    again = subprocess.run(export, check=True, capture_output=True, text=True).stdout
    assert "nothing new" in again, again


def compare(endpoint: str, client: object, place: str, lines: list[bytes]) -> int:
    """Each offset once, with its value, by two readers. Returns the bytes of the largest file."""
    table = deltalake.DeltaTable(f"s3://{BUCKET}/{place}/topic=load")
    rows = table.to_pyarrow_table(columns=["_offset", "_value"]).sort_by("_offset")
    assert rows["_offset"].to_pylist() == list(range(len(lines))), f"{rows.num_rows} rows of {len(lines)} records"
    assert rows["_value"].to_pylist() == lines
    assert table.transaction_version("tidelog:load/0") == len(lines)
    named = sorted(f"{BUCKET}/{place}/topic=load/{path}" for path in table.get_add_actions()["path"].to_pylist())

    system = pyarrow.fs.S3FileSystem(endpoint_override=endpoint.removeprefix("http://"), scheme="http", region="us-east-1")
    offsets = []
    for path in named:
        with system.open_input_file(path) as file:
            offsets += pyarrow.parquet.read_table(file, columns=["_offset"])["_offset"].to_pylist()
    assert offsets == list(range(len(lines)))
    there = [entry.path for entry in system.get_file_info(pyarrow.fs.FileSelector(f"{BUCKET}/{place}/topic=load/partition=0"))]
    largest = max(entry.size for entry in system.get_file_info(named))
    print(f"  {place}: {len(lines)} records in {len(named)} files, the largest of {largest} bytes: each offset once, by deltalake and by pyarrow")
    print(f"  left over: {len(set(there) - set(named))} files that no commit names, {len(uploads(client))} uploads that were killed")
    assert set(named) <= set(there)
    return largest


def main(directory: str, rounds: int, seed: int) -> None:
    program, store = os.path.join(directory, "tidelog"), os.path.join(directory, "data")
    endpoint = serve()
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        del os.environ[name]
    os.environ |= {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
    os.environ |= {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    check_conditions(client)

    load = Load(program, store, random.Random(seed))
    load.thread.start()
    # A topic that is not there yet is no topic to export.
    while subprocess.run([program, "info", store, "load"], capture_output=True).returncode != 0:
        time.sleep(0.05)
    race(program, store, rounds, random.Random(seed + 1))
    load.stop()
    finish(program, store, "out")
    compare(endpoint, client, "out", load.lines)

    # All of it in one file, whose upload in parts is killed.
    for _ in range(3):
        kill_upload(client, [program, "export", store, "load", "--to", f"s3://{BUCKET}/whole"])
    assert uploads(client), "no upload was killed: this shows nothing"
    finish(program, store, "whole")
    largest = compare(endpoint, client, "whole", load.lines)
    assert largest > 8 << 20, f"no file was uploaded in parts: the largest has {largest} bytes"


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
sys.stdout.flush()

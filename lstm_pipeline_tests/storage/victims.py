"""Processes that are killed (SIGKILL) at a point of their work.

A process tells when it is at the point and then waits for its end; the hooks are here, not in the package. `during` a
write means, on disk, that half of the bytes are in the file that is to be renamed, and on S3 that half of the request
has been sent.
"""

from __future__ import annotations

import datetime as dt
import functools
import http.client
import os
import signal
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import botocore.session
import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from lstm_pipeline.orchestration.io_managers import ParquetIOManager
from lstm_pipeline.orchestration.keys import BUCKET as BUCKET_KEY
from lstm_pipeline.orchestration.keys import WRITE_MODE
from lstm_pipeline.orchestration.runs import run_project
from lstm_pipeline.projects.project import load_project
from lstm_pipeline.registry import tables
from lstm_pipeline.storage import disk
from lstm_pipeline.storage.store import Store
from lstm_pipeline_tests.processes import FORKED, forked
from lstm_pipeline_tests.stubs import BUCKET, GROUPS, PROJECT, SCORE, make_registry, publish, refusing, save_candidate

Operation = Literal["upload", "copy", "write", "create", "remove"]
When = Literal["before", "during", "after"]

PATIENCE = 90.0


@dataclass(frozen=True)
class Point:
    """An operation of the store, on a file whose path ends with `path`."""

    operation: Operation
    path: str
    when: When

    def __str__(self) -> str:
        return f"{self.when} {self.operation} {self.path}"


# what the processes do


def save(uri: str) -> None:
    save_candidate(make_registry(uri), "heat", "run3")


def publish_candidates(uri: str) -> None:
    publish(make_registry(uri))


def publish_long_record(uri: str) -> None:
    """A version with a file of tables beside its record."""
    tables.SHORT = 10
    publish_candidates(uri)


def refuse_power(uri: str) -> None:
    """Publishes with a rule that promotes the new model of `heat` alone."""
    make_registry(uri).publish(GROUPS, {}, lambda models: SCORE, run_id="publishing", decide=refusing("power"))


def refuse_all(uri: str) -> None:
    make_registry(uri).publish(GROUPS, {}, lambda models: SCORE, run_id="publishing", decide=refusing(*GROUPS))


def roll_back(uri: str) -> None:
    make_registry(uri).roll_back("v1")


def write_predictions(uri: str, value: float = 2.0) -> None:
    write_frame(uri, "predictions", value)


def write_metadata_table(uri: str, value: float = 2.0) -> None:
    write_frame(uri, "model_metadata", value)


def write_frame(uri: str, asset: str, value: float) -> None:
    """What Dagster does with an asset's frame."""
    table = pa.table({"step": list(range(1000)), "value": [value] * 1000})
    metadata = {BUCKET_KEY: BUCKET, WRITE_MODE: "overwrite"}
    with dg.build_output_context(asset_key=dg.AssetKey([PROJECT, asset]), definition_metadata=metadata) as context:
        ParquetIOManager(Store(uri)).handle_output(context, table)


def run(uri: str, spec: str, home: str) -> None:
    """Everything, through Dagster: train, publish, forecast."""
    os.environ["DAGSTER_HOME"] = home
    run_project(load_project(spec, uri), as_of=dt.date(2024, 6, 1))


def read_frame(uri: str, asset: str) -> list[float]:
    store = Store(uri)
    with store.opening(store.path(BUCKET, PROJECT, "data", f"{asset}.parquet")) as file:
        values: list[float] = pq.read_table(file)["value"].to_pylist()
    return values


# killing


def kill_at(point: Point, action: Callable[..., None], *arguments: Any) -> None:
    """Runs an action in a process of its own, and kills that one when it is at the point."""
    here, there = FORKED.Pipe(duplex=False)
    process = forked(_victim, point, action, arguments, there)
    process.start()
    there.close()
    try:
        assert here.poll(PATIENCE), f"nothing was heard of {point}"
        try:
            word = here.recv()
        except EOFError:
            raise AssertionError(f"the process ended before it came to: {point}") from None
        assert word == str(point), word
    finally:
        if process.pid is not None and process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join(10)
    assert process.exitcode == -signal.SIGKILL


def _victim(point: Point, action: Callable[..., None], arguments: tuple[Any, ...], out: Connection) -> None:
    def stand_still() -> None:
        out.send(str(point))
        time.sleep(PATIENCE)

    arm(point, stand_still)
    action(*arguments)


def arm(point: Point, halt: Callable[[], None]) -> None:
    """Makes the store halt at the point, when it gets there first."""
    patch = pytest.MonkeyPatch()  # for the rest of the process's life

    def hooked(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(self: Store, *paths: Any) -> Any:
            # the path that is changed: the second of upload's and copy's, else the first
            target = paths[1] if point.operation in ("upload", "copy") else paths[0]
            hit = str(target.path).endswith(point.path)
            if hit and point.when == "before":
                halt()
            result = original(self, *paths)
            if hit and point.when == "after":
                halt()
            return result

        return call

    if point.when != "during":
        patch.setattr(Store, point.operation, hooked(getattr(Store, point.operation)))
        return

    def half_of_file(file: Any) -> None:
        temporary = Path(file.name)  # .<name>.<32 digits>.tmp
        if f"{temporary.parent}/{temporary.name[1:-37]}".endswith(point.path):
            file.flush()
            os.ftruncate(file.fileno(), os.fstat(file.fileno()).st_size // 2)
            halt()
        sync(file)

    async def half_put(self: s3fs.S3FileSystem, source: str, target: str, **options: Any) -> Any:
        if target.endswith(point.path):
            send_half(target, Path(source).read_bytes())
            halt()
        return await put(self, source, target, **options)

    async def half_pipe(self: s3fs.S3FileSystem, target: str, data: bytes, **options: Any) -> Any:
        if target.endswith(point.path):
            send_half(target, data)
            halt()
        return await pipe(self, target, data, **options)

    # the coroutines: an instance makes its own blocking functions of them
    sync, put, pipe = disk._sync, s3fs.S3FileSystem._put_file, s3fs.S3FileSystem._pipe_file
    patch.setattr(disk, "_sync", half_of_file)
    patch.setattr(s3fs.S3FileSystem, "_put_file", half_put)
    patch.setattr(s3fs.S3FileSystem, "_pipe_file", half_pipe)


_open_connections: list[http.client.HTTPConnection] = []


def send_half(path: str, data: bytes) -> None:
    """Half of a PUT; the connection stays open until the process dies."""
    bucket, _, key = path.partition("/")
    signer = botocore.session.get_session().create_client("s3")
    url = urllib.parse.urlsplit(signer.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": key}))
    connection = http.client.HTTPConnection(url.netloc, timeout=10)
    connection.putrequest("PUT", f"{url.path}?{url.query}")
    connection.putheader("Content-Length", str(len(data)))
    connection.endheaders(data[: len(data) // 2])
    _open_connections.append(connection)


def left_behind(before: set[str], after: set[str]) -> str:
    """Files that no reader of the registry will ever look at."""
    kinds = {".probe-": "probe", ".tmp": "temporary file", ".lock": "lock", ".claim": "claim"}
    new = [next((kind for mark, kind in kinds.items() if mark in path), None) for path in after - before]
    return ", ".join(sorted({kind for kind in new if kind})) or "nothing"

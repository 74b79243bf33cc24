"""Real object stores on loopback: rclone's S3 server, and moto's for the conditional put that rclone lacks."""

from __future__ import annotations

import http.client
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import s3fs
from _pytest.mark.structures import ParameterSet

from lstm_pipeline.storage.s3 import PatientS3

KEY, SECRET = "storage-test-key", "storage-test-secret-never-shown"
START_SECONDS, STOP_SECONDS = 30.0, 5.0
_HIDDEN = ".rclone_temp_"  # uploads that never came to their end, which the server shows to nobody
_BINARIES = Path(sys.executable).parent


@dataclass
class S3Server:
    """A server process of ours. `folder`: where it keeps its buckets, if on disk."""

    command: list[str]
    port: int
    log: Path
    folder: Path | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command, stdout=log, stderr=log, env=_without_aws())
        deadline = time.monotonic() + START_SECONDS
        while not answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"{self.command[0]} did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)


@dataclass(frozen=True)
class Place:
    """A storage root of one test's own."""

    name: str
    uri: str
    folder: Path | None = None
    """Where its files are on this machine's disk; None where they are not."""

    def fill(self, source: Path) -> None:
        """Copies a folder's files here."""
        if "://" in self.uri:
            client().put(f"{source}/", self.uri, recursive=True)
        else:
            shutil.copytree(source, self.uri)

    def files(self) -> dict[str, bytes]:
        """Every file below it: path → content."""
        if self.folder is None:
            root = self.uri.removeprefix("s3://")
            return {path[len(root) + 1 :]: client().cat_file(path) for path in client().find(root)}
        found = (path for path in self.folder.rglob("*") if path.is_file() and not path.name.startswith(_HIDDEN))
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in found}


def rclone_server(folder: Path, log: Path) -> S3Server:
    """Folders in `folder` are buckets. rclone refuses keys of fewer than twelve characters."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [str(_BINARIES / "rclone"), "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]
    return S3Server([*command, str(folder)], port, log, folder)


def moto_server(log: Path) -> S3Server:
    """Keeps everything in memory, and checks no signatures."""
    port = free_port()
    return S3Server([str(_BINARIES / "moto_server"), "-H", "127.0.0.1", "-p", str(port)], port, log)


@contextmanager
def running(server: S3Server) -> Iterator[S3Server]:
    server.start()
    try:
        yield server
    finally:
        server.stop()


def slow(*values: object) -> ParameterSet:
    """A parameter whose test takes its time and has quicker brothers."""
    return pytest.param(*values, marks=pytest.mark.slow)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def aws_environment(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def use(endpoint: str, patch: pytest.MonkeyPatch, **changes: str) -> None:
    """Makes everything in this process speak to this endpoint and to no other one."""
    wanted = {**aws_environment(endpoint), **changes}
    for name in {*os.environ, *wanted, "AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"}:
        if name.startswith("AWS_"):  # set first, so that what the package sets is undone in the end as well
            patch.setenv(name, wanted.get(name, ""))
            if name not in wanted:
                patch.delenv(name)
    forget_clients()


def forget_clients() -> None:
    """Clients are kept by their arguments, which do not hold what comes from the environment."""
    for kind in (s3fs.S3FileSystem, PatientS3):
        kind.clear_instance_cache()


def client() -> s3fs.S3FileSystem:
    return s3fs.S3FileSystem(use_listings_cache=False)


def new_bucket() -> str:
    name = f"test-{secrets.token_hex(6)}"
    client().mkdir(name)
    return name


def _without_aws() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}

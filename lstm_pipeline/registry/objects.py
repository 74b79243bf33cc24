"""Object stores (S3 and its like): whole puts, exclusive creation, and faults in words a user can act on."""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from upath import UPath

from lstm_pipeline.spec.errors import RegistryError

LOCK_SECONDS = 60.0
"""After this long a lock is taken for one that a dead process has left."""

_TRIES = 40
_RETRIES = {"max_attempts": 6, "mode": "standard"}  # waits of up to about 20 s in all, doubling


def s3_options() -> dict[str, Any]:
    """Options of the S3 file system; endpoint, region and credentials come from the standard AWS environment."""
    if os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL_S3"):
        # stores other than AWS know no trailing checksums; without these two, reads of a range fail there
        os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        os.environ.setdefault("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required")
    timeouts = {"connect_timeout": 5, "read_timeout": 60}
    return {"config_kwargs": {"retries": _RETRIES, **timeouts}}


class ObjectFiles:
    """Writing to an object store.

    `create` is a conditional put (`If-None-Match: *`) where the store honours it, which is tried out once. On other
    stores it takes a lock: an object of its own beside the file. Whoever lists his own lock alone holds it; whoever
    sees another one withdraws and tries again. That is safe on stores whose listings show every finished put (S3 and
    rclone do), as long as nobody stops for more than `LOCK_SECONDS` between taking the lock and writing.
    """

    def __init__(self, root: UPath) -> None:
        self._root = root
        self._conditional: bool | None = None

    @contextlib.contextmanager
    def writing(self, path: UPath) -> Iterator[IO[bytes]]:
        """Sent when it is whole: a remote file that is closed early would replace the old one with its half."""
        with tempfile.TemporaryDirectory() as folder:
            complete = Path(folder) / "complete"
            with complete.open("wb") as file:
                yield file
            path.fs.put_file(str(complete), path.path)

    def create(self, path: UPath, data: bytes) -> bool:
        """Writes an object that is not there yet; False where somebody else was first."""
        if self._honours_conditions():
            return _put_if_absent(path, data)
        with self._lock(path):
            if path.fs.exists(path.path):
                return False
            path.fs.pipe_file(path.path, data)
            return True

    def _honours_conditions(self) -> bool:
        """Whether a conditional put fails where an object is, found out with an object of its own."""
        if self._conditional is None:
            probe = self._root / f".conditional-put-{uuid.uuid4().hex}"
            probe.fs.pipe_file(probe.path, b"first")
            try:
                self._conditional = not _put_if_absent(probe, b"second")
            finally:
                probe.fs.rm_file(probe.path)
        return self._conditional

    @contextlib.contextmanager
    def _lock(self, path: UPath) -> Iterator[None]:
        folder = path.parent / f"{path.name}.lock"
        mine = folder / uuid.uuid4().hex
        for attempt in range(_TRIES):
            mine.fs.pipe_file(mine.path, b"")
            try:
                if not self._rivals(folder, mine):
                    yield
                    return
            finally:
                mine.fs.rm_file(mine.path)
            time.sleep(random.uniform(0.02, 0.1) * (1 + attempt))
        raise RegistryError(f"{path}: others have kept its lock for too long; run again")

    def _rivals(self, folder: UPath, mine: UPath) -> list[str]:
        """Other locks beside mine, by the store's own clock; those that a dead process has left are removed."""
        found = folder.fs.ls(folder.path, detail=True, refresh=True)
        modified = {entry["name"]: entry.get("LastModified") or entry.get("created") for entry in found}
        name = next(name for name in modified if name.endswith(mine.name))
        now = modified.pop(name)
        old = [other for other, stamp in modified.items() if (now - stamp).total_seconds() > LOCK_SECONDS]
        for other in old:
            with contextlib.suppress(FileNotFoundError):
                folder.fs.rm_file(other)
        return [other for other in modified if other not in old]


def _put_if_absent(path: UPath, data: bytes) -> bool:
    try:
        path.fs.pipe_file(path.path, data, mode="create")
    except FileExistsError:
        return False
    return True


def explain(error: BaseException, path: object) -> str | None:
    """What a fault of a store means; None where it is none of a store's. Never shows a credential."""
    from botocore import exceptions as aws  # only once something has failed: it takes a second to import

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS"
    if isinstance(error, aws.NoCredentialsError | aws.PartialCredentialsError):
        return f"{path}: no credentials for {endpoint}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    if isinstance(error, PermissionError):
        return f"{path}: access refused by {endpoint}; the credentials are wrong, have expired, or lack the right"
    if isinstance(error, FileNotFoundError):
        return f"{path}: its bucket does not exist at {endpoint}" if "specified bucket" in str(error) else None
    if isinstance(error, aws.ConnectionError | aws.HTTPClientError | TimeoutError | ConnectionError):
        return f"{path}: {endpoint} cannot be reached, also after several tries; is it running, and the address right?"
    if isinstance(error, aws.BotoCoreError | aws.ClientError | OSError):
        return f"{path}: {endpoint} answered: {str(error).strip() or type(error).__name__}"
    return None

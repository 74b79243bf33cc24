"""Object stores (S3 and compatible ones): whole puts and exclusive creation."""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from upath import UPath

from lstm_pipeline.errors import RegistryError

LOCK_SECONDS = 60.0
"""A lock older than this is taken to be left over from a dead process."""

LOCK_PATIENCE = 90.0
"""How long to wait for a lock: longer than a dead process's lock lasts."""

_CONFLICT = "ConditionalRequestConflict"  # a concurrent delete: the store asks for another try
_UNCONDITIONAL = ("NotImplemented", "501")  # answers of stores that do not know the header


class ObjectFiles:
    """Writes to an object store.

    `create` is a conditional put (`If-None-Match: *`) if the store honours it, which is tried out once. On other stores
    it takes a lock, an object next to the file: a process that lists only its own lock holds it; one that sees another
    lock withdraws and tries again. This is safe on stores whose listings show every finished put (S3 and rclone do). A
    process that pauses for more than `LOCK_SECONDS` may lose its lock, and then was not first.
    """

    def __init__(self, root: UPath) -> None:
        self._root = root
        self._conditional: bool | None = None

    @contextlib.contextmanager
    def writing(self, path: UPath) -> Iterator[IO[bytes]]:
        """Sends the file once it is complete: a remote file closed early would replace the old one with a part."""
        with tempfile.TemporaryDirectory() as folder:
            complete = Path(folder) / "complete"
            with complete.open("wb") as file:
                yield file
            path.fs.put_file(str(complete), path.path)

    def read(self, path: UPath) -> bytes:
        """A file's content in one request: of a file that is being replaced, either the old or the new content."""
        content: bytes = path.fs.cat_file(path.path)
        return content

    def names(self, folder: UPath) -> list[str]:
        """Names of the entries of a folder."""
        return [found.rstrip("/").rpartition("/")[2] for found in folder.fs.ls(folder.path, detail=False)]

    def create(self, path: UPath, data: bytes) -> bool:
        """Writes an object that does not exist yet; False if another process was first."""
        if self._honours_conditions():
            return _put_if_absent(path, data)
        with self._lock(path) as held:
            if path.fs.exists(path.path):
                return False
            path.fs.pipe_file(path.path, data)
            return held()

    def _honours_conditions(self) -> bool:
        """Whether a conditional put onto an existing object fails, tried on a probe object."""
        if self._conditional is None:
            probe = self._root / f".conditional-put-{uuid.uuid4().hex}"
            probe.fs.pipe_file(probe.path, b"first")
            try:
                self._conditional = not _put_if_absent(probe, b"second")
            except OSError as error:
                if _code(error) not in _UNCONDITIONAL:
                    raise
                self._conditional = False
            finally:
                probe.fs.rm_file(probe.path)
        return self._conditional

    @contextlib.contextmanager
    def _lock(self, path: UPath) -> Iterator[Callable[[], bool]]:
        """Holds a file's lock for the block; yields a function that says whether it is still held."""
        folder = path.parent / f"{path.name}.lock"
        mine = folder / uuid.uuid4().hex
        attempt, deadline = 0, time.monotonic() + LOCK_PATIENCE
        while True:
            mine.fs.pipe_file(mine.path, b"")
            try:
                if self._alone(folder, mine):
                    yield lambda: bool(mine.fs.exists(mine.path))
                    return
            finally:
                with contextlib.suppress(FileNotFoundError):
                    mine.fs.rm_file(mine.path)
            if time.monotonic() > deadline:
                raise RegistryError(f"{path}: other processes have held its lock for {LOCK_PATIENCE:.0f} s; run again")
            attempt += 1
            time.sleep(random.uniform(0.02, 0.1) * min(attempt, 20))

    def _alone(self, folder: UPath, mine: UPath) -> bool:
        """Whether mine is the only lock; locks left by dead processes, judged by the store's clock, are removed."""
        try:
            found = folder.fs.ls(folder.path, detail=True, refresh=True)
        except FileNotFoundError:
            return False  # a rival took mine for a dead process's lock
        modified = {entry["name"]: entry.get("LastModified") or entry.get("created") for entry in found}
        now = next((modified.pop(name) for name in list(modified) if name.endswith(mine.name)), None)
        if now is None:
            return False
        old = [other for other, stamp in modified.items() if (now - stamp).total_seconds() > LOCK_SECONDS]
        for other in old:
            with contextlib.suppress(FileNotFoundError):
                folder.fs.rm_file(other)
        return len(old) == len(modified)


def _put_if_absent(path: UPath, data: bytes) -> bool:
    """A conditional put. If the object exists with exactly this content, it is ours: the first answer was lost."""
    while True:
        try:
            path.fs.pipe_file(path.path, data, mode="create")
            return True
        except OSError as error:
            code = _code(error)
            if code == _CONFLICT:
                time.sleep(random.uniform(0.02, 0.1))
                continue
            # not every store names the failed condition, so s3fs does not always recognise it
            if not (isinstance(error, FileExistsError) or code in ("PreconditionFailed", "412")):
                raise
        try:
            return bool(path.fs.cat_file(path.path) == data)
        except FileNotFoundError:
            return False


def _code(error: BaseException) -> str:
    """The store's own code for an error that s3fs has translated."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))

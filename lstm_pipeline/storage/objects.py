"""Object stores (S3 and its like): whole puts, exclusive creation, and faults in words a user can act on."""

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
"""After this long a lock is taken for one that a dead process has left."""

LOCK_PATIENCE = 90.0
"""So long a lock is waited for: a dead process's ends before."""

_CONFLICT = "ConditionalRequestConflict"  # a delete came between: the store asks to try again
_UNCONDITIONAL = ("NotImplemented", "501")  # what a store says that does not know the header


class ObjectFiles:
    """Writing to an object store.

    `create` is a conditional put (`If-None-Match: *`) where the store honours it, which is tried out once. On other
    stores it takes a lock: an object of its own beside the file. Whoever lists his own lock alone holds it; whoever
    sees another one withdraws and tries again. That is safe on stores whose listings show every finished put (S3 and
    rclone do). Whoever stopped for more than `LOCK_SECONDS` may find his lock taken away: then he was not first.
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

    def read(self, path: UPath) -> bytes:
        """Content in one request: of a file that is being replaced, the old content or the new one."""
        content: bytes = path.fs.cat_file(path.path)
        return content

    def names(self, folder: UPath) -> list[str]:
        """What is in a folder."""
        return [found.rstrip("/").rpartition("/")[2] for found in folder.fs.ls(folder.path, detail=False)]

    def create(self, path: UPath, data: bytes) -> bool:
        """Writes an object that is not there yet; False where somebody else was first."""
        if self._honours_conditions():
            return _put_if_absent(path, data)
        with self._lock(path) as held:
            if path.fs.exists(path.path):
                return False
            path.fs.pipe_file(path.path, data)
            return held()

    def _honours_conditions(self) -> bool:
        """Whether a conditional put fails where an object is, found out with an object of its own."""
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
        """Yields, while it is held, a way to ask whether it still is."""
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
                raise RegistryError(f"{path}: others have kept its lock for too long; run again")
            attempt += 1
            time.sleep(random.uniform(0.02, 0.1) * min(attempt, 20))

    def _alone(self, folder: UPath, mine: UPath) -> bool:
        """Whether no other lock is beside mine; those that a dead process has left, by the store's clock, go."""
        try:
            found = folder.fs.ls(folder.path, detail=True, refresh=True)
        except FileNotFoundError:
            return False  # mine was taken for a dead process's
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
    """A conditional put. Content that is there already and is just this one is ours: an answer that got lost."""
    while True:
        try:
            path.fs.pipe_file(path.path, data, mode="create")
            return True
        except OSError as error:
            code = _code(error)
            if code == _CONFLICT:
                time.sleep(random.uniform(0.02, 0.1))
                continue
            # not every store says which condition failed, so s3fs does not always know it for what it is
            if not (isinstance(error, FileExistsError) or code in ("PreconditionFailed", "412")):
                raise
        try:
            return bool(path.fs.cat_file(path.path) == data)
        except FileNotFoundError:
            return False


def _code(error: BaseException) -> str:
    """The store's own name of an error that s3fs has translated."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))

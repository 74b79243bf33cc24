"""Object stores (S3 and compatible ones): whole puts and exclusive creation."""

from __future__ import annotations

import contextlib
import itertools
import random
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from fsspec.asyn import sync
from upath import UPath

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.storage.owner import Owner

LOCK_SECONDS = 60.0
"""A lock older than this is taken to be left over from a dead process."""

LOCK_PATIENCE = 90.0
"""How long `create` waits for a lock: longer than a dead process's lock lasts."""

HEARTBEAT = 15.0
"""Seconds between renewals of a lock: several fit into `LOCK_SECONDS`, so one lost request breaks nothing."""

PIECE = 8 << 20
"""Bytes that are read at a time."""

_CONFLICT = "ConditionalRequestConflict"  # a concurrent delete: the store asks for another try
_UNCONDITIONAL = ("NotImplemented", "501")  # answers of stores that do not know the header


class ObjectFiles:
    """Writes to an object store.

    `create` is a conditional put (`If-None-Match: *`) if the store honours it, which is tried out once. On other stores
    it takes a lock, an object next to the file: a process that lists only its own lock holds it; one that sees another
    lock withdraws and tries again. This is safe on stores whose listings show every finished put (S3 and rclone do). A
    process that pauses for more than `LOCK_SECONDS` may lose its lock, and then was not first.
    """

    def __init__(self) -> None:
        self._exclusive: bool | None = None
        self._compares: bool | None = None

    @contextlib.contextmanager
    def writing(self, path: UPath) -> Iterator[IO[bytes]]:
        """Sends the file once it is complete: a remote file closed early would replace the old one with a part."""
        with tempfile.TemporaryDirectory() as folder:
            complete = Path(folder) / "complete"
            with complete.open("wb") as file:
                yield file
            path.fs.put_file(str(complete), path.path)

    def read(self, path: UPath) -> bytes:
        """A file's content as of one moment: of a file that is being replaced, either the old or the new content."""
        return b"".join(self.pieces(path))

    def pieces(self, path: UPath) -> Iterator[bytes]:
        """A file's content in pieces, all as of the same moment. A file of one piece takes one request.

        Raises:
            FileNotFoundError: it does not exist.
            FileExpired: it was replaced after its first piece had been read.
        """
        if not hasattr(path.fs, "call_s3"):
            yield path.fs.cat_file(path.path)
            return
        bucket, key, _ = path.fs.split_path(path.path)
        start, size, etag = 0, 1, ""
        while start < size:
            piece, size, etag = sync(path.fs.loop, _get_piece, path.fs, (bucket, key), start, etag)
            yield piece
            start += len(piece)

    def remove(self, path: UPath) -> None:
        """Removes a file, if it exists."""
        with contextlib.suppress(FileNotFoundError):
            path.fs.rm_file(path.path)

    def names(self, folder: UPath) -> list[str]:
        """Names of the entries of a folder.

        Raises:
            NotADirectoryError: there is an object in its place.
        """
        found = folder.fs.ls(folder.path, detail=False)
        if found == [folder.path]:  # what is no folder is listed as itself
            raise NotADirectoryError(folder.path)
        return [one.rstrip("/").rpartition("/")[2] for one in found]

    def create(self, path: UPath, data: bytes) -> bool:
        """Writes an object that does not exist yet; False if another process was first."""
        if self._creates_exclusively(path.parent):
            return _put_if_absent(path, data)
        with self.locked(path, patience=LOCK_PATIENCE) as held:
            if path.fs.exists(path.path):
                return False
            path.fs.pipe_file(path.path, data)
            return held()

    def update(self, path: UPath, change: Callable[[bytes | None], bytes | None], *, patience: float) -> None:
        """Reads an object, changes its content and writes it back, unless a rival has changed it meanwhile: then again.

        Compare and swap by the store (`If-Match`) where it honours conditions, else with rivals locked out.
        """
        if not self._swaps(path.parent):
            with self.locked(path, patience=patience) as held:
                before = self.read(path) if path.fs.exists(path.path) else None
                after = change(before)
                if after is not None:
                    if not held():
                        raise RegistryError(f"{path}: its lock was lost while it was being changed; run again")
                    path.fs.pipe_file(path.path, after)
            return
        deadline = time.monotonic() + patience
        for attempt in itertools.count(1):
            before, etag = _get_with_etag(path)
            after = change(before)
            if after is None or _put_if_unchanged(path, after, etag):
                return
            if time.monotonic() > deadline:
                raise RegistryError(f"{path}: other processes kept changing it for {patience:.0f} s; run again later")
            time.sleep(random.uniform(0.02, 0.1) * min(attempt, 20))

    def _creates_exclusively(self, folder: UPath) -> bool:
        """Whether a put with `If-None-Match: *` onto an existing object fails, tried once on a probe."""
        if self._exclusive is None:
            self._exclusive = self._refuses(folder, lambda probe: _put_if_absent(probe, b"second"))
        return self._exclusive

    def _swaps(self, folder: UPath) -> bool:
        """Whether a put with an outdated `If-Match` fails, tried once on a probe."""
        if self._compares is None:
            outdated = '"00000000000000000000000000000000"'
            self._compares = hasattr(folder.fs, "call_s3") and self._refuses(
                folder, lambda probe: _put_if_unchanged(probe, b"second", outdated)
            )
        return self._compares

    def _refuses(self, folder: UPath, put: Callable[[UPath], bool]) -> bool:
        """Whether a conditional put whose condition does not hold is refused."""
        probe = folder / f".probe-{uuid.uuid4().hex}.tmp"
        probe.fs.pipe_file(probe.path, b"first")
        try:
            return not put(probe)
        except OSError as error:
            if _code(error) not in _UNCONDITIONAL:
                raise
            return False
        finally:
            probe.fs.rm_file(probe.path)

    @contextlib.contextmanager
    def locked(self, path: UPath, *, patience: float) -> Iterator[Callable[[], bool]]:
        """Holds a file's lock for the block, renewed while the block runs.

        Yields:
            a function that says whether the lock is still held.

        Raises:
            RegistryError: other processes held the lock for `patience` seconds.
        """
        folder = path.parent / f".{path.name}.lock"
        mine = folder / uuid.uuid4().hex
        attempt, deadline = 0, time.monotonic() + patience
        while True:
            mine.fs.pipe_file(mine.path, Owner.me().to_json().encode())
            try:
                if self._alone(folder, mine):
                    with _renewed(mine):
                        yield lambda: bool(mine.fs.exists(mine.path))
                    return
                holder = self._holder(folder, mine) if time.monotonic() > deadline else None
            finally:
                with contextlib.suppress(Exception):  # a lock that cannot be removed ends by itself
                    mine.fs.rm_file(mine.path)
            if holder is not None:
                raise RegistryError(f"{path} is locked by {holder}; waited {patience:.0f} s; run again later")
            attempt += 1
            time.sleep(random.uniform(0.02, 0.1) * min(attempt, 20))

    def _holder(self, folder: UPath, mine: UPath) -> str:
        """Who holds the lock, in words."""
        owners = [self._owner(folder / name) for name in self.names(folder) if name != mine.name]
        return str(next((owner for owner in owners if owner), "another process"))

    def _is_dead(self, lock: UPath) -> bool:
        owner = self._owner(lock)
        return owner is not None and owner.is_dead

    def _owner(self, lock: UPath) -> Owner | None:
        try:
            return Owner.parse(self.read(lock))
        except OSError:
            return None

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
        old = [
            other
            for other, stamp in modified.items()
            if (now - stamp).total_seconds() > LOCK_SECONDS or self._is_dead(folder / other.rpartition("/")[2])
        ]
        for other in old:
            with contextlib.suppress(FileNotFoundError):
                folder.fs.rm_file(other)
        return len(old) == len(modified)


@contextlib.contextmanager
def _renewed(mine: UPath) -> Iterator[None]:
    """Renews a lock by writing it again, so that it does not look left over while its owner is at work."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(HEARTBEAT):
            with contextlib.suppress(OSError):  # the next one may succeed
                if mine.fs.exists(mine.path):  # a lock that was taken away stays away
                    mine.fs.pipe_file(mine.path, Owner.me().to_json().encode())

    thread = threading.Thread(target=renew, daemon=True, name="lock heartbeat")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _get_with_etag(path: UPath) -> tuple[bytes | None, str | None]:
    """An object's content and its entity tag, from one answer; None, None if it does not exist."""
    bucket, key, _ = path.fs.split_path(path.path)
    try:
        return sync(path.fs.loop, _get, path.fs, bucket, key)  # type: ignore[no-any-return]
    except FileNotFoundError:
        return None, None


async def _get_piece(fs: Any, place: tuple[str, str], start: int, etag: str) -> tuple[bytes, int, str]:
    """A piece of an object, read again if it breaks off; the size and the entity tag of the whole object.

    Args:
        place: bucket and key.
        etag: which the object must still have; empty for the first piece.
    """
    from s3fs.core import _error_wrapper
    from s3fs.utils import FileExpired

    wanted = {"Range": f"bytes={start}-{start + PIECE - 1}", **({"IfMatch": etag} if etag else {})}

    async def attempt() -> tuple[bytes, int, str]:
        answer = await fs._call_s3("get_object", Bucket=place[0], Key=place[1], **wanted)
        async with answer["Body"] as body:
            piece: bytes = await body.read()
        size = str(answer.get("ContentRange", "")).rpartition("/")[2]
        return piece, int(size) if size.isdigit() else len(piece), str(answer["ETag"])

    try:
        return await _error_wrapper(attempt, retries=fs.retries)  # type: ignore[no-any-return]
    except OSError as error:
        if _code(error) in ("InvalidRange", "416"):  # what a store says of an empty object
            return b"", 0, etag
        if etag and _failed_condition(error):
            raise FileExpired(filename="/".join(place), e_tag=etag) from error
        raise


async def _get(fs: Any, bucket: str, key: str) -> tuple[bytes, str]:
    answer = await fs._call_s3("get_object", Bucket=bucket, Key=key)
    async with answer["Body"] as body:
        return await body.read(), str(answer["ETag"])


def _put_if_unchanged(path: UPath, data: bytes, etag: str | None) -> bool:
    """Replaces an object that still has this entity tag (or that still does not exist, for None)."""
    if etag is None:
        return _put_if_absent(path, data)
    bucket, key, _ = path.fs.split_path(path.path)
    try:
        path.fs.call_s3("put_object", Bucket=bucket, Key=key, Body=data, IfMatch=etag)
        return True
    except OSError as error:
        if _code(error) in (_CONFLICT, "NoSuchKey", "404"):
            return False
        if not _failed_condition(error):
            raise
    return _is_content(path, data)


def _failed_condition(error: OSError) -> bool:
    # not every store names the failed condition, so s3fs does not always recognise it
    return isinstance(error, FileExistsError) or _code(error) in ("PreconditionFailed", "412")


def _is_content(path: UPath, data: bytes) -> bool:
    """Whether an object has exactly this content: then it is ours, and the first answer was lost."""
    try:
        return bool(path.fs.cat_file(path.path) == data)
    except FileNotFoundError:
        return False


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
            if not _failed_condition(error):
                raise
        return _is_content(path, data)


def _code(error: BaseException) -> str:
    """The store's own code for an error that s3fs has translated."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))

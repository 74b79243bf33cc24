"""The local disk: files that exist whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from upath import UPath

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.storage.owner import Owner

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What file systems without hard links (FUSE, SMB, some NFS) answer."""

_PIECE = 1 << 20

CREATE_PATIENCE = 30.0
"""Seconds that `create` waits for a rival; it holds the lock for two system calls."""


class DiskFiles:
    """Writing to a local folder."""

    @contextlib.contextmanager
    def writing(self, path: UPath) -> Iterator[IO[bytes]]:
        """Opens a temporary file beside the target, which is renamed once it is complete."""
        with self._temporary(path) as temporary:
            with temporary.open("wb") as file:
                yield file
                _sync(file)
            os.replace(temporary, path.path)

    def read(self, path: UPath) -> bytes:
        """A file's content."""
        return Path(path.path).read_bytes()

    def pieces(self, path: UPath) -> Iterator[bytes]:
        """A file's content in pieces."""
        with Path(path.path).open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    def remove(self, path: UPath) -> None:
        """Removes a file, if it exists."""
        Path(path.path).unlink(missing_ok=True)

    def names(self, folder: UPath) -> list[str]:
        """Names of the entries of a folder."""
        return os.listdir(folder.path)

    def create(self, path: UPath, data: bytes) -> bool:
        """Writes a file that does not exist yet; False if another process was first."""
        with self._temporary(path) as temporary:
            with temporary.open("wb") as file:
                file.write(data)
                _sync(file)
            try:
                os.link(temporary, path.path)  # content and name appear in one step; fails if the name is taken
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return self._create_locked(path, temporary)
        return True

    def _create_locked(self, path: UPath, complete: Path) -> bool:
        """`create` on a file system without hard links: the lock makes look and rename one step."""
        with self.locked(path, patience=CREATE_PATIENCE):
            if os.path.lexists(path.path):
                return False
            os.replace(complete, path.path)
            return True

    def update(self, path: UPath, change: Callable[[bytes | None], bytes | None], *, patience: float) -> None:
        """Reads a file, changes its content and writes it back, with rivals locked out."""
        with self.locked(path, patience=patience):
            before = self.read(path) if os.path.lexists(path.path) else None
            after = change(before)
            if after is not None:
                with self.writing(path) as file:
                    file.write(after)

    @contextlib.contextmanager
    def locked(self, path: UPath, *, patience: float) -> Iterator[Callable[[], bool]]:
        """Holds a file's lock for the block; the operating system releases it when the process dies.

        On a file system without locks, filelock uses a lock file whose owner's host and process id tell whether it is
        left over.

        Yields:
            a function that says whether the lock is still held.

        Raises:
            RegistryError: another process held the lock for `patience` seconds.
        """
        from filelock import FileLock, Timeout

        place = Path(path.path).parent / f".{path.name}.lock"
        note = place.with_suffix(".owner")
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place, timeout=patience)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of its fallback to a lock file
                lock.acquire()
        except Timeout:
            holder = Owner.parse(note.read_bytes() if note.exists() else b"") or "another process"
            raise RegistryError(f"{path} is locked by {holder}; waited {patience:.0f} s; run again later") from None
        try:
            note.write_text(Owner.me().to_json())
            yield lambda: True
        finally:
            note.unlink(missing_ok=True)
            place.unlink(missing_ok=True)  # while it is held: whoever opened it before notices and opens a new one
            lock.release()

    @contextlib.contextmanager
    def _temporary(self, path: UPath) -> Iterator[Path]:
        folder = Path(path.path).parent
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{path.name}.{uuid.uuid4().hex}.tmp"
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())

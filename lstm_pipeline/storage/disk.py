"""The local disk: files that exist whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from upath import UPath


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
        return True

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

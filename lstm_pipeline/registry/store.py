"""Bytes under one root, on the local disk or on any file system fsspec knows.

Three promises the rest of the registry is built on: a file is there whole or not at all; `create` never replaces
anything and exactly one of several rivals wins; no path leads out of the root.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from upath import UPath

from lstm_pipeline.spec.errors import RegistryError

_BLOCK = 1 << 20


class Store:
    """Files under a storage root.

    Args:
        uri: a folder, or a URI such as `s3://bucket/prefix`.
    """

    def __init__(self, uri: str) -> None:
        path = UPath(uri)
        self.local = path.protocol in ("", "file", "local")
        if self.local:
            self.root = UPath(Path(path.path).expanduser().absolute())
        else:  # a listing kept from earlier would hide what other processes have published since
            self.root = UPath(uri, use_listings_cache=False)

    def path(self, *parts: str) -> UPath:
        """A path below the root.

        Raises:
            RegistryError: the parts would lead out of the root.
        """
        pieces = [piece for part in parts for piece in part.split("/")]
        if any(piece in ("", ".", "..") or "\\" in piece or "\0" in piece for piece in pieces):
            raise RegistryError(f"'{'/'.join(parts)}' is no path below the storage root {self.root}")
        return self.root.joinpath(*pieces)

    def key(self, path: UPath) -> str:
        """A path as records name it: relative to the root, with `/`."""
        return str(path.path)[len(str(self.root.path)) :].lstrip("/")

    def read(self, path: UPath) -> bytes:
        """Content of a file.

        Raises:
            RegistryError: it is not there or cannot be read.
        """
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise RegistryError(f"{path} is not there") from None
        except OSError as error:
            raise RegistryError(f"{path} cannot be read: {error}") from error

    def write(self, path: UPath, data: bytes) -> None:
        """Writes a file, replacing what was there; a reader sees the old content or the new one, never a part."""
        with self.writing(path) as file:
            file.write(data)

    @contextlib.contextmanager
    def writing(self, path: UPath) -> Iterator[IO[bytes]]:
        """Opens a file to be written as a whole: it appears under its name when the block ends without an error."""
        try:
            if self.local:
                with self._temporary(path) as temporary:
                    with temporary.open("wb") as file:
                        yield file
                        _sync(file)
                    os.replace(temporary, path.path)
            else:  # sent when it is whole: a remote file that is closed early would replace the old one with its half
                with tempfile.TemporaryDirectory() as folder:
                    complete = Path(folder) / "complete"
                    with complete.open("wb") as file:
                        yield file
                    path.fs.put_file(str(complete), path.path)
        except OSError as error:
            raise RegistryError(f"{path} cannot be written: {error}") from error

    def create(self, path: UPath, data: bytes) -> bool:
        """Writes a file that is not there yet; False, and nothing changed, where somebody else was first."""
        try:
            if not self.local:
                path.fs.pipe_file(path.path, data, mode="create")
                return True
            with self._temporary(path) as temporary:
                with temporary.open("wb") as file:
                    file.write(data)
                    _sync(file)
                os.link(temporary, path.path)  # whole content and new name in one step, fails where the name is taken
        except FileExistsError:
            return False
        except OSError as error:
            raise RegistryError(f"{path} cannot be written: {error}") from error
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

    def upload(self, source: Path, path: UPath) -> None:
        """Copies a local file here, streamed."""
        with source.open("rb") as reader, self.writing(path) as writer:
            shutil.copyfileobj(reader, writer, _BLOCK)

    def copy(self, source: UPath, target: UPath) -> None:
        """Copies a file within the root, streamed."""
        try:
            with source.open("rb") as reader, self.writing(target) as writer:
                shutil.copyfileobj(reader, writer, _BLOCK)
        except FileNotFoundError:
            raise RegistryError(f"{source} is not there") from None

    @contextlib.contextmanager
    def as_local(self, path: UPath, folder: Path) -> Iterator[Path]:
        """A file as one on the local disk: itself where it is one, else a copy in `folder` that is removed after."""
        if self.local:
            yield Path(path.path)
            return
        copy = folder / path.name
        try:
            with path.open("rb") as reader, copy.open("wb") as writer:
                shutil.copyfileobj(reader, writer, _BLOCK)
            yield copy
        finally:
            copy.unlink(missing_ok=True)

    def digest(self, path: UPath) -> tuple[int, str]:
        """Size in bytes and SHA-256 of a file, streamed.

        Raises:
            RegistryError: it is not there or cannot be read.
        """
        sha, size = hashlib.sha256(), 0
        try:
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    sha.update(block)
                    size += len(block)
        except FileNotFoundError:
            raise RegistryError(f"{path} is not there") from None
        except OSError as error:
            raise RegistryError(f"{path} cannot be read: {error}") from error
        return size, sha.hexdigest()

    def names(self, folder: UPath) -> list[str]:
        """Names of the files in a folder; none where it does not exist."""
        try:
            return sorted(entry.name for entry in folder.iterdir() if not entry.name.endswith(".tmp"))
        except (FileNotFoundError, NotADirectoryError):
            return []


def to_json(data: Any) -> bytes:
    """JSON as it is stored: readable, keys in their order, NaN refused."""
    return (json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def from_json(data: bytes, path: object) -> Any:
    """Reads stored JSON.

    Raises:
        RegistryError: it is none.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"{path} is damaged: {error}") from None


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())

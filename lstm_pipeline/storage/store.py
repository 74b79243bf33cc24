"""Bytes under one root, on the local disk or on any file system that fsspec supports.

The registry relies on three promises: a file exists whole or not at all; `create` never replaces anything, and exactly
one of several rivals wins; no path leads out of the root.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

from upath import UPath

from lstm_pipeline.errors import PipelineError, RegistryError
from lstm_pipeline.storage.disk import DiskFiles
from lstm_pipeline.storage.faults import S3, explain, is_transient, s3_options
from lstm_pipeline.storage.listing import PRIVATE, StoredFile, time_of, walked
from lstm_pipeline.storage.objects import ObjectFiles

_BLOCK = 1 << 20

PATIENCE = 120.0
"""Seconds to wait for rivals: longer than the lock of a dead process lasts."""


MOST_LINES = 200
"""Entries of a list or an object in JSON that get a line each: nobody reads thousands, and writing them takes long."""


class NoFolderError(RegistryError):
    """A file is in the place of a folder, which would otherwise look empty."""

    def __init__(self, folder: UPath) -> None:
        super().__init__(
            f"{folder} is not a folder: a file is in its place, or in that of a folder above it; move the file away"
        )


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
            self._files: DiskFiles | ObjectFiles = DiskFiles()
        else:
            special = s3_options() if path.protocol in S3 else {}
            # a cached listing would hide what other processes have published since
            self.root = UPath(uri, use_listings_cache=False, **special)
            self._files = ObjectFiles()

    def path(self, *parts: str) -> UPath:
        """A path below the root.

        Raises:
            RegistryError: the parts would lead out of the root.
        """
        pieces = [piece for part in parts for piece in part.split("/")]
        if any(piece in ("", ".", "..") or "\\" in piece or "\0" in piece for piece in pieces):
            raise RegistryError(f"'{'/'.join(parts)}' is not a path under the storage root {self.root}")
        return self.root.joinpath(*pieces)

    def key(self, path: UPath) -> str:
        """A path as records name it: relative to the root, with `/`."""
        return str(path.path)[len(str(self.root.path)) :].lstrip("/")

    def read(self, path: UPath) -> bytes:
        """Content of a file.

        Raises:
            RegistryError: it does not exist or cannot be read.
        """
        with self._faults(path, "read"):
            return self._files.read(path)

    def find(self, path: UPath) -> bytes | None:
        """Content of a file; None if it does not exist. It takes one request where `exists` and `read` take several.

        Raises:
            RegistryError: it cannot be read.
        """
        with self._faults(path, "read"):
            try:
                return self._files.read(path)
            except (FileNotFoundError, NotADirectoryError) as error:
                if not self.local and explain(error, path):
                    raise  # a bucket that does not exist is not an empty one
                return None

    @contextlib.contextmanager
    def opening(self, path: UPath) -> Iterator[IO[bytes]]:
        """Opens a file for reading.

        Raises:
            RegistryError: it does not exist or cannot be read.
        """
        with self._faults(path, "read"), path.open("rb") as file:
            yield file

    def write(self, path: UPath, data: bytes) -> None:
        """Writes a file, replacing any old one; a reader sees either the old content or the new, never a part."""
        with self.writing(path) as file:
            file.write(data)

    @contextlib.contextmanager
    def writing(self, path: UPath) -> Iterator[IO[bytes]]:
        """Opens a file for writing as a whole: it appears under its name once the block has ended without an error."""
        with self._faults(path, "written"), self._files.writing(path) as file:
            yield file

    def create(self, path: UPath, data: bytes) -> bool:
        """Writes a file that does not exist yet; returns False and changes nothing if another process was first.

        Rivals must not write identical content: an object store tells them apart by it when an answer is lost.
        """
        with self._faults(path, "written"):
            return self._files.create(path, data)

    def update(
        self, path: UPath, change: Callable[[bytes | None], bytes | None], *, patience: float = PATIENCE
    ) -> None:
        """Reads a file, changes its content and writes it back as one step: no rival's change is lost.

        Args:
            change: old content (None if the file does not exist) → new content, or None to leave everything as it is.
                It may be called several times, each time with what a rival has just written.
            patience: seconds to wait for rivals.

        Raises:
            RegistryError: rivals held the file for that long.
        """
        with self._faults(path, "changed"):
            self._files.update(path, change, patience=patience)

    @contextlib.contextmanager
    def locked(self, path: UPath, *, patience: float = PATIENCE) -> Iterator[Callable[[], bool]]:
        """Holds the lock of a path for the block: among rivals, one block runs at a time. The file need not exist.

        Args:
            patience: seconds to wait for rivals.

        Yields:
            a function that says whether the lock is still held: a process that was paused for a minute may lose it.

        Raises:
            RegistryError: rivals held the lock for that long; names the holder.
        """
        with contextlib.ExitStack() as stack:
            with self._faults(path, "locked"):
                held = stack.enter_context(self._files.locked(path, patience=patience))
            yield held

    def exists(self, path: UPath) -> bool:
        """Whether a file or a folder exists."""
        with self._faults(path, "read"):
            return bool(path.exists())

    def remove(self, path: UPath) -> None:
        """Removes a file; does nothing if it no longer exists."""
        with self._faults(path, "removed"):
            self._files.remove(path)

    def size(self, path: UPath) -> int:
        """Bytes of a file, or of all files in a folder."""
        with self._faults(path, "read"):
            return int(path.fs.du(path.path))

    def require_room(self, folder: UPath, size: int) -> None:
        """Checks, before hours of work, that files can be created here and that there is room for what is to come.

        Args:
            folder: where files will be written.
            size: bytes that will be needed; the free space of an object store is not known.

        Raises:
            RegistryError: a file cannot be created, or the disk has too little space.
        """
        probe = folder / f".probe-{uuid.uuid4().hex}.tmp"
        self.create(probe, probe.name.encode())  # if it fails, so would its removal, after as long a wait
        self.remove(probe)
        places = [tempfile.gettempdir(), *([str(self.root.path)] if self.local else [])]
        for place in places:
            free = shutil.disk_usage(place).free
            if free < size:
                raise RegistryError(
                    f"too little space in {place}: expected about {size / 1e6:,.1f} MB for the models to come, found "
                    f"{free / 1e6:,.1f} MB; free some, run `lstm-pipeline prune`, or use another folder"
                )

    def files(self, folder: UPath, *, private: bool = False) -> list[StoredFile]:
        """Every file at any depth of a folder, in the order of their paths; empty if the folder does not exist.

        It takes one listing, or one request for a thousand files of an object store, and reads nothing.

        Args:
            private: with temporary files and locks, which are else left out.

        Raises:
            NoFolderError: there is a file in its place.
        """
        with self._faults(folder, "listed"):
            try:
                if self.local:
                    return sorted(walked(str(folder.path), private=private))
                found = folder.fs.find(folder.path, detail=True)
            except FileNotFoundError:
                return []
            except NotADirectoryError:
                raise NoFolderError(folder) from None
            if list(found) == [folder.path]:  # an object that is listed as a folder is found as itself
                raise NoFolderError(folder)
        start = len(str(folder.path))
        files = [
            StoredFile(
                tuple(str(path)[start:].lstrip("/").split("/")),
                int(entry["size"]),
                time_of(entry),
                str(entry.get("ETag") or ""),
            )
            for path, entry in found.items()
        ]
        return sorted(file for file in files if private or not any(map(PRIVATE.fullmatch, file.parts)))

    def remove_all(self, path: UPath) -> None:
        """Removes a file, or a folder with everything in it."""
        with self._faults(path, "removed"):
            path.fs.rm(path.path, recursive=True)

    @contextlib.contextmanager
    def _faults(self, path: UPath, verb: str) -> Iterator[None]:
        """Turns the file system's errors into messages a user can act on."""
        try:
            yield
        except PipelineError:
            raise
        except FileNotFoundError as error:
            message = None if self.local else explain(error, path)
            raise RegistryError(message or f"{path} does not exist") from None
        except Exception as error:
            message = f"{path} cannot be {verb}: {error}" if isinstance(error, OSError) else None
            if not self.local:
                message = explain(error, path) or message
            if message is None:
                raise
            fault = RegistryError(message)
            fault.transient = not self.local and is_transient(error)
            raise fault from error

    def upload(self, source: Path, path: UPath) -> tuple[int, str]:
        """Copies a local file into the store, streamed.

        Returns:
            size in bytes and SHA-256 of what was copied.
        """
        with source.open("rb") as reader:
            return self._write_pieces(iter(partial(reader.read, _BLOCK), b""), path)

    def copy(self, source: UPath, target: UPath) -> tuple[int, str]:
        """Copies a file within the root, streamed.

        Returns:
            size in bytes and SHA-256 of what was copied.
        """
        return self._write_pieces(self._pieces(source), target)

    def _write_pieces(self, pieces: Iterator[bytes], path: UPath) -> tuple[int, str]:
        sha, size = hashlib.sha256(), 0
        with self.writing(path) as writer:
            for piece in pieces:
                sha.update(piece)
                size += writer.write(piece)
        return size, sha.hexdigest()

    @contextlib.contextmanager
    def as_local(self, path: UPath, folder: Path) -> Iterator[Path]:
        """A file on the local disk: itself if the store is local, else a copy in `folder`, removed after the block."""
        if self.local:
            yield Path(path.path)
            return
        copy = folder / path.name
        try:
            with copy.open("wb") as writer:
                writer.writelines(self._pieces(path))
            yield copy
        finally:
            copy.unlink(missing_ok=True)

    def digest(self, path: UPath) -> tuple[int, str]:
        """Size in bytes and SHA-256 of a file, streamed.

        Raises:
            RegistryError: it does not exist or cannot be read.
        """
        sha, size = hashlib.sha256(), 0
        for piece in self._pieces(path):
            sha.update(piece)
            size += len(piece)
        return size, sha.hexdigest()

    def _pieces(self, path: UPath) -> Iterator[bytes]:
        with self._faults(path, "read"):
            yield from self._files.pieces(path)

    def names(self, folder: UPath) -> list[str]:
        """Names of the files and folders in a folder; empty if it does not exist.

        Raises:
            NoFolderError: there is a file in its place.
        """
        with self._faults(folder, "listed"):
            try:
                return sorted(
                    name for name in self._files.names(folder) if not name.endswith((".tmp", ".lock", ".owner"))
                )
            except NotADirectoryError:
                raise NoFolderError(folder) from None
            except FileNotFoundError as error:
                if not self.local and explain(error, folder):
                    raise  # a bucket that does not exist is not an empty one
                return []


def sha256(data: bytes) -> str:
    """The checksum that records name."""
    return hashlib.sha256(data).hexdigest()


def to_json(data: Any) -> bytes:
    """JSON as it is stored: readable, keys in their order, NaN refused; what has very many entries is on one line."""
    return (_lines(data, "\n") + "\n").encode()


def _lines(value: Any, end: str) -> str:
    """A value as JSON, indented below `end`, the line end of its last line."""
    if isinstance(value, dict | list) and 0 < len(value) <= MOST_LINES:
        inner = end + "  "
        if isinstance(value, list):
            return "[" + ",".join(inner + _lines(item, inner) for item in value) + end + "]"
        named = (f"{_on_one_line(str(key))}: {_lines(item, inner)}" for key, item in value.items())
        return "{" + ",".join(inner + line for line in named) + end + "}"
    return _on_one_line(value)


def _on_one_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def from_json(data: bytes, path: object) -> Any:
    """Reads stored JSON.

    Raises:
        RegistryError: it is not JSON.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"{path} is damaged: {error}") from None

"""Which files a URI names: one file, a folder or a glob, on any file system fsspec knows; of one kind, in order."""

from __future__ import annotations

import difflib
import glob
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fsspec import AbstractFileSystem
from upath import UPath

from lstm_pipeline.errors import DataError
from lstm_pipeline.storage.faults import S3, s3_options

_KINDS = {".parquet": "Parquet", ".pq": "Parquet", ".csv": "CSV", ".csv.gz": "CSV"}


@dataclass(frozen=True)
class FoundFile:
    """A file as a listing gives it."""

    path: str
    size: int
    stamp: str = ""  # differs where the file was replaced, as far as the file system tells

    @property
    def name(self) -> str:
        """Without its folder."""
        return base(self.path)


@dataclass(frozen=True)
class FileSet:
    """The files of one URI, sorted by path."""

    uri: str
    fs: AbstractFileSystem
    kind: str  # Parquet or CSV
    files: tuple[FoundFile, ...]


def find_files(uri: str, storage_options: Mapping[str, Any] | None = None) -> FileSet:
    """Finds what a path or URL names, with as few requests as it takes.

    Raises:
        DataError: there is nothing, or files of different kinds.
    """
    if not uri.strip():
        raise DataError("the URI is empty; expected a path or URL of a file, a folder or a glob")
    where = _path(uri, storage_options or {})
    fs, path = where.fs, where.path
    fs.invalidate_cache()  # a listing kept from an earlier run would hide new files
    entry = _entry(fs, path)
    if entry is not None and entry["type"] == "directory":
        return _file_set(uri, fs, _in_folder(uri, fs, path))
    if entry is not None:
        return _file_set(uri, fs, [_found({**entry, "name": path})])
    if glob.has_magic(path):
        found = fs.glob(path, detail=True)
        matches = [_found(entry) for name, entry in found.items() if _visible(name) and _is_file(fs, entry)]
        if not matches:
            raise DataError(f"{uri}: nothing matches the pattern")
        return _file_set(uri, fs, matches)
    raise DataError(f"{uri}: no such file or folder{_nearest(fs, path)}")


def is_s3(uri: str) -> bool:
    """Whether a URI names something on S3 or on a store of its kind."""
    return uri.partition("://")[0] in S3


def is_local(fs: AbstractFileSystem) -> bool:
    """Whether the paths of a file system are this machine's own."""
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def _path(uri: str, options: Mapping[str, Any]) -> UPath:
    """S3 as the registry opens it too: one client, with its time limits and retries, and no listings kept."""
    special = {"use_listings_cache": False, **s3_options()} if is_s3(uri) else {}
    path: UPath = UPath(uri, **{**special, **options})
    return path


def _entry(fs: AbstractFileSystem, path: str) -> Mapping[str, Any] | None:
    """What is there; on an object store one request for a file, where `isfile` and `isdir` take three."""
    try:
        entry: Mapping[str, Any] = fs.info(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if entry["type"] not in ("file", "directory"):  # a link, on a local disk
        return {**entry, "type": "directory"} if fs.isdir(path) else entry if fs.isfile(path) else None
    return entry


def _is_file(fs: AbstractFileSystem, entry: Mapping[str, Any]) -> bool:
    return entry["type"] == "file" or (entry["type"] != "directory" and bool(fs.isfile(entry["name"])))


def _found(entry: Mapping[str, Any]) -> FoundFile:
    stamps = [str(entry[key]) for key in ("ETag", "etag", "LastModified", "mtime", "created") if entry.get(key)]
    return FoundFile(entry["name"], int(entry["size"] or 0), next(iter(stamps), ""))


def _file_set(uri: str, fs: AbstractFileSystem, files: Sequence[FoundFile]) -> FileSet:
    found = Counter(_kind(file.path) for file in files)
    if len(found) > 1:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(found.items()))
        raise DataError(f"{uri}: files of different kinds ({counts}); keep one kind, or name it by a glob")
    return FileSet(uri, fs, next(iter(found)), tuple(sorted(files, key=lambda file: file.path)))


def _in_folder(uri: str, fs: AbstractFileSystem, path: str) -> list[FoundFile]:
    entries = [entry for entry in fs.ls(path, detail=True) if _visible(entry["name"])]
    files = [_found(entry) for entry in entries if entry["type"] == "file" and extension(entry["name"])]
    if not files:
        folders = sum(entry["type"] == "directory" for entry in entries)
        hint = f"; it has {folders} sub-folders, name one or use a glob" if folders else ""
        raise DataError(f"{uri}: no {_known()} file in this folder{hint}")
    return files


def _visible(path: str) -> bool:
    return not base(path).startswith((".", "_"))


def base(path: str) -> str:
    """Name of a file without its folder."""
    return path.rstrip("/").rsplit("/", 1)[-1]


def extension(path: str) -> str:
    """The ending by which a file's kind is known; empty if it has none of them."""
    return next((ending for ending in _KINDS if path.lower().endswith(ending)), "")


def _known() -> str:
    return ", ".join(_KINDS)


def _kind(path: str) -> str:
    ending = extension(path)
    if not ending:
        raise DataError(f"{path}: unknown kind of file; expected a name that ends in one of {_known()}")
    return _KINDS[ending]


def _nearest(fs: AbstractFileSystem, path: str) -> str:
    parent, _, name = path.rstrip("/").rpartition("/")
    try:
        names = [base(entry) for entry in fs.ls(parent or "/", detail=False)]
    except (OSError, ValueError):
        return ""
    near = difflib.get_close_matches(name, names, 3, 0.6)
    return f"; nearest: {', '.join(near)}" if near else ""

"""Finding the files that a URI names: one file, a folder or a glob, on any file system that fsspec knows.

All files of a URI are of the same kind (Parquet or CSV) and are sorted by path.
"""

from __future__ import annotations

import datetime as dt
import glob
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any, Protocol

from upath import UPath

from lstm_pipeline.errors import DataError
from lstm_pipeline.storage import S3, s3_options
from lstm_pipeline.wording import counted, did_you_mean, listed

_KINDS = {".parquet": "Parquet", ".pq": "Parquet", ".csv": "CSV", ".csv.gz": "CSV"}


class FileSystem(Protocol):
    """The part of an fsspec file system that reading needs."""

    protocol: str | tuple[str, ...]

    def info(self, path: str) -> Mapping[str, Any]: ...
    def ls(self, path: str, detail: bool = ...) -> list[Any]: ...
    def glob(self, path: str, *, detail: bool = ...) -> Mapping[str, Mapping[str, Any]]: ...
    def isdir(self, path: str) -> bool: ...
    def isfile(self, path: str) -> bool: ...
    def open(self, path: str, mode: str = ..., **options: Any) -> IO[bytes]: ...
    def get_file(self, rpath: str, lpath: str) -> None: ...
    def invalidate_cache(self) -> None: ...


@dataclass(frozen=True)
class FoundFile:
    """One file of a listing."""

    path: str
    size: int
    stamp: str = ""  # changes when the file is replaced, if the file system provides an ETag or a time
    modified: dt.datetime | None = None  # in UTC, if the file system says so

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return base(self.path)


@dataclass(frozen=True)
class FileSet:
    """The files of one URI, sorted by path."""

    uri: str
    fs: FileSystem
    kind: str  # Parquet or CSV
    files: tuple[FoundFile, ...]
    own_client: bool = False  # whether S3 may be read by a client that knows only the standard AWS environment


def find_files(uri: str, storage_options: Mapping[str, Any] | None = None) -> FileSet:
    """Lists the files at a path or URL with as few requests as possible.

    Raises:
        DataError: no file was found, or the files are of different kinds.
    """
    if not uri.strip():
        raise DataError("the URI is empty; expected a path or URL of a file, a folder or a glob")
    return replace(_found_files(uri, storage_options or {}), own_client=is_s3(uri) and not storage_options)


def _found_files(uri: str, options: Mapping[str, Any]) -> FileSet:
    location = _location(uri, options)
    fs, path = location.fs, location.path
    fs.invalidate_cache()  # a listing cached by an earlier run would hide new files
    entry = _entry(fs, path)
    if entry is not None and entry["type"] == "directory":
        return _file_set(uri, fs, _in_folder(uri, fs, path))
    if entry is not None:
        return _file_set(uri, fs, [_found({**entry, "name": path})])
    if glob.has_magic(path):
        entries = fs.glob(path, detail=True)
        matches = [_found(entry) for name, entry in entries.items() if _visible(name) and _is_file(fs, entry)]
        if not matches:
            raise DataError(f"{uri}: no file matches the pattern")
        return _file_set(uri, fs, matches)
    hint = _similar_name(fs, path)
    raise DataError(f"{uri}: no such file or folder{hint and '.'}{hint}")


def is_s3(uri: str) -> bool:
    """Whether a URI points to S3 or an S3-compatible store."""
    return uri.partition("://")[0] in S3


def is_local(fs: FileSystem) -> bool:
    """Whether the paths of a file system are paths on this machine."""
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def _location(uri: str, options: Mapping[str, Any]) -> UPath:
    """Opens S3 with the registry's time limits and retries, and without a cache of listings."""
    special = {"use_listings_cache": False, **s3_options()} if is_s3(uri) else {}
    path: UPath = UPath(uri, **{**special, **options})
    return path


def _entry(fs: FileSystem, path: str) -> Mapping[str, Any] | None:
    """The listing entry of a path; on an object store one request, where `isfile` and `isdir` take three."""
    try:
        entry = fs.info(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if entry["type"] not in ("file", "directory"):  # a symbolic link on a local disk
        return {**entry, "type": "directory"} if fs.isdir(path) else entry if fs.isfile(path) else None
    return entry


def _is_file(fs: FileSystem, entry: Mapping[str, Any]) -> bool:
    return entry["type"] == "file" or (entry["type"] != "directory" and bool(fs.isfile(entry["name"])))


def _found(entry: Mapping[str, Any]) -> FoundFile:
    stamps = [str(entry[key]) for key in ("ETag", "etag", "LastModified", "mtime", "created") if entry.get(key)]
    return FoundFile(entry["name"], int(entry["size"] or 0), next(iter(stamps), ""), _modified(entry))


def _modified(entry: Mapping[str, Any]) -> dt.datetime | None:
    """When a file was written last, in UTC; None if its file system does not say so, or in another form."""
    stamp = next((entry[key] for key in ("LastModified", "last_modified", "mtime", "updated") if entry.get(key)), None)
    if isinstance(stamp, int | float):
        return dt.datetime.fromtimestamp(stamp, dt.UTC)
    if isinstance(stamp, dt.datetime):
        return stamp.astimezone(dt.UTC) if stamp.tzinfo else stamp.replace(tzinfo=dt.UTC)
    return None


def _file_set(uri: str, fs: FileSystem, files: Sequence[FoundFile]) -> FileSet:
    kinds = Counter(_kind(file.path) for file in files)
    if len(kinds) > 1:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        raise DataError(f"{uri}: expected files of one kind, found {counts}; remove one kind or select it with a glob")
    return FileSet(uri, fs, next(iter(kinds)), tuple(sorted(files, key=lambda file: file.path)))


def _in_folder(uri: str, fs: FileSystem, path: str) -> list[FoundFile]:
    entries = [entry for entry in fs.ls(path, detail=True) if _visible(entry["name"])]
    files = [_found(entry) for entry in entries if entry["type"] == "file" and extension(entry["name"])]
    if not files:
        folders = sum(entry["type"] == "directory" for entry in entries)
        hint = f"; it contains {counted(folders, 'sub-folder')}: name one of them or use a glob" if folders else ""
        raise DataError(f"{uri}: no {_extensions()} file in this folder{hint}")
    return files


def _visible(path: str) -> bool:
    return not base(path).startswith((".", "_"))


def base(path: str) -> str:
    """The name of a file without its folder."""
    return path.rstrip("/").rsplit("/", 1)[-1]


def extension(path: str) -> str:
    """The known extension of a file name, or an empty string."""
    return next((ending for ending in _KINDS if path.lower().endswith(ending)), "")


def _extensions() -> str:
    *others, last = _KINDS
    return f"{listed(others)} or {last}"


def _kind(path: str) -> str:
    ending = extension(path)
    if not ending:
        raise DataError(f"{path}: unknown file type; expected a name that ends in {_extensions()}")
    return _KINDS[ending]


def _similar_name(fs: FileSystem, path: str) -> str:
    parent, _, name = path.rstrip("/").rpartition("/")
    try:
        names = [base(entry) for entry in fs.ls(parent or "/", detail=False)]
    except (OSError, ValueError):
        return ""
    names = [name for name in names if extension(name) or "." not in name]  # data files and folders, not the spec
    return did_you_mean(name, names)

"""Listings of what is stored."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PRIVATE = re.compile(r"\..*\.(tmp|lock|owner)")
"""Names of what only the store itself looks at."""


@dataclass(frozen=True, order=True)
class StoredFile:
    """A file in a listing.

    Attributes:
        parts: its path below the folder that was listed.
        size: in bytes.
        written: when it was written, in UTC; object stores say so to the second.
        tag: of its content, where the store has one; else empty.
    """

    parts: tuple[str, ...]
    size: int
    written: dt.datetime
    tag: str = ""


def is_private(file: StoredFile) -> tuple[str, ...]:
    """The path, up to the private part of it, of what only the store itself looks at; empty for any other file."""
    for index, part in enumerate(file.parts):
        if PRIVATE.fullmatch(part):
            return file.parts[: index + 1]
    return ()


def walked(folder: str, above: tuple[str, ...] = (), *, private: bool = False) -> Iterator[StoredFile]:
    """The files of a local folder; several times as fast as through fsspec, which matters for thousands of them.

    Args:
        above: the path of the folder below the one that is listed.
        private: with what only the store itself looks at.
    """
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        if above:  # removed a moment ago
            return
        raise
    for entry in entries:
        parts = (*above, entry.name)
        if PRIVATE.fullmatch(entry.name) and not private:
            continue
        if entry.is_dir():
            yield from walked(entry.path, parts, private=private)
            continue
        with contextlib.suppress(FileNotFoundError):  # removed a moment ago
            found = entry.stat()
            yield StoredFile(parts, found.st_size, dt.datetime.fromtimestamp(found.st_mtime, dt.UTC))


def time_of(entry: dict[str, Any]) -> dt.datetime:
    """When a file was written, from its entry in a listing of fsspec."""
    stamp = entry.get("LastModified") or entry.get("mtime") or entry.get("created")
    time = dt.datetime.fromtimestamp(stamp, dt.UTC) if isinstance(stamp, int | float) else stamp
    assert isinstance(time, dt.datetime)
    return time

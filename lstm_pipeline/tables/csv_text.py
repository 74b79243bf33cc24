"""The text of a CSV file: its encoding, line ends and first line, as the tools of the world write them.

A byte mark decides between UTF-8 and UTF-16, `sep=;` in the first line names the delimiter, spaces around the names of
columns do not belong to them. DuckDB reads UTF-8 with one kind of line end; other files are rewritten for it.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lstm_pipeline.errors import DataError
from lstm_pipeline.spec import ReadingOptions
from lstm_pipeline.storage import bounded, most_unpacked
from lstm_pipeline.tables.files import FileSystem, extension, is_local
from lstm_pipeline.wording import counted, listed, number

UNNAMED = "\ufdd0unnamed "
"""Begins the stand-in for the name of a column without one; no file can contain it."""

_CHUNK = 1 << 22
_TITLES = 30
"""A line that does not fit the first one this early shows that the first one is no header, but a title."""
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_OTHER_KINDS = {
    b"par1": "a Parquet file; name it .parquet",
    b"pk\x03\x04": "a zip archive or an Excel workbook; unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save the sheet as CSV",
    b"\x1f\x8b": "a file compressed with gzip; name it .csv.gz",
    b"<!doctype html": "a web page, perhaps one that asks for a login; download the file itself",
    b"<html": "a web page, perhaps one that asks for a login; download the file itself",
    b"version https://git-lfs": "a pointer of Git LFS; fetch the file itself with git lfs pull",
}
"""First bytes in small letters → what the file is."""
_VALUE = r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?|[+-]?\d+[.,]\d+"
_WHOLE = r"[+-]?\d*"
_SEP = r'^\ufeff?"?sep=(.)"?\s*$'


class _TooLongError(Exception):
    """A compressed file has more text than such a file may have."""


@dataclass(frozen=True)
class CsvText:
    """A CSV file that DuckDB can read.

    Attributes:
        path: the file as messages name it.
        local: a path on this machine; UTF-8 with one kind of line end.
        names: the columns, trimmed; those without a name begin with `UNNAMED`.
        delimiter: between the values.
        skipped: lines before the one with the names.
        compressed: whether the local file is compressed with gzip.
    """

    path: str
    local: str
    names: list[str]
    delimiter: str
    skipped: int
    compressed: bool

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Line number and values of every row with values, without the first one.

        Raises:
            DataError: the text cannot be split into rows and values.
        """
        with _open_text(self.local, self.compressed) as file:
            for _ in range(self.skipped):
                file.readline()
            reader, read = csv.reader(file, delimiter=self.delimiter, strict=True), 0
            try:
                for number, row in enumerate(reader):
                    read = reader.line_num
                    if row and number:
                        yield self.skipped + read, row
            except (csv.Error, UnicodeDecodeError) as error:
                line = self.skipped + read + 1  # where the record begins: an open quote reaches to the end of the file
                raise DataError(
                    f"line {line} cannot be read: {error}; check for a quote that is not closed and for text that is "
                    "not UTF-8"
                ) from error

    def malformed_row(self) -> str:
        """The first row that does not fit the names, which DuckDB's message does not tell; empty if there is none."""
        width = len(self.names)
        try:
            for line, row in self.records():
                if len(row) != width:
                    values, columns = counted(len(row), "value"), counted(width, "column")
                    said = f"line {line} has {values}, but the first line names {columns}"
                    if width < len(row) and line <= _TITLES:
                        return f"{said}; remove lines above the one with the column names, if there are any"
                    return f"{said}; correct this line or remove it"
        except DataError as error:
            return str(error)
        return ""

    def line_of(self, row: int) -> int | None:
        """The line of a row (from 0); None if it cannot be told."""
        try:
            return next((line for number, (line, _) in enumerate(self.records()) if number == row), None)
        except DataError:
            return None


@contextmanager
def csv_text(fs: FileSystem, path: str, options: ReadingOptions) -> Iterator[CsvText]:
    """Opens a CSV file: a remote one is downloaded once, and one that DuckDB cannot read is rewritten.

    Raises:
        DataError: the file is empty, or its text cannot be decoded.
    """
    compressed = path.lower().endswith(".gz")
    with tempfile.TemporaryDirectory() as folder:
        local = path
        if not is_local(fs):
            local = str(Path(folder) / ("remote" + extension(path)))
            fs.get_file(path, local)
        _require_text(local, path, compressed)
        encoding = options.encoding or _marked(local, compressed)
        try:  # either of the two reads to the end
            if encoding not in ("utf-8", "utf-8-sig") or _mixed_line_ends(local, compressed):
                local, compressed = _rewritten(local, Path(folder) / "rewritten.csv", path, encoding, compressed), False
        except _TooLongError as error:
            raise DataError(f"{path}: {error}") from None
        names, delimiter, skipped = _header(local, path, compressed, options)
        yield CsvText(path, local, names, delimiter, skipped, compressed)


def _open(local: str, compressed: bool) -> IO[bytes]:
    if compressed:
        import gzip

        packed = os.path.getsize(local)
        most = most_unpacked(packed)
        refusal = _TooLongError(
            f"expected at most {number(most / 1e9)} GB of text in a compressed file of {number(packed / 1e6)} MB, "
            "found more; if that is right, unpack the file and use the .csv"
        )
        return bounded(gzip.open(local, "rb"), most, refusal)
    return open(local, "rb")


def _open_text(local: str, compressed: bool, encoding: str = "utf-8-sig") -> io.TextIOWrapper:
    return io.TextIOWrapper(_open(local, compressed), encoding=encoding, newline="")


def _require_text(local: str, path: str, compressed: bool) -> None:
    """Refuses files of other kinds under the name of a CSV file."""
    with _open(local, compressed) as file:
        start = file.read(64)
    kind = next((kind for mark, kind in _OTHER_KINDS.items() if start.lower().startswith(mark)), None)
    if kind:
        raise DataError(f"{path}: expected the text of a CSV file, found {kind}")


def _marked(local: str, compressed: bool) -> str:
    with _open(local, compressed) as file:
        start = file.read(4)
    return next((name for mark, name in _MARKS.items() if start.startswith(mark)), "utf-8")


def _mixed_line_ends(local: str, compressed: bool) -> bool:
    """Whether lines end in more than one of CR LF, LF and CR."""
    both = newlines = returns = 0
    with _open(local, compressed) as file:
        last = b""
        while chunk := file.read(_CHUNK):
            newlines += chunk.count(b"\n")
            if b"\r" in chunk or last == b"\r":
                returns += chunk.count(b"\r")
                both += chunk.count(b"\r\n") + (last == b"\r" and chunk[:1] == b"\n")
            last = chunk[-1:]
    return sum(count > 0 for count in (both, newlines - both, returns - both)) > 1


def _rewritten(local: str, target: Path, path: str, encoding: str, compressed: bool) -> str:
    """The same text as UTF-8 with LF."""
    try:
        with (
            io.TextIOWrapper(_open(local, compressed), encoding=encoding) as source,
            target.open("w", encoding="utf-8", newline="\n") as file,
        ):
            while text := source.read(_CHUNK):
                file.write(text)
    except UnicodeError as error:
        reason = getattr(error, "reason", str(error))
        name = encoding.removesuffix("-sig").upper()
        raise DataError(
            f"{path}: {_undecodable(local, compressed, encoding)}the text is not {name} ({reason}); set the input's "
            "encoding, e.g. latin-1 or cp1252"
        ) from error
    return str(target)


def _header(local: str, path: str, compressed: bool, options: ReadingOptions) -> tuple[list[str], str, int]:
    """The names of the columns, the delimiter, and the number of lines before the names."""
    with _open_text(local, compressed) as file:
        try:
            line, skipped = file.readline(), 0
            separator = re.match(_SEP, line, re.IGNORECASE)
            if separator:
                line, skipped = file.readline(), 1
            while line and not line.strip():
                line, skipped = file.readline(), skipped + 1
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}: {_undecodable(local, compressed)}the text is not UTF-8 ({error.reason}); save the "
                "file as UTF-8, or set the input's encoding, e.g. latin-1 or cp1252"
            ) from error
        if not line:
            raise DataError(f"{path}: the file is empty; expected a first line with the column names")
        if "\0" in line:  # every second byte of UTF-16
            order = "utf-16-be" if line.startswith("\0") else "utf-16-le"
            raise DataError(
                f"{path}: the first line contains zero bytes, so the text is not UTF-8; set the input's encoding, e.g. "
                f"{order}"
            )
        bare = re.sub('"[^"]*"', "", line)
        likely = ";,\t|" if options.decimal == "," else ",;\t|"  # the first one if the line contains none
        delimiter = options.delimiter or (separator.group(1) if separator else max(likely, key=bare.count))
        names = _names(line, file, delimiter)
    if not any(name.strip() for name in names):
        raise DataError(f"{path}: expected a first line with the column names, found one without any name")
    stripped = [name.strip() for name in names]
    values = [name for name in stripped if re.fullmatch(_VALUE, name)]
    if values and all(name in values or re.fullmatch(_WHOLE, name) for name in stripped):
        shown = listed([repr(name) for name in stripped], 3)
        raise DataError(f"{path}: expected a first line with the column names, found values ({shown}); add such a line")
    return [name.strip() or f"{UNNAMED}{number}" for number, name in enumerate(names, start=1)], delimiter, skipped


def _undecodable(local: str, compressed: bool, encoding: str = "utf-8-sig") -> str:
    """`line 7: ` of the first line that is not in an encoding; empty where lines do not end in a single byte."""
    if encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32")):
        return ""
    with _open(local, compressed) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError:
                return f"line {number}: "
    return ""


def _names(line: str, rest: io.TextIOWrapper, delimiter: str) -> list[str]:
    """The first record; a quoted name may go over several lines."""

    def lines() -> Iterator[str]:
        yield line
        for _ in range(100):
            yield rest.readline()

    return next(csv.reader(lines(), delimiter=delimiter, skipinitialspace=delimiter not in " \t"), [])

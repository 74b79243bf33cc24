"""Tables from files: Parquet or CSV; one file, a folder or a glob; on any file system that fsspec knows.

`csv_files` and `timestamps` have the rules by which text becomes values.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.errors import DataError
from lstm_pipeline.storage import explain
from lstm_pipeline.tables.columns import check_names, check_same_columns
from lstm_pipeline.tables.csv_files import read_csv_column, read_csvs
from lstm_pipeline.tables.extents import Extent, extent_of, extent_of_texts, joined
from lstm_pipeline.tables.files import FileSet, FoundFile, find_files, is_local, is_s3
from lstm_pipeline.tables.parquet import ParquetFiles
from lstm_pipeline.tables.timestamps import is_text, with_timestamps


def read_table(
    uri: str,
    *,
    columns: Collection[str] | None = None,
    where: pc.Expression | None = None,
    timestamp_col: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> pa.Table:
    """The rows of the files at `uri`, in the order of the files' names.

    Args:
        uri: a path or URL (`s3://…`, `file://…`) of a file, a folder or a glob.
        columns, where: see `Source.read`.
        timestamp_col: the column whose text is read as timestamps.
        storage_options: passed to fsspec.

    Raises:
        DataError: there is nothing to read, or it cannot be read without loss or guessing.
    """
    source = open_source(uri, timestamp_col=timestamp_col, storage_options=storage_options)
    return source.read(columns=columns, where=where)


def read_schema(
    uri: str, *, timestamp_col: str | None = None, storage_options: Mapping[str, Any] | None = None
) -> pa.Schema:
    """The schema of the table that `read_table` returns.

    Only the footers of Parquet files are read, and the timestamp column if it is text. CSV files are read completely,
    because their types depend on every row.
    """
    return open_source(uri, timestamp_col=timestamp_col, storage_options=storage_options).schema


def open_source(
    uri: str, *, timestamp_col: str | None = None, storage_options: Mapping[str, Any] | None = None
) -> Source:
    """Opens files, so that their schema is known before columns and rows are chosen.

    Raises:
        DataError: there is nothing to read, or it cannot be read without loss or guessing.
    """
    with _faults_in_words(uri):
        found = find_files(uri, storage_options)
        if found.kind == "CSV":
            return _CsvSource(found, timestamp_col)
        return _ParquetSource(found, timestamp_col, storage_options)


def list_files(uri: str) -> FileSet:
    """The files at `uri`, with sizes and what changes when they are replaced; nothing is read.

    Raises:
        DataError: there is no file.
    """
    with _faults_in_words(uri):
        return find_files(uri)


def read_extents(found: FileSet, timestamp_col: str) -> tuple[list[Extent], int]:
    """The rows and times of each file, and about how many bytes were read for them.

    Raises:
        DataError: a file cannot be read.
    """
    with _faults_in_words(found.uri):
        if found.kind == "CSV":
            columns = [read_csv_column(found.fs, file, timestamp_col) for file in found.files]
            extents = [extent_of_texts(column, timestamp_col, found.uri) for column in columns]
            return extents, sum(file.size for file in found.files)
        files = ParquetFiles(found.fs, found.files, own_client=is_s3(found.uri))
        return files.extents(timestamp_col), files.footer_bytes


class Source(Protocol):
    """Open files of one kind."""

    schema: pa.Schema
    files: tuple[FoundFile, ...]

    def extent(self) -> Extent:
        """The number of rows of all files, and the first and the last time; reads no more than opening did.

        Only timestamps as text, and those that footers of Parquet files have no statistics for, are read.
        """

    def read(self, *, columns: Collection[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
        """Reads the files.

        Args:
            columns: the columns that are needed, by default all. The result has them in the order of the files.
            where: rows for which this is not true are not needed. Parquet leaves them out, and skips row groups that
                contain no other rows. CSV, and Parquet with timestamps as text, return all rows.

        Raises:
            DataError: the files cannot be read without loss or guessing.
        """


class _CsvSource:
    """CSV is read when it is opened: the types depend on every row."""

    def __init__(self, found: FileSet, timestamp_col: str | None) -> None:
        self._table = with_timestamps(read_csvs(found), timestamp_col, found.uri)
        self._timestamp_col = timestamp_col
        self.schema: pa.Schema = self._table.schema
        self.files = found.files

    def extent(self) -> Extent:
        return extent_of(self._table, self._timestamp_col)

    def read(self, *, columns: Collection[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
        return self._table.select([name for name in self.schema.names if columns is None or name in columns])


class _ParquetSource:
    """Opening reads the footers, and the timestamp column if it is text: how it is read depends on every row."""

    def __init__(self, found: FileSet, timestamp_col: str | None, options: Mapping[str, Any] | None) -> None:
        self._found = found
        self.files = found.files
        self._options = options
        self._files = ParquetFiles(found.fs, found.files, own_client=is_s3(found.uri) and not options)
        self._stored = _common_schema(found, self._files.schemas)
        self._timestamp_col = timestamp_col
        self._times: pa.ChunkedArray | None = None
        self.schema = self._stored
        if timestamp_col is None or timestamp_col not in self._stored.names:
            return
        index = self._stored.get_field_index(timestamp_col)
        if is_text(self._stored.field(index).type):
            text = self._files.read(self._stored, [timestamp_col], None)
            parsed = with_timestamps(text, timestamp_col, found.uri)
            self._times = parsed.column(0)
            self.schema = self._stored.set(index, parsed.schema.field(0))

    def read(self, *, columns: Collection[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
        wanted = [name for name in self.schema.names if columns is None or name in columns]
        with _faults_in_words(self._found.uri):
            try:
                table = self._read(wanted, where)
            except Exception:
                self._check_unchanged()  # footer and data of different files do not fit together
                raise
            self._check_unchanged()
            return table

    def extent(self) -> Extent:
        if self._times is not None:
            return extent_of(pa.table([self._times], names=[self._timestamp_col]), self._timestamp_col)
        with _faults_in_words(self._found.uri):
            return joined(self._files.extents(self._timestamp_col))

    def _check_unchanged(self) -> None:
        """The ranges of a remote file that is replaced during reading may come from both versions; a listing shows it.

        Raises:
            DataError: a file was replaced or removed.
        """
        if is_local(self._found.fs):
            return
        if not set(self._found.files) <= set(find_files(self._found.uri, self._options).files):
            raise DataError(f"{self._found.uri}: a file was replaced during reading; run again")

    def _read(self, wanted: list[str], where: pc.Expression | None) -> pa.Table:
        if self._times is None:
            return self._files.read(self._stored, wanted, where)
        others = self._files.read(self._stored, [name for name in wanted if name != self._timestamp_col], None)
        given = [self._times if name == self._timestamp_col else others.column(name) for name in wanted]
        return pa.table(given, names=wanted)


def _common_schema(found: FileSet, schemas: Sequence[pa.Schema]) -> pa.Schema:
    first = schemas[0]
    for file, schema in zip(found.files, schemas, strict=True):
        check_names(schema.names, file.path)
        check_same_columns(first.names, schema.names, found.files[0].path, file.path)
        for field in first:
            other = schema.field(field.name).type
            if other != field.type:
                raise DataError(
                    f"{found.uri}: column {field.name!r} is {field.type} in {found.files[0].name} but {other} in "
                    f"{file.name}; write it with the same type in all files"
                )
    return first.remove_metadata()


# --- faults ----------------------------------------------------------------------------------------------------------


_REFUSED = r"AWS Error (ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH)|HTTP status 403|ExpiredToken"


@contextmanager
def _faults_in_words(uri: str) -> Iterator[None]:
    """Turns any error of a file system or reader into a `DataError` that names the URI."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(_fault(uri, error)) from error


def _fault(uri: str, error: Exception) -> str:
    if is_s3(uri):
        error = _as_store_error(error)
        from_store = type(error).__module__.startswith(("botocore", "aiobotocore")) or isinstance(
            error, FileNotFoundError | PermissionError | ConnectionError | TimeoutError
        )
        if from_store and (words := explain(error, uri)):
            return words
    if isinstance(error, FileNotFoundError):
        return f"{uri}: no such file or folder ({error})"
    if isinstance(error, PermissionError):
        return f"{uri}: permission denied; check file permissions and credentials ({error})"
    detail = " ".join(str(error).split())[:300] or type(error).__name__
    return f"{uri}: cannot be read; check that the file is complete and that its extension is right ({detail})"


def _as_store_error(error: Exception) -> Exception:
    """pyarrow's S3 client puts every fault into an OSError; its text says which one."""
    text = str(error)
    if re.search(_REFUSED, text):
        return PermissionError(text)
    return ConnectionError(text) if "AWS Error NETWORK_CONNECTION" in text else error

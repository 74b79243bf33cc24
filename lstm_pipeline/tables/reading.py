"""Tables from files: Parquet or CSV; one file, a folder or a glob; on any file system that fsspec knows.

`csv_files` and `timestamps` have the rules by which text becomes values.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.errors import DataError
from lstm_pipeline.parsing import is_text, plain_type, with_timestamps, without_missing
from lstm_pipeline.spec import DEFAULT_READING, ReadingOptions
from lstm_pipeline.tables.csv_files import read_csv_column
from lstm_pipeline.tables.csv_source import CsvSource
from lstm_pipeline.tables.extents import Extent, extent_of, extent_of_file, joined
from lstm_pipeline.tables.faults import faults_in_words
from lstm_pipeline.tables.files import FileSet, find_files, is_local
from lstm_pipeline.tables.parquet import ParquetFiles
from lstm_pipeline.tables.pivoting import check_pivot, pivoted
from lstm_pipeline.tables.promotion import common_schema
from lstm_pipeline.tables.source import Reading, Source, TableSource, chosen
from lstm_pipeline.wording import listed


def read_table(
    uri: str,
    *,
    columns: Collection[str] | None = None,
    where: pc.Expression | None = None,
    timestamp_col: str | None = None,
    options: ReadingOptions | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> pa.Table:
    """The rows of the files at `uri`, in the order of the files' names.

    Args:
        uri: a path or URL (`s3://…`, `file://…`) of a file, a folder or a glob.
        columns, where: see `Source.read`.
        timestamp_col: the column whose text is read as timestamps.
        options: how the files are read; None: as they say themselves.
        storage_options: passed to fsspec.

    Raises:
        DataError: there is nothing to read, or it cannot be read without loss or guessing.
    """
    reading = Reading(options or DEFAULT_READING, timestamp_col)
    return open_source(uri, reading=reading, storage_options=storage_options).read(columns=columns, where=where)


def open_source(
    uri: str,
    *,
    timestamp_col: str | None = None,
    reading: Reading | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Source:
    """Opens files, so that their schema is known before columns and rows are chosen.

    Args:
        uri: a path or URL of a file, a folder or a glob.
        timestamp_col: short for a reading with this column and no options.
        reading: how the files are read.
        storage_options: passed to fsspec.

    Raises:
        DataError: there is nothing to read, or it cannot be read without loss or guessing.
    """
    reading = reading or Reading(timestamp_col=timestamp_col)
    with faults_in_words(uri):
        found = find_files(uri, storage_options)
        if found.kind == "CSV":
            source: Source = CsvSource(found, reading)
        else:
            _require_parquet_options(reading.options, uri)
            source = _ParquetSource(found, reading, storage_options)
        return _Pivoted(source, reading, uri) if reading.options.pivot else source


def _require_parquet_options(options: ReadingOptions, uri: str) -> None:
    if options.text_only:
        verb = "means" if len(options.text_only) == 1 else "mean"
        raise DataError(
            f"{uri}: {listed(options.text_only)} {verb} nothing for Parquet, whose values have types; remove it from "
            "the input"
        )


def list_files(uri: str, storage_options: Mapping[str, Any] | None = None) -> FileSet:
    """The files at `uri`, with sizes and what changes when they are replaced; nothing is read.

    Args:
        uri: a path or URL of a file, a folder or a glob.
        storage_options: passed to fsspec.

    Raises:
        DataError: there is no file.
    """
    with faults_in_words(uri):
        return find_files(uri, storage_options)


def read_extents(found: FileSet, reading: Reading) -> tuple[list[Extent], int]:
    """The rows and times of each file, and about how many bytes were read for them.

    Times of an undecided extent have to be taken from the source of all files, as have those of a long table.

    Raises:
        DataError: a file cannot be read.
    """
    name, options = reading.timestamp_col or "", reading.options

    def of_text(table: pa.Table) -> Extent:
        return extent_of_file(_texts(table, options), name, found.uri, options.timestamp_format)

    with faults_in_words(found.uri):
        if found.kind == "CSV":
            columns = [read_csv_column(found.fs, file, name, options) for file in found.files]
            return [_csv_extent(column, reading, found.uri) for column in columns], sum(
                file.size for file in found.files
            )
        _require_parquet_options(options, found.uri)
        files = ParquetFiles(found.fs, found.files, own_client=found.own_client)
        return files.extents(name, of_text if reading.converted else None), files.footer_bytes


def _csv_extent(table: pa.Table, reading: Reading, uri: str) -> Extent:
    name = reading.timestamp_col or ""
    if reading.converted is None and name in table.column_names:
        return Extent(table.num_rows, decided=False)  # text that all files may show to be dates
    return extent_of_file(table, name, uri, reading.options.timestamp_format)


class _ParquetSource:
    """Opening reads the footers, and the timestamp column if it is text: how it is read depends on every row."""

    is_csv, complete = False, True

    def __init__(self, found: FileSet, reading: Reading, options: Mapping[str, Any] | None) -> None:
        self._found, self._options, self._reading, self.files = found, options, reading.options, found.files
        self._stamps = reading.timestamp_col
        self._files = ParquetFiles(found.fs, found.files, own_client=found.own_client)
        self._stored = common_schema(found, self._files.schemas)
        self.rows = self._files.rows
        self._timestamp_col = name = reading.converted
        self._times: pa.ChunkedArray | None = None
        self.pattern: str | None = None
        self.notes: tuple[str, ...] = ()
        for index in [field.name for field in self._stored if _is_index(field) and field.name != reading.timestamp_col]:
            self.notes += (f"{found.uri}: column {index!r} is the index of a pandas frame; it is left out",)
            self._stored = self._stored.remove(self._stored.get_field_index(index))
        self.schema = self._stored
        if name is None or name not in self._stored.names:
            return
        position = self._stored.get_field_index(name)
        if is_text(plain_type(self._stored.field(position).type)):
            text = _texts(self._files.read(self._stored, [name], None), self._reading)
            parsed = with_timestamps(text, name, found.uri, self._reading.timestamp_format)
            self._times, self.pattern = parsed.table.column(0), parsed.pattern
            self.schema = self._stored.set(position, parsed.table.schema.field(0))

    def line(self, row: int) -> str:
        return f"row {row + 1}"

    def read(
        self,
        *,
        columns: Collection[str] | None = None,
        where: pc.Expression | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        wanted = chosen(self.schema.names, columns)
        if self._reading.missing_values:
            where = None  # it would be decided by values that are missing
        with faults_in_words(self._found.uri):
            try:
                table = self._read(wanted, where, limit)
            except Exception:
                self._check_unchanged()  # footer and data of different files do not fit together
                raise
            self._check_unchanged()
            return without_missing(table, self._reading) if self._reading.missing_values else table

    def extent(self) -> Extent:
        if self._times is not None:
            return extent_of(pa.table([self._times], names=[self._timestamp_col]), self._timestamp_col)
        with faults_in_words(self._found.uri):
            return joined(self._files.extents(self._stamps, None))

    def _check_unchanged(self) -> None:
        """The ranges of a remote file that is replaced during reading may come from both versions; a listing shows it.

        Raises:
            DataError: a file was replaced or removed.
        """
        if is_local(self._found.fs):
            return
        if not set(self._found.files) <= set(find_files(self._found.uri, self._options).files):
            raise DataError(f"{self._found.uri}: a file was replaced during reading; run again")

    def _read(self, wanted: list[str], where: pc.Expression | None, limit: int | None) -> pa.Table:
        if self._times is None:
            return self._files.read(self._stored, wanted, where, limit)
        others = self._files.read(self._stored, [name for name in wanted if name != self._timestamp_col], None)
        given = [self._times if name == self._timestamp_col else others.column(name) for name in wanted]
        return pa.table(given, names=wanted)


class _Pivoted(TableSource):
    """A long table, which is read when it is opened: its entities become columns."""

    is_csv = False  # a row of it has no line of its own

    def __init__(self, source: Source, reading: Reading, uri: str) -> None:
        pivot, stamps = reading.options.pivot, reading.timestamp_col
        assert pivot is not None
        if stamps is None:
            raise DataError(f"{uri}: pivot needs to know the timestamp column")
        check_pivot(source.schema, pivot, stamps, uri)
        used = (stamps, pivot.entity, *pivot.values)
        others = [name for name in source.schema.names if name not in used]
        self.notes = source.notes
        if others:
            self.notes += (f"{uri}: pivot leaves out the columns that it does not name: {listed(others)}",)
        self._table, self._stamps, self.files = (
            pivoted(source.read(columns=used), pivot, stamps, uri),
            stamps,
            source.files,
        )
        self.schema: pa.Schema = self._table.schema
        self.rows: int = self._table.num_rows
        self.pattern, self.complete = source.pattern, source.complete

    def extent(self) -> Extent:
        return extent_of(self._table, self._stamps)

    def line(self, row: int) -> str:
        return f"row {row + 1}"


def _texts(table: pa.Table, options: ReadingOptions) -> pa.Table:
    """A table with one column of text, as strings without missing values."""
    return without_missing(pa.table([table.column(0).cast(pa.string())], names=table.column_names), options)


def _is_index(field: pa.Field) -> bool:
    """Whether pandas wrote its index here: whole numbers under a name that pandas makes up."""
    made_up = re.fullmatch(r"__index_level_\d+__|Unnamed: \d+(\.\d+)?", field.name)
    return bool(made_up) and bool(pa.types.is_integer(field.type))

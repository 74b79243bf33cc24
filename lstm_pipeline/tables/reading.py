"""Tables from files: Parquet or CSV; one file, a folder or a glob; on any file system fsspec knows.

Rules for CSV: the first line names the columns; the delimiter is whichever of `, ; tab |` that line has most of.
Empty fields, `NA`, `N/A`, `NaN` and `NULL` are nulls. The whole file decides a column's type. Only dates that begin
with the year are recognised by themselves; the timestamp column may also be day-first or month-first where just one
of the two reads every value. So the same text never becomes two different dates.
"""

from __future__ import annotations

import csv
import glob
import io
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from fsspec import AbstractFileSystem

from lstm_pipeline.errors import DataError
from lstm_pipeline.storage.faults import explain
from lstm_pipeline.tables.files import FileSet, base, extension, find_files, is_local, is_s3
from lstm_pipeline.tables.parquet import ParquetFiles

_NULLS = ["", "NA", "N/A", "NaN", "nan", "NULL", "null"]
_TYPES = ["BOOLEAN", "BIGINT", "DOUBLE", "VARCHAR"]  # dates are read by the rules above, not guessed
_DAY = r"\s*\d{4}[-/]\d{1,2}[-/]\d{1,2}"
_OFFSET = r"\s*([zZ]|UTC|[+-]\d{2}(:?\d{2})?)"
_YEAR_FIRST = rf"{_DAY}([ T]\d{{1,2}}:\d{{2}}(:\d{{2}}(\.\d+)?)?({_OFFSET})?)?\s*"
_ENDS_IN_OFFSET = rf":\d\d(\.\d+)?{_OFFSET}\s*$"
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f")


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
        columns, where, timestamp_col: see `Source.read`.
        storage_options: passed to fsspec.

    Raises:
        DataError: there is nothing to read, or it cannot be read without loss or guessing.
    """
    source = open_source(uri, timestamp_col=timestamp_col, storage_options=storage_options)
    return source.read(columns=columns, where=where)


def read_schema(
    uri: str, *, timestamp_col: str | None = None, storage_options: Mapping[str, Any] | None = None
) -> pa.Schema:
    """The schema `read_table` gives. Of Parquet only the footers are read, and the timestamp column if it is text;
    CSV is read whole, because its types depend on every row."""
    return open_source(uri, timestamp_col=timestamp_col, storage_options=storage_options).schema


def open_source(
    uri: str, *, timestamp_col: str | None = None, storage_options: Mapping[str, Any] | None = None
) -> Source:
    """Files whose schema is known before it is decided what to read of them.

    Raises:
        DataError: there is nothing to read, or it cannot be read without loss or guessing.
    """
    with _told(uri):
        found = find_files(uri, storage_options)
        if found.kind == "CSV":
            return _CsvSource(found, timestamp_col)
        return _ParquetSource(found, timestamp_col, storage_options)


class Source(Protocol):
    """Files of one kind, opened."""

    schema: pa.Schema

    def read(self, *, columns: Collection[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
        """Reads them.

        Args:
            columns: the ones that are needed; by default all. Their order is the files' own.
            where: rows for which this is not true are not needed and may be left out. Parquet leaves them out, and
                reads no row group without any other; CSV, and Parquet with its times as text, give all rows.

        Raises:
            DataError: they cannot be read without loss or guessing.
        """


class _CsvSource:
    """Read at once: the types depend on every row."""

    def __init__(self, found: FileSet, timestamp_col: str | None) -> None:
        self._table = _with_timestamps(_read_csvs(found), timestamp_col, found.uri)
        self.schema: pa.Schema = self._table.schema

    def read(self, *, columns: Collection[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
        return self._table.select([name for name in self.schema.names if columns is None or name in columns])


class _ParquetSource:
    """The footers, and the timestamp column where that is text: how its text is to be read depends on every row."""

    def __init__(self, found: FileSet, timestamp_col: str | None, options: Mapping[str, Any] | None) -> None:
        self._found = found
        self._options = options
        self._files = ParquetFiles(found.fs, found.files)
        self._stored = _one_schema(found, self._files.schemas)
        self._timestamp_col = timestamp_col
        self._times: pa.ChunkedArray | None = None
        self.schema = self._stored
        if timestamp_col is None or timestamp_col not in self._stored.names:
            return
        index = self._stored.get_field_index(timestamp_col)
        if _is_text(self._stored.field(index).type):
            text = self._files.read(self._stored, [timestamp_col], None)
            parsed = _with_timestamps(text, timestamp_col, found.uri)
            self._times = parsed.column(0)
            self.schema = self._stored.set(index, parsed.schema.field(0))

    def read(self, *, columns: Collection[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
        wanted = [name for name in self.schema.names if columns is None or name in columns]
        with _told(self._found.uri):
            table = self._read(wanted, where)
            # ranges of a file that somebody replaces meanwhile may be of one and of the other; a listing tells
            if not is_local(self._found.fs) and not self._still_there():
                raise DataError(f"{self._found.uri}: it was replaced while it was read; run again")
            return table

    def _still_there(self) -> bool:
        return set(self._found.files) <= set(find_files(self._found.uri, self._options).files)

    def _read(self, wanted: list[str], where: pc.Expression | None) -> pa.Table:
        if self._times is None:
            return self._files.read(self._stored, wanted, where)
        others = self._files.read(self._stored, [name for name in wanted if name != self._timestamp_col], None)
        given = [self._times if name == self._timestamp_col else others.column(name) for name in wanted]
        return pa.table(given, names=wanted)


def _one_schema(found: FileSet, schemas: Sequence[pa.Schema]) -> pa.Schema:
    first = schemas[0]
    for file, schema in zip(found.files, schemas, strict=True):
        _check_names(schema.names, file.path)
        _check_same_columns(first.names, schema.names, found.files[0].path, file.path)
        for field in first:
            other = schema.field(field.name).type
            if other != field.type:
                raise DataError(
                    f"{found.uri}: column {field.name!r} is {field.type} in {found.files[0].name} but {other} in "
                    f"{file.name}; write the files with one type"
                )
    return first.remove_metadata()


@contextmanager
def _told(uri: str) -> Iterator[None]:
    """Whatever goes wrong becomes a `DataError` with the place: file systems and readers have a hundred own errors."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(_fault(uri, error)) from error


def _fault(uri: str, error: Exception) -> str:
    from_store = type(error).__module__.startswith(("botocore", "aiobotocore")) or isinstance(
        error, FileNotFoundError | PermissionError | ConnectionError | TimeoutError
    )
    if is_s3(uri) and from_store and (told := explain(error, uri)):
        return told
    if isinstance(error, FileNotFoundError):
        return f"{uri}: no such file or folder ({error})"
    if isinstance(error, PermissionError):
        return f"{uri}: not allowed to read it; check permissions or credentials ({error})"
    detail = " ".join(str(error).split())[:300] or type(error).__name__
    return f"{uri}: cannot be read; is it complete, and of the kind its name says? ({detail})"


# --- columns ---------------------------------------------------------------------------------------------------------


def _check_names(names: Sequence[str], path: str) -> None:
    """Spark and DuckDB take `Date` and `date` for the same column, so both cannot be there."""
    seen: dict[str, str] = {}
    for name in names:
        if not name.strip():
            raise DataError(f"{path}: column {len(seen) + 1} has no name (a pandas index? write with index=False)")
        if name.lower() in seen:
            raise DataError(f"{path}: column name {name!r} is there twice (first as {seen[name.lower()]!r})")
        seen[name.lower()] = name


def _check_same_columns(first: Sequence[str], names: Sequence[str], first_path: str, path: str) -> None:
    missing, extra = set(first) - set(names), set(names) - set(first)
    if missing or extra:
        parts = [f"lacks {sorted(missing)}"] * bool(missing) + [f"has {sorted(extra)} besides"] * bool(extra)
        raise DataError(f"{path}: not the columns of {base(first_path)}: it {' and '.join(parts)}")


# --- CSV -------------------------------------------------------------------------------------------------------------


def _read_csvs(found: FileSet) -> pa.Table:
    tables = [_read_csv(found.fs, file.path) for file in found.files]
    for file, table in zip(found.files, tables, strict=True):
        _check_same_columns(tables[0].column_names, table.column_names, found.files[0].path, file.path)
    if len(tables) == 1:
        return _with_dates(tables[0])
    names = tables[0].column_names
    types = {name: _common_type(found, name, [table.column(name) for table in tables]) for name in names}
    target = pa.schema(list(types.items()))
    return _with_dates(pa.concat_tables([table.select(names).cast(target) for table in tables]))


def _common_type(found: FileSet, name: str, columns: Sequence[pa.ChunkedArray]) -> pa.DataType:
    """One type for a column over all files; a file in which it is empty has no say."""
    by_type: dict[pa.DataType, str] = {}
    for file, column in zip(found.files, columns, strict=True):
        if column.null_count < len(column):
            by_type.setdefault(column.type, file.name)
    if set(by_type) == {pa.int64(), pa.float64()}:
        return pa.float64()
    if len(by_type) > 1:
        kinds = ", ".join(f"{kind} in {file}" for kind, file in by_type.items())
        raise DataError(f"{found.uri}: column {name!r} has types that do not go together: {kinds}")
    return next(iter(by_type), pa.string())


def _read_csv(fs: AbstractFileSystem, path: str) -> pa.Table:
    """One file, with dates still as text."""
    names, delimiter = _header(fs, path)
    with _on_disk(fs, path) as local, duckdb.connect(":memory:") as connection:
        try:
            relation = connection.read_csv(
                glob.escape(local),  # DuckDB would take a bracket in the name for a pattern
                header=True, sample_size=-1, delimiter=delimiter, quotechar='"', escapechar='"', skiprows=0, comment="",
                na_values=_NULLS, auto_type_candidates=_TYPES,
                compression="gzip" if path.lower().endswith(".gz") else "none",
            )  # fmt: skip
            table = relation.to_arrow_table()
        except duckdb.Error as error:
            raise DataError(f"{path}: {_odd_row(fs, path, len(names), delimiter) or _reason(error)}") from error
    if table.column_names != names:
        raise DataError(f"{path}: the first line names {names}, but the rows have {table.column_names}")
    wide = [pa.field(f.name, pa.float64() if pa.types.is_decimal(f.type) else f.type) for f in table.schema]
    return table.cast(pa.schema(wide))


@contextmanager
def _on_disk(fs: AbstractFileSystem, path: str) -> Iterator[str]:
    """A local path of the file: DuckDB reads a CSV twice, so a remote one is fetched once."""
    if is_local(fs):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        local = str(Path(folder) / ("remote" + extension(path)))
        fs.get_file(path, local)
        yield local


def _text(fs: AbstractFileSystem, path: str) -> io.TextIOWrapper:
    compression = "gzip" if path.lower().endswith(".gz") else None
    return io.TextIOWrapper(fs.open(path, "rb", compression=compression), encoding="utf-8-sig", newline="")


def _header(fs: AbstractFileSystem, path: str) -> tuple[list[str], str]:
    """The column names and the delimiter, from the first line."""
    with _text(fs, path) as file:
        try:
            line = file.readline()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: the text is not UTF-8 ({error.reason}); write it as UTF-8") from error
    if not line.strip():
        raise DataError(f"{path}: the file is empty; expected a first line with the column names")
    delimiter = max(",;\t|", key=line.count)
    names = next(csv.reader([line], delimiter=delimiter))
    _check_names(names, path)
    return names, delimiter


def _odd_row(fs: AbstractFileSystem, path: str, width: int, delimiter: str) -> str:
    """Where the rows stop to fit the header, which DuckDB's sniffer does not say."""
    with _text(fs, path) as file:
        try:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            for row in reader:
                if row and len(row) != width:
                    return f"line {reader.line_num} has {len(row)} values, the first line names {width} columns"
        except (csv.Error, UnicodeDecodeError) as error:
            return f"line {reader.line_num + 1} cannot be read: {error}; is a quote open, or the text not UTF-8?"
    return ""


def _reason(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3])


# --- dates and times -------------------------------------------------------------------------------------------------


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _with_dates(table: pa.Table) -> pa.Table:
    """Text columns of which every value is a year-first date, or time, as such; the others stay text."""
    for index, field in enumerate(table.schema):
        column = table.column(index)
        if not _is_text(field.type) or column.null_count == len(column) or not _all_match(column, f"^{_YEAR_FIRST}$"):
            continue
        parsed = _year_first(column)
        if parsed.null_count == column.null_count and not _mixed_offsets(column):
            table = table.set_column(index, field.name, parsed)
    return table


def _with_timestamps(table: pa.Table, name: str | None, uri: str) -> pa.Table:
    if name is None or name not in table.column_names or not _is_text(table.schema.field(name).type):
        return table
    column = table.column(name).cast(pa.string())
    if column.null_count == len(column):
        return table.set_column(table.column_names.index(name), name, column.cast(pa.timestamp("us")))
    if _mixed_offsets(column):
        raise DataError(f"{uri}: column {name!r}: only some times have an offset from UTC; write all with it, or none")
    day_first, month_first = _by_format(column, "%d{0}%m{0}%Y", "./-"), _by_format(column, "%m{0}%d{0}%Y", "/-")
    readings = [_year_first(column), day_first, month_first]
    complete = [reading for reading in readings if reading.null_count == column.null_count]
    if not complete:
        raise DataError(f"{uri}: column {name!r}: {_unread(column, min(readings, key=lambda r: r.null_count))}")
    if any(not reading.equals(complete[0]) for reading in complete[1:]):
        shown = repr(pc.first(column).as_py())
        raise DataError(f"{uri}: column {name!r}: is {shown} day-first or month-first? Write dates as 2024-01-31")
    return table.set_column(table.column_names.index(name), name, complete[0])


def _unread(column: pa.ChunkedArray, reading: pa.ChunkedArray) -> str:
    bad = pc.and_(pc.is_null(reading), pc.is_valid(column))
    rows = pc.indices_nonzero(bad).to_pylist()
    shown = ", ".join(f"row {row + 1}: {column[row].as_py()!r}" for row in rows[:3])
    more = ", ..." if len(rows) > 3 else ""
    found = f"{len(rows)} of {len(column)} values are no timestamps ({shown}{more})"
    return f"{found}; expected such as 2024-01-31 13:00:00"


def _all_match(column: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(column, pattern)).as_py())


def _mixed_offsets(column: pa.ChunkedArray) -> bool:
    offsets = pc.match_substring_regex(column, _ENDS_IN_OFFSET)
    return bool(pc.any(offsets).as_py()) and not bool(pc.all(offsets).as_py())


def _year_first(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Null where the text is no such time; DATE, TIMESTAMP or instants, by what all values have."""
    if _all_match(column, rf"^{_DAY}\s*$"):
        kind = "DATE"
    else:
        kind = "TIMESTAMPTZ" if _all_match(column, _ENDS_IN_OFFSET) else "TIMESTAMP"
    fits = f"regexp_full_match(text, '{_YEAR_FIRST}')"
    return _query(column, fits, f"TRY_CAST(trim(text) AS {kind})")


def _by_format(column: pa.ChunkedArray, date: str, separators: str) -> pa.ChunkedArray:
    """Null where the text fits `date` with none of the separators; DATE if no value has a time, else TIMESTAMP."""
    formats = [date.format(separator) + time for separator in separators for time in _TIMES]
    parsed = _query(column, r"regexp_matches(text, '^\s*\d')", f"try_strptime(trim(text), {formats})")
    has_time = pc.any(pc.match_substring(column, ":")).as_py()
    return parsed if has_time else parsed.cast(pa.date32())


def _query(column: pa.ChunkedArray, fits: str, value: str) -> pa.ChunkedArray:
    """`value` where the text `fits`, which keeps out what DuckDB also takes for a time: 'epoch', 'infinity'."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("input", pa.table({"text": column}))
        query = f"SELECT CASE WHEN {fits} THEN {value} END AS value FROM input"
        return connection.sql(query).to_arrow_table().column("value")

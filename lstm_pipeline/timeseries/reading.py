"""Tables from files: Parquet or CSV; one file, a folder or a glob; on any file system fsspec knows.

Rules for CSV: the first line names the columns; the delimiter is whichever of `, ; tab |` that line has most of.
Empty fields, `NA`, `N/A`, `NaN` and `NULL` are nulls. The whole file decides a column's type. Only dates that begin
with the year are recognised by themselves; the timestamp column may also be day-first or month-first where just one
of the two reads every value. So the same text never becomes two different dates.
"""

from __future__ import annotations

import csv
import difflib
import glob
import io
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from upath import UPath

from lstm_pipeline.spec.errors import DataError

_KINDS = {".parquet": "Parquet", ".pq": "Parquet", ".csv": "CSV", ".csv.gz": "CSV"}
_NULLS = ["", "NA", "N/A", "NaN", "nan", "NULL", "null"]
_TYPES = ["BOOLEAN", "BIGINT", "DOUBLE", "VARCHAR"]  # dates are read by the rules above, not guessed
_DAY = r"\s*\d{4}[-/]\d{1,2}[-/]\d{1,2}"
_OFFSET = r"\s*([zZ]|UTC|[+-]\d{2}(:?\d{2})?)"
_YEAR_FIRST = rf"{_DAY}([ T]\d{{1,2}}:\d{{2}}(:\d{{2}}(\.\d+)?)?({_OFFSET})?)?\s*"
_ENDS_IN_OFFSET = rf":\d\d(\.\d+)?{_OFFSET}\s*$"
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f")


def read_table(
    uri: str, *, timestamp_col: str | None = None, storage_options: Mapping[str, Any] | None = None
) -> pa.Table:
    """All rows of the files at `uri`, in the order of the files' names.

    Args:
        uri: a path or URL (`s3://…`, `file://…`) of a file, a folder or a glob.
        timestamp_col: where this column is text, it is parsed: to DATE if no value has a time, to an instant (UTC)
            if every value has an offset, else to TIMESTAMP.
        storage_options: passed to fsspec.

    Raises:
        DataError: there is nothing to read, or it cannot be read without loss or guessing.
    """
    with _told(uri):
        files = _files(uri, storage_options or {})
        table = files.read_csv() if files.kind == "CSV" else files.parquet().to_table()
        return _with_timestamps(table.replace_schema_metadata(None), timestamp_col, uri)


def read_schema(
    uri: str, *, timestamp_col: str | None = None, storage_options: Mapping[str, Any] | None = None
) -> pa.Schema:
    """The schema `read_table` gives. Of Parquet only the footers are read, and the timestamp column if it is text;
    CSV is read whole, because its types depend on every row."""
    with _told(uri):
        files = _files(uri, storage_options or {})
        if files.kind == "CSV":
            return _with_timestamps(files.read_csv(), timestamp_col, uri).schema
        dataset = files.parquet()
        schema: pa.Schema = dataset.schema.remove_metadata()
        if timestamp_col is None or timestamp_col not in schema.names or not _is_text(schema.field(timestamp_col).type):
            return schema
        parsed = _with_timestamps(dataset.to_table(columns=[timestamp_col]), timestamp_col, uri)
        index = schema.get_field_index(timestamp_col)
        return schema.set(index, pa.field(timestamp_col, parsed.schema.field(0).type))


@contextmanager
def _told(uri: str) -> Iterator[None]:
    """Whatever goes wrong becomes a `DataError` with the place: file systems and readers have a hundred own errors."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{uri}: no such file or folder ({error})") from error
    except PermissionError as error:
        raise DataError(f"{uri}: not allowed to read it; check permissions or credentials ({error})") from error
    except Exception as error:
        detail = " ".join(str(error).split())[:300] or type(error).__name__
        raise DataError(f"{uri}: cannot be read; is it complete, and of the kind its name says? ({detail})") from error


# --- which files -----------------------------------------------------------------------------------------------------


class _Files:
    """The files of one URI, all of one kind, in order."""

    def __init__(self, uri: str, fs: AbstractFileSystem, paths: Sequence[str]) -> None:
        kinds = {path: _kind(path) for path in paths}
        found = Counter(kinds.values())
        if len(found) > 1:
            counts = ", ".join(f"{count} {kind}" for kind, count in sorted(found.items()))
            raise DataError(f"{uri}: files of different kinds ({counts}); keep one kind, or name it by a glob")
        self.uri, self.fs, self.paths, self.kind = uri, fs, list(paths), next(iter(found))

    def parquet(self) -> pads.Dataset:
        schemas = [pq.read_schema(path, filesystem=self.fs) for path in self.paths]
        first = schemas[0]
        for path, schema in zip(self.paths, schemas, strict=True):
            _check_names(schema.names, path)
            _check_same_columns(first.names, schema.names, self.paths[0], path)
            for field in first:
                other = schema.field(field.name).type
                if other != field.type:
                    raise DataError(
                        f"{self.uri}: column {field.name!r} is {field.type} in {_base(self.paths[0])} but {other} in "
                        f"{_base(path)}; write the files with one type"
                    )
        return pads.dataset(self.paths, schema=first, filesystem=self.fs, format="parquet")

    def read_csv(self) -> pa.Table:
        tables = [_read_csv(self.fs, path) for path in self.paths]
        for path, table in zip(self.paths, tables, strict=True):
            _check_same_columns(tables[0].column_names, table.column_names, self.paths[0], path)
        if len(tables) == 1:
            return _with_dates(tables[0])
        names = tables[0].column_names
        types = {name: self._common_type(name, [table.column(name) for table in tables]) for name in names}
        target = pa.schema(list(types.items()))
        return _with_dates(pa.concat_tables([table.select(names).cast(target) for table in tables]))

    def _common_type(self, name: str, columns: Sequence[pa.ChunkedArray]) -> pa.DataType:
        """One type for a column over all files; a file in which it is empty has no say."""
        by_type: dict[pa.DataType, str] = {}
        for path, column in zip(self.paths, columns, strict=True):
            if column.null_count < len(column):
                by_type.setdefault(column.type, _base(path))
        if set(by_type) == {pa.int64(), pa.float64()}:
            return pa.float64()
        if len(by_type) > 1:
            found = ", ".join(f"{kind} in {file}" for kind, file in by_type.items())
            raise DataError(f"{self.uri}: column {name!r} has types that do not go together: {found}")
        return next(iter(by_type), pa.string())


def _files(uri: str, options: Mapping[str, Any]) -> _Files:
    if not uri.strip():
        raise DataError("the URI is empty; expected a path or URL of a file, a folder or a glob")
    where = UPath(uri, **options)
    fs, path = where.fs, where.path
    fs.invalidate_cache()  # a listing kept from an earlier run would hide new files
    if fs.isfile(path):
        return _Files(uri, fs, [path])
    if fs.isdir(path):
        return _Files(uri, fs, _in_folder(uri, fs, path))
    if glob.has_magic(path):
        matches = sorted(match for match in fs.glob(path) if _visible(match) and fs.isfile(match))
        if not matches:
            raise DataError(f"{uri}: nothing matches the pattern")
        return _Files(uri, fs, matches)
    raise DataError(f"{uri}: no such file or folder{_nearest(fs, path)}")


def _in_folder(uri: str, fs: AbstractFileSystem, path: str) -> list[str]:
    entries = [entry for entry in fs.ls(path, detail=True) if _visible(entry["name"])]
    files = sorted(entry["name"] for entry in entries if entry["type"] == "file" and _extension(entry["name"]))
    if not files:
        folders = sum(entry["type"] == "directory" for entry in entries)
        hint = f"; it has {folders} sub-folders, name one or use a glob" if folders else ""
        raise DataError(f"{uri}: no {_known()} file in this folder{hint}")
    return files


def _visible(path: str) -> bool:
    return not _base(path).startswith((".", "_"))


def _base(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]


def _extension(path: str) -> str:
    return next((ending for ending in _KINDS if path.lower().endswith(ending)), "")


def _known() -> str:
    return ", ".join(_KINDS)


def _kind(path: str) -> str:
    extension = _extension(path)
    if not extension:
        raise DataError(f"{path}: unknown kind of file; expected a name that ends in one of {_known()}")
    return _KINDS[extension]


def _nearest(fs: AbstractFileSystem, path: str) -> str:
    parent, _, name = path.rstrip("/").rpartition("/")
    try:
        names = [_base(entry) for entry in fs.ls(parent or "/", detail=False)]
    except (OSError, ValueError):
        return ""
    near = difflib.get_close_matches(name, names, 3, 0.6)
    return f"; nearest: {', '.join(near)}" if near else ""


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
        raise DataError(f"{path}: not the columns of {_base(first_path)}: it {' and '.join(parts)}")


# --- CSV -------------------------------------------------------------------------------------------------------------


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
    if "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        local = str(Path(folder) / ("remote" + _extension(path)))
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

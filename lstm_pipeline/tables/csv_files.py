"""CSV files: the header decides the columns, and the whole file decides their types.

The first line names the columns; the delimiter is the one of `, ; tab |` that appears most often in it. Empty fields,
`NA`, `N/A`, `NaN` and `NULL` are nulls. Text that is a date in every row becomes dates: see `timestamps`.
"""

from __future__ import annotations

import csv
import glob
import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from lstm_pipeline.errors import DataError
from lstm_pipeline.tables.columns import check_names, check_same_columns
from lstm_pipeline.tables.files import FileSet, FileSystem, FoundFile, extension, is_local
from lstm_pipeline.tables.timestamps import with_dates
from lstm_pipeline.wording import counted

_NULLS = ["", "NA", "N/A", "NaN", "nan", "NULL", "null"]
_TYPES = ["BOOLEAN", "BIGINT", "DOUBLE", "VARCHAR"]  # dates follow the rules of `timestamps`; DuckDB must not guess


def read_csvs(found: FileSet) -> pa.Table:
    """The rows of all files as one table, with one type per column over all files.

    Raises:
        DataError: a file is malformed, or the files do not fit together.
    """
    tables = [_read_csv(found.fs, file.path) for file in found.files]
    for file, table in zip(found.files, tables, strict=True):
        check_same_columns(tables[0].column_names, table.column_names, found.files[0].path, file.path)
    if len(tables) == 1:
        return with_dates(tables[0])
    names = tables[0].column_names
    types = {name: _common_type(found, name, [table.column(name) for table in tables]) for name in names}
    target = pa.schema(list(types.items()))
    return with_dates(pa.concat_tables([table.select(names).cast(target) for table in tables]))


def read_csv_column(fs: FileSystem, file: FoundFile, name: str) -> pa.Table:
    """One column of a file, with dates still as text; the first one if there is no column of this name.

    Raises:
        DataError: the file is malformed.
    """
    return _read_csv(fs, file.path, name)


def _common_type(found: FileSet, name: str, columns: Sequence[pa.ChunkedArray]) -> pa.DataType:
    """One type for a column over all files; files in which the column is empty do not count."""
    by_type: dict[pa.DataType, str] = {}
    for file, column in zip(found.files, columns, strict=True):
        if column.null_count < len(column):
            by_type.setdefault(column.type, file.name)
    if set(by_type) == {pa.int64(), pa.float64()}:
        return pa.float64()
    if len(by_type) > 1:
        kinds = ", ".join(f"{kind} in {file}" for kind, file in by_type.items())
        raise DataError(f"{found.uri}: column {name!r} must have one type in all files, found {kinds}")
    return next(iter(by_type), pa.string())


def _read_csv(fs: FileSystem, path: str, only: str | None = None) -> pa.Table:
    """One file, or only one of its columns, with dates still as text."""
    names, delimiter = _header(fs, path)
    with _on_disk(fs, path) as local, duckdb.connect(":memory:") as connection:
        try:
            relation = connection.read_csv(
                glob.escape(local),  # DuckDB would read a bracket in the name as a pattern
                header=True, sample_size=-1, delimiter=delimiter, quotechar='"', escapechar='"', skiprows=0, comment="",
                na_values=_NULLS, auto_type_candidates=_TYPES,
                compression="gzip" if path.lower().endswith(".gz") else "none",
            )  # fmt: skip
            if relation.columns != names:
                found = relation.columns
                raise DataError(f"{path}: expected the columns of the first line, {names}; the rows have {found}")
            if only is not None:
                relation = relation.select(duckdb.ColumnExpression(only if only in names else names[0]))
            table = relation.to_arrow_table()
        except duckdb.Error as error:
            raise DataError(f"{path}: {_malformed_row(fs, path, len(names), delimiter) or _reason(error)}") from error
    wide = [pa.field(f.name, pa.float64() if pa.types.is_decimal(f.type) else f.type) for f in table.schema]
    return table.cast(pa.schema(wide))


@contextmanager
def _on_disk(fs: FileSystem, path: str) -> Iterator[str]:
    """A local path of the file. DuckDB reads a CSV file twice, so a remote one is downloaded once."""
    if is_local(fs):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        local = str(Path(folder) / ("remote" + extension(path)))
        fs.get_file(path, local)
        yield local


def _text(fs: FileSystem, path: str) -> io.TextIOWrapper:
    compression = "gzip" if path.lower().endswith(".gz") else None
    return io.TextIOWrapper(fs.open(path, "rb", compression=compression), encoding="utf-8-sig", newline="")


def _header(fs: FileSystem, path: str) -> tuple[list[str], str]:
    """The column names and the delimiter, from the first line."""
    with _text(fs, path) as file:
        try:
            line = file.readline()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: the text is not UTF-8 ({error.reason}); save the file as UTF-8") from error
    if not line.strip():
        raise DataError(f"{path}: the file is empty; expected a first line with the column names")
    delimiter = max(",;\t|", key=line.count)
    names = next(csv.reader([line], delimiter=delimiter))
    check_names(names, path)
    return names, delimiter


def _malformed_row(fs: FileSystem, path: str, width: int, delimiter: str) -> str:
    """The first row that does not fit the header, which DuckDB's message does not name."""
    with _text(fs, path) as file:
        try:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            for row in reader:
                if row and len(row) != width:
                    values, columns = counted(len(row), "value"), counted(width, "column")
                    return f"line {reader.line_num} has {values}, but the first line names {columns}"
        except (csv.Error, UnicodeDecodeError) as error:
            return (
                f"line {reader.line_num + 1} cannot be read: {error}; "
                "check for a quote that is not closed and for text that is not UTF-8"
            )
    return ""


def _reason(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3])

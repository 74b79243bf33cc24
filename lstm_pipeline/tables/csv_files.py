"""CSV files: the header decides the columns, and the whole file decides their types.

The first line names the columns; the delimiter is the one of `, ; tab |` that appears most often in it. Empty fields,
`NA`, `N/A`, `NaN` and `NULL` are nulls. Text that is a date in every row becomes dates: see `timestamps`; numbers in
another notation become numbers where the spec says what the marks mean: see `numbers`.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.arrays import Flags
from lstm_pipeline.errors import DataError
from lstm_pipeline.parsing import NULLS, remedy, text_numbers, typed, with_dates, without_missing
from lstm_pipeline.spec import ReadingOptions
from lstm_pipeline.tables.columns import check_names, check_same_columns
from lstm_pipeline.tables.csv_text import UNNAMED, CsvText, csv_text
from lstm_pipeline.tables.files import FileSet, FileSystem, FoundFile

_TYPES = ["BOOLEAN", "BIGINT", "DOUBLE", "VARCHAR"]  # dates follow the rules of `timestamps`; DuckDB must not guess
_PANDAS_INDEX = r"Unnamed: \d+(\.\d+)?"


@dataclass(frozen=True)
class CsvTable:
    """The rows of CSV files.

    Attributes:
        table: of all files.
        rows: the number of rows of each file.
        notes: what was left out.
        complete: whether these are all rows, not only the first ones.
    """

    table: pa.Table
    rows: tuple[int, ...]
    notes: tuple[str, ...]
    complete: bool = True


def read_csvs(found: FileSet, options: ReadingOptions, most_cells: int | None = None) -> CsvTable:
    """The rows of all files as one table, with one type per column over all files.

    Args:
        found: the files.
        options: how they are read.
        most_cells: of more values than this, only the first rows are read; None: all rows are.

    Raises:
        DataError: a file is malformed, or the files do not fit together.
    """
    notes: list[str] = []
    tables: list[pa.Table] = []
    left, complete = most_cells, True
    for file in found.files:
        if left is not None and left <= 0:
            complete = False
            break
        table, whole = _read_csv(found.fs, file.path, options, notes, left)
        complete &= whole
        left = None if left is None else left - table.num_rows * table.num_columns if whole else 0
        tables.append(table)
        check_same_columns(tables[0].column_names, table.column_names, found.files[0].path, file.path)
    rows = tuple(table.num_rows for table in tables)
    if len(tables) == 1:
        return CsvTable(with_dates(tables[0]), rows, tuple(notes), complete)
    names = tables[0].column_names
    types = {name: _common_type(found, name, [table.column(name) for table in tables]) for name in names}
    target = pa.schema(list(types.items()))
    together = pa.concat_tables([table.select(names).cast(target) for table in tables])
    return CsvTable(with_dates(together), rows, tuple(notes), complete)


def csv_line(found: FileSet, rows: Sequence[int], row: int, options: ReadingOptions) -> str:
    """Where a row (from 0) is, e.g. `line 7 of b.csv`; empty if it cannot be told."""
    for file, count in zip(found.files, rows, strict=True):
        if row < count:
            with csv_text(found.fs, file.path, options) as text:
                line = text.line_of(row)
            return "" if line is None else f"line {line} of {file.name}"
        row -= count
    return ""


def empty_rows(table: pa.Table) -> Flags:
    """Which rows have no value at all; spreadsheets write many of them (`;;;`)."""
    empty = np.ones(table.num_rows, bool)
    for column in sorted(table.columns, key=lambda column: column.null_count):
        if not empty.any():
            break
        empty &= pc.is_null(column).to_numpy()
    return empty


def read_csv_column(fs: FileSystem, file: FoundFile, name: str, options: ReadingOptions) -> pa.Table:
    """One column of a file, with dates still as text; the first one if there is no column of this name.

    Raises:
        DataError: the file is malformed.
    """
    with csv_text(fs, file.path, options) as text:
        return _converted(_raw(text, options, [name if name in text.names else text.names[0]]), options)


def _common_type(found: FileSet, name: str, columns: Sequence[pa.ChunkedArray]) -> pa.DataType:
    """One type for a column over all files; files in which the column is empty do not count."""
    by_type: dict[pa.DataType, str] = {}
    for file, column in zip(found.files, columns, strict=False):  # fewer columns if only the first files were read
        if column.null_count < len(column):
            by_type.setdefault(column.type, file.name)
    if set(by_type) == {pa.int64(), pa.float64()}:
        return pa.float64()
    if len(by_type) > 1:
        kinds = ", ".join(f"{kind} in {file}" for kind, file in by_type.items())
        raise DataError(
            f"{found.uri}: column {name!r} must have one type in all files, found {kinds}{_words(found, name, columns)}"
        )
    return next(iter(by_type), pa.string())


def _words(found: FileSet, name: str, columns: Sequence[pa.ChunkedArray]) -> str:
    """What makes a column of numbers text in one of the files, and what to write."""
    for file, column in zip(found.files, columns, strict=False):
        if (numbers := text_numbers(column)) is not None and numbers.bad:
            return f"; in {file.name}, {numbers.found()} (first: {numbers.first!r}): {remedy(name, numbers, csv=True)}"
    return ""


def _read_csv(
    fs: FileSystem, path: str, options: ReadingOptions, notes: list[str], most_cells: int | None
) -> tuple[pa.Table, bool]:
    """One file, with dates still as text, and whether these are all of its rows."""
    with csv_text(fs, path, options) as text:
        rows = None if most_cells is None else max(1, most_cells // len(text.names))
        table = _converted(_raw(text, options, rows=rows), options)
        complete = rows is None or table.num_rows != rows  # more: all of them had to be read
        if not complete:
            table = _late_types(table, text, options)
    table = _without_unnamed(table, path, notes)
    check_names(table.column_names, path)
    return table, complete


def _late_types(table: pa.Table, text: CsvText, options: ReadingOptions) -> pa.Table:
    """The first rows, in which columns without a value have the type of their later values."""
    late = [name for name in table.column_names if table.column(name).null_count == table.num_rows]
    if not late:
        return table
    types = {field.name: field.type for field in _converted(_raw(text, options, late), options).schema}
    nulls = {name: pa.chunked_array([pa.nulls(table.num_rows, kind)]) for name, kind in types.items()}
    return pa.table({name: nulls.get(name, table.column(place)) for place, name in enumerate(table.column_names)})


def _converted(table: pa.Table, options: ReadingOptions) -> pa.Table:
    """Text that is a number in every row as numbers, and nulls for missing values."""
    wide = [pa.field(f.name, pa.float64() if pa.types.is_decimal(f.type) else f.type) for f in table.schema]
    table = table.cast(pa.schema(wide))
    columns = [typed(column, options) for column in table.columns]
    return without_missing(pa.table(columns, names=table.column_names), options)


def _raw(
    text: CsvText, options: ReadingOptions, only: Sequence[str] | None = None, rows: int | None = None
) -> pa.Table:
    """As DuckDB reads it; as text throughout if a number may be written with other marks than DuckDB knows.

    Args:
        text: the file.
        options: how it is read.
        only: the columns to read; None: all.
        rows: so many of the first rows at most; None: all.
    """
    check_names([name for name in text.names if not name.startswith(UNNAMED)], text.path)
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET enable_progress_bar = false")  # it would be drawn between the lines of a command
        try:
            relation = connection.read_csv(
                glob.escape(text.local),  # DuckDB would read a bracket in the name as a pattern
                header=True, names=text.names, sample_size=rows or -1, delimiter=text.delimiter, quotechar='"',
                escapechar='"', skiprows=text.skipped, comment="", na_values=NULLS, auto_type_candidates=_TYPES,
                all_varchar=bool(options.decimal or options.thousands),
                compression="gzip" if text.compressed else "none",
            )  # fmt: skip
            if relation.columns != text.names:
                found = relation.columns
                raise DataError(f"{text.path}: expected the columns of the first line, {text.names}; found {found}")
            if only is not None:
                relation = relation.select(*map(duckdb.ColumnExpression, only))
            return (relation if rows is None else relation.limit(rows)).to_arrow_table()
        except duckdb.Error as error:
            if rows is not None:  # a later value is of another type than the first ones
                return _raw(text, options, only)
            raise DataError(f"{text.path}: {text.malformed_row() or _reason(error)}") from error


def _without_unnamed(table: pa.Table, path: str, notes: list[str]) -> pa.Table:
    """Drops columns without a name that are empty throughout, and the index that pandas writes.

    Raises:
        DataError: a column without a name holds something else.
    """
    dropped, index = [], []
    for number, name in enumerate(table.column_names, start=1):
        column = table.column(name)
        unnamed = name.startswith(UNNAMED)
        if unnamed and column.null_count == len(column):
            dropped.append(name)
        elif (unnamed or re.fullmatch(_PANDAS_INDEX, name)) and _counts_rows(column):
            dropped.append(name)
            index.append(number)
        elif unnamed:
            raise DataError(
                f"{path}: column {number} has no name; if it is a pandas index, write the file with index=False, else "
                "give it a name in the first line"
            )
    if index:
        notes.append(f"{path}: column {index[0]} counts the rows, as a pandas index does; it is left out")
    return table.drop_columns(dropped) if dropped else table


def _counts_rows(column: pa.ChunkedArray) -> bool:
    """Whether the values are consecutive whole numbers: 0, 1, 2, …; rows at the end may have none."""
    if not pa.types.is_integer(column.type):
        return False
    values = column.drop_null().to_numpy()
    if len(values) < 2 or column.slice(0, len(values)).null_count:
        return False
    return bool((values[1:] - values[:-1] == 1).all())


def _reason(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3])

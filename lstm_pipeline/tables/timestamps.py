"""Timestamps stored as text: which texts are recognised, and as what.

In any text column, values that all begin with the year are recognised as dates or times. The timestamp column may
also be day-first or month-first, provided that only one of the two can read every value. The same text therefore never
becomes two different dates.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.errors import DataError
from lstm_pipeline.wording import counted

_DAY = r"\s*\d{4}[-/]\d{1,2}[-/]\d{1,2}"
_OFFSET = r"\s*([zZ]|UTC|[+-]\d{2}(:?\d{2})?)"
_YEAR_FIRST = rf"{_DAY}([ T]\d{{1,2}}:\d{{2}}(:\d{{2}}(\.\d+)?)?({_OFFSET})?)?\s*"
_ENDS_IN_OFFSET = rf":\d\d(\.\d+)?{_OFFSET}\s*$"
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f")


def is_text(kind: pa.DataType) -> bool:
    """Whether values of an Arrow type are text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def with_dates(table: pa.Table) -> pa.Table:
    """Converts text columns in which every value is a year-first date or time; the others stay text."""
    for index, field in enumerate(table.schema):
        column = table.column(index)
        if not is_text(field.type) or column.null_count == len(column) or not _all_match(column, f"^{_YEAR_FIRST}$"):
            continue
        parsed = _year_first(column)
        if parsed.null_count == column.null_count and not _mixed_offsets(column):
            table = table.set_column(index, field.name, parsed)
    return table


def with_timestamps(table: pa.Table, name: str | None, uri: str) -> pa.Table:
    """Converts the timestamp column if it is text.

    Args:
        table: the rows of all files; how the text is read depends on every row.
        name: the timestamp column. If it is None or not in the table, the table is returned as it is.
        uri: where the table comes from, for messages.

    Raises:
        DataError: a value is not a timestamp, only some values have a UTC offset, or the order of day and month is
            ambiguous.
    """
    if name is None or name not in table.column_names or not is_text(table.schema.field(name).type):
        return table
    index, column = table.column_names.index(name), table.column(name).cast(pa.string())
    if column.null_count == len(column):
        return table.set_column(index, name, column.cast(pa.timestamp("us")))
    if _mixed_offsets(column):
        raise DataError(
            f"{uri}: column {name!r}: only some values have a UTC offset; write all values with one, or none"
        )
    day_first, month_first = _by_format(column, "%d{0}%m{0}%Y", "./-"), _by_format(column, "%m{0}%d{0}%Y", "/-")
    readings = [_year_first(column), day_first, month_first]
    complete = [reading for reading in readings if reading.null_count == column.null_count]
    if not complete:
        raise DataError(f"{uri}: column {name!r}: {_unread(column, min(readings, key=lambda r: r.null_count))}")
    if any(not reading.equals(complete[0]) for reading in complete[1:]):
        shown = repr(pc.first(column).as_py())
        raise DataError(
            f"{uri}: column {name!r}: {shown} can be read day-first or month-first; write dates as 2024-01-31"
        )
    return table.set_column(index, name, complete[0])


def _unread(column: pa.ChunkedArray, reading: pa.ChunkedArray) -> str:
    bad = pc.and_(pc.is_null(reading), pc.is_valid(column))
    rows = pc.indices_nonzero(bad).to_pylist()
    shown = ", ".join(f"row {row + 1}: {column[row].as_py()!r}" for row in rows[:3])
    more = ", ..." if len(rows) > 3 else ""
    verb = "is not a timestamp" if len(rows) == 1 else "are not timestamps"
    return (
        f"{len(rows):,} of {counted(len(column), 'value')} {verb} ({shown}{more}); "
        "expected values like 2024-01-31 13:00:00"
    )


def _all_match(column: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(column, pattern)).as_py())


def _mixed_offsets(column: pa.ChunkedArray) -> bool:
    offsets = pc.match_substring_regex(column, _ENDS_IN_OFFSET)
    return bool(pc.any(offsets).as_py()) and not bool(pc.all(offsets).as_py())


def _year_first(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Null where the text is not a year-first time; DATE, TIMESTAMP or TIMESTAMPTZ, whichever all values fit."""
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
    """`value` where the text `fits`, which excludes words that DuckDB also accepts as times: 'epoch', 'infinity'."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("input", pa.table({"text": column}))
        query = f"SELECT CASE WHEN {fits} THEN {value} END AS value FROM input"
        return connection.sql(query).to_arrow_table().column("value")

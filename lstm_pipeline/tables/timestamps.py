"""Timestamps stored as text: which texts are recognised, and as what.

In any text column, values that all begin with the year are recognised as dates or times. The timestamp column may
also be day-first or month-first, provided that only one of the two can read every value. The same text therefore never
becomes two different dates. Years of two digits follow POSIX: 69 to 99 are 1969 to 1999, 00 to 68 are 2000 to 2068.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.errors import DataError
from lstm_pipeline.spec import has_long_year, strptime_format
from lstm_pipeline.wording import counted

_DAY = r"\s*\d{4}[-/]\d{1,2}[-/]\d{1,2}"
_OFFSET = r"\s*([zZ]|UTC|[+-]\d{2}(:?\d{2})?)"
_YEAR_FIRST = rf"{_DAY}([ T]\d{{1,2}}:\d{{2}}(:\d{{2}}(\.\d+)?)?({_OFFSET})?)?\s*"
_ENDS_IN_OFFSET = rf":\d\d(\.\d+)?{_OFFSET}\s*$"
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f")
_SHORT_YEAR = r"^\s*\d{1,2}[./-]\d{1,2}[./-]\d{1,2}(\s|$)"
_LONG_YEAR = r"^\s*\d{1,2}[./-]\d{1,2}[./-]\d{4}(\s|$)"
_ORDERS = (("dd/MM/yyyy", "%d{0}%m{0}%Y", "./-"), ("MM/dd/yyyy", "%m{0}%d{0}%Y", "/-"))
_OTHERS = (
    "yyyy-MM", "yyyy/MM", "MM/yyyy", "MM-yyyy", "yyyyMMdd", "MM/dd/yyyy hh:mm:ss a", "MM/dd/yyyy hh:mm a",
    "dd/MM/yyyy hh:mm:ss a", "dd/MM/yyyy hh:mm a", "yyyy-MM-dd hh:mm:ss a", "yyyy-MM-dd hh:mm a", "dd-MMM-yyyy",
    "dd-MMM-yy", "dd MMM yyyy", "MMM dd yyyy", "MMM dd, yyyy", "MMM-yy", "MMM-yyyy", "MMM yyyy", "yyyyMMdd HHmm",
    "yyyyMMdd HH:mm", "yyyyMMdd HH:mm:ss", "yyyy.MM.dd", "yyyy.MM.dd HH:mm", "yyyy.MM.dd HH:mm:ss", "dd-MMM-yyyy HH:mm",
    "dd-MMM-yyyy HH:mm:ss", "dd/MMM/yyyy HH:mm:ss", "yyyy-MM-dd-HH",
)  # fmt: skip
"""Ways of writing timestamps that are not recognised by themselves, but proposed."""


def is_text(kind: pa.DataType) -> bool:
    """Whether values of an Arrow type are text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of the values of a dictionary-encoded column; any other type as it is."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


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


@dataclass(frozen=True)
class StampText:
    """A table whose timestamp column was text.

    Attributes:
        table: with the column as dates or times.
        pattern: how the text is written, in Spark's letters; None if the year comes first or it was no text.
    """

    table: pa.Table
    pattern: str | None = None


def with_timestamps(table: pa.Table, name: str | None, uri: str, pattern: str | None = None) -> StampText:
    """Converts the timestamp column if it is text.

    Args:
        table: the rows of all files; how the text is read depends on every row.
        name: the timestamp column. If it is None or not in the table, the table is returned as it is.
        uri: where the table comes from, for messages.
        pattern: how the text is written, in Spark's letters; None: it is found in the values.

    Raises:
        DataError: a value is not a timestamp, only some values have a UTC offset, or the order of day and month is
            ambiguous.
    """
    if name is None or name not in table.column_names or not is_text(table.schema.field(name).type):
        return StampText(table)
    index, column = table.column_names.index(name), table.column(name).cast(pa.string())
    if column.null_count == len(column):
        return StampText(table.set_column(index, name, column.cast(pa.timestamp("us"))))
    try:
        values, found = _by_pattern(column, pattern) if pattern else _recognised(column)
    except DataError as error:
        raise DataError(f"{uri}: column {name!r}: {error}") from None
    return StampText(table.set_column(index, name, values), found)


def _by_pattern(column: pa.ChunkedArray, pattern: str) -> tuple[pa.ChunkedArray, str]:
    """Reads the text as the user says.

    Raises:
        DataError: a value is written in another way.
    """
    parsed = _query(column, "true", f"try_strptime(trim(text), '{_sql(strptime_format(pattern))}')")
    if has_long_year(pattern):
        parsed = pc.if_else(pc.less(pc.year(parsed), 1000), pa.scalar(None, parsed.type), parsed)
    if parsed.null_count > column.null_count:
        advice = f"expected values like {pattern} (timestamp_format)"
        raise DataError(_unread(column, parsed, advice))
    return (parsed if re.search("[hHms]", _unquoted(pattern)) else parsed.cast(pa.date32())), pattern


def _recognised(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, str | None]:
    """Reads the text in the one way that fits every value.

    Raises:
        DataError: no way fits, or several do.
    """
    if _mixed_offsets(column):
        raise DataError("only some values have a UTC offset; write all values with one, or none")
    year = "%y" if _all_match(column, _SHORT_YEAR) else "%Y"
    readings = [
        _Read(None, _year_first(column)),
        *(
            _Read(pattern, _by_format(column, strptime.replace("%Y", year), separators))
            for pattern, strptime, separators in _ORDERS
        ),
    ]
    complete = [reading for reading in readings if reading.values.null_count == column.null_count]
    if not complete and year == "%y":
        first = _Read("yy/MM/dd", _by_format(column, "%y{0}%m{0}%d", "./-"))
        complete = [first] * (first.values.null_count == column.null_count)
    if not complete:
        nearest = min((reading.values for reading in readings), key=lambda values: values.null_count)
        raise DataError(_unread(column, nearest, _advice(column)))
    if any(not reading.values.equals(complete[0].values) for reading in complete[1:]):
        shown = repr(pc.first(column.drop_null()).as_py())
        raise DataError(
            f"{shown} can be read day-first or month-first; write dates as 2024-01-31, or set the input's "
            f"timestamp_format, e.g. {_written(complete[0], column, year)}"
        )
    if year == "%y" and complete[0].pattern != "yy/MM/dd" and not _ordered(complete[0].values):
        first = _Read("yy/MM/dd", _by_format(column, "%y{0}%m{0}%d", "./-"))
        if first.values.null_count == column.null_count and _ordered(first.values):
            complete = [first]
    return complete[0].values, _written(complete[0], column, year)


@dataclass(frozen=True)
class _Read:
    """Values read in one way; `pattern` is None if the year comes first."""

    pattern: str | None
    values: pa.ChunkedArray


def _ordered(values: pa.ChunkedArray) -> bool:
    """Whether the times only rise or only fall: a wrong reading jumps to and fro."""
    steps = np.diff(values.drop_null().cast(pa.timestamp("us")).cast(pa.int64()).to_numpy())
    return bool(len(steps)) and bool((steps >= 0).all() or (steps <= 0).all())


def _written(reading: _Read, column: pa.ChunkedArray, year: str) -> str | None:
    """The pattern of the first value, in Spark's letters."""
    if reading.pattern is None:
        return None
    text = pc.first(column.drop_null()).as_py().strip()
    separator = next((mark for mark in "./-" if mark in text), "/")
    pattern = reading.pattern.replace("/", separator)
    if year == "%y":
        pattern = pattern.replace("yyyy", "yy")
    return pattern + {0: "", 1: " HH:mm", 2: " HH:mm:ss"}.get(text.count(":"), "") + ".SSSSSS" * ("." in text[8:])


def _unread(column: pa.ChunkedArray, reading: pa.ChunkedArray, advice: str) -> str:
    bad = pc.and_(pc.is_null(reading), pc.is_valid(column))
    rows = pc.indices_nonzero(bad).to_pylist()
    shown = ", ".join(f"row {row + 1}: {column[row].as_py()!r}" for row in rows[:3])
    more = ", ..." if len(rows) > 3 else ""
    verb = "is not a timestamp" if len(rows) == 1 else "are not timestamps"
    return f"{len(rows):,} of {counted(len(column), 'value')} {verb} ({shown}{more}); {advice}"


def _advice(column: pa.ChunkedArray) -> str:
    """What to write for text that is not recognised: the first known pattern that fits every value."""
    for pattern in _OTHERS:
        parsed = _query(column, "true", f"try_strptime(trim(text), '{_sql(strptime_format(pattern))}')")
        if parsed.null_count == column.null_count and pc.all(pc.greater(pc.year(parsed), 999)).as_py():
            return f"set the input's timestamp_format: {pattern}"
    return "expected values like 2024-01-31 13:00:00; another way of writing them is set by timestamp_format"


def _unquoted(pattern: str) -> str:
    return re.sub("'[^']*'", "", pattern)


def _sql(text: str) -> str:
    return text.replace("'", "''")


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
    years = _LONG_YEAR if "%Y" in date else _SHORT_YEAR
    parsed = _query(column, f"regexp_matches(text, '{years}')", f"try_strptime(trim(text), {formats})")
    has_time = pc.any(pc.match_substring(column, ":")).as_py()
    return parsed if has_time else parsed.cast(pa.date32())


def _query(column: pa.ChunkedArray, fits: str, value: str) -> pa.ChunkedArray:
    """`value` where the text `fits`, which excludes words that DuckDB also accepts as times: 'epoch', 'infinity'."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("input", pa.table({"text": column}))
        query = f"SELECT CASE WHEN {fits} THEN {value} END AS value FROM input"
        return connection.sql(query).to_arrow_table().column("value")

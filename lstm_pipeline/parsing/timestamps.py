"""Timestamps stored as text: which texts are recognised, and as what.

In any text column, values that all begin with the year are recognised as dates or times. The timestamp column may
also be day-first or month-first, provided that only one of the two can read every value. The same text therefore never
becomes two different dates. Years of two digits follow POSIX: 69 to 99 are 1969 to 1999, 00 to 68 are 2000 to 2068;
whether they come first or last is decided by the order and the spacing of all values, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
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
_ENDS_THE_DAY = r"([ T])24:00(:00)?\s*$"
_ORDERS = (("dd/MM/yyyy", "%d{0}%m{0}%Y", "./-"), ("MM/dd/yyyy", "%m{0}%d{0}%Y", "/-"))
_SHORT_ORDERS = (
    ("dd/MM/yy", "%d{0}%m{0}%y", "./-"), ("MM/dd/yy", "%m{0}%d{0}%y", "/-"), ("yy/MM/dd", "%y{0}%m{0}%d", "./-")
)  # fmt: skip
_DENSER = 4
"""How many times denser the times of the right reading are than those of any other."""
_FEW, _MOST_WORDS = 0.1, 5
"""Text in at most this share of the rows, of so many kinds, does not spoil a column, but marks rows of another kind."""
_OTHERS = (
    "yyyy-MM", "yyyy/MM", "MM/yyyy", "MM-yyyy", "yyyyMMdd", "MM/dd/yyyy hh:mm:ss a", "MM/dd/yyyy hh:mm a",
    "dd/MM/yyyy hh:mm:ss a", "dd/MM/yyyy hh:mm a", "yyyy-MM-dd hh:mm:ss a", "yyyy-MM-dd hh:mm a", "dd-MMM-yyyy",
    "dd-MMM-yy", "dd MMM yyyy", "MMM dd yyyy", "MMM dd, yyyy", "MMM-yy", "MMM-yyyy", "MMM yyyy", "yyyyMMdd HHmm",
    "yyyyMMdd HH:mm", "yyyyMMdd HH:mm:ss", "yyyy.MM.dd", "yyyy.MM.dd HH:mm", "yyyy.MM.dd HH:mm:ss", "dd-MMM-yyyy HH:mm",
    "dd-MMM-yyyy HH:mm:ss", "dd/MMM/yyyy HH:mm:ss", "yyyy-MM-dd-HH",
    "yyyy'M'MM", "yyyyMMdd'T'HHmmss", "yyyyMMdd'T'HHmm",
)  # fmt: skip
"""Ways of writing timestamps that are not recognised by themselves, but proposed."""
_YEAR = "cast(substr({0}, 1, 4) AS int)"
_WEEK = (
    f"date_add(date_trunc('week', make_date({_YEAR}, 1, 4)), 7 * cast(substr({{0}}, -2) AS int) - 7)",
    f"date_add(date_trunc('week', make_date({_YEAR}, 1, 4)), "
    "7 * cast(substr({0}, -4, 2) AS int) + cast(substr({0}, -1) AS int) - 8)",
)
_CONVERTED = (
    (r"\d{4}[ -]?[QqKkTt][1-4]", f"make_date({_YEAR}, 3 * cast(substr({{0}}, -1) AS int) - 2, 1)"),
    (r"[QqKkTt][1-4][ /-]?\d{4}",
     "make_date(cast(substr({0}, -4) AS int), 3 * cast(substr({0}, 2, 1) AS int) - 2, 1)"),
    (r"\d{4}-?W\d{2}", _WEEK[0]), (r"\d{4}-W\d{2}-[1-7]", _WEEK[1]),
    (r"\d{4}-[0-3]\d{2}", f"date_add(make_date({_YEAR}, 1, 1), cast(substr({{0}}, 6) AS int) - 1)"),
    (r"\d{2}\.\d{2}\.\d{4} \d{2}:\d{2} *[-–] *\d{2}\.\d{2}\.\d{4} \d{2}:\d{2}.*",
     "to_timestamp(substr({0}, 1, 16), 'dd.MM.yyyy HH:mm')"),
    (r"\d{4}-\d{2}-\d{2} \d{2}:\d{2} *[-–] *(\d{4}-\d{2}-\d{2} )?\d{2}:\d{2}",
     "to_timestamp(substr({0}, 1, 16), 'yyyy-MM-dd HH:mm')"),
)  # fmt: skip
"""Shapes of timestamps that no pattern has, and the SQL that reads them: quarters, weeks, days of the year, spans."""


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
        values, found = _by_pattern(column, pattern) if pattern else _recognised(column, name)
    except DataError as error:
        raise DataError(f"{uri}: column {name!r}: {error}") from None
    return StampText(table.set_column(index, name, values), found)


def _by_pattern(column: pa.ChunkedArray, pattern: str) -> tuple[pa.ChunkedArray, str]:
    """Reads the text as the user says.

    Raises:
        DataError: a value is written in another way.
    """
    parsed = _strptime(column, "true", [strptime_format(pattern)])
    if has_long_year(pattern):
        parsed = pc.if_else(pc.less(pc.year(parsed), 1000), pa.scalar(None, parsed.type), parsed)
    if parsed.null_count > column.null_count:
        advice = f"expected values like {pattern} (timestamp_format)"
        raise DataError(_unread(column, parsed, advice))
    return (parsed if re.search("[hHms]", _unquoted(pattern)) else parsed.cast(pa.date32())), pattern


def _recognised(column: pa.ChunkedArray, name: str) -> tuple[pa.ChunkedArray, str | None]:
    """Reads the text in the one way that fits every value.

    Raises:
        DataError: no way fits, or several do.
    """
    if _mixed_offsets(column):
        raise DataError("only some values have a UTC offset; write all values with one, or none")
    short = _all_match(column, _SHORT_YEAR)
    orders = _SHORT_ORDERS if short else _ORDERS
    readings = [
        _Read(None, _year_first(column)),
        *(_Read(pattern, _by_format(column, strptime, marks)) for pattern, strptime, marks in orders),
    ]
    complete = [reading for reading in readings if reading.values.null_count == column.null_count]
    if not complete:
        nearest = min((reading.values for reading in readings), key=lambda values: values.null_count)
        raise DataError(_unread(column, nearest, _advice(column, name)))
    different = [
        reading
        for index, reading in enumerate(complete)
        if not any(reading.values.equals(earlier.values) for earlier in complete[:index])
    ]
    chosen = different[0] if len(different) == 1 else _likeliest(different) if short else None
    if chosen is None:
        shown, ways = repr(pc.first(column.drop_null()).as_py()), [_written(each, column) or "" for each in different]
        if short:
            raise DataError(
                f"{shown} can be read as {', '.join(ways[:-1])} or {ways[-1]}, and the other values do not tell; write "
                "dates as 2024-01-31, or set the input's timestamp_format to one of these"
            )
        raise DataError(
            f"{shown} can be read day-first or month-first; write dates as 2024-01-31, or set the input's "
            f"timestamp_format, e.g. {ways[0]}"
        )
    return chosen.values, _written(chosen, column)


@dataclass(frozen=True)
class _Read:
    """Values read in one way; `pattern` is None if the year comes first."""

    pattern: str | None
    values: pa.ChunkedArray


def _likeliest(readings: Sequence[_Read]) -> _Read | None:
    """The one reading in which the times only rise or only fall, or else the one with by far the fewest holes.

    A wrong reading jumps to and fro, or from year to year. None: several are as good.
    """
    ordered = [reading for reading in readings if _ordered(reading.values)] or list(readings)
    *others, best = sorted(ordered, key=lambda reading: _density(reading.values))
    return best if all(_density(best.values) >= _DENSER * _density(other.values) for other in others) else None


def _ordered(values: pa.ChunkedArray) -> bool:
    """Whether the times only rise or only fall."""
    steps = np.diff(_micros(values))
    return bool((steps >= 0).all() or (steps <= 0).all())


def _density(values: pa.ChunkedArray) -> float:
    """The share of the steps between the first and the last time that have a row; a step is one of the shorter gaps."""
    times = np.unique(_micros(values))
    if len(times) < 2:
        return 1.0
    step = float(np.quantile(np.diff(times), 0.1))
    return len(times) / (float(times[-1] - times[0]) / step + 1)


def _micros(values: pa.ChunkedArray) -> np.ndarray:
    micros: np.ndarray = values.drop_null().cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
    return micros


def _written(reading: _Read, column: pa.ChunkedArray) -> str | None:
    """The pattern of the first value, in Spark's letters."""
    if reading.pattern is None:
        return None
    text = pc.first(column.drop_null()).as_py().strip()
    separator = next((mark for mark in "./-" if mark in text), "/")
    pattern = reading.pattern.replace("/", separator)
    return pattern + {0: "", 1: " HH:mm", 2: " HH:mm:ss"}.get(text.count(":"), "") + ".SSSSSS" * ("." in text[8:])


def _unread(column: pa.ChunkedArray, reading: pa.ChunkedArray, advice: str) -> str:
    bad = pc.and_(pc.is_null(reading), pc.is_valid(column))
    rows = pc.indices_nonzero(bad).to_pylist()
    shown = ", ".join(f"row {row + 1}: {column[row].as_py()!r}" for row in rows[:3])
    more = ", ..." if len(rows) > 3 else ""
    verb = "is not a timestamp" if len(rows) == 1 else "are not timestamps"
    words = pc.unique(column.filter(bad)).to_pylist() if len(rows) <= _FEW * len(column) else []
    if 0 < len(words) <= _MOST_WORDS:  # totals, units, a header in the middle
        listed_words = ", ".join("'" + word.strip().replace("'", "''") + "'" for word in words)
        advice = (
            f"correct {'it' if len(rows) == 1 else 'them'}, or leave such rows out: write missing_values: "
            f"[{listed_words}] at the input, and a filter that the column IS NOT NULL"
        )
    return f"{len(rows):,} of {counted(len(column), 'value')} {verb} ({shown}{more}); {advice}"


def _advice(column: pa.ChunkedArray, name: str) -> str:
    """What to write for text that is not recognised: the first known pattern or expression that fits every value."""
    quoted = "`" + name.replace("`", "``") + "`"
    for shape, expression in _CONVERTED:
        if _all_match(column, rf"^\s*{shape}\s*$"):
            made = expression.replace("{0}", f"trim({quoted})")
            return f"write `* REPLACE ({made} AS {quoted})` in a select_expression"
    for pattern in _OTHERS:
        parsed = _strptime(column, "true", [strptime_format(pattern)])
        if parsed.null_count == column.null_count and pc.all(pc.greater(pc.year(parsed), 999)).as_py():
            return f"set the input's timestamp_format: {pattern}"
    return "expected values like 2024-01-31 13:00:00; another way of writing them is set by timestamp_format"


def _unquoted(pattern: str) -> str:
    return re.sub("'[^']*'", "", pattern)


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
    parsed = _strptime(column, f"regexp_matches(text, '{years}')", formats)
    has_time = pc.any(pc.match_substring(column, ":")).as_py()
    return parsed if has_time else parsed.cast(pa.date32())


def _strptime(column: pa.ChunkedArray, fits: str, formats: Sequence[str]) -> pa.ChunkedArray:
    """Null where the text fits none of the formats; 24:00 is the midnight at which the day ends."""
    quoted = ", ".join("'" + text.replace("'", "''") + "'" for text in formats)
    text, later = "trim(text)", ""
    if pc.any(pc.match_substring_regex(column, _ENDS_THE_DAY)).as_py():
        text = f"regexp_replace({text}, '{_ENDS_THE_DAY}', '\\1' || '00:00' || '\\2')"
        later = f" + CASE WHEN regexp_matches(text, '{_ENDS_THE_DAY}') THEN INTERVAL 1 DAY ELSE INTERVAL 0 DAY END"
    return _query(column, fits, f"try_strptime({text}, [{quoted}]){later}")


def _query(column: pa.ChunkedArray, fits: str, value: str) -> pa.ChunkedArray:
    """`value` where the text `fits`, which excludes words that DuckDB also accepts as times: 'epoch', 'infinity'."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        connection.register("input", pa.table({"text": column}))
        query = f"SELECT CASE WHEN {fits} THEN {value} END AS value FROM input"
        return connection.sql(query).to_arrow_table().column("value")

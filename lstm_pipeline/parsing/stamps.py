"""Whether a column can be the timestamps of a series: its type, its range, and a zone of its own.

A column of numbers is told by its size what it counts, and the message has the expression that converts it.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.wording import counted, listed, number

_MICROS = {"s": 1_000_000, "ms": 1_000, "us": 1}
_DAY = 86_400_000_000  # microseconds
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_800_000_000  # the years 1 to 9999
_FAR = 50 * 365 * _DAY
"""A gap shorter than this is never implausible."""
_STEPS = 100
"""Nor is one of fewer steps."""


@dataclass(frozen=True)
class _Counted:
    """What numbers of a certain size count.

    Attributes:
        what: in words.
        lowest, highest: the range of the values.
        valid: whether values in this range really mean it.
        expression: the SQL that converts them; `{0}` is the column.
    """

    what: str
    lowest: float
    highest: float
    expression: str
    valid: Callable[[np.ndarray], bool] = lambda values: True


def _whole(values: np.ndarray) -> bool:
    return bool((values == np.floor(values)).all())


def _digits(*places: int) -> Callable[[np.ndarray], bool]:
    """Whether the digits after the year are a month, and then a day, an hour, a minute, a second."""
    limits = ((1, 12), (1, 31), (0, 23), (0, 59), (0, 59))[: len(places)]

    def valid(values: np.ndarray) -> bool:
        if not _whole(values):
            return False
        rest = values.astype(np.int64)
        for low, high in reversed(limits):
            part = rest % 100
            if (part < low).any() or (part > high).any():
                return False
            rest //= 100
        return True

    return valid


_TEXT = "to_timestamp(cast({0} AS string), '%s')"
_KINDS = (
    _Counted("years", 1500, 2300, "make_date({0}, 1, 1)", _whole),
    _Counted("Excel's days since 1899-12-30", 10_000, 100_000, "date_add('1899-12-30', {0})", _whole),
    _Counted("Excel's days since 1899-12-30", 10_000, 100_000, "timestamp_seconds(round(({0} - 25569) * 86400))"),
    _Counted("months (yyyyMM)", 150_001, 230_012, "to_date(cast({0} AS string), 'yyyyMM')", _digits(2)),
    _Counted("days (yyyyMMdd)", 15_000_101, 23_001_231, "to_date(cast({0} AS string), 'yyyyMMdd')", _digits(2, 2)),
    _Counted("hours (yyyyMMddHH)", 1_900_010_100, 2_200_123_123, _TEXT % "yyyyMMddHH", _digits(2, 2, 2)),
    _Counted("minutes (yyyyMMddHHmm)", 1.9e11, 2.3e11, _TEXT % "yyyyMMddHHmm", _digits(2, 2, 2, 2)),
    _Counted("seconds (yyyyMMddHHmmss)", 1.9e13, 2.3e13, _TEXT % "yyyyMMddHHmmss", _digits(2, 2, 2, 2, 2)),
    _Counted("seconds since 1970", 1e8, 1e10, "timestamp_seconds({0})"),
    _Counted("milliseconds since 1970", 1e11, 1e13, "timestamp_millis({0})"),
    _Counted("microseconds since 1970", 1e14, 1e16, "timestamp_micros({0})"),
    _Counted("nanoseconds since 1970", 1e17, 1e19, "timestamp_micros({0} div 1000)"),
)


def counted_in_words(column: pa.ChunkedArray) -> str:
    """What a column of numbers in place of timestamps counts, by the size of its values."""
    values = column.drop_null().cast(pa.float64(), safe=False).to_numpy()
    if not len(values):
        return "it holds no value"
    low, high = float(values.min()), float(values.max())
    kind = _counted(values)
    return f"the values {_number(low)} to {_number(high)} look like {kind.what if kind else 'no usual count of time'}"


def _counted(values: np.ndarray) -> _Counted | None:
    low, high = float(values.min()), float(values.max())
    fitting = (kind for kind in _KINDS if kind.lowest <= low and high <= kind.highest and kind.valid(values))
    return next(fitting, None)


def counted_as(values: np.ndarray, name: str, *, converted: bool = False) -> str:
    """What numbers in place of timestamps look like, and the expression that converts them.

    Args:
        values: (N,) without missing ones.
        name: of the column, as it is written in SQL.
        converted: whether a step converts them already, in a wrong way.
    """
    if not len(values):
        return "it holds no value"
    low, high = float(values.min()), float(values.max())
    span = f"{_number(low)} to {_number(high)}"
    kind = _counted(values)
    if kind is not None:
        expression = f"{kind.expression.format(name)} AS {name}"
        if converted:
            return f"the values {span} look like {kind.what}; write `{expression}` in its select_expression instead"
        return f"the values {span} look like {kind.what}; write `* REPLACE ({expression})` in a select_expression"
    return (
        f"the values {span} look like no usual count of time; convert them in a select_expression, e.g. with "
        "timestamp_seconds, or number the rows with the input's `timestamps: {start: …, frequency: …}`"
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.6g}"


def stamp_problem(column: pa.ChunkedArray, name: str) -> str | None:
    """What is wrong with a timestamp column, and what to write; None if nothing is.

    Nulls and repeated values are not looked at: what they mean depends on the step.

    Args:
        column: the values.
        name: of the column, as it is written in SQL.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return stamp_problem(column.cast(kind.value_type), name)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = column.drop_null().cast(pa.float64(), safe=False).to_numpy()
        return f"is {kind}, not a date or a timestamp: {counted_as(values, name)}"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _range_problem(column, name) or _jump_problem(column, name)
    return None


def _micros(column: pa.ChunkedArray) -> np.ndarray:
    """(N,) microseconds since 1970 without nulls; those out of range are at its ends."""
    ticks, factor = _ticks(column)
    limit = (2**63 - 1) // factor if factor > 1 else 2**63 - 1
    micros: np.ndarray = np.clip(ticks, -limit, limit) * factor
    return micros // 1000 if pa.types.is_timestamp(column.type) and column.type.unit == "ns" else micros


def _ticks(column: pa.ChunkedArray) -> tuple[np.ndarray, int]:
    kind, valid = column.type, column.drop_null()
    if pa.types.is_date32(kind):
        return valid.cast(pa.int32()).to_numpy().astype(np.int64), _DAY
    return valid.cast(pa.int64()).to_numpy(), 1_000 if pa.types.is_date64(kind) else _MICROS.get(kind.unit, 1)


def _range_problem(column: pa.ChunkedArray, name: str) -> str | None:
    micros = _micros(column)
    outside = (micros < _FIRST) | (micros >= _LAST)
    if not outside.any():
        return None
    seconds = micros[outside] / 1e6
    text = (
        f"{int(outside.sum()):,} of {counted(len(micros), 'value')} are outside the years 1 to 9999 (first: the year "
        f"{1970 + seconds[0] / 31_556_952:.0f})"
    )
    if outside.all() and (1e11 <= seconds.min() <= 1e19):  # a number was taken for seconds
        return f"{text}; before the conversion, {counted_as(seconds, name, converted=True)}"
    return f"{text}; correct them or remove them with a filter"


def _jump_problem(column: pa.ChunkedArray, name: str) -> str | None:
    """Values that are decades and a hundred steps away from the others: typing errors and stand-ins for no date."""
    micros = _micros(column)
    gaps = np.diff(micros)
    if not (gaps > 0).all():
        micros = np.unique(micros)
        gaps = np.diff(micros)
    if len(micros) < 3 or gaps.max() <= _FAR:
        return None
    limit = max(_FAR, _STEPS * float(np.median(gaps)))
    breaks = np.flatnonzero(gaps > limit)
    if not len(breaks):
        return None
    parts = np.split(micros, breaks + 1)
    most = max(parts, key=len)
    others = np.concatenate([part for part in parts if part is not most])
    shown = listed([_day(value) for value in others[:3]])
    verb = "lies" if len(others) == 1 else "lie"
    low, high = _day(most[0]), _day(most[-1])
    return (
        f"{counted(len(others), 'different value')} {verb} centuries or decades from the others ({shown}; the others "
        f"are {low} to {high}); correct them, or keep the others with the filter "
        f"`{name} BETWEEN '{low}' AND '{_day(most[-1] + _DAY)}'`"
    )


def _day(micros: int) -> str:
    return str(np.datetime64(int(micros), "us").astype("datetime64[D]"))


def converted_wrongly(column: pa.ChunkedArray, name: str) -> str | None:
    """What numbers mean that a step has taken for seconds since 1970, and that all end up on its first day."""
    kind = column.type
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)) or column.null_count == len(column):
        return None
    seconds = _micros(column) / 1e6
    if seconds.min() < 0 or seconds.max() >= 100_000 or not _whole(seconds):
        return None
    return (
        f"every timestamp is within {number(seconds.max() / 3600)} hours of 1970-01-01, so numbers were taken for "
        f"seconds; {counted_as(seconds, name, converted=True)}"
    )


def own_zone(kind: pa.DataType) -> str | None:
    """The IANA name of a column's own time zone; None if it has none, or only says that it holds instants."""
    if not pa.types.is_timestamp(kind) or kind.tz is None or kind.tz.upper() in ("UTC", "ETC/UTC", "Z", "+00:00"):
        return None
    offset = re.fullmatch(r"([+-])(\d{2}):00", kind.tz)
    name = kind.tz
    if offset:  # Etc/GMT-1 is one hour ahead of UTC
        name = f"Etc/GMT{'-' if offset.group(1) == '+' else '+'}{int(offset.group(2))}"
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return None
    return str(name)


def are_midnights(column: pa.ChunkedArray, zone: str) -> bool:
    """Whether every instant is a midnight in a time zone."""
    local = pc.local_timestamp(column.drop_null().cast(pa.timestamp("us", zone))).cast(pa.int64()).to_numpy()
    return bool(len(local)) and bool((local % _DAY == 0).all())


def time_order(column: pa.ChunkedArray) -> str:
    """How the rows follow each other in time: `rising`, `falling` or `mixed`. Equal values may follow each other."""
    if column.null_count or len(column) < 2:
        return "rising"
    ticks, _ = _ticks(column)
    steps = np.diff(ticks)
    if (steps >= 0).all():
        return "rising"
    return "falling" if (steps <= 0).all() else "mixed"


def in_time_order(table: pa.Table, name: str) -> pa.Table:
    """The rows by their timestamps; equal ones keep their order, unless the newest row is first and so is the order."""
    order = time_order(table.column(name))
    if order == "rising":
        return table
    if order == "falling":
        return table.take(pa.array(np.arange(table.num_rows)[::-1]))
    ticks, _ = _ticks(table.column(name))
    return table.take(pa.array(np.argsort(ticks, kind="stable")))


def repeats(column: pa.ChunkedArray) -> int:
    """How many values repeat an earlier one."""
    ticks, _ = _ticks(column)
    steps = np.diff(ticks)
    if (steps < 0).any():
        steps = np.diff(np.sort(ticks))
    return int((steps == 0).sum())

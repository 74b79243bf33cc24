"""How many rows files have, and from when to when: what tells whether an input has grown.

Of Parquet only the footers are read, where they have statistics of the timestamp column; of CSV only that column.
Times are compared with each other and never shown to a network, so they are all kept alike: without a time zone, in UTC
if the column has one, and a date as its midnight.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.errors import DataError
from lstm_pipeline.parsing import with_timestamps


@dataclass(frozen=True)
class Extent:
    """The rows of one or more files.

    Attributes:
        rows: number of rows.
        oldest, newest: the first and the last time, in ISO format; None if there are none, or they cannot be read.
        decided: False if other files may decide how the timestamps of this one are read, so that they are not told.
    """

    rows: int
    oldest: str | None = None
    newest: str | None = None
    decided: bool = field(default=True, compare=False)


def joined(extents: Sequence[Extent]) -> Extent:
    """The extent of several files together. Files without rows have no times, which is right; if others lack them,
    nothing is known about the whole."""
    filled = [extent for extent in extents if extent.rows]
    oldest = [extent.oldest for extent in filled if extent.oldest is not None]
    newest = [extent.newest for extent in filled if extent.newest is not None]
    complete = len(oldest) == len(newest) == len(filled) > 0
    rows = sum(extent.rows for extent in extents)
    return Extent(rows, min(oldest), max(newest)) if complete else Extent(rows)


def extent_of(table: pa.Table, timestamp_col: str | None) -> Extent:
    """The extent of rows that have been read."""
    if timestamp_col is None or timestamp_col not in table.column_names:
        return Extent(table.num_rows)
    column = table.column(timestamp_col)
    if not (pa.types.is_temporal(column.type) and table.num_rows):
        return Extent(table.num_rows)
    try:
        found = pc.min_max(column).as_py()
    except (ValueError, OverflowError):  # a year that Python has no dates for
        return Extent(table.num_rows)
    return Extent(table.num_rows, _text(found["min"]), _text(found["max"]))


def extent_of_file(table: pa.Table, timestamp_col: str, uri: str, pattern: str | None = None) -> Extent:
    """The extent of one file, whose timestamps may still be text.

    Text in which the year does not come first is undecided without a pattern: `05/01/24` alone could be three dates.
    So is a column without values, whose type other files decide.
    """
    if timestamp_col not in table.column_names or not table.num_rows:
        return Extent(table.num_rows)
    column = table.column(timestamp_col)
    if column.null_count == len(column):
        return Extent(table.num_rows, decided=False)
    try:
        stamps = with_timestamps(table, timestamp_col, uri, pattern)
    except DataError:
        return Extent(table.num_rows, decided=False)
    if pattern is None and stamps.pattern is not None:
        return Extent(table.num_rows, decided=False)
    return extent_of(stamps.table, timestamp_col)


def extent_from_footer(footer: Any, timestamp_col: str | None) -> Extent | None:
    """The extent of a Parquet file, given its footer; None if the timestamp column itself has to be read."""
    names = [footer.schema.column(index).path for index in range(footer.num_columns)]
    if timestamp_col not in names:
        return Extent(footer.num_rows)
    index, times = names.index(timestamp_col), []
    for group in (footer.row_group(number) for number in range(footer.num_row_groups)):
        statistics = group.column(index).statistics
        if group.num_rows == 0 or (statistics and statistics.null_count == group.num_rows):
            continue
        try:
            found = [_text(statistics.min), _text(statistics.max)] if statistics and statistics.has_min_max else [None]
        except (ValueError, OverflowError):
            found = [None]
        if None in found:
            return None
        times += [time for time in found if time is not None]
    return Extent(footer.num_rows, min(times), max(times)) if times else Extent(footer.num_rows)


def _text(value: object) -> str | None:
    if isinstance(value, dt.datetime):
        naive = value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
        return naive.isoformat(timespec="microseconds")
    return f"{value.isoformat()}T00:00:00.000000" if isinstance(value, dt.date) else None

"""Checks of the arguments of the Python API, which arrive without a spec that has been validated."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from lstm_pipeline.errors import DataError
from lstm_pipeline.parsing import counted_in_words, with_timestamps
from lstm_pipeline.wording import listed

MOST_STEPS = 1_000_000


def as_table(frame: Any, needed: Sequence[str]) -> pa.Table:
    """The columns of a data frame or table that are needed, as a table. Dates may be text, read as in a CSV file.

    Args:
        frame: may have other columns, of any type.
        needed: names of the columns, the timestamp column first.

    Raises:
        DataError: it is neither a frame nor a table, is empty, lacks a needed column or has several of its name, or
            such a column cannot be read.
    """
    if not isinstance(frame, pd.DataFrame | pa.Table):
        raise DataError(f"frame: expected a pandas DataFrame or a pyarrow Table, found {described(frame)}")
    names = [str(name) for name in (frame.column_names if isinstance(frame, pa.Table) else frame.columns)]
    wanted = [name for name in needed if name in names]
    repeated = [name for name in wanted if names.count(name) > 1]
    if repeated:
        raise DataError(
            f"frame: expected different column names, found several columns named {listed(repeated)}; rename or remove "
            "all but one"
        )
    if len(frame) == 0:
        raise DataError("frame: expected at least one row, found none")
    stamp = needed[0]
    if isinstance(frame, pd.DataFrame) and stamp not in names and _is_dates(frame.index, stamp):
        raise DataError(f"frame: the timestamps are its index; make them a column: frame.reset_index(names='{stamp}')")
    absent = [name for name in needed if name not in names]
    if absent:
        raise DataError(
            f"the prediction input lacks columns that the models were trained on: {listed(absent)}; its columns: "
            f"{listed(names)}"
        )
    table = pa.table({name: _column(frame, names.index(name), name) for name in wanted})
    kind = table.schema.field(stamp).type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        raise DataError(
            f"frame: column '{stamp}': expected a date or a timestamp, found {kind}; "
            f"{counted_in_words(table.column(stamp))}: convert them, e.g. with pd.to_datetime and its unit or format"
        )
    return with_timestamps(table, stamp, "frame").table


def _is_dates(index: pd.Index, stamp: str) -> bool:
    return isinstance(index, pd.DatetimeIndex | pd.PeriodIndex) or index.name == stamp


def _column(frame: pd.DataFrame | pa.Table, position: int, name: str) -> pa.ChunkedArray | pa.Array:
    """One column as Arrow holds it, in a type that the pipeline reads.

    Raises:
        DataError: it has no such type, e.g. because it mixes numbers and text.
    """
    try:
        values = frame.column(position) if isinstance(frame, pa.Table) else _from_pandas(frame.iloc[:, position])
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if pa.types.is_float16(values.type):
            values = values.cast(pa.float32())
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise DataError(f"frame: cannot be read as a table: column '{name}': {_first_line(error)}") from None
    return values


def _from_pandas(column: pd.Series) -> pa.Array | pa.ChunkedArray:
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    elif isinstance(column.dtype, pd.SparseDtype):
        column = pd.Series(np.asarray(column), name=column.name)
    return pa.array(column, from_pandas=True)


def require_horizon(horizon: Any) -> int:
    """The horizon as an int.

    Raises:
        DataError: it is not a whole number from 1 to `MOST_STEPS`.
    """
    if not _is_whole(horizon):
        raise DataError(f"horizon: expected a whole number of steps, found {described(horizon)}")
    if horizon < 1:
        raise DataError(f"horizon: expected at least 1 step, found {horizon}")
    if horizon > MOST_STEPS:
        raise DataError(f"horizon: expected at most {MOST_STEPS:,} steps, found {horizon:,}")
    return int(horizon)


def require_levels(intervals: Any) -> tuple[int, ...]:
    """The levels of prediction intervals, in percent.

    Raises:
        DataError: they are not a list of different whole numbers from 1 to 99.
    """
    expected = "intervals: expected a list of different levels in percent, from 1 to 99, e.g. [80, 95]; found"
    if isinstance(intervals, str | bytes | dict) or not hasattr(intervals, "__iter__"):
        raise DataError(f"{expected} {described(intervals)}")
    levels = list(intervals)
    wrong = [level for level in levels if not (_is_whole(level) and 1 <= level <= 99)]
    if wrong:
        raise DataError(f"{expected} {described(wrong[0])} in it")
    if len(set(levels)) < len(levels):
        raise DataError(f"{expected} {levels}")
    return tuple(int(level) for level in levels)


def require_day(as_of: Any) -> dt.date | None:
    """The as-of date, given as a date, as text like 2025-01-31, or None for today.

    Raises:
        DataError: it is something else.
    """
    if as_of is None or (isinstance(as_of, dt.date) and not isinstance(as_of, dt.datetime)):
        return as_of
    if isinstance(as_of, dt.datetime) and not pd.isna(as_of):  # a pandas Timestamp too
        return as_of.date()
    try:
        return dt.date.fromisoformat(as_of)
    except (TypeError, ValueError):
        raise DataError(f"as_of: expected a date, e.g. 2025-01-31, found {described(as_of)}") from None


def require_groups(groups: Any, known: Sequence[str]) -> list[str]:
    """The groups to train, in the given order; None for all.

    Raises:
        DataError: it is not a list of different groups of the project.
    """
    if groups is None:
        return list(known)
    if isinstance(groups, str | bytes | dict) or not hasattr(groups, "__iter__"):
        raise DataError(f"groups: expected a list of groups, e.g. ['{known[0]}'], found {described(groups)}")
    named = list(groups)
    unknown = [group for group in named if group not in known]
    if unknown:
        raise DataError(f"not in this project: {listed([*map(str, unknown)])}; its groups: {listed(known)}")
    if not named:
        raise DataError(f"groups: expected at least one group, or None for all, found none; they are {listed(known)}")
    return list(dict.fromkeys(named))


def require_name(argument: str, value: Any) -> str:
    """A name.

    Raises:
        DataError: it is not text, or empty.
    """
    if not isinstance(value, str) or not value:
        raise DataError(f"{argument}: expected a name, found {described(value)}")
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def described(value: Any) -> str:
    """A value as a message quotes it: short ones as Python writes them, with their type."""
    if value is None or isinstance(value, bool):
        return repr(value)
    kind = type(value).__name__
    if isinstance(value, str | int | float):
        text = repr(value) if isinstance(value, str | float) or abs(value) < 10**30 else "a very large one"
        return f"{text if len(text) <= 40 else text[:37] + '...'} ({kind})"
    return f"a value of type {kind}"


def _first_line(error: Exception) -> str:
    parts = [str(part) for part in error.args] or [type(error).__name__]
    return "; ".join(parts).strip().split("\n", 1)[0][:300]

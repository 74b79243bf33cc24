"""Checks of the arguments of the Python API, which arrive without a spec that has been validated."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from lstm_pipeline.errors import DataError
from lstm_pipeline.wording import listed

MOST_STEPS = 1_000_000


def as_table(frame: Any) -> pa.Table:
    """A data frame or table as a table with rows and different column names.

    Raises:
        DataError: it is neither, is empty, repeats a column name, or a column mixes types.
    """
    if not isinstance(frame, pd.DataFrame | pa.Table):
        raise DataError(f"frame: expected a pandas DataFrame or a pyarrow Table, found {described(frame)}")
    names = frame.column_names if isinstance(frame, pa.Table) else [str(name) for name in frame.columns]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise DataError(
            f"frame: expected different column names, found several columns named {listed(repeated)}; rename or remove "
            "all but one"
        )
    if len(frame) == 0:
        raise DataError("frame: expected at least one row, found none")
    if isinstance(frame, pa.Table):
        return frame
    try:
        return pa.Table.from_pandas(frame.set_axis(names, axis=1), preserve_index=False)
    except (pa.ArrowException, ValueError, TypeError) as error:  # e.g. a column of numbers and text
        raise DataError(f"frame: cannot be read as a table: {_first_line(error)}") from None


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

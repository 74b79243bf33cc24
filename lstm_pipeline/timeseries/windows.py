"""Splits in time, and windows as first-row numbers into one array: no window is ever copied."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lstm_pipeline.arrays import Flags, Integers
from lstm_pipeline.errors import DataError


@dataclass(frozen=True)
class Split:
    """Rows of the three parts, in time order: training, validation, test.

    Attributes:
        validation: first row of the validation part (everything before is training).
        test: first row of the held-out test part.
        rows: number of rows.
    """

    validation: int
    test: int
    rows: int

    @property
    def part_ends(self) -> tuple[int, int, int]:
        """The row after each part."""
        return self.validation, self.test, self.rows


@dataclass(frozen=True)
class Windows:
    """First rows of every window, by the part its targets are in: the `horizon` rows after its last.

    `every` has those as well whose targets lie on both sides of a boundary.
    """

    train: Integers
    validation: Integers
    test: Integers
    every: Integers
    length: int
    horizon: int = 1


def split_rows(rows: int, train_ratio: float, validation_split: float) -> Split:
    """First part trains, its last `validation_split` validates, the rest is held out."""
    test = int(rows * train_ratio)
    return Split(validation=test - int(test * validation_split), test=test, rows=rows)


def window_starts(
    usable: Flags, foreknowing: Flags, target: Flags, length: int, horizon: int = 1, read: int | None = None
) -> Integers:
    """First rows of the windows that cross no gap, do not end in foreknowledge, and have something to forecast.

    Args:
        usable: (N,) rows that may be in a window.
        foreknowing: (N,) rows that may not be a window's last one.
        target: (N,) rows with an observed target.
        length: rows a window.
        horizon: rows after the window that are forecast; all of them exist, at least one is worth it.
        read: rows from the window's first on that are read, where that is more than the window.
    """
    count = len(usable) - length - horizon + 1
    if count <= 0:
        return np.empty(0, np.int64)
    whole = _counts(usable, read or length)[:count] == (read or length)
    worthwhile = _counts(usable & target, horizon)[length : length + count] > 0
    wanted = whole & ~foreknowing[length - 1 : length - 1 + count] & worthwhile
    return np.flatnonzero(wanted).astype(np.int64)


def _counts(flags: Flags, length: int) -> Integers:
    """How many of the `length` rows from each row on are flagged: (N,) -> (N - length + 1,)."""
    sums = np.concatenate([[0], np.cumsum(flags)])
    return np.asarray(sums[length:] - sums[:-length], np.int64)


def split_windows(starts: Integers, split: Split, length: int, horizon: int = 1) -> Windows:
    """Puts each window into the part that holds all rows it forecasts; its inputs may reach back over the boundary.

    Raises:
        DataError: a part has no window; says how many rows there are and how many are needed.
    """
    first, last = starts + length, starts + length + horizon - 1
    windows = Windows(
        train=starts[last < split.validation],
        validation=starts[(first >= split.validation) & (last < split.test)],
        test=starts[(first >= split.test) & (last < split.rows)],
        every=starts,
        length=length,
        horizon=horizon,
    )
    parts = {"training": windows.train, "validation": windows.validation, "test": windows.test}
    empty = [name for name, found in parts.items() if not len(found)]
    if empty:
        ahead = f", a forecast of {horizon} steps (output_chunk_length, rollout_steps)" if horizon > 1 else ""
        advice = ", fewer steps a forecast" if horizon > 1 else ""
        raise DataError(
            f"no window in the {' and the '.join(empty)} part: {split.rows} steps are {split.validation} for training, "
            f"{split.test - split.validation} for validation and {split.rows - split.test} for the test, and a window "
            f"of sequence_length {length}{ahead} needs {length + horizon} usable steps in a row that end in its part, "
            f"so at least {length + horizon} for training and {horizon} each for the others. Give more rows, a shorter "
            f"sequence_length{advice}, another train_ratio or validation_split, or (if gaps are the reason) another "
            "'missing' rule or max_gap"
        )
    return windows

"""Splits in time, and windows as first-row numbers into one array: no window is ever copied."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lstm_pipeline.spec.errors import DataError
from lstm_pipeline.timeseries.arrays import Flags, Integers


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
    """First rows of every window, by the part its target row is in. A window's target is the row after its last."""

    train: Integers
    validation: Integers
    test: Integers
    length: int


def split_rows(rows: int, train_ratio: float, validation_split: float) -> Split:
    """First part trains, its last `validation_split` validates, the rest is held out."""
    test = int(rows * train_ratio)
    return Split(validation=test - int(test * validation_split), test=test, rows=rows)


def window_starts(usable: Flags, foreknowing: Flags, target: Flags, length: int) -> Integers:
    """First rows of the windows that cross no gap, do not end in foreknowledge, and have something to forecast.

    Args:
        usable: (N,) rows that may be in a window.
        foreknowing: (N,) rows that may not be a window's last one.
        target: (N,) rows with an observed target.
        length: rows a window.
    """
    count = len(usable) - length
    if count <= 0:
        return np.empty(0, np.int64)
    good = np.concatenate([[0], np.cumsum(usable)])
    whole = good[length : length + count] - good[:count] == length
    last = slice(length - 1, length - 1 + count)
    wanted = whole & ~foreknowing[last] & usable[length:] & target[length:]
    return np.flatnonzero(wanted).astype(np.int64)


def split_windows(starts: Integers, split: Split, length: int) -> Windows:
    """Puts each window into the part of its target row; its inputs may reach back over the boundary.

    Raises:
        DataError: a part has no window; says how many rows there are and how many are needed.
    """
    targets = starts + length
    windows = Windows(
        train=starts[targets < split.validation],
        validation=starts[(targets >= split.validation) & (targets < split.test)],
        test=starts[targets >= split.test],
        length=length,
    )
    parts = {"training": windows.train, "validation": windows.validation, "test": windows.test}
    empty = [name for name, found in parts.items() if not len(found)]
    if empty:
        raise DataError(
            f"no window in the {' and the '.join(empty)} part: {split.rows} steps are {split.validation} for training, "
            f"{split.test - split.validation} for validation and {split.rows - split.test} for the test, and a window "
            f"of sequence_length {length} needs {length + 1} usable steps in a row that end in its part, so at least "
            f"{length + 1} for training and 1 each for the others. Give more rows, a shorter sequence_length, another "
            "train_ratio or validation_split, or (if gaps are the reason) another 'missing' rule or max_gap"
        )
    return windows

"""Splits in time, and windows as indices of their first rows in one array: no window is ever copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstm_pipeline.arrays import Flags, Integers
from lstm_pipeline.errors import DataError
from lstm_pipeline.timeseries.gaps import Filled
from lstm_pipeline.wording import listed


@dataclass(frozen=True)
class Split:
    """The rows of the three parts, in time order: training, validation, test.

    Attributes:
        validation: first row of the validation part (everything before is training).
        test: first row of the test part.
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
    """The first row of each window, by the part that contains its targets: the `horizon` rows after the window.

    `every` also includes the windows whose targets lie on both sides of a boundary.
    """

    train: Integers
    validation: Integers
    test: Integers
    every: Integers
    length: int
    horizon: int = 1


def split_rows(rows: int, train_ratio: float, validation_split: float) -> Split:
    """Splits rows in time: the first `train_ratio` for training and, at its end, validation; the rest for the test."""
    test = int(rows * train_ratio)
    return Split(validation=test - int(test * validation_split), test=test, rows=rows)


def window_starts(
    usable: Flags, foreknowing: Flags, target: Flags, length: int, horizon: int = 1, read: int | None = None
) -> Integers:
    """First rows of the windows that cross no gap, do not end in a foreknowing row, and have something to forecast.

    Args:
        usable: (N,) rows that may be part of a window.
        foreknowing: (N,) rows that must not be the last row of a window.
        target: (N,) rows with an observed target value.
        length: rows of a window.
        horizon: rows after the window that are forecast; all must exist, and at least one must be usable and
            have an observed target.
        read: number of rows that are read, from the first row of the window on; None for the window's length.
    """
    count = len(usable) - length - horizon + 1
    if count <= 0:
        return np.empty(0, np.int64)
    whole = _counts(usable, read or length)[:count] == (read or length)
    worthwhile = _counts(usable & target, horizon)[length : length + count] > 0
    valid = whole & ~foreknowing[length - 1 : length - 1 + count] & worthwhile
    return np.flatnonzero(valid).astype(np.int64)


def _counts(flags: Flags, length: int) -> Integers:
    """How many of the `length` rows starting at each row are flagged: (N,) -> (N - length + 1,)."""
    sums = np.concatenate([[0], np.cumsum(flags)])
    return np.asarray(sums[length:] - sums[:-length], np.int64)


@dataclass(frozen=True)
class LostWindows:
    """The windows that missing values cost.

    Attributes:
        every: how many windows there would be without a missing value.
        lost: how many of them cross a gap that is not filled, or end in a value interpolated towards a later one.
        by_column: column → how many it would cost by itself, most first.
        whole_rows: how many are lost to rows without any value.
    """

    every: int
    lost: int
    by_column: dict[str, int]
    whole_rows: int

    @property
    def share(self) -> float:
        """Of all windows, from 0 to 1."""
        return self.lost / self.every if self.every else 0.0

    def described(self) -> str:
        """`87 of 139 windows (63 %) are lost to missing values: weekly 80, b 12`."""
        blame = [f"{name} {count:,}" for name, count in self.by_column.items() if count > self.whole_rows]
        if self.whole_rows:
            blame.append(f"rows without any value {self.whole_rows:,}")
        return f"{self.lost:,} of {self.every:,} windows ({self.share:.0%}) are lost to missing values: {listed(blame)}"


def lost_windows(filled: Filled, names: Sequence[str], length: int, horizon: int, read: int) -> LostWindows:
    """Counts the windows that missing values cost, by column.

    Args:
        names: (F,) the columns of the series.
        length: rows of a window.
        horizon: rows after the window that are forecast.
        read: number of rows that are read, from the first row of the window on.
    """
    count = max(0, len(filled.usable) - length - horizon + 1)
    if not count or (filled.usable.all() and not filled.foreknowing.any()):
        return LostWindows(count, 0, {}, 0)

    def lost(usable: Flags, foreknowing: Flags) -> int:
        whole = _counts(usable, read)[:count] == read
        return count - int((whole & ~foreknowing[length - 1 : length - 1 + count]).sum())

    missing = np.isnan(filled.values) & ~filled.usable[:, None]
    alone = {
        name: lost(~missing[:, index], filled.ahead[:, index])
        for index, name in enumerate(names)
        if missing[:, index].any() or filled.ahead[:, index].any()
    }
    nothing = ~filled.observed.any(axis=1)
    whole = lost(~(nothing & ~filled.usable), nothing & filled.foreknowing)
    return LostWindows(
        count,
        lost(filled.usable, filled.foreknowing),
        dict(sorted(((name, own) for name, own in alone.items() if own), key=lambda pair: -pair[1])),
        whole,
    )


def split_windows(starts: Integers, split: Split, length: int, horizon: int = 1, lost: str = "") -> Windows:
    """Assigns each window to the part that contains all rows it forecasts; its inputs may come from the part before.

    Args:
        lost: how many windows missing values cost, for the message; empty if none.

    Raises:
        DataError: a part has no window; the message says how many steps there are and how many are needed.
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
    empty = [name for name, part in parts.items() if not len(part)]
    if empty:
        need = length + horizon
        ahead = f" and a forecast of {horizon} steps (output_chunk_length, rollout_steps)" if horizon > 1 else ""
        advice = ", fewer steps per forecast" if horizon > 1 else ""
        raise DataError(
            f"parts without a window: {listed(empty)}. The {split.rows:,} steps "
            f"are split into {split.validation:,} for training, {split.test - split.validation:,} for validation and "
            f"{split.rows - split.test:,} for the test. A window of sequence_length {length}{ahead} takes "
            f"{need} consecutive usable steps that end in its part, so it needs at least {need} steps for training and "
            f"{horizon} each for the other parts. Provide more rows, a shorter sequence_length{advice}, another "
            "train_ratio or validation_split, or, if gaps are the reason, another 'missing' rule or max_gap"
            + (f". {lost}" if lost else "")
        )
    return windows

"""Long series with fewer points that look the same: of each stretch, the smallest and the largest value stay."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from lstm_pipeline.arrays import Float64, Integers

_RECENT = 1 / 2
"""The share of the points that show the latest rows in full."""


def thinned(values: Float64, most: int, *, recent: bool = False) -> Integers:
    """The rows to draw, ascending.

    Args:
        values: (N,); NaN where there is none. A stretch without values keeps one row, so that the line breaks there.
        most: the largest number of rows; at least 4.
        recent: whether the latest rows stay as they are.
    """
    rows = len(values)
    if rows <= most:
        return np.arange(rows)
    tail = int(most * _RECENT) if recent else 1
    old = values[: rows - tail]
    edges = np.linspace(0, len(old), max(1, (most - tail) // 2) + 1).astype(np.int64)
    kept = np.arange(rows - tail, rows).tolist()
    for begin, end in pairwise(edges.tolist()):
        part = old[begin:end]
        known = ~np.isnan(part)
        if known.any():
            low, high = np.where(known, part, np.inf), np.where(known, part, -np.inf)
            kept += [int(begin + low.argmin()), int(begin + high.argmax())]
        elif len(part):
            kept.append(int(begin))
    return np.unique(np.array(kept, np.int64))


def plain(values: Float64) -> list[float | int | None]:
    """Numbers with five digits, as short as JSON can have them; None where there is no finite number."""
    return [_plain(value) for value in values.tolist()]


def _plain(value: float) -> float | int | None:
    if not np.isfinite(value):
        return None
    rounded = float(f"{value:.5g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def packed_rows(rows: Integers) -> dict[str, object]:
    """Ascending row numbers as the first one and the steps between them, which are left out where all are 1."""
    if not len(rows):
        return {"i": 0, "n": 0}
    steps = np.diff(rows)
    packed: dict[str, object] = {"i": int(rows[0]), "n": len(rows)}
    return packed if (steps == 1).all() else {**packed, "d": steps.tolist()}


def packed_clock(clock: pd.DatetimeIndex) -> dict[str, object]:
    """Times as seconds: the first one and the steps between them, one step where all are alike."""
    seconds = clock.as_unit("s").asi8
    if not len(seconds):
        return {"t": 0, "n": 0}
    steps = np.diff(seconds)
    packed: dict[str, object] = {"t": int(seconds[0]), "n": len(seconds)}
    same = len(steps) == 0 or bool((steps == steps[0]).all())
    return {**packed, "s": int(steps[0]) if len(steps) else 0} if same else {**packed, "d": _runs(steps)}


def _runs(steps: Integers) -> list[list[int]]:
    """Runs of equal steps: how long, and how many."""
    ends = np.flatnonzero(np.append(np.diff(steps) != 0, True))
    counts = np.diff(np.append(-1, ends))
    return [[int(steps[end]), int(count)] for end, count in zip(ends, counts, strict=True)]

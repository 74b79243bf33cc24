"""Missing values: which are filled, how, and which rows a window may use.

Filling never looks across a split: training rows are filled from training rows only, validation rows from rows up to
the end of validation, and so on. So no later value can leak into what a model is trained on.

A column with a rhythm of its own, e.g. a weekly figure in daily rows, holds its last value until the next one is due:
interpolating it would know that value in advance, and would leave no window that may end between two of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pandas as pd

from lstm_pipeline.arrays import Flags, Float64, Integers
from lstm_pipeline.errors import DataError
from lstm_pipeline.timeseries.series import Series
from lstm_pipeline.wording import listed


@dataclass(frozen=True)
class Filled:
    """A series with no missing values in its usable rows.

    Attributes:
        values: (N, F) in the features' own units; NaN only in unusable rows, or anywhere with the rule `mask`.
        observed: (N, F) True where a value was observed: only these count in losses and metrics.
        usable: (N,) False for rows in a gap that is too long to fill; no window contains them.
        foreknowing: (N,) True where a value was interpolated towards a later one: no window may end there, because its
            last row would contain information about the step it forecasts.
        counts: feature → number of values filled.
        ahead: (N, F) the values that make a row foreknowing.
        carried: features with a rhythm of their own → steps from one value to the next; see `own_rhythms`.
    """

    values: Float64
    observed: Flags
    usable: Flags
    foreknowing: Flags
    counts: dict[str, int]
    ahead: Flags
    carried: Mapping[str, int] = field(default_factory=dict)


NO_RHYTHMS: Mapping[str, int] = {}


def fill_gaps(
    series: Series, *, rule: str, max_gap: int, part_ends: Sequence[int], carried: Mapping[str, int] = NO_RHYTHMS
) -> Filled:
    """Fills missing values.

    Args:
        rule: `interpolate` (linearly between neighbours; the last value at an open end), `ffill` (the last value),
            `mask` (values stay missing, and a network reads the last value instead) or `error`.
        max_gap: the longest run of missing steps that is filled.
        part_ends: the row after each part (training, validation, …), ascending; the last is the number of rows.
        carried: features with a rhythm of their own → steps from one value to the next. Their last value is repeated
            under both rules that fill, and `max_gap` counts from the step at which the next value was due.

    Raises:
        DataError: the rule is `error` and a value is missing, or a feature has no values at all.
    """
    observed = cast(Flags, ~np.isnan(series.values))
    _require_values(series, observed)
    if rule == "error" and not observed.all():
        raise DataError(f"there are missing values, and the 'missing' rule is 'error': {_describe(series, observed)}")
    if rule == "mask":
        row_missing: Flags = np.asarray(~observed.any(axis=1, keepdims=True))
        usable: Flags = np.asarray(_run_lengths(row_missing)[:, 0] <= max_gap)
        none = np.zeros(observed.shape, bool)
        counts = _counts(series, ~observed & usable[:, None])
        return Filled(series.values, observed, usable, np.zeros(len(series), bool), counts, none, dict(carried))
    values = series.values.copy()
    ahead = np.zeros(observed.shape, bool)
    held: Flags = np.array([name in carried or rule != "interpolate" for name in series.names])
    limits = np.array([max_gap + max(0, carried.get(name, 1) - 1) for name in series.names])
    start = 0
    for end in part_ends:
        if not observed[start:end].all():
            part = _fill(values[:end], observed[:end], held, limits)
            values[start:end] = part[start:end]
            forward = _last_seen(values[:end], observed[:end], limits)[start:end]
            ahead[start:end] = ~observed[start:end] & ~np.isnan(values[start:end]) & (values[start:end] != forward)
        start = end
    filled = ~np.isnan(values)
    counts = _counts(series, filled & ~observed)
    return Filled(
        values, observed, np.asarray(filled.all(axis=1)), np.asarray(ahead.any(axis=1)), counts, ahead, dict(carried)
    )


def _fill(values: Float64, observed: Flags, held: Flags, limits: Integers) -> Float64:
    """Fills gaps in (N, F) values; gaps at the start stay.

    Args:
        held: (F,) the columns whose last value is repeated; the others are interpolated.
        limits: (F,) the longest run of missing steps that is filled.
    """
    frame = pd.DataFrame(values)
    full = frame.ffill().to_numpy()
    if not held.all():
        full = np.where(held, full, frame.interpolate(limit_area="inside").ffill().to_numpy())
    return np.where(_run_lengths(~observed) <= limits, full, values)


def _last_seen(values: Float64, observed: Flags, limits: Integers) -> Float64:
    """The values that filling forward alone would give."""
    return _fill(np.where(observed, values, np.nan), observed, np.ones(values.shape[1], bool), limits)


def _run_lengths(missing: Flags) -> Float64:
    """(N, F) length of the run of missing values that each value belongs to, 0 for values that are not missing."""
    rows = np.arange(len(missing))[:, None]
    before = np.maximum.accumulate(np.where(missing, -1, rows), axis=0)
    after = np.minimum.accumulate(np.where(missing, len(missing), rows)[::-1], axis=0)[::-1]
    return np.where(missing, after - before - 1, 0).astype(np.float64)


def _require_values(series: Series, observed: Flags) -> None:
    empty = [name for name, any_value in zip(series.names, observed.max(axis=0), strict=True) if not any_value]
    if empty:
        raise DataError(f"columns without a single value: {listed(empty)}; list them in drop_cols")


def _describe(series: Series, observed: Flags) -> str:
    parts = []
    for index, name in enumerate(series.names):
        missing = np.flatnonzero(~observed[:, index])
        if len(missing):
            parts.append(f"{len(missing):,} of {len(series):,} in '{name}' (first at {series.steps[missing[0]]})")
    return ", ".join(parts)


def _counts(series: Series, filled: Flags) -> dict[str, int]:
    return {name: int(count) for name, count in zip(series.names, filled.sum(axis=0), strict=True) if count}

"""From a table to a regular multivariate series: one row per step, NaN where nothing was observed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.arrays import Float64
from lstm_pipeline.errors import DataError
from lstm_pipeline.timeseries.timeline import (
    Timeline,
    infer_frequency,
    is_sub_daily,
    off_grid,
    read_stamps,
    regular_grid,
    to_steps,
)
from lstm_pipeline.wording import listed


@dataclass(frozen=True)
class Series:
    """A regular series.

    Attributes:
        timeline: how to read and continue its timestamps.
        steps: (N,) every step from the first to the last, on the step clock.
        names: (F,) features.
        values: (N, F) in the features' own units, NaN where nothing was observed.
        duplicates: number of rows removed by merging duplicates.
        inserted: number of steps that had no row.
        empty: number of rows at the end that held a timestamp and nothing else; `split_plan` leaves them off.
    """

    timeline: Timeline
    steps: pd.DatetimeIndex
    names: tuple[str, ...]
    values: Float64
    duplicates: int
    inserted: int
    empty: int = 0

    def __len__(self) -> int:
        return len(self.steps)

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """Feature → its column. Looking names up in `names` itself is quadratic in the features."""
        return {name: index for index, name in enumerate(self.names)}

    def columns(self, names: Iterable[str]) -> list[int]:
        """The features' column indices."""
        return [self.positions[name] for name in names]

    def steps_after(self, step: pd.Timestamp) -> int:
        """How many steps the one that follows the last row is after another one, which may be before the first row."""
        row = int(self.steps.get_indexer(pd.DatetimeIndex([step]))[0])
        return len(self) - row if row >= 0 else self.timeline.due(step, self.steps[-1])[0] + 1


def split_plan(series: Series, covariates: Sequence[str]) -> tuple[Series, Float64]:
    """Splits off the rows at the end that are not history: those after the last observed feature.

    They hold planned covariates or, as in a sheet prepared for the coming days, nothing but a timestamp.

    Args:
        covariates: features whose future values may be given.

    Returns:
        The series up to the last row in which any other feature was observed, and (N', V) the covariates of the rows
        after it, NaN where they are not given.
    """
    planned = np.isin(np.arange(len(series.names)), series.columns(covariates))
    seen = np.flatnonzero(~np.isnan(series.values[:, ~planned]).all(axis=1))
    given = np.flatnonzero(~np.isnan(series.values).all(axis=1))
    end = int(seen[-1]) + 1 if len(seen) else len(series)
    empty = len(series) - int(given[-1]) - 1 if len(seen) else 0
    columns = series.columns(covariates)
    history = replace(series, steps=series.steps[:end], values=series.values[:end], empty=empty)
    return history, series.values[end:, columns]


def build_series(
    table: pa.Table,
    timestamp_col: str,
    names: Sequence[str],
    *,
    timezone: str,
    frequency: str | None = None,
    on_duplicates: str = "error",
) -> Series:
    """Sorts the rows, merges duplicates, infers the frequency if none is given, and puts the rows on its grid.

    Raises:
        DataError: null or duplicate timestamps, infinite values, timestamps off the grid, a missing column; with the
            frequency `rows`, no weekly pattern by which the rows could be continued.
    """
    known = set(table.column_names)  # which makes a new list each time it is asked
    missing = [name for name in (timestamp_col, *names) if name not in known]
    if missing:
        raise DataError(f"columns are missing: {listed(missing)}; found: {listed(table.column_names)}")
    if table.num_rows == 0:
        raise DataError("there are no rows; check whether the filter removes all of them")
    stamps, kind = read_stamps(table[timestamp_col], timestamp_col)
    values = _matrix(table, names, stamps)
    sub_daily = is_sub_daily(frequency) if frequency else _mostly_sub_daily(stamps)
    steps = to_steps(stamps, kind, timezone, sub_daily=sub_daily)
    order = np.argsort(steps.asi8, kind="stable")
    steps, values = steps[order], values[order]
    steps, values, duplicates = _merge_duplicates(steps, values, timestamp_col, on_duplicates)
    frequency = frequency or infer_frequency(steps)
    _require_on_grid(steps, frequency)
    grid = regular_grid(steps, frequency)
    regular = np.full((len(grid), len(names)), np.nan)
    regular[grid.get_indexer(steps)] = values
    timeline = Timeline(timestamp_col, frequency, timezone, kind).learning(steps)
    return Series(timeline, grid, tuple(names), regular, duplicates, len(grid) - len(steps))


def _matrix(table: pa.Table, names: Sequence[str], stamps: pd.DatetimeIndex) -> Float64:
    """(N, F) float64, nulls as NaN."""
    values = np.empty((table.num_rows, len(names)))
    for index, name in enumerate(names):
        column = table[name].cast(pa.float64(), safe=False)  # rounds integers above 2**53
        values[:, index] = pc.fill_null(column, np.nan).to_numpy()
    infinite = np.isinf(values)
    if infinite.any():
        counts = [
            f"{int(infinite[:, index].sum()):,} in '{name}' (first at {stamps[int(infinite[:, index].argmax())]})"
            for index, name in enumerate(names)
            if infinite[:, index].any()
        ]
        raise DataError(f"infinite values: {', '.join(counts)}; set them to null or remove the rows")
    return values


def _mostly_sub_daily(stamps: pd.DatetimeIndex) -> bool:
    distances = np.diff(np.sort(stamps.asi8))
    distances = distances[distances > 0]
    return bool(len(distances)) and bool(np.median(distances) < pd.Timedelta(days=1).value // 1000)


def _merge_duplicates(
    steps: pd.DatetimeIndex, values: Float64, column: str, rule: str
) -> tuple[pd.DatetimeIndex, Float64, int]:
    """One row per timestamp, by the rule `error`, `mean` or `last` (in the order of the input)."""
    extra = steps.duplicated()
    count = int(extra.sum())
    if not count:
        return steps, values, 0
    if rule == "error":
        first = ", ".join(str(stamp) for stamp in steps[extra].unique()[:3])
        raise DataError(
            f"timestamp column '{column}': {count:,} of {len(steps):,} rows repeat a timestamp (first: {first}); "
            "remove them, or set on_duplicates to mean or last"
        )
    rows = pd.DataFrame(values).groupby(steps, sort=True)
    merged = rows.mean() if rule == "mean" else rows.nth(-1)
    kept = steps[~extra]
    return kept, np.ascontiguousarray(merged.to_numpy()), count


def _require_on_grid(steps: pd.DatetimeIndex, frequency: str) -> None:
    off = off_grid(steps, frequency)
    if len(off):
        shown = ", ".join(str(stamp) for stamp in off[:3])
        raise DataError(
            f"{len(off):,} of {len(steps):,} timestamps are not on the grid of {frequency} from {steps[0]} "
            f"(first: {shown}); set another 'frequency', or move them onto the grid with date_trunc"
        )

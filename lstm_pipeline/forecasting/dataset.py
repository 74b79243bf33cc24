"""From the cleaned table to the data that networks train on and are scored on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa

from lstm_pipeline.arrays import Flags, Float32, Float64
from lstm_pipeline.errors import DataError
from lstm_pipeline.forecasting.inputs import NetworkInputs
from lstm_pipeline.forecasting.sharing import Shared
from lstm_pipeline.forecasting.window_length import window_lengths
from lstm_pipeline.parsing import own_zone
from lstm_pipeline.projects import provenance_of
from lstm_pipeline.registry import InputRecord
from lstm_pipeline.spec import TrainingStep
from lstm_pipeline.statistics import DriftReference, Scaler, drift_reference, fit_scaler, naive_scale
from lstm_pipeline.tables import notes_of
from lstm_pipeline.timeseries import (
    ROWS,
    Bound,
    FeatureSet,
    Filled,
    LostWindows,
    Series,
    Split,
    Windows,
    bound_lines,
    bound_problems,
    build_series,
    calendar_names,
    common_frequency,
    fill_gaps,
    holiday_name,
    input_conflicts,
    lost_windows,
    next_name,
    own_rhythms,
    pattern_season,
    resolve_bounds,
    resolve_features,
    season_length,
    split_plan,
    split_rows,
    split_windows,
    window_starts,
)

CONSTANT = 1e-12
"""A spread below this share of a column's size is rounding."""

MOST_ROWS = 2
"""How many arrays of all rows, scaled in different ways, are kept for the next group: each is as large as the data."""


@dataclass(frozen=True)
class Dataset:
    """A project's training data: checked, with regular steps, and split into parts.

    Attributes:
        features: which columns are predicted, by which group, and which are context.
        series: (N, F) values in their own units, features sorted by name.
        filled: the same series with its gaps filled, and flags for the values that were observed.
        split: the rows of the training, validation and test parts.
        calendar: names of the calendar features.
        season: number of steps in a season.
        sequence_length: rows of the longest window that is read.
        usual_length: rows of a network's window; see `window_lengths`.
        input: what the table was made from; None if the table does not say.
        notes: what was left out of the table or put in order.
        bounds: predicted feature → its smallest and largest possible value; features without bounds are left out.
        stated: the features whose bounds the spec states.
        found: what was found out about this very dataset, so that it is not looked for again for each group.
    """

    features: FeatureSet
    series: Series
    filled: Filled
    split: Split
    calendar: tuple[str, ...]
    season: int
    sequence_length: int = 1
    usual_length: int = 1
    input: InputRecord | None = None
    notes: tuple[str, ...] = ()
    bounds: Mapping[str, Bound] = field(default_factory=dict)
    stated: Mapping[str, object] = field(default_factory=dict)
    _large: Shared = field(default_factory=lambda: Shared(MOST_ROWS), repr=False, compare=False)
    found: Shared = field(default_factory=Shared, init=False, repr=False, compare=False)
    _small: Shared = field(default_factory=lambda: Shared(32), repr=False, compare=False)

    @property
    def known(self) -> tuple[str, ...]:
        """Names of the K columns of a row that are known in advance: the calendar, then the next step's covariates."""
        return (*self.calendar, *(next_name(name) for name in self.features.covariates))

    def lines(self) -> list[str]:
        """What each column of the input is used for, and which bounds forecasts are kept within."""
        return [*self.features.lines(), *bound_lines(self.bounds, self.stated)]

    @property
    def observed_values(self) -> Float64:
        """(N, F) values in their own units; NaN where nothing was observed, so that filled values never count."""
        return self.series.values

    @cached_property
    def error_scale(self) -> Float64:
        """(F,) the unit of mase: each feature's mean absolute change over a season in the training part."""
        # column by column, so that sums are pairwise and their rounding does not grow with the rows
        return naive_scale(np.asfortranarray(self.observed_values[: self.split.validation]), self.season)

    def drift_references(self, names: Iterable[str]) -> dict[str, DriftReference]:
        """Feature → what it looks like, for recognising drift later; without features that have too few rows."""

        def reference(name: str) -> DriftReference | None:
            return drift_reference(self.observed_values[:, self.series.positions[name]], self.season)

        found = {name: self.found.get((), ("drift", name), partial(reference, name)) for name in sorted(names)}
        return {name: known for name, known in found.items() if known is not None}

    def rows(self, scaler: Scaler) -> Float32:
        """(N, F + K) the rows a network reads: one array for all groups with equal scalers, which nobody may change."""
        made = (self.series, self.filled)
        key = (scaler.fingerprint, self.calendar, self.features.covariates)

        def rows() -> Float32:
            found = NetworkInputs(*made, scaler, self.calendar, self.features.covariates).rows
            found.flags.writeable = False
            return found

        return self._large.get(made, key, rows)

    def columns(self, names: Sequence[str]) -> list[int]:
        """The features' column indices."""
        return self.series.columns(names)

    def scaler(self, kind: str) -> Scaler:
        """A scaler fitted on the observed values of the training part."""
        end = self.split.validation
        return self._small.get(
            (self.series,), (kind, end), lambda: fit_scaler(self.observed_values[:end], self.series.names, kind)
        )

    def windows(self, names: Sequence[str], length: int, horizon: int = 1, chunk: int | None = None) -> Windows:
        """Windows by part, for forecasting the rows that follow each window.

        Args:
            names: the features that are forecast.
            length: rows per window.
            horizon: rows to forecast.
            chunk: steps per pass if the horizon takes several passes, since the forecasts of all passes but the last
                one are read as well; None for a single pass.

        Raises:
            DataError: there are too few rows for one window in each part.
        """
        target: Flags = np.asarray(self.filled.observed[:, self.columns(names)].any(axis=1))
        usable, foreknowing = self.filled.usable, self.filled.foreknowing
        starts = window_starts(usable, foreknowing, target, length, horizon, read=length + horizon - (chunk or horizon))
        lost = self.lost_windows(names, length, horizon, chunk)
        return split_windows(starts, self.split, length, horizon, lost.described() if lost.lost else "")

    def lost_windows(
        self, names: Sequence[str], length: int, horizon: int = 1, chunk: int | None = None
    ) -> LostWindows:
        """How many of the windows missing values cost, by column; the arguments are those of `windows`."""
        read = length + horizon - (chunk or horizon)
        return self._small.get(
            (self.series, self.filled),
            (length, horizon, read),
            lambda: lost_windows(self.filled, self.series.names, length, horizon, read),
        )

    @cached_property
    def constant(self) -> tuple[str, ...]:
        """The features that do not vary in the training part, up to rounding."""
        values = self.observed_values[: self.split.validation]
        seen = np.flatnonzero(~np.isnan(values).all(axis=0))
        low, high = np.nanmin(values[:, seen], axis=0), np.nanmax(values[:, seen], axis=0)
        same = high - low <= CONSTANT * np.maximum(np.abs(low), np.abs(high))
        return tuple(self.series.names[index] for index in seen[same])

    @property
    def row_step(self) -> str | None:
        """With the frequency `rows`, the time between most rows as a pandas offset, which nothing else tells."""
        return common_frequency(self.series.steps) if self.series.timeline.frequency == ROWS else None

    def chunk_length(self, requested: int | None, horizon: int, length: int) -> int:
        """Steps per pass: the requested number or, by default, the horizon.

        The default is at most half of the validation part, half of the test part, and half of the training part
        without its first window.
        """
        split = self.split
        shortest = min(split.test - split.validation, split.rows - split.test, split.validation - length)
        return requested or max(1, min(horizon, shortest // 2))

    def row_ranges(self) -> dict[str, Any]:
        """Each part's number of rows and its first and last timestamp, on the wall clock."""
        clock = self.series.timeline.wall_clock(self.series.steps)
        starts = (0, self.split.validation, self.split.test)
        return {
            name: {"rows": end - start, "first": clock[start].isoformat(), "last": clock[end - 1].isoformat()}
            for name, start, end in zip(("train", "validation", "test"), starts, self.split.part_ends, strict=True)
            if end > start
        }

    def fingerprint(self) -> str:
        """SHA-256 of the steps, the feature names and the values."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        sha = hashlib.sha256()
        sha.update(repr((self.series.names, self.series.timeline.frequency)).encode())
        sha.update(self.series.steps.as_unit("us").asi8.tobytes())
        sha.update(np.ascontiguousarray(self.series.values).tobytes())
        return sha.hexdigest()


def _nominal(series: Series) -> str:
    """The frequency for what depends on its size only: that of most steps, if the frequency is `rows`."""
    return common_frequency(series.steps) if series.timeline.frequency == ROWS else series.timeline.frequency


def _season(series: Series) -> int:
    """Steps in a natural season."""
    if series.timeline.frequency == ROWS:
        return pattern_season(series.timeline.pattern)
    return season_length(series.timeline.frequency)


def training_series(table: pa.Table, step: TrainingStep, timezone: str) -> tuple[FeatureSet, Series]:
    """The features of a training input, and their values up to the last observed row, with regular steps.

    Raises:
        DataError: the table does not fit the training step.
    """
    features = resolve_features(table.schema, step)
    series = build_series(
        table,
        step.timestamp_col,
        features.names,
        # a frame labels its instants with the column's own zone only if the spec names none
        timezone=own_zone(table.schema.field(step.timestamp_col).type) or timezone,
        frequency=step.frequency,
        on_duplicates=step.on_duplicates,
    )
    return features, split_plan(series, features.covariates)[0]


def build_dataset(table: pa.Table, step: TrainingStep, timezone: str, longest: int | None = None) -> Dataset:
    """Checks the cleaned table, gives it regular steps, fills its gaps and splits it.

    Args:
        longest: rows of the longest window, if other models give it; see `shared_length`.

    Raises:
        DataError: the table does not fit the training step.
    """
    features, series = training_series(table, step, timezone)
    split = split_rows(len(series), step.train_ratio, step.validation_split)
    wall_clock = series.timeline.wall_clock(series.steps)
    training = slice(split.validation)
    carried = own_rhythms(~np.isnan(series.values[training]), wall_clock[training], series.names)
    filled = fill_gaps(series, rule=step.missing, max_gap=step.max_gap, part_ends=split.part_ends, carried=carried)
    season = step.season_length or _season(series)
    calendar = calendar_names(_nominal(series), step.calendar_features)
    if step.holidays:
        calendar = (*calendar, holiday_name(step.holidays))
    conflict = next(input_conflicts(features.names, calendar, features.covariates), None)
    if conflict:
        raise DataError(conflict)
    outside = [f"bounds.{name}: {message}" for name, message in bound_problems(series, step)]
    if outside:
        raise DataError("; ".join(outside))
    usual, most = window_lengths(step, season, split.validation, longest)
    dataset = Dataset(
        features,
        series,
        filled,
        split,
        calendar,
        season=season,
        sequence_length=most,
        usual_length=usual,
        input=provenance_of(table),
        notes=tuple(notes_of(table)),
        bounds=resolve_bounds(features, series.values[training], step, list(series.names)),
        stated=step.bounds,
    )
    if most > usual and longest is None and _is_broken_up(dataset):
        dataset = replace(dataset, sequence_length=usual)
    dataset.windows(features.predicted, dataset.sequence_length)  # fails early if there are too few rows
    return dataset


def _is_broken_up(dataset: Dataset) -> bool:
    """Whether long gaps leave a part with fewer than half as many of the longest windows as of the usual ones."""
    names = dataset.features.predicted
    try:
        most = dataset.windows(names, dataset.sequence_length)
    except DataError:
        return True
    usual = dataset.windows(names, dataset.usual_length)
    return any(
        2 * len(few) < len(many)
        for few, many in ((most.train, usual.train), (most.validation, usual.validation), (most.test, usual.test))
    )

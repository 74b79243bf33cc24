"""From the cleaned table to what networks train on and are scored on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from lstm_pipeline.arrays import Flags, Float32
from lstm_pipeline.spec.steps import TrainingStep
from lstm_pipeline.statistics.scaling import Scaler, fit_scaler
from lstm_pipeline.timeseries.calendar import calendar_matrix, calendar_names, holiday_name
from lstm_pipeline.timeseries.features import FeatureSet, resolve_features
from lstm_pipeline.timeseries.gaps import Filled, fill_gaps
from lstm_pipeline.timeseries.season import season_length
from lstm_pipeline.timeseries.series import Series, build_series, split_plan
from lstm_pipeline.timeseries.windows import Split, Windows, split_rows, split_windows, window_starts


@dataclass(frozen=True)
class Dataset:
    """A project's training data, checked, regular and split.

    Attributes:
        features: which columns are predicted, by which group, and which are context.
        series: (N, F) values in own units, features sorted by name.
        filled: the same with its gaps filled, and what was really observed.
        split: rows of training, validation and test.
        calendar: names of the calendar features.
        season: steps of one season.
    """

    features: FeatureSet
    series: Series
    filled: Filled
    split: Split
    calendar: tuple[str, ...]
    season: int

    @property
    def known(self) -> tuple[str, ...]:
        """The K columns of a network's row whose future is known: the calendar, then the next step's covariates."""
        return (*self.calendar, *(next_name(name) for name in self.features.covariates))

    def rows(self, scaler: Scaler) -> Float32:
        """(N, F + K) the rows a network reads."""
        return network_rows(self.series, self.filled, scaler, self.calendar, self.features.covariates)

    def columns(self, names: Sequence[str]) -> list[int]:
        """Where features stand in a row."""
        return [self.series.names.index(name) for name in names]

    def scaler(self, kind: str) -> Scaler:
        """Fitted on what was observed in the training rows, before the validation rows."""
        rows = slice(0, self.split.validation)
        training = np.where(self.filled.observed[rows], self.filled.values[rows], np.nan)
        return fit_scaler(training, self.series.names, kind)

    def windows(self, names: Sequence[str], length: int, horizon: int = 1, chunk: int | None = None) -> Windows:
        """Windows by part, for forecasting the next rows of these features.

        Args:
            chunk: steps a roll, where a horizon takes several: the rows before the last roll are read as well.

        Raises:
            DataError: too few rows for one window in each part.
        """
        target: Flags = np.asarray(self.filled.observed[:, self.columns(names)].any(axis=1))
        usable, foreknowing = self.filled.usable, self.filled.foreknowing
        starts = window_starts(usable, foreknowing, target, length, horizon, read=length + horizon - (chunk or horizon))
        return split_windows(starts, self.split, length, horizon)

    def chunk_length(self, asked: int | None, horizon: int, length: int) -> int:
        """Steps a roll: what was asked for, else the horizon.

        But no more than half of the validation part, of the test part, or of what a window leaves of the training part.
        """
        split = self.split
        shortest = min(split.test - split.validation, split.rows - split.test, split.validation - length)
        return asked or max(1, min(horizon, shortest // 2))

    def row_ranges(self) -> dict[str, Any]:
        """Time range and number of rows of each part, on the wall clock."""
        clock = self.series.timeline.wall_clock(self.series.steps)
        starts = (0, self.split.validation, self.split.test)
        return {
            name: {"rows": end - start, "first": clock[start].isoformat(), "last": clock[end - 1].isoformat()}
            for name, start, end in zip(("train", "validation", "test"), starts, self.split.part_ends, strict=True)
            if end > start
        }

    def fingerprint(self) -> str:
        """SHA-256 of the steps, the features' names and their values."""
        sha = hashlib.sha256()
        sha.update(repr((self.series.names, self.series.timeline.frequency)).encode())
        sha.update(self.series.steps.as_unit("us").asi8.tobytes())
        sha.update(np.ascontiguousarray(self.series.values).tobytes())
        return sha.hexdigest()


def build_dataset(table: pa.Table, step: TrainingStep, timezone: str) -> Dataset:
    """Checks the cleaned table and makes it regular.

    Raises:
        DataError: the table does not fit the training step; says where, what was expected and what was found.
    """
    features = resolve_features(table.schema, step)
    series = build_series(
        table,
        step.timestamp_col,
        features.names,
        timezone=timezone,
        frequency=step.frequency,
        on_duplicates=step.on_duplicates,
    )
    series, _ = split_plan(series, features.covariates)
    split = split_rows(len(series), step.train_ratio, step.validation_split)
    filled = fill_gaps(series, rule=step.missing, max_gap=step.max_gap, part_ends=split.part_ends)
    frequency = series.timeline.frequency
    calendar = calendar_names(frequency, step.calendar_features)
    if step.holidays:
        calendar = (*calendar, holiday_name(step.holidays))
    season = step.season_length or season_length(frequency)
    dataset = Dataset(features, series, filled, split, calendar, season)
    dataset.windows(features.predicted, step.sequence_length)  # too few rows: say so before anything is trained
    return dataset


def network_rows(
    series: Series, filled: Filled, scaler: Scaler, calendar: Sequence[str], covariates: Sequence[str] = ()
) -> Float32:
    """The rows a network reads: scaled values, then what is known of the step after: its calendar, its covariates.

    A row carries the values of its own step and what is known of the step after it, which is the one that the row
    helps to forecast.

    Returns:
        (N, F + K). A value that is missing (rule `mask`) is the last one that was observed, before the first one 0, the
        training mean under the standard scaler. After the last row the covariates are taken to stay as they are; no
        window that forecasts more than that is trained on.
    """
    scaled = scaler.transform(filled.values)
    if np.isnan(scaled).any():
        scaled = pd.DataFrame(scaled).ffill().fillna(0.0).to_numpy()
    scaled = scaled.astype(np.float32)
    planned = scaled[:, [series.names.index(name) for name in covariates]]  # (N, V)
    following = np.concatenate([planned[1:], planned[-1:]])
    return np.concatenate([scaled, next_calendar(series, calendar), following], axis=1)


def next_name(covariate: str) -> str:
    """Name of the column that holds a covariate's value of the step after."""
    return f"next {covariate}"


def next_calendar(series: Series, names: Sequence[str]) -> Float32:
    """(N, K) calendar of the step after each row."""
    steps, timeline = series.steps, series.timeline
    after = pd.DatetimeIndex(np.append(steps[1:].to_numpy(), timeline.next_steps(steps[-1], 1).to_numpy()))
    return calendar_matrix(timeline.wall_clock(after), names)

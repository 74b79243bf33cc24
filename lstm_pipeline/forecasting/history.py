"""The history: the input that a forecast starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from lstm_pipeline.arrays import Float64
from lstm_pipeline.errors import DataError
from lstm_pipeline.forecasting.row_notes import empty_note, unplanned_note
from lstm_pipeline.parsing import text_numbers
from lstm_pipeline.registry import ModelMetadata
from lstm_pipeline.statistics import Scaler
from lstm_pipeline.timeseries import (
    Filled,
    Series,
    build_series,
    common_frequency,
    common_step,
    fill_gaps,
    is_numeric,
    regular_grid,
    split_plan,
)
from lstm_pipeline.wording import counted, listed


@dataclass(frozen=True)
class Extreme:
    """The value of a history that is furthest from the training data.

    Attributes:
        name: its feature.
        step: its timestamp, on the step clock.
        value: in the feature's own units.
        distance: from the feature's centre in the training rows, in scales.
    """

    name: str
    step: pd.Timestamp
    value: float
    distance: float


@dataclass(frozen=True)
class History:
    """The input that a forecast starts from.

    Attributes:
        series: the input up to its last observed row, with regular steps.
        filled: the same series with its gaps filled.
        plan: (N', V) future covariates of the rows after it; NaN where they are not given.
    """

    series: Series
    filled: Filled
    plan: Float64

    def last(self, rows: int) -> History:
        """The last rows alone, with the same plan."""
        series, filled = self.series, self.filled
        short = replace(series, steps=series.steps[-rows:], values=series.values[-rows:])
        arrays = ("values", "observed", "usable", "foreknowing", "ahead")
        parts = {name: getattr(filled, name)[-rows:] for name in arrays}
        return replace(self, series=short, filled=replace(filled, **parts))

    def notes(self, predicted: Sequence[str]) -> list[str]:
        """What a person should know about this input: rows at its end that are not history.

        Args:
            predicted: names of the predicted features.
        """
        places = {name: place for place, name in enumerate(self.series.names)}
        columns = [places[name] for name in predicted]
        return [*empty_note(self.series), *unplanned_note(self.series, columns)]

    def require_plan(self, names: Sequence[str], horizon: int) -> None:
        """Checks that the plan gives every future covariate for every step of a forecast.

        Raises:
            DataError: the plan is too short or has gaps.
        """
        plan = np.full((horizon, len(names)), np.nan)
        plan[: len(self.plan)] = self.plan[:horizon]
        missing = [name for name, column in zip(names, plan.T, strict=True) if np.isnan(column).any()]
        if missing:
            steps = self.series.timeline.next_steps(self.series.steps[-1], horizon)
            first = steps[int(np.isnan(plan).any(axis=1).argmax())]
            raise DataError(
                f"future_covariates: expected values of {listed(missing)} for {counted(horizon, 'step')} after the "
                f"last observed one ({self.series.steps[-1]}), found none at {first}; extend the prediction input to "
                f"{steps[-1]} with rows that give the covariates and leave the other features null"
            )

    def most_extreme(self, scaler: Scaler, covariates: Sequence[str], horizon: int) -> Extreme:
        """The value that is furthest from the training data, of all rows and of the plan for a forecast.

        Args:
            scaler: of all features.
            covariates: names of the plan's columns.
            horizon: number of steps of the plan that count.
        """
        plan = self.plan[: horizon + 1]
        values = np.full((len(self.series) + len(plan), len(self.series.names)), np.nan)
        values[: len(self.series)] = self.filled.values
        values[len(self.series) :, self.series.columns(covariates)] = plan
        distances = np.nan_to_num(np.abs(scaler.transform(values)), nan=0.0)
        row, column = divmod(int(distances.argmax()), distances.shape[1])
        steps = self.series.steps.append(self.series.timeline.next_steps(self.series.steps[-1], len(plan)))
        name, value = self.series.names[column], float(values[row, column])
        return Extreme(name, steps[row], value, float(distances[row, column]))


def known_series(metadata: ModelMetadata, table: pa.Table, names: Sequence[str]) -> Series:
    """Columns of an input with regular steps, read as the models were trained to read them.

    Raises:
        DataError: the timestamps do not fit the models' frequency, or a value is not finite.
    """
    return build_series(
        table,
        metadata.timestamp_column,
        names,
        timezone=metadata.timezone,
        frequency=metadata.frequency,
        on_duplicates=metadata.on_duplicates,
    )


def read_history(metadata: ModelMetadata, table: pa.Table, *, needs_season: bool) -> History:
    """Checks a prediction input, gives it regular steps and fills its gaps.

    Args:
        metadata: the metadata that the ensemble's models share.
        needs_season: whether the history must cover a whole season as well as the models' window.

    Raises:
        DataError: columns, frequency or values do not match the training data.
    """
    names, given = metadata.series_features, set(table.column_names)
    absent = [name for name in (metadata.timestamp_column, *names) if name not in given]
    if absent:
        raise DataError(
            f"the prediction input lacks columns that the models were trained on: {listed(absent)}; "
            f"its columns: {listed(table.column_names)}"
        )
    text = [f"{name} ({_described(table, name)})" for name in names if not _is_number(table, name)]
    if text:
        raise DataError(f"the models were trained on numeric columns; these are not numeric here: {listed(text)}")
    try:
        series = known_series(metadata, table, names)
    except DataError as error:
        step = metadata.frequency
        raise DataError(
            f"the prediction input does not fit the models (trained with steps of {step}): {error}"
        ) from None
    return history_of(metadata, series, needs_season=needs_season)


def history_of(metadata: ModelMetadata, series: Series, *, needs_season: bool) -> History:
    """The history that a series of all features is; its rows after the last observed one are the plan.

    Args:
        metadata, needs_season: as in `read_history`.

    Raises:
        DataError: the frequency or the values do not match the training data.
    """
    _require_row_step(metadata, series)
    series, plan = split_plan(series, metadata.future_covariates)
    _require_frequency(series, metadata.frequency)
    filled = fill_gaps(
        series,
        rule=metadata.missing,
        max_gap=metadata.max_gap,
        part_ends=[len(series)],
        carried=metadata.carried_forward,
    )
    _require_rows(metadata, series, filled, needs_season)
    return History(series, filled, plan)


def _require_row_step(metadata: ModelMetadata, series: Series) -> None:
    """With the frequency `rows` there is no grid, so only the time between most rows tells another frequency."""
    if metadata.row_step is None or len(series) < 2:
        return
    found = common_frequency(series.steps)
    if found != metadata.row_step:
        raise DataError(
            f"the models were trained on rows that are mostly {metadata.row_step} apart; in the prediction input they "
            f"are mostly {found} apart"
        )


def _require_rows(metadata: ModelMetadata, series: Series, filled: Filled, needs_season: bool) -> None:
    length = metadata.sequence_length
    if len(series) < length:
        raise DataError(
            f"a forecast needs a history of {counted(length, 'step')} (the models' sequence_length), found "
            f"{len(series)} ({series.steps[0]} to {series.steps[-1]}); extend the prediction input further back"
        )
    season = metadata.season_length
    if needs_season and len(series) < season:
        raise DataError(
            f"this version blends its networks with the seasonal naive forecast, which needs a history of "
            f"{counted(season, 'step')}, found {len(series)} ({series.steps[0]} to {series.steps[-1]}); extend the "
            "prediction input further back"
        )
    gap = np.flatnonzero(~filled.usable[-length:])
    if len(gap):
        rows = len(series) - length + gap
        empty = np.flatnonzero(np.isnan(filled.values[rows]).any(axis=0))
        names = [series.names[column] for column in empty]
        raise DataError(
            f"the last {counted(length, 'step')} of the history have a gap longer than max_gap ({metadata.max_gap})"
            f"{f' in {listed(names, 3)}' if names else ''}: {counted(len(gap), 'step')} cannot be filled, the first at "
            f"{series.steps[rows[0]]}; fix the data or end the prediction input earlier"
        )


def _described(table: pa.Table, name: str) -> str:
    """The type of a column that is not numeric and, if it is numbers as text, the first value that is none."""
    kind, found = str(table.schema.field(name).type), text_numbers(table.column(name))
    return f"{kind}; {found.found()}, first: {found.first!r}" if found is not None and found.bad else kind


def _is_number(table: pa.Table, name: str) -> bool:
    return is_numeric(table.schema.field(name).type)


def _require_frequency(series: Series, frequency: str) -> None:
    """Refuses an input with steps longer than the models': filled values would make up most of it."""
    if series.inserted * 2 <= len(series):
        return
    observed = series.steps[np.flatnonzero(~np.isnan(series.values).all(axis=1))]
    expected = common_step(regular_grid(series.steps, frequency))
    found = f"{common_step(observed)} between most rows" if len(observed) > 1 else "a single row with values"
    raise DataError(
        f"the models were trained with steps of {frequency} ({expected}); expected the same in the prediction input, "
        f"found {found}"
    )

"""The last rows of an input, which a forecast starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from lstm_pipeline.arrays import Float64
from lstm_pipeline.errors import DataError
from lstm_pipeline.registry.records import ModelMetadata
from lstm_pipeline.timeseries.features import is_numeric
from lstm_pipeline.timeseries.gaps import Filled, fill_gaps
from lstm_pipeline.timeseries.series import Series, build_series, split_plan
from lstm_pipeline.timeseries.timeline import common_step, regular_grid


@dataclass(frozen=True)
class History:
    """The last rows of an input, which a forecast starts from.

    Attributes:
        series: the whole input up to the last observed row, regular.
        filled: the same with its gaps filled.
        plan: (N', V) future covariates of the rows after it; NaN where they are not given.
    """

    series: Series
    filled: Filled
    plan: Float64

    def last(self, rows: int) -> History:
        """Its last rows alone."""
        series, filled = self.series, self.filled
        short = replace(series, steps=series.steps[-rows:], values=series.values[-rows:])
        parts = {name: getattr(filled, name)[-rows:] for name in ("values", "observed", "usable", "foreknowing")}
        return replace(self, series=short, filled=replace(filled, **parts))

    def require_plan(self, names: Sequence[str], horizon: int) -> None:
        """Future covariates are promised to be known: every step of a forecast needs each of them.

        Raises:
            DataError: the plan is too short or has holes.
        """
        plan = np.full((horizon, len(names)), np.nan)
        plan[: len(self.plan)] = self.plan[:horizon]
        missing = [name for name, column in zip(names, plan.T, strict=True) if np.isnan(column).any()]
        if missing:
            steps = self.series.timeline.next_steps(self.series.steps[-1], horizon)
            first = steps[int(np.isnan(plan).any(axis=1).argmax())]
            raise DataError(
                f"future_covariates: the prediction input does not say what {', '.join(missing)} will be in each of "
                f"the {horizon} steps after the last observed one, {self.series.steps[-1]} (the first one missing: "
                f"{first}); give rows up to {steps[-1]} in which the other features are null"
            )


def read_history(metadata: ModelMetadata, table: pa.Table, *, needs_season: bool) -> History:
    """Checks an input and makes it regular.

    Args:
        metadata: of a model that will read it.
        needs_season: whether a whole season of history is needed, beside the model's own window.

    Raises:
        DataError: columns, frequency or values do not fit what the models were trained on.
    """
    names = metadata.series_features
    absent = [name for name in (metadata.timestamp_column, *names) if name not in table.column_names]
    if absent:
        raise DataError(
            f"the models were trained with columns that this input does not have: {', '.join(absent)}; "
            f"it has: {', '.join(table.column_names)}"
        )
    text = [f"{name} ({table.schema.field(name).type})" for name in names if not _is_number(table, name)]
    if text:
        raise DataError(f"the models were trained with numbers in columns that hold none here: {', '.join(text)}")
    try:
        series = build_series(
            table,
            metadata.timestamp_column,
            names,
            timezone=metadata.timezone,
            frequency=metadata.frequency,
            on_duplicates=metadata.on_duplicates,
        )
    except DataError as error:
        step = metadata.frequency
        raise DataError(f"the prediction input does not fit the models (trained with step {step}): {error}") from None
    series, plan = split_plan(series, metadata.future_covariates)
    _require_frequency(series, metadata.frequency)
    filled = fill_gaps(series, rule=metadata.missing, max_gap=metadata.max_gap, part_ends=[len(series)])
    _require_rows(metadata, series, filled, needs_season)
    return History(series, filled, plan)


def _require_rows(metadata: ModelMetadata, series: Series, filled: Filled, needs_season: bool) -> None:
    length = metadata.sequence_length
    if len(series) < length:
        raise DataError(
            f"a forecast starts from the last {length} steps (the trained sequence_length), found {len(series)} "
            f"({series.steps[0]} to {series.steps[-1]}); let the prediction input reach further back"
        )
    season = metadata.season_length
    if needs_season and len(series) < season:
        raise DataError(
            f"this version blends its networks with the seasonal naive, which needs the last {season} steps, found "
            f"{len(series)} ({series.steps[0]} to {series.steps[-1]}); let the prediction input reach further back"
        )
    gap = np.flatnonzero(~filled.usable[-length:])
    if len(gap):
        first = series.steps[len(series) - length + int(gap[0])]
        raise DataError(
            f"the last {length} steps hold a gap of more than max_gap {metadata.max_gap} steps ({len(gap)} "
            f"steps cannot be filled, the first at {first}); mend the data or use an earlier end"
        )


def _is_number(table: pa.Table, name: str) -> bool:
    return is_numeric(table.schema.field(name).type)


def _require_frequency(series: Series, frequency: str) -> None:
    """An input whose rows stand further apart than the models' steps would be mostly made up."""
    if series.inserted * 2 <= len(series):
        return
    seen = series.steps[np.flatnonzero(~np.isnan(series.values).all(axis=1))]
    expected = common_step(regular_grid(series.steps, frequency))
    found = f"most rows here are {common_step(seen)} apart" if len(seen) > 1 else "only one row here has values"
    raise DataError(f"the models were trained with steps of {frequency} ({expected}); {found}")

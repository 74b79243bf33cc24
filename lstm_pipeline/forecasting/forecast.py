"""Forecasting: rolls the version in use forward from the end of the prediction input."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lstm_pipeline.arrays import Float64
from lstm_pipeline.errors import DataError
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.forecasting.history import History
from lstm_pipeline.forecasting.live_widths import LiveWidths, known_widths
from lstm_pipeline.projects import Project, finish
from lstm_pipeline.statistics import interval_columns
from lstm_pipeline.tables import conform
from lstm_pipeline.timeseries import MODEL_VERSION, PREDICTED_AT


@dataclass(frozen=True)
class Forecast:
    """A forecast, its history and the ensemble that made it.

    Attributes:
        table: the forecast as it is written: transformed, and conforming to the schema.
        raw: one row per step: timestamp, every predicted feature, intervals, `_predicted_at`, `model_version`.
        history: the input that the forecast starts from.
        ensemble: the version that made the forecast.
        levels: levels of its intervals in percent.
        as_of: the run's date.
        widths: by what its intervals were multiplied; None: they are those of training.
        notes: what a person should know about the widths of its intervals.
    """

    table: pa.Table
    raw: pa.Table
    history: History
    ensemble: Ensemble
    levels: tuple[int, ...] = ()
    as_of: dt.date | None = None
    widths: LiveWidths | None = None
    notes: tuple[str, ...] = ()

    @property
    def bounds(self) -> dict[int, tuple[Float64, Float64]]:
        """Level in percent → lower and upper bounds of its interval, (H, P) each."""
        names = self.ensemble.predicted
        pairs = {level: [interval_columns(name, level) for name in names] for level in self.levels}
        return {
            level: (_matrix(self.raw, [low for low, _ in labels]), _matrix(self.raw, [high for _, high in labels]))
            for level, labels in pairs.items()
        }


def forecast(
    project: Project,
    table: pa.Table,
    *,
    as_of: dt.date,
    predicted_at: dt.datetime,
    version: str | Ensemble | None = None,
    horizon: int | None = None,
) -> Forecast:
    """Rolls the version in use forward from the end of the transformed prediction input.

    Intervals are as wide as the version's issued forecasts that have come true by then say (`live_widths`).

    Args:
        table: the transformed prediction input.
        as_of: the run's date, for the transformations of the forecast.
        predicted_at: when the forecast is made; written to `_predicted_at`.
        version: the version to use, by its name or loaded already; None for the prediction step's, or the one in use.
        horizon: steps to forecast; None for the prediction step's.

    Raises:
        RegistryError: the version does not exist or is damaged.
        DataError: the input does not fit the models, or the forecast does not fit the schema.
    """
    step = project.spec.prediction
    if isinstance(version, Ensemble):
        ensemble = version
    else:
        ensemble = Ensemble.of(project.registry, project.registry.load(version or step.version))
    trained = ensemble.metadata.sequence_length
    if step.sequence_length not in (None, trained):
        raise DataError(
            f"sequence_length is {step.sequence_length} in the prediction step, but version {ensemble.version} was "
            f"trained with {trained}; set it to {trained} or remove it"
        )
    history = ensemble.read_history(table)
    levels = project.spec.interval_levels
    if step.prediction_intervals is None:  # the default levels, as far as the version has them
        levels = tuple(level for level in levels if level in ensemble.calibration.offsets)
    names, widths, note = ensemble.predicted, None, None
    if levels and ensemble.version:
        widths, note = known_widths(project, ensemble.version, history.series.steps[-1])
    factors = None if widths is None else widths.factors(names)
    raw = ensemble.forecast_table(history, horizon or step.forecast_horizon, levels, factors)
    stamp = pa.scalar(predicted_at.astimezone(dt.UTC), pa.timestamp("us", tz="UTC"))
    raw = raw.append_column(PREDICTED_AT, pa.repeat(stamp, raw.num_rows))
    raw = raw.append_column(MODEL_VERSION, pa.repeat(pa.scalar(ensemble.version), raw.num_rows))
    product = project.spec.predictions
    finished = finish(project, product, step.output, raw, as_of)
    if product.fields is not None:
        finished = conform(finished, product.fields, what="predictions")
    notes = [note] if note else [] if widths is None else widths.notes(names, levels)
    return Forecast(finished, raw, history, ensemble, levels, as_of, widths, tuple(notes))


def _matrix(table: pa.Table, names: Sequence[str]) -> Float64:
    """(H, P) values of the named columns."""
    return np.column_stack([table[name].to_numpy().astype(np.float64) for name in names])

"""From results to charts: each function takes a result of a lower room and returns its chart as PNG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from lstm_pipeline.backtesting import errors_by_lead, read_protocol
from lstm_pipeline.forecasting import Forecast, Published
from lstm_pipeline.registry import IndividualRecord
from lstm_pipeline.reporting.charts import Lines, error_chart, forecast_chart, loss_chart, residual_chart
from lstm_pipeline.wording import counted


def draw_forecast(project: str, forecast: Forecast) -> bytes:
    """The forecast of every predicted feature, after a history of twice the horizon or one window if that is longer."""
    ensemble, history = forecast.ensemble, forecast.history
    names, series = ensemble.predicted, history.series
    horizon = forecast.raw.num_rows
    shown = min(len(series), max(2 * horizon, ensemble.metadata.sequence_length))
    steps = series.timeline.next_steps(series.steps[-1], horizon)
    values = np.column_stack([forecast.raw[name].to_numpy().astype(float) for name in names])
    past = Lines(
        series.timeline.wall_clock(series.steps[-shown:]), history.filled.values[-shown:, series.columns(names)]
    )
    future = Lines(series.timeline.wall_clock(steps), values)
    title = f"{project} {ensemble.version}, {counted(horizon, 'step')} at frequency {ensemble.metadata.frequency}"
    return forecast_chart(title, names, past, future, forecast.bounds)


def draw_residuals(project: str, published: Published) -> bytes:
    """The distribution of a version's residuals, one step ahead on the test part."""
    title = f"{project} {published.version.record.version}, one step ahead on the test part"
    return residual_chart(title, published.residuals)


def draw_backtest(project: str, table: pa.Table) -> bytes:
    """The error of each method by lead time.

    Args:
        table: the table of a `Backtest`.
    """
    protocol = read_protocol(table)
    title = f"{project} {protocol['version'] or 'retrained'}, {counted(protocol['origins'], 'origin')}"
    return error_chart(title, errors_by_lead(table))


def draw_losses(project: str, record: IndividualRecord, log: Mapping[str, Any]) -> bytes:
    """The loss curves of a group's training.

    Args:
        log: the content of the model's history.json.
    """
    curves = {name: [float(value) for value in log[name]] for name in ("loss", "val_loss")}
    return loss_chart(f"{project}, group {record.metadata.feature_group}", curves, int(log["best_epoch"]))

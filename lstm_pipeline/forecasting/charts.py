"""Plots a person would rather look at than read, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lstm_pipeline.timeseries.arrays import Float64

HISTORY, FORECAST, ACCENT = "#8a94a6", "#2563eb", "#dc2626"
MAX_PANELS = 30


def loss_chart(title: str, history: Mapping[str, Sequence[float]], best_epoch: int) -> bytes:
    """Training and validation loss by epoch, with the epoch whose weights are kept."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.add_subplot()
    epochs = np.arange(1, len(history["loss"]) + 1)
    axes.plot(epochs, history["loss"], color=HISTORY, marker="o", markersize=3, label="training")
    axes.plot(epochs, history["val_loss"], color=FORECAST, marker="o", markersize=3, label="validation")
    axes.axvline(best_epoch, color=ACCENT, linewidth=1, linestyle="--", label=f"kept: epoch {best_epoch}")
    axes.set(title=title, xlabel="epoch", ylabel="loss (scaled units)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return _png(figure)


def forecast_chart(
    title: str,
    history_steps: pd.DatetimeIndex,
    history: Float64,
    forecast_steps: pd.DatetimeIndex,
    forecast: Float64,
    names: Sequence[str],
) -> bytes:
    """Every feature's recent history and its forecast, one panel a feature.

    Args:
        history: (L, P) in own units.
        forecast: (H, P) in own units.
    """
    shown = list(names)[:MAX_PANELS]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(4 * columns, 1.9 * rows + 0.6), layout="constrained")
    for index, name in enumerate(shown):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.plot(history_steps, history[:, index], color=HISTORY, linewidth=1)
        # joined to the last observed value, so that a jump shows as one
        steps = history_steps[-1:].append(forecast_steps)
        values = np.append(history[-1:, index], forecast[:, index])
        axes.plot(steps, values, color=FORECAST, linewidth=1.4)
        today: float = date2num(history_steps[-1])  # type: ignore[no-untyped-call]
        axes.axvline(today, color=ACCENT, linewidth=0.8, linestyle="--")
        axes.set_title(name, fontsize=9, loc="left")
        axes.tick_params(labelsize=7)
        _few_dates(axes)
        axes.grid(alpha=0.2)
    more = f" (first {MAX_PANELS} of {len(names)} features)" if len(names) > MAX_PANELS else ""
    figure.suptitle(f"{title}{more}: history grey, forecast blue", fontsize=10)
    return _png(figure)


def _few_dates(axes: Axes) -> None:
    locator: Any = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()

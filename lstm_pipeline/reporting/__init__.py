"""Whatever a person looks at: charts, terminal tables, Markdown. It draws and words results, and computes none.

matplotlib and rich have their home in this room; they are imported when something is drawn or printed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstm_pipeline.reporting.drawing import draw_backtest, draw_forecast, draw_losses, draw_residuals
    from lstm_pipeline.reporting.markdown import frame_rows, metric_rows, picture
    from lstm_pipeline.reporting.terminal import (
        TrainingBars,
        backtest_tables,
        coverage_line,
        forecast_table,
        make_console,
        metrics_table,
        versions_table,
    )

_HOMES = {
    "drawing": ("draw_backtest", "draw_forecast", "draw_losses", "draw_residuals"),
    "markdown": ("frame_rows", "metric_rows", "picture"),
    "terminal": (
        "TrainingBars",
        "backtest_tables",
        "coverage_line",
        "forecast_table",
        "make_console",
        "metrics_table",
        "versions_table",
    ),
}

__all__ = [
    "TrainingBars",
    "backtest_tables",
    "coverage_line",
    "draw_backtest",
    "draw_forecast",
    "draw_losses",
    "draw_residuals",
    "forecast_table",
    "frame_rows",
    "make_console",
    "metric_rows",
    "metrics_table",
    "picture",
    "versions_table",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")

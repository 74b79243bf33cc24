"""Whatever a person looks at: charts, terminal tables, and what the UI shows in Markdown and tables.

Results are formatted and drawn here; they are computed on the floors below. matplotlib and rich have their home here.
Importing this package imports neither: every name below is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstm_pipeline.reporting.drawing import draw_backtest, draw_forecast, draw_losses, draw_residuals
    from lstm_pipeline.reporting.markdown import frame_rows, literal, metric_rows, picture
    from lstm_pipeline.reporting.terminal import (
        TrainingBars,
        backtest_tables,
        coverage_line,
        forecast_table,
        make_console,
        metrics_table,
        note_lines,
        versions_table,
    )

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
    "literal",
    "make_console",
    "metric_rows",
    "metrics_table",
    "note_lines",
    "picture",
    "versions_table",
]

_NAMES = {
    "drawing": ("draw_backtest", "draw_forecast", "draw_losses", "draw_residuals"),
    "markdown": ("frame_rows", "literal", "metric_rows", "picture"),
    "terminal": (
        "TrainingBars",
        "backtest_tables",
        "coverage_line",
        "forecast_table",
        "make_console",
        "metrics_table",
        "note_lines",
        "versions_table",
    ),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Imports a name on first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)

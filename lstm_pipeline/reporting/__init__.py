"""Whatever a person looks at: charts, terminal tables, Markdown. It draws and words results, and computes none.

matplotlib and rich have their home in this room; they are imported when something is drawn or printed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstm_pipeline.reporting.drawing import draw_backtest, draw_forecast, draw_losses, draw_residuals
    from lstm_pipeline.reporting.markdown import frame_rows, metric_rows, picture

_HOMES = {
    "drawing": ("draw_backtest", "draw_forecast", "draw_losses", "draw_residuals"),
    "markdown": ("frame_rows", "metric_rows", "picture"),
}

__all__ = ["draw_backtest", "draw_forecast", "draw_losses", "draw_residuals", "frame_rows", "metric_rows", "picture"]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")

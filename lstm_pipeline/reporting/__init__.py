"""Whatever a person looks at: charts, terminal tables, and what the UI shows in Markdown and tables.

Results are formatted and drawn here; they are computed on the floors below. matplotlib and rich have their home here.
Importing this package imports neither: every name below is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstm_pipeline.reporting.drawing import draw_backtest, draw_forecast, draw_losses, draw_residuals
    from lstm_pipeline.reporting.explanation import ExplainBar, draw_explanation, explanation_views
    from lstm_pipeline.reporting.live import draw_live_accuracy, draw_live_leads
    from lstm_pipeline.reporting.markdown import (
        authored,
        decision_rows,
        frame_rows,
        literal,
        made_of,
        method_name,
        metric_rows,
        picture,
    )
    from lstm_pipeline.reporting.replay import ReplayBar, actions_table, comparison_tables, write_actions
    from lstm_pipeline.reporting.status import status_views
    from lstm_pipeline.reporting.terminal import (
        TrainingBars,
        backtest_tables,
        coverage_line,
        decisions_table,
        forecast_table,
        make_console,
        metrics_table,
        note_lines,
        versions_table,
    )
    from lstm_pipeline.reporting.tuning import (
        TuningLines,
        budget_lines,
        errors_table,
        importance_table,
        trials_table,
    )
    from lstm_pipeline.reporting.versions import comparison_views, draw_comparison, verdict_line

__all__ = [
    "ExplainBar",
    "ReplayBar",
    "TrainingBars",
    "TuningLines",
    "actions_table",
    "authored",
    "backtest_tables",
    "budget_lines",
    "comparison_tables",
    "comparison_views",
    "coverage_line",
    "decision_rows",
    "decisions_table",
    "draw_backtest",
    "draw_comparison",
    "draw_explanation",
    "draw_forecast",
    "draw_live_accuracy",
    "draw_live_leads",
    "draw_losses",
    "draw_residuals",
    "errors_table",
    "explanation_views",
    "forecast_table",
    "frame_rows",
    "importance_table",
    "literal",
    "made_of",
    "make_console",
    "method_name",
    "metric_rows",
    "metrics_table",
    "note_lines",
    "picture",
    "status_views",
    "trials_table",
    "verdict_line",
    "versions_table",
    "write_actions",
]

_NAMES = {
    "drawing": ("draw_backtest", "draw_forecast", "draw_losses", "draw_residuals"),
    "explanation": ("ExplainBar", "draw_explanation", "explanation_views"),
    "live": ("draw_live_accuracy", "draw_live_leads"),
    "markdown": (
        "authored",
        "decision_rows",
        "frame_rows",
        "literal",
        "made_of",
        "method_name",
        "metric_rows",
        "picture",
    ),
    "replay": ("ReplayBar", "actions_table", "comparison_tables", "write_actions"),
    "status": ("status_views",),
    "terminal": (
        "TrainingBars",
        "backtest_tables",
        "coverage_line",
        "decisions_table",
        "forecast_table",
        "make_console",
        "metrics_table",
        "note_lines",
        "versions_table",
    ),
    "versions": ("comparison_views", "draw_comparison", "verdict_line"),
    "tuning": ("TuningLines", "budget_lines", "errors_table", "importance_table", "trials_table"),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Imports a name on first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)

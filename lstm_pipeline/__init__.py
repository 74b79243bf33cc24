"""Forecasting pipelines of one LSTM a feature group, on Dagster and Keras.

from lstm_pipeline import Ensemble, load_project

ensemble = Ensemble.load("storage", "manufacturing_forecast")
forecast = ensemble.predict(frame, horizon=30)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstm_pipeline.forecasting.ensemble import Ensemble
    from lstm_pipeline.projects.project import Project, load_project

__all__ = ["Ensemble", "Project", "load_project"]


def __getattr__(name: str) -> Any:
    """Imports on first use: the command line's help needs none of it."""
    if name == "Ensemble":
        from lstm_pipeline.forecasting.ensemble import Ensemble

        return Ensemble
    if name in ("Project", "load_project"):
        from lstm_pipeline.projects import project

        return getattr(project, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")

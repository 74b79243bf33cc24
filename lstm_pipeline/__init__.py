"""Forecasting pipelines: one LSTM per feature group, one versioned ensemble, on Dagster and Keras.

from lstm_pipeline import Ensemble, load_project

project = load_project("projects/plant.yaml")  # train, publish, forecast and back-test without Dagster
project.train()
project.publish()
project.forecast()

ensemble = Ensemble.load("storage", "plant")  # a published version, in a service that has no spec
ensemble.predict(frame, horizon=30)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstm_pipeline.api import Project, load_project
    from lstm_pipeline.forecasting import Ensemble
    from lstm_pipeline.orchestration import ForecastProject

__all__ = ["Ensemble", "ForecastProject", "Project", "load_project"]


def __getattr__(name: str) -> Any:
    """Imports on first use: the command line's help needs none of this."""
    if name == "Ensemble":
        from lstm_pipeline.forecasting import Ensemble

        return Ensemble
    if name == "ForecastProject":
        from lstm_pipeline.orchestration import ForecastProject

        return ForecastProject
    if name in ("Project", "load_project"):
        from lstm_pipeline import api

        return getattr(api, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    """Names the lazy ones too: `dg` looks here for components."""
    return sorted({*globals(), *__all__})

"""A project whose forecasts are written by hand: no network is trained, and every number can be told in advance."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from lstm_pipeline.forecasting.issued import Author, Issue, write_issued
from lstm_pipeline.projects.project import Project, load_project
from lstm_pipeline.registry.registry import Score
from lstm_pipeline.statistics.intervals import interval_columns
from lstm_pipeline.verification.accuracy import LiveAccuracy, score_issued
from lstm_pipeline_tests.stubs import save_candidate

NOW = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)
AS_OF = dt.date(2024, 6, 1)
FEATURES = {"load": "power", "heat": "warmth"}
"""Feature → its group."""


def spec(**training: Any) -> dict[str, Any]:
    names = {"timestamp_col": "date", "model_bucket": "models", "project_name": "mill"}
    step = {"transform": "regression_training_lstm", "input": "all", "output": "metadata", **names, **training}
    predict = {"transform": "regression_prediction_lstm", "input": "recent", "output": "forecast", **names}
    groups = {"power": ["load"], "warmth": ["heat"]}
    return {
        "catalog": {"all": "all.parquet", "recent": "recent.parquet"},
        "model_metadata": {
            "inputs": {"all": {"input_type": "data_product", "identifier": "all"}},
            "transformations": [{**step, "feature_groups": groups, "features_to_predict": [*FEATURES]}],
            "finalisers": {"input": "metadata"},
        },
        "predictions": {
            "inputs": {"recent": {"input_type": "data_product", "identifier": "recent"}},
            "transformations": [{**predict, "forecast_horizon": 3}],
            "finalisers": {"input": "forecast"},
        },
    }


def project_in(folder: Path, storage: str | None = None, **training: Any) -> Project:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mill.yaml").write_text(yaml.safe_dump(spec(**training)))
    return load_project(folder / "mill.yaml", storage or str(folder / "storage"))


def rows(days: Sequence[int], load: Sequence[float | None], heat: Sequence[float | None] | None = None) -> pa.Table:
    """Rows of days of January 2024, in the given order."""
    stamps = [dt.date(2024, 1, 1) + dt.timedelta(days=day - 1) for day in days]
    values = load if heat is None else heat
    return pa.table({"date": stamps, "load": pa.array(load, pa.float64()), "heat": pa.array(values, pa.float64())})


def write_input(project: Project, table: pa.Table, recent: pa.Table | None = None) -> None:
    """The training input, and the prediction input if it is not the same."""
    pq.write_table(table, project.loaded.folder / "all.parquet")
    pq.write_table(table if recent is None else recent, project.loaded.folder / "recent.parquet")


def issue(
    project: Project,
    origin: str,
    values: Mapping[str, Sequence[float]],
    *,
    version: str = "v1",
    run: str = "run1",
    made: dt.datetime = NOW,
    bounds: Mapping[int, tuple[float, float]] | None = None,
    **about: Any,
) -> Any:
    """Issues a forecast.

    Args:
        bounds: level → how far its intervals reach below and above the forecast.
        about: what differs in how it came about; `trained` is group → run that trained its model.
    """
    horizon = len(next(iter(values.values())))
    trained = about.pop("trained", {})
    scale = about.pop("scale", 2.0)
    authors = {name: Author(FEATURES[name], version, trained.get(FEATURES[name], "training"), scale) for name in values}
    step = pd.Timestamp(origin)
    facts: dict[str, Any] = {
        "origin": step.tz_localize("UTC").isoformat(), "step": step.isoformat(), "as_of": None, "run_id": run,
        "version": version, "horizon": horizon, "frequency": "D", "timezone": "UTC", "season": 2,
        "levels": tuple(bounds or ()), "features": authors,
    }  # fmt: skip
    columns: dict[str, Any] = {"date": np.arange(horizon)}  # not read
    columns |= {name: np.array(value, float) for name, value in values.items()}
    for level, (below, above) in (bounds or {}).items():
        for name, value in values.items():
            low, high = interval_columns(name, level)
            columns |= {low: np.array(value, float) - below, high: np.array(value, float) + above}
    columns["_predicted_at"] = pa.array([made] * horizon, pa.timestamp("us", tz="UTC"))
    return write_issued(project, Issue(**{**facts, **about}), pa.table(columns))


def publish(project: Project, run: str, groups: Sequence[str] = ("power", "warmth"), rmse: float = 2.0) -> str:
    """Publishes a version whose rolled error on the test part is known."""
    for group in groups:
        save_candidate(project.registry, group, run)
    rolled = {name: {"rmse": rmse} for name in FEATURES}
    score = Score({}, {"rolled": rolled}, {}, {"horizon": 3, "origins": 4}, {})
    made = project.registry.publish(("power", "warmth"), {}, lambda models: score, run_id=f"publishing-{run}")
    return made.version.record.version


def scored(project: Project, **options: Any) -> LiveAccuracy:
    return score_issued(project, as_of=AS_OF, now=NOW, **options)


def row(found: LiveAccuracy, feature: str = "load", lead: int | None = None, version: str | None = "v1") -> Any:
    """The one row about a feature, a version and a lead time."""
    at = (feature, version, lead)
    (only,) = [each for each in found.table.to_pylist() if (each["feature"], each["version"], each["lead"]) == at]
    return only

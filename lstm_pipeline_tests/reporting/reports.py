"""Facts of a report made by hand: no network and no file."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from lstm_pipeline.registry import VariantRecord
from lstm_pipeline.reporting.html.facts import Ahead, Data, Facts, HeldOut, Model
from lstm_pipeline.reporting.html.held_out import residuals_of
from lstm_pipeline.statistics import strength

ROWS, HORIZON, TEST = 200, 6, 60
NAIVE = ("seasonal_naive", "last_value")


def facts(names: Sequence[str] = ("load", "heat"), rows: int = ROWS, test: int = TEST, **changes: Any) -> Facts:
    """One group that predicts these features, daily, with everything that a report can have but a comparison."""
    noise = np.random.default_rng(5)
    values = 100 + noise.normal(size=(rows, len(names))).cumsum(axis=0)
    clock = pd.date_range("2024-01-01", periods=rows)
    ahead = pd.date_range(clock[-1], periods=HORIZON + 1)[1:]
    forecast = np.tile(values[-1], (HORIZON, 1))
    metrics = {name: {"rmse": 2.0, "mae": 1.5, "smape": 3.0, "mase": 0.8, "r2": 0.5, "skill": 0.36} for name in names}
    held = HeldOut(
        clock[-test:],
        tuple(names),
        20,
        HORIZON,
        dict.fromkeys(("ensemble", *NAIVE), metrics),
        {method: np.ones((HORIZON, len(names))) for method in ("ensemble", *NAIVE)},
        values[-test:],
        values[-test:] + 1,
        {name: residuals_of(noise.normal(size=test), 7) for name in names},
    )
    data = Data(
        clock, tuple(names), values, 3, 0, dict.fromkeys(names, 3), 0,
        {name: strength(column, 7) for name, column in zip(names, values.T, strict=True)}, {}, ("g: all",),
        {"note": "text"},
    )  # fmt: skip
    model = Model(
        "g", "v1", "run1", "2024-07-01T10:00:00+00:00", tuple(names), np.array([3.0, 2.0]), np.array([4.0, 3.5]), 2,
        {"train": {"rows": 100, "first": "2024-01-01T00:00:00", "last": "2024-04-09T00:00:00"}}, {"units": 3},
        (VariantRecord(label="network", weights=dict.fromkeys(names, 1.0), sequence_length=8),), 42,
        {"keras": "3"}, "f" * 64,
    )  # fmt: skip
    made = Facts(
        "plant", "", "v1", "2024-07-20T10:00:00+00:00", dt.datetime(2024, 7, 21, 9, tzinfo=dt.UTC), "D", 7,
        {"g": tuple(names)}, (), 20, HORIZON, metrics, metrics, {"last_value": metrics[names[0]]},
        {"80": dict.fromkeys(names, 0.8)}, {name: {"network": 1.0} for name in names}, {"rmse": "its definition"},
        "name: plant\n", (model,), (), (), data,
        Ahead(ahead, clock, tuple(names), values, forecast, {80: (forecast - 2, forecast + 3)}), held,
    )  # fmt: skip
    return replace(made, **changes)

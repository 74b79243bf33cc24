"""A tiny project: two groups, a context column, a daily series of 120 rows, networks of three units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from lstm_pipeline.projects.project import Project, load_project

ROWS = 120
AS_SHIPPED = {"units": 3, "num_layers": 1, "bidirectional": False, "attention_heads": 0, "learning_rate": 0.01}
"""Options of a small network of the default kind, which is trained beside a linear map and joined with it."""
SMALL = {
    **AS_SHIPPED, "network": "joint", "highway": "none", "window_normalization": "none", "known_future": False,
    "batch_norm": False,
}  # fmt: skip
"""Of one that is trained alone, in less than half of the time: for whatever is not about networks."""


def write_data(folder: Path, rows: int = ROWS) -> Path:
    days = pd.date_range("2024-01-01", periods=rows, freq="D")
    wave = np.sin(2 * np.pi * np.arange(rows) / 7)
    frame = pd.DataFrame(
        {
            "date": days,
            "power": 10 + wave,
            "flow": 5 - wave,
            "passes": np.rint(100 + 20 * wave).astype(int),
            "outside": np.arange(rows) % 7,
        }
    )
    path = folder / "plant.csv"
    frame.to_csv(path, index=False)
    return path


def spec(**training: Any) -> dict[str, Any]:
    source = {"input_type": "data_product", "identifier": "plant", "preview_limit": 3}
    names = {"timestamp_col": "date", "model_bucket": "models", "project_name": "tiny-plant"}
    return {
        "catalog": {"plant": "plant.csv"},
        "model_metadata": {
            "config": {"executor_memory": "2g"},
            "inputs": {"features": source},
            "transformations": [
                {
                    "transform": "filter_with_condition",
                    "input": "features",
                    "output": "cleaned",
                    "condition": "date <= current_date()",
                },
                {
                    "transform": "regression_training_lstm",
                    "input": "cleaned",
                    "output": "metadata_table",
                    "features_to_predict": ["power", "flow", "passes"],
                    "feature_groups": {"energy": ["power"], "water": ["flow", "passes"]},
                    "sequence_length": 7,
                    "epochs": 2,
                    "patience": 2,
                    "models_config": {"energy": SMALL, "water": SMALL},
                    **names,
                    **training,
                },
            ],
            "finalisers": {"input": "metadata_table"},
        },
        "predictions": {
            "inputs": {"features": source},
            "transformations": [
                {
                    "transform": "filter_with_condition",
                    "input": "features",
                    "output": "recent",
                    "condition": "date >= current_date() - interval '60' day",
                },
                {
                    "transform": "regression_prediction_lstm",
                    "input": "recent",
                    "output": "forecast",
                    "forecast_horizon": 5,
                    **names,
                },
                {
                    "transform": "select_expression",
                    "input": "forecast",
                    "output": "formatted",
                    "expressions": [
                        "to_date(date) as date",
                        "power",
                        "cast(passes as integer) as passes",
                        "model_version",
                    ],
                },
            ],
            "finalisers": {"input": "formatted"},
        },
    }


def write_project(folder: Path, **training: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_data(folder)
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(spec(**training), sort_keys=False))
    return path


def tiny_project(folder: Path, **training: Any) -> Project:
    return load_project(write_project(folder, **training), str(folder / "storage"))

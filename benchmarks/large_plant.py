"""A simulated plant with many groups: the input of the benchmarks of size, and models for it without their training.

    python -m benchmarks.large_plant FOLDER [--groups 1000] [--features 5] [--rows 1000] [--candidates]

Everything is synthetic. `write_plant` writes hourly data of `groups` × `features` columns and a spec.
`store_candidates` stores a model for every group as a training would, except that its networks keep the weights they
start with: what loads, publishes and rolls models does not depend on what they learned, and a thousand trainings take
hours.
"""

from __future__ import annotations

import argparse
import datetime as dt
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from lstm_pipeline.projects import Project, load_project, training_input

AS_OF = dt.date(2024, 6, 1)
LENGTH, HORIZON, SEASON = 24, 12, 24
SMALL = {
    "network": "joint", "units": 8, "num_layers": 1, "dropout": 0.0, "batch_norm": False, "bidirectional": False,
    "attention_heads": 0,
}  # fmt: skip
"""Options of a network that is small beside its input, as anyone with thousands of columns would choose."""


def group_names(groups: int) -> list[str]:
    """The groups' names, in the order of the spec."""
    return [f"unit_{number:04}" for number in range(groups)]


def write_plant(
    folder: Path,
    groups: int = 1000,
    features: int = 5,
    rows: int = 1000,
    *,
    name: str = "large",
    step: dict[str, Any] | None = None,
) -> Path:
    """Writes `<name>.parquet` and `<name>.yaml` into a folder.

    Args:
        groups, features: number of groups, and of features in each.
        rows: hours of data.
        step: changes to the training step.

    Returns:
        The spec's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    named = {group: [f"{group}_{number}" for number in range(features)] for group in group_names(groups)}
    columns: dict[str, Any] = {"at": pd.date_range("2024-01-01", periods=rows, freq="h").astype("datetime64[us]")}
    noise = np.random.default_rng(7)
    hours = np.arange(rows) * 2 * np.pi / SEASON
    for place, names in enumerate(named.values()):
        for number, column in enumerate(names):
            wave = 5 * np.sin(hours + 0.01 * place) + number
            columns[column] = (wave + noise.normal(size=rows)).round(3)
    pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(_spec(name, named, step or {}), sort_keys=False))
    return path


def _spec(name: str, named: dict[str, list[str]], changes: dict[str, Any]) -> dict[str, Any]:
    common = {"timestamp_col": "at", "model_bucket": "models", "project_name": name}
    inputs = {"hours": {"input_type": "data_product", "identifier": f"{name}-hours"}}
    training = {
        "transform": "regression_training_lstm",
        "input": "hours",
        "output": "model_metadata",
        **common,
        "feature_groups": named,
        "sequence_length": LENGTH,
        "epochs": 1,
        "models_config": dict.fromkeys(named, SMALL),
        **changes,
    }
    prediction = {
        "transform": "regression_prediction_lstm",
        "input": "hours",
        "output": "predictions",
        **common,
        "forecast_horizon": HORIZON,
    }
    return {
        "name": name,
        "catalog": {f"{name}-hours": f"{name}.parquet"},
        "model_metadata": {
            "inputs": inputs,
            "transformations": [training],
            "finalisers": {"input": "model_metadata", "write_config": {"mode": "overwrite"}},
        },
        "predictions": {
            "inputs": inputs,
            "transformations": [prediction],
            "finalisers": {"input": "predictions", "write_config": {"mode": "overwrite"}},
        },
    }


@contextmanager
def _without_training() -> Iterator[None]:
    """Networks keep the weights they start with, and nothing is compiled to score them."""
    from lstm_pipeline.network import training

    real = training.train, training.predict_steps

    def no_training(*_: Any, **__: Any) -> training.TrainingLog:
        log = training.TrainingLog()
        log.loss, log.val_loss, log.learning_rate, log.seconds, log.best_epoch = [1.0], [1.0], [0.001], [0.1], 1
        return log

    def no_forecast(network: Any, values: Any, starts: Sequence[int], *_: Any) -> Any:
        _, steps, targets = network.outputs[0].shape
        return np.zeros((len(starts), steps, targets), np.float32)

    training.train, training.predict_steps = no_training, no_forecast  # type: ignore[assignment]
    try:
        yield
    finally:
        training.train, training.predict_steps = real


def store_candidates(project: Project, run_id: str, table: pa.Table | None = None) -> None:
    """Stores a candidate for every group of a project, with networks as they are before their training."""
    from lstm_pipeline.forecasting import TrainingRun, build_dataset, train_groups

    dataset = build_dataset(
        training_input(project, AS_OF) if table is None else table, project.spec.training, project.spec.timezone
    )
    horizon = project.spec.prediction.forecast_horizon
    run = TrainingRun(
        dataset=dataset, step=project.spec.training, registry=project.registry, horizon=horizon, run_id=run_id
    )
    with _without_training():
        train_groups(run, list(project.groups))


def main() -> None:
    """Writes a plant, and candidates if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--groups", type=int, default=1000)
    parser.add_argument("--features", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--candidates", action="store_true", help="store a model for every group in FOLDER/storage")
    given = parser.parse_args()
    path = write_plant(given.folder, given.groups, given.features, given.rows)
    print(path)
    if given.candidates:
        began = time.monotonic()
        store_candidates(
            load_project(path, storage=str(given.folder / "storage")), "11111111-0000-0000-0000-000000000000"
        )
        print(f"{given.groups} candidates in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()

"""A mill, the project of most tests: a daily series of four features, two groups with a tiny network each."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from lstm_pipeline.forecasting.dataset import Dataset, build_dataset
from lstm_pipeline.forecasting.ensemble import Ensemble, GroupModel, load_models
from lstm_pipeline.forecasting.publishing import publish
from lstm_pipeline.forecasting.training import TrainingRun, train_group, train_groups
from lstm_pipeline.projects.inputs import training_input
from lstm_pipeline.projects.project import Project, load_project
from lstm_pipeline.registry.registry import Registry, StoredModel, Version
from lstm_pipeline.spec.steps import TrainingStep
from lstm_pipeline.storage.store import Store
from lstm_pipeline_tests.stubs import metadata

ROWS, LENGTH, HORIZON = 120, 8, 5
GROUPS = {"power": ["load", "parts"], "warmth": ["heat"]}
FEATURES = ["heat", "load", "parts", "wind"]
PREDICTED = ["load", "parts", "heat"]
AS_OF = dt.date(2024, 6, 1)
TINY = {
    "units": 3, "num_layers": 1, "dropout": 0.0, "batch_norm": False, "bidirectional": False, "attention_heads": 0,
    "learning_rate": 0.01,
}  # fmt: skip
NAMES = {"timestamp_col": "date", "model_bucket": "models", "project_name": "mill"}
STEP = {
    "transform": "regression_training_lstm", "input": "cleaned", "output": "model_metadata", "drop_cols": ["note"],
    "features_to_predict": PREDICTED, "feature_groups": GROUPS, "sequence_length": LENGTH, "epochs": 2, "patience": 2,
    "preset": "documented",
    "models_config": {"power": TINY, "warmth": TINY}, **NAMES,
}  # fmt: skip


def mill_table(rows: int = ROWS, first: str = "2023-12-20") -> pa.Table:
    """Rows over the month ends of a leap year; `parts` is an integer, `wind` is context, `note` is text."""
    days, noise = np.arange(rows), np.random.default_rng(7).normal(size=(3, rows))
    load = 40 + 6 * np.sin(2 * np.pi * days / 7) + noise[0]
    return pa.table(
        {
            "date": pa.array(pd.date_range(first, periods=rows).to_numpy().astype("datetime64[D]")),
            "load": load,
            "heat": 900 - 3 * load + 2 * noise[1],
            "parts": np.rint(10 + load / 4).astype(np.int64),
            "wind": 0.3 + 0.1 * np.cos(2 * np.pi * days / 7) + 0.01 * noise[2],
            "note": ["mill"] * rows,
        }
    )


def mill_step(**changes: Any) -> TrainingStep:
    return TrainingStep.model_validate({**STEP, **changes})


def mill_dataset(table: pa.Table | None = None, **changes: Any) -> Dataset:
    return build_dataset(mill_table() if table is None else table, mill_step(**changes), "UTC")


def with_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values, from_pandas=True))


def mill_spec(**training: Any) -> dict[str, Any]:
    source = {"input_type": "data_product", "identifier": "mill-features"}
    recent = {"input": "features", "output": "recent", "condition": "date >= current_date() - interval '60' day"}
    return {
        "catalog": {"mill-features": "mill.parquet"},
        "model_metadata": {
            "inputs": {"features": source},
            "transformations": [
                {
                    "transform": "filter_with_condition", "input": "features", "output": "cleaned",
                    "condition": "date <= current_date()",
                },
                {**STEP, **training},
            ],
            "finalisers": {"input": "model_metadata"},
        },
        "predictions": {
            "inputs": {"features": source},
            "transformations": [
                {"transform": "filter_with_condition", **recent},
                {
                    "transform": "regression_prediction_lstm", "input": "recent", "output": "forecast",
                    "forecast_horizon": HORIZON, **NAMES,
                },
            ],
            "finalisers": {"input": "forecast"},
        },
    }  # fmt: skip


def mill_project(folder: Path, table: pa.Table | None = None, **training: Any) -> Project:
    """A project whose spec, data and storage are in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(mill_table() if table is None else table, folder / "mill.parquet")
    (folder / "mill.yaml").write_text(yaml.safe_dump(mill_spec(**training), sort_keys=False))
    return load_project(folder / "mill.yaml", str(folder / "storage"))


def respecified(project: Project, change: Callable[[dict[str, Any]], None] | None = None, **training: Any) -> Project:
    """The same folder and storage with another spec."""
    spec = mill_spec(**training)
    if change is not None:
        change(spec)
    path = project.loaded.folder / "mill.yaml"
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    return load_project(path, project.storage)


def copied(project: Project, folder: Path) -> Project:
    """The project with a spec, data and storage of its own, which begin as they are there."""
    shutil.copytree(project.loaded.folder, folder, dirs_exist_ok=True)
    return load_project(folder / "mill.yaml", str(folder / "storage"))


def train_mill(project: Project, run_id: str, groups: Sequence[str] | None = None) -> dict[str, StoredModel]:
    step = project.spec.training
    dataset = build_dataset(training_input(project, AS_OF), step, "UTC")
    run = TrainingRun(dataset, step, project.registry, horizon=HORIZON, run_id=run_id)
    return train_groups(run, groups or project.groups)


def publish_mill(project: Project, run_id: str = "publishing") -> Version:
    return publish(project, training_input(project, AS_OF), {}, run_id=run_id).version


def trained_member(folder: Path, group: str, dataset: Dataset, step: TrainingStep) -> GroupModel:
    """Trains one group and loads the stored model."""
    registry = Registry(Store(str(folder)), "models", "mill")
    model = train_group(TrainingRun(dataset, step, registry, horizon=HORIZON, run_id="run"), group)
    return load_models(registry, {group: model})[0]


def weights_of(member: GroupModel) -> list[bytes]:
    """The weights as bytes, equal only if every bit is."""
    return [weight.tobytes() for weight in member.network.get_weights()]


def linear_network(dataset: Dataset, targets: Sequence[str], terms: Any, length: int = LENGTH) -> Any:
    """A network with fixed weights: each target is a weighted sum of inputs, all in scaled units.

    Args:
        terms: target → [(lag, input column, weight)]; lag 1 is the window's last row.
    """
    import keras  # TensorFlow takes seconds to import

    columns = [*dataset.series.names, *dataset.known]
    weights = np.zeros((length, len(columns), len(targets)), np.float32)
    for index, target in enumerate(targets):
        for lag, column, weight in terms.get(target, []):
            weights[length - lag, columns.index(column), index] += weight
    window = keras.Input((length, len(columns)))
    output = keras.layers.Dense(len(targets), use_bias=False)(keras.layers.Flatten()(window))
    network = keras.Model(window, output)
    network.set_weights([weights.reshape(-1, len(targets))])
    return network


def linear_member(
    dataset: Dataset, group: str, terms: Any, scaler: str = "standard", length: int = LENGTH
) -> GroupModel:
    names, timeline = list(dataset.features.groups[group]), dataset.series.timeline
    record = metadata(
        group,
        "stub",
        timestamp_column=timeline.column,
        predicted_features=names,
        feature_columns=[*dataset.series.names, *dataset.known],
        future_covariates=list(dataset.features.covariates),
        context_features=list(dataset.features.context),
        integer_features=[name for name in names if name in dataset.features.integers],
        calendar_features=list(dataset.calendar),
        hyperparameters={"sequence_length": length},
        frequency=timeline.frequency,
        timezone=timeline.timezone,
        timestamp_kind=timeline.kind,
        season_length=dataset.season,
    )
    return GroupModel(record, dataset.scaler(scaler), linear_network(dataset, names, terms, length))


def linear_ensemble(dataset: Dataset, terms: Any, scalers: Any = None, length: int = LENGTH) -> Ensemble:
    """An ensemble of one linear network per group; `scalers` maps a group to its kind of scaler."""
    kinds = scalers or {}
    members = [
        linear_member(dataset, group, terms, kinds.get(group, "standard"), length) for group in dataset.features.groups
    ]
    return Ensemble(members, "v0")


def project_of(folder: Path, spec: dict[str, Any], name: str = "mill.yaml") -> Project:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "mill.parquet").exists():
        pq.write_table(mill_table(), folder / "mill.parquet")
    (folder / name).write_text(yaml.safe_dump(spec, sort_keys=False))
    return load_project(folder / name, str(folder / "storage"))


def filtered(condition: str, source: str = "features", output: str = "cleaned") -> dict[str, str]:
    return {"transform": "filter_with_condition", "input": source, "output": output, "condition": condition}


def selected(source: str, output: str, *expressions: str) -> dict[str, Any]:
    return {"transform": "select_expression", "input": source, "output": output, "expressions": [*expressions]}


def poisoned(table: pa.Table, first: int, poison: float) -> pa.Table:
    """Every feature is `poison` after row `first`, which is 50: a test part of NaN alone would be refused.

    If the poison is NaN, the last row is 50 too: without a value it would not be history.
    """
    for name in FEATURES:
        values = table[name].to_numpy().astype(np.float64)
        values[first:] = poison
        values[[first, -1] if np.isnan(poison) else first] = 50.0
        if name == "parts":
            values = [None if np.isnan(value) else int(value) for value in values]
        table = with_column(table, name, values)
    return table

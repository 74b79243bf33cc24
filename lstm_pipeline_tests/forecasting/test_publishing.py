"""From training to a version that forecasts in another process: its record, its pinned models, its failures."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from lstm_pipeline import Ensemble
from lstm_pipeline.errors import RegistryError
from lstm_pipeline.forecasting.ensemble import load_models, training_log
from lstm_pipeline.forecasting.training import GroupsFailed
from lstm_pipeline.projects.project import Project
from lstm_pipeline.registry.table import metadata_table
from lstm_pipeline.statistics.metrics import NAMES
from lstm_pipeline_tests.forecasting.make_golden import STORE
from lstm_pipeline_tests.mill import (
    FEATURES,
    GROUPS,
    LENGTH,
    PREDICTED,
    TINY,
    mill_dataset,
    mill_project,
    mill_step,
    mill_table,
    publish_mill,
    respecified,
    train_mill,
    trained_member,
    with_column,
)
from lstm_pipeline_tests.registry.test_versions import INDIVIDUAL_FIELDS
from lstm_pipeline_tests.stubs import runs, tree

EXPLODING = {**TINY, "learning_rate": 1e30, "optimizer": "sgd"}
FRESH = """
import json, sys
from lstm_pipeline import Ensemble
assert not {"tensorflow", "dagster"} & set(sys.modules), "imported before they are needed"
import pandas as pd
frame = pd.read_parquet(sys.argv[1])
forecasts = [Ensemble.load(storage, "mill", "v1").predict(frame, 12) for storage in sys.argv[2:]]
print(json.dumps([[list(forecast.columns), *forecast.drop(columns="date").values.tolist()] for forecast in forecasts]))
assert "dagster" not in sys.modules
"""


# the record of a version


def test_a_record_says_what_the_model_was_trained_on(mill: Project) -> None:
    record = mill.registry.load().models["power"].record.metadata
    assert set(record.to_json()) >= INDIVIDUAL_FIELDS
    assert (record.model_name, record.feature_group, record.version, record.run_id) == ("power", "power", "v1", "run1")
    assert record.timestamp_column == "date"
    assert record.predicted_features == GROUPS["power"]
    assert record.feature_columns[:4] == FEATURES
    assert record.feature_columns[4:] == record.calendar_features
    assert "hour" not in record.calendar_features  # it cannot vary from day to day
    assert record.context_features == ["wind"]
    assert record.integer_features == ["parts"]
    assert (record.frequency, record.timezone, record.season_length) == ("D", "UTC", 7)
    assert record.random_seed == 42
    assert record.training_rows == {
        "train": {"rows": 77, "first": "2023-12-20T00:00:00", "last": "2024-03-05T00:00:00"},
        "validation": {"rows": 19, "first": "2024-03-06T00:00:00", "last": "2024-03-24T00:00:00"},
        "test": {"rows": 24, "first": "2024-03-25T00:00:00", "last": "2024-04-17T00:00:00"},
    }
    assert record.training["windows"] == {"train": 77 - LENGTH, "validation": 19, "test": 24}
    assert record.data_fingerprint == mill_dataset().fingerprint()
    assert {"tensorflow", "keras", "numpy", "python"} <= set(record.library_versions)
    assert set(record.metrics["one_step"]) == set(NAMES)
    assert set(record.feature_metrics["one_step"]) == set(GROUPS["power"])


def test_hyperparameters_are_the_resolved_ones(mill: Project) -> None:
    used = mill.registry.load().models["warmth"].record.metadata.hyperparameters
    assert used.items() >= TINY.items()
    assert used.items() >= {"optimizer": "adam", "loss": "mse", "l2_reg": 0.0001, "scaler": "standard"}.items()
    assert used.items() >= {"sequence_length": LENGTH, "epochs": 2, "batch_size": 32, "train_ratio": 0.8}.items()


def test_a_models_training_log_has_every_epoch(mill: Project) -> None:
    model = mill.registry.load().models["warmth"]
    log, training = training_log(mill.registry, model), model.record.metadata.training
    assert len(log["loss"]) == len(log["val_loss"]) == training["epochs"] == 2
    assert training["val_loss"] == min(log["val_loss"])
    assert log["val_loss"].index(training["val_loss"]) + 1 == training["best_epoch"]


def test_an_ensembles_metrics_are_means_over_features_of_the_rolled_ones(mill: Project) -> None:
    record = mill.registry.ensemble_record().metadata
    assert set(record.metrics) == {"rmse", "mae", "smape"}
    for name, value in record.metrics.items():
        assert value == pytest.approx(np.mean([record.feature_metrics["rolled"][p][name] for p in PREDICTED]))
    assert set(record.feature_metrics["one_step"]) == set(PREDICTED)
    assert set(record.baseline_metrics) == {"seasonal_naive", "last_value"}
    assert set(record.metric_definitions) >= set(NAMES)
    assert record.evaluation["horizon"] == 5
    assert record.evaluation["data_fingerprint"] == mill_dataset().fingerprint()
    assert record.evaluation["rows"]["rows"] == 24


def test_a_models_own_scores_are_those_of_the_ensemble_one_step_ahead(mill: Project) -> None:
    version = mill.registry.load()
    ensemble = version.record.metadata.feature_metrics["one_step"]
    for group, names in GROUPS.items():
        own = version.models[group].record.metadata
        for name in names:
            assert own.feature_metrics["one_step"][name] == pytest.approx(ensemble[name], rel=1e-4)
        mean = np.mean([ensemble[name]["rmse"] for name in names])
        assert own.metrics["one_step"]["rmse"] == pytest.approx(mean, rel=1e-4)


def test_a_group_learns_its_own_features_each_in_its_own_place(tmp_path: Path) -> None:
    """Two waves a quarter of a period apart: the forecast of one would be wrong for the other."""
    angle = 2 * np.pi * np.arange(120) / 14
    table = with_column(mill_table(), "load", 5 + np.sin(angle))
    table = with_column(table, "parts", np.rint(500 + 400 * np.cos(angle)).astype(np.int64))
    step = mill_step(epochs=30, patience=30, models_config={"power": {**TINY, "learning_rate": 0.05}})
    member = trained_member(tmp_path, "power", mill_dataset(table), step)
    for name in GROUPS["power"]:
        assert member.metadata.feature_metrics["one_step"][name]["r2"] > 0.8


def test_the_metadata_table_has_the_seven_columns_and_a_row_for_each_model_and_the_ensemble(mill: Project) -> None:
    table = metadata_table(mill.registry.load())
    assert table.column_names == [
        "metadata", "model_path", "metadata_path", "version", "model_name", "model_type", "created_at",
    ]  # fmt: skip
    assert str(table.schema.field("created_at").type) == "timestamp[us, tz=UTC]"
    assert table["model_name"].to_pylist() == ["power", "warmth", "mill_lstm_model_ensemble"]
    assert table["model_type"].to_pylist() == ["lstm", "lstm", "lstm_ensemble"]
    assert table["version"].to_pylist() == ["v1"] * 3
    assert table["model_path"].to_pylist()[1:] == ["models/mill/models/warmth/v1/model.keras", None]
    assert table["metadata_path"].to_pylist()[2] == "models/mill/ensembles/v1.json"
    documents = [json.loads(text) for text in table["metadata"].to_pylist()]
    assert documents[0]["predicted_features"] == GROUPS["power"]
    assert documents[2]["feature_groups"] == list(GROUPS)
    for name in ("model_path", "metadata_path"):
        assert all((Path(mill.storage) / path).is_file() for path in table[name].to_pylist() if path)


# a version elsewhere


@pytest.mark.slow
def test_a_fresh_process_forecasts_the_same_numbers(mill: Project, tmp_path: Path) -> None:
    """Through the public API and the stored files alone, without Dagster; with and without layers of this package."""
    pq.write_table(mill_table(), tmp_path / "frame.parquet")
    storages = [mill.storage, str(STORE)]
    command = [sys.executable, "-c", FRESH, str(tmp_path / "frame.parquet"), *storages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for storage, (columns, *values) in zip(storages, json.loads(done.stdout), strict=True):
        expected = Ensemble.load(storage, "mill").predict(mill_table(), 12)
        assert columns == ["date", *PREDICTED]
        np.testing.assert_allclose(values, expected[PREDICTED].to_numpy(np.float64), rtol=1e-6)


def test_a_version_is_loaded_by_name_from_a_bucket(own_mill: Project) -> None:
    (Path(own_mill.storage) / "models").rename(Path(own_mill.storage) / "elsewhere")
    with pytest.raises(RegistryError, match="has no version yet"):
        Ensemble.load(own_mill.storage, "mill")
    with pytest.raises(RegistryError, match="no version v2; its versions are v1"):
        Ensemble.load(own_mill.storage, "mill", "v2", bucket="elsewhere")
    with pytest.raises(RegistryError, match="does not exist"):  # what a record names is relative to the root
        Ensemble.load(own_mill.storage, "mill", bucket="elsewhere")


# training one group again


def test_training_one_group_again_pins_the_other_byte_for_byte_and_scores_both(own_mill: Project) -> None:
    storage = Path(own_mill.storage)
    before, first = tree(storage), Ensemble.load(own_mill.storage, "mill").predict(mill_table(), 5)
    changed = respecified(own_mill, random_seed=7)
    train_mill(changed, "run2", ["warmth"])
    version = publish_mill(changed)
    after = tree(storage)
    assert {path: after[path] for path in before if "latest.json" not in path} == {
        path: content for path, content in before.items() if "latest.json" not in path
    }
    assert runs(changed.registry) == {"power": "run1", "warmth": "run2"}
    assert [member.version for member in version.record.metadata.individual_models] == ["v1", "v2"]
    old, new = (changed.registry.ensemble_record(name).metadata for name in ("v1", "v2"))
    for name in GROUPS["power"]:
        assert new.feature_metrics["one_step"][name] == pytest.approx(old.feature_metrics["one_step"][name])
    assert new.feature_metrics["rolled"]["heat"] != old.feature_metrics["rolled"]["heat"]
    second = Ensemble.load(own_mill.storage, "mill").predict(mill_table(), 5)
    assert not np.allclose(second["heat"], first["heat"], rtol=1e-6)
    pd.testing.assert_frame_equal(Ensemble.load(own_mill.storage, "mill", "v1").predict(mill_table(), 5), first)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sequence_length": 6}, "'power' and 'warmth' cannot be combined: sequence_length is 8 .* and 6"),
        ({"calendar_features": ["month"]}, "'power' and 'warmth' cannot be combined: feature_columns"),
        (
            {"feature_groups": {"power": ["load"], "warmth": ["heat", "parts"]}},
            "newest model of group 'power' does not fit the spec: expected predicted_features .*, found .*'parts'",
        ),
    ],
    ids=["sequence_length", "calendar", "groups"],
)
def test_a_group_trained_again_that_does_not_fit_the_others_is_not_published(
    own_mill: Project, change: dict[str, Any], message: str
) -> None:
    changed = respecified(own_mill, **change)
    train_mill(changed, "run2", ["warmth"])
    before = tree(own_mill.storage)
    with pytest.raises(RegistryError, match=message):
        publish_mill(changed)
    assert tree(own_mill.storage) == before
    assert changed.registry.resolve() == "v1"


def test_a_group_may_be_trained_again_with_another_scaler(own_mill: Project) -> None:
    """Each model's units are converted; the forecast stays in the features' own units."""
    changed = respecified(own_mill, models_config={"power": TINY, "warmth": {**TINY, "scaler": "minmax"}})
    train_mill(changed, "run2", ["warmth"])
    version = publish_mill(changed)
    kinds = [member.scaler.kind for member in load_models(changed.registry, version.models)]
    assert kinds == ["standard", "minmax"]
    forecast = Ensemble.of(changed.registry, version).predict(mill_table(), 5)
    heat = mill_table()["heat"].to_numpy()
    assert forecast["heat"].between(heat.min() - 100, heat.max() + 100).all()


# failures


def test_a_loss_that_turns_nan_names_the_group_and_keeps_the_others(own_mill: Project) -> None:
    changed = respecified(own_mill, models_config={"power": EXPLODING, "warmth": TINY})
    before = tree(own_mill.storage)
    with pytest.raises(GroupsFailed) as error:
        train_mill(changed, "run2")
    assert "group 'power': power: the loss is not finite in epoch" in str(error.value)
    assert "Lower learning_rate" in str(error.value)
    assert str(error.value).endswith("The candidates of warmth are kept.")
    assert list(error.value.finished) == ["warmth"]
    assert changed.registry.versions() == ["v1"]
    new = set(tree(own_mill.storage)) - set(before)
    assert new == {
        f"models/mill/candidates/warmth/run2/{name}"
        for name in ("model.keras", "scaler.json", "history.json", "metadata.json")
    }
    # the group is fixed and trained alone; the version takes the other group's candidate
    fixed = respecified(own_mill)
    train_mill(fixed, "run3", ["power"])
    publish_mill(fixed)
    assert runs(fixed.registry) == {"power": "run3", "warmth": "run2"}


def test_nothing_is_published_when_every_group_fails(tmp_path: Path) -> None:
    project = mill_project(tmp_path, models_config=dict.fromkeys(GROUPS, EXPLODING))
    with pytest.raises(GroupsFailed, match=r"group 'power': .*; group 'warmth': ") as error:
        train_mill(project, "run1")
    assert "are kept" not in str(error.value)
    assert tree(project.storage) == {}
    with pytest.raises(RegistryError, match="groups without a trained model: power, warmth"):
        publish_mill(project)


def test_other_data_than_the_models_were_trained_on_is_scored_but_must_have_their_columns(own_mill: Project) -> None:
    more = with_column(mill_table(rows=140), "heat", np.arange(140.0))
    project = mill_project(own_mill.loaded.folder, more)
    publish_mill(project)
    first, second = (project.registry.ensemble_record(version).metadata for version in ("v1", "v2"))
    assert first.evaluation["data_fingerprint"] != second.evaluation["data_fingerprint"]
    project = mill_project(own_mill.loaded.folder, more.rename_columns(["date", "load", "heat", "parts", "x", "note"]))
    with pytest.raises(RegistryError, match="group 'power' does not fit the spec: expected feature_columns"):
        publish_mill(project)
    assert project.registry.versions() == ["v1", "v2"]

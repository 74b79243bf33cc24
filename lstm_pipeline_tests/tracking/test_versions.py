"""Versions in a tracker: what is registered, which one the alias names, and what it forecasts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from click.testing import CliRunner

from lstm_pipeline.cli import cli
from lstm_pipeline.forecasting import Ensemble
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import StoredModel
from lstm_pipeline.tracking import TrackedTraining, track_version, tracked
from lstm_pipeline.wording import number
from lstm_pipeline_tests.mill import HORIZON, mill_table, publish_mill, train_mill
from lstm_pipeline_tests.tracking.conftest import Told

Models = dict[str, StoredModel]


def versions(told: Told) -> dict[str, Any]:
    """Our version → MLflow's."""
    return {each.tags["lstm_pipeline.version"]: each for each in told.client.search_model_versions("name = 'mill'")}


@pytest.mark.slow
def test_the_alias_follows_publishing_and_rolling_back(project: Project, told: Told) -> None:
    train_mill(project, "run2", ["warmth"])
    publish_mill(project)
    track_version(project)
    assert told.champion().tags["lstm_pipeline.version"] == "v2"
    train_mill(project, "run3", ["warmth"])
    publish_mill(project)
    track_version(project)
    assert told.champion().tags["lstm_pipeline.version"] == "v3"
    assert sorted(versions(told)) == ["v2", "v3"]

    spec = str(project.loaded.folder / "mill.yaml")
    done = CliRunner().invoke(cli, ["rollback", spec, "v2", "--storage", project.storage], catch_exceptions=False)
    assert "in use: v2 (before: v3)" in done.output
    assert told.champion().version == versions(told)["v2"].version
    project.registry.roll_back("v1")  # published before anything was tracked
    track_version(project)
    assert told.champion().tags["lstm_pipeline.version"] == "v1"
    assert sorted(versions(told)) == ["v1", "v2", "v3"]
    assert len(told.client.search_registered_models()) == 1


def test_a_version_is_registered_once(project: Project, told: Told) -> None:
    track_version(project)
    track_version(project)
    (each,) = told.client.search_model_versions("name = 'mill'")
    assert (int(each.version), each.tags["lstm_pipeline.version"]) == (1, "v1")
    assert len(told.runs("version")) == 1  # no training of it is known


def test_a_version_belongs_to_the_training_of_its_models_and_brings_its_scores(
    project: Project, models: Models, told: Told
) -> None:
    tracked(TrackedTraining(project, "run1"), ["power", "warmth"], lambda: models)
    track_version(project)
    (parent,) = told.runs("training")
    assert told.champion().run_id == parent.info.run_id
    assert told.runs("version") == []
    record = project.registry.ensemble_record("v1").metadata
    assert parent.data.tags["lstm_pipeline.version"] == "v1"
    assert parent.data.tags["lstm_pipeline.data_fingerprint"] == record.evaluation["data_fingerprint"]
    assert parent.data.metrics["rolled/rmse"] == record.metrics["rmse"]
    assert parent.data.metrics["rolled/skill"] == record.evaluation["mean"]["rolled"]["skill"]
    assert parent.data.metrics["one_step/mae"] == record.evaluation["mean"]["one_step"]["mae"]
    rmse, mae, smape = (number(record.metrics[name]) for name in ("rmse", "mae", "smape"))
    described = f"v1: rmse {rmse}, mae {mae}, smape {smape} rolled over the test part"
    assert told.champion().description == described
    rolled = record.feature_metrics["rolled"]
    power = told.groups()["power"].data.metrics["rolled/rmse"]
    assert power == pytest.approx((rolled["load"]["rmse"] + rolled["parts"]["rmse"]) / 2, rel=1e-12)
    assert told.groups()["warmth"].data.metrics["rolled/rmse"] == rolled["heat"]["rmse"]


def test_the_registered_model_names_a_version_and_holds_no_weights(project: Project, told: Told) -> None:
    track_version(project)
    folder = Path(told.champion().source.removeprefix("file://"))
    files = {file.name: file.stat().st_size for file in folder.rglob("*") if file.is_file()}
    assert "MLmodel" in files
    assert sum(files.values()) < 10_000
    config = mlflow.pyfunc.load_model(told.champion().source).model_config
    assert config == {"storage": project.storage, "bucket": "models", "project": "mill", "version": "v1"}


def test_it_forecasts_what_the_ensemble_forecasts(project: Project, told: Told) -> None:
    track_version(project)
    model = mlflow.pyfunc.load_model(told.champion().source)
    ensemble, frame = Ensemble.load(project.storage, "mill"), mill_table().to_pandas()
    pd.testing.assert_frame_equal(model.predict(frame, params={"horizon": 3}), ensemble.predict(frame, 3))
    pd.testing.assert_frame_equal(model.predict(frame), ensemble.predict(frame, HORIZON))
    text = frame.assign(date=frame["date"].astype(str))
    pd.testing.assert_frame_equal(model.predict(text, params={"horizon": 3}), ensemble.predict(text, 3))
    assert [column.name for column in model.metadata.signature.outputs] == list(ensemble.predict(frame, 1))
    with pytest.raises(mlflow.MlflowException, match="heat"):
        model.predict(frame.drop(columns="heat"))


def test_two_storage_roots_with_one_name_are_told_apart(project: Project, told: Told, mill: Project) -> None:
    track_version(project)
    object.__setattr__(project, "storage", mill.storage)
    project.__dict__.pop("registry")
    track_version(project)
    assert {each.tags["lstm_pipeline.storage"] for each in told.client.search_model_versions("name = 'mill'")} == {
        mill.storage,
        str(project.loaded.folder / "storage"),
    }
    assert told.champion().tags["lstm_pipeline.storage"] == mill.storage


_SCORING = """
import glob, json, sys
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model("models:/mill@champion")
found = {}
for path in sorted(glob.glob(sys.argv[1] + "/*.parquet")):
    forecast = model.predict(pd.read_parquet(path), params={"horizon": 4})
    found[path] = forecast["heat"].tolist()
print(json.dumps(found))
"""


@pytest.mark.slow
def test_it_loads_in_a_fresh_process_and_scores_a_folder_of_parquet(
    project: Project, told: Told, tmp_path: Path
) -> None:
    track_version(project)
    folder, ensemble = tmp_path / "batch", Ensemble.load(project.storage, "mill")
    folder.mkdir()
    expected = {}
    for rows in (60, 90):
        frame = mill_table(rows).to_pandas()
        frame.to_parquet(folder / f"{rows}.parquet")
        expected[str(folder / f"{rows}.parquet")] = ensemble.predict(frame, 4)["heat"].tolist()
    done = subprocess.run(
        [sys.executable, "-c", _SCORING, str(folder)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == expected

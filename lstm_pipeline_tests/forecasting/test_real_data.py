"""The example on the data it was written for: ten-minute rows of a house (see examples/appliances.yaml)."""

import datetime as dt
import hashlib
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lstm_pipeline.orchestration.runs import run_project
from lstm_pipeline.projects.checks import data_problems
from lstm_pipeline.projects.project import Project, load_project

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("LSTM_PIPELINE_DATA") or ROOT.parent / "shared" / "data")
pytestmark = pytest.mark.skipif(
    not (DATA / "energydata_complete.csv").is_file(),
    reason=f"no energydata_complete.csv in {DATA}; set LSTM_PIPELINE_DATA to the folder that holds it",
)


def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int) -> Project:
    monkeypatch.setenv("LSTM_PIPELINE_DATA", str(DATA))
    home = tmp_path / "dagster-home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    text = (ROOT / "examples" / "appliances.yaml").read_text()
    assert "epochs: 5\n" in text
    (tmp_path / "appliances.yaml").write_text(text.replace("epochs: 5\n", f"epochs: {epochs}\n"))
    return load_project(tmp_path / "appliances.yaml", str(tmp_path / "storage"))


def stored(project: Project) -> dict[str, str]:
    root = Path(project.storage) / "models" / "appliances"
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_the_example_fits_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data_problems(example(tmp_path, monkeypatch, epochs=1)) == []


@pytest.mark.slow
def test_the_example_forecasts_a_day_and_one_group_is_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = example(tmp_path, monkeypatch, epochs=1)
    run_project(project)
    data = Path(project.storage) / "models" / "appliances" / "data"
    forecast = pq.read_table(data / "predictions.parquet")
    features = [name for group in (project.spec.training.feature_groups or {}).values() for name in group]
    assert len(features) == 28
    bounds = [f"{name}_{side}_{level}" for level in (80, 95) for name in features for side in ("lo", "hi")]
    assert forecast.column_names == ["date", *features, *bounds, "_predicted_at", "model_version"]
    assert forecast.num_rows == 144
    dates = forecast["date"].to_pylist()
    assert (dates[0], dates[-1]) == (dt.datetime(2016, 5, 27, 18, 10), dt.datetime(2016, 5, 28, 18, 0))
    assert sum(column.null_count for column in forecast.columns) == 0
    table = pq.read_table(data / "model_metadata.parquet")
    assert table["model_type"].to_pylist() == ["lstm", "lstm", "lstm", "lstm_ensemble"]
    assert table["version"].to_pylist() == ["v1"] * 4

    before = stored(project)
    run_project(project, predict=False, groups=["weather"])
    after = stored(project)
    kept = [path for path in before if path.startswith(("models/", "ensembles/"))]
    assert len(kept) == 17  # five files of each of three groups, the version and its residuals
    assert {path: after[path] for path in kept} == {path: before[path] for path in kept}
    assert {path for path in after if path.startswith(("models/", "ensembles/"))} - set(kept) == {
        "ensembles/v2.json",
        "ensembles/v2.residuals.png",
        *(
            f"models/weather/v2/{name}"
            for name in ("drift.json", "history.json", "metadata.json", "model.keras", "scaler.json")
        ),
    }
    pinned = project.registry.load("v2").record.metadata.individual_models
    assert {member.model_name: member.version for member in pinned} == {
        "energy_use": "v1",
        "rooms": "v1",
        "weather": "v2",
    }
    records = [project.registry.ensemble_record(version).metadata.individual_models for version in ("v1", "v2")]
    assert records[0][:2] == records[1][:2]

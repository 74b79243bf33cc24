from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from lstm_pipeline.errors import PipelineError
from lstm_pipeline.orchestration.runs import RunFailedError, instance, run_project
from lstm_pipeline.projects.project import Project
from lstm_pipeline_tests.orchestration.plant import AS_SHIPPED, SMALL, tiny_project, write_data

AS_OF = dt.date(2024, 6, 1)
"""Later than the last row (2024-04-29) and less than 60 days after it: enough rows for a window remain."""


@pytest.fixture
def dagster_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "dagster-home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    return home


@pytest.fixture
def project(tmp_path: Path, dagster_home: Path) -> Project:
    return tiny_project(tmp_path)


def stored(project: Project) -> dict[str, str]:
    root = Path(project.storage)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def events(asset: str, partition: str | None = None) -> Iterator[dict[str, Any]]:
    with instance() as here:
        records = here.fetch_materializations(dg.AssetKey(["tiny-plant", asset]), limit=20).records
        for record in records:
            event = record.asset_materialization
            assert event is not None
            if partition in (None, event.partition):
                yield {name: value.value for name, value in event.metadata.items()}


def rows_of(table: dg.TableMetadataValue) -> list[dict[str, Any]]:
    return [dict(record.data) for record in table.records]


def test_everything_then_one_group(tmp_path: Path, dagster_home: Path) -> None:
    project = tiny_project(tmp_path, models_config={"energy": AS_SHIPPED, "water": SMALL})
    run_project(project, as_of=AS_OF)
    table = pq.read_table(Path(project.storage) / "models/tiny-plant/data/predictions.parquet")
    assert table.column_names == ["date", "power", "passes", "model_version"]
    assert table.schema.metadata[b"lstm_pipeline/as_of"] == b"2024-06-01"
    assert table["date"].to_pylist() == [dt.date(2024, 4, 30) + dt.timedelta(days=day) for day in range(5)]
    assert set(table["model_version"].to_pylist()) == {"v1"}
    assert str(table.schema.field("passes").type) == "int32"
    models = pq.read_table(Path(project.storage) / "models/tiny-plant/data/model_metadata.parquet").to_pylist()
    assert [row["model_name"] for row in models] == ["energy", "water", "tiny-plant_lstm_model_ensemble"]
    assert json.loads(models[0]["metadata"])["context_features"] == ["outside"]

    (cleaned,) = events("cleaned_data")
    assert cleaned["dagster/row_count"] == 120
    assert cleaned["frequency"] == "D"
    assert cleaned["as_of"] == "2024-06-01"
    assert len(cleaned["newest_rows"].records) == 3  # preview_limit rows
    (water,) = events("trained_model", "water")
    assert water["predicted_features"] == "flow, passes"
    assert "data:image/png;base64," in water["loss_curve"]
    assert [row["feature"] for row in rows_of(water["metrics_one_step"])] == ["flow", "passes"]
    assert water["val_loss"] > 0
    (version,) = events("model_metadata")
    assert version["version"] == "v1"
    assert {"group": "water", "model": "v1", "predicts": "flow, passes"} in rows_of(version["models"])
    assert {"seasonal_naive", "last_value"} <= {row["method"] for row in rows_of(version["means_beside_baselines"])}
    (forecast,) = events("predictions")
    assert "data:image/png;base64," in forecast["forecast"]
    assert {"feature": "passes", "model": "water v1"} in rows_of(forecast["predicted_by"])

    before = stored(project)
    run_project(project, predict=False, groups=["water"], as_of=AS_OF)
    assert project.registry.versions() == ["v1", "v2"]
    pinned = {m.model_name: m.version for m in project.registry.ensemble_record("v2").metadata.individual_models}
    assert pinned == {"energy": "v1", "water": "v2"}
    after = stored(project)
    frames = ("cleaned_data.parquet", "model_metadata.parquet", "latest.json", "training_costs.json")
    assert {path: sha for path, sha in before.items() if not path.endswith(frames)}.items() <= after.items()
    assert "models/tiny-plant/models/energy/v2/model.keras" not in after


@pytest.mark.slow
def test_groups_that_do_not_follow_each_other(tmp_path: Path, dagster_home: Path) -> None:
    groups = {"energy": ["power"], "middle": ["flow"], "water": ["passes"]}
    project = tiny_project(tmp_path, feature_groups=groups, models_config={}, epochs=1)
    run_project(project, predict=False, as_of=AS_OF)
    run_project(project, predict=False, groups=["energy", "water"], as_of=AS_OF)
    pinned = {m.model_name: m.version for m in project.registry.ensemble_record().metadata.individual_models}
    assert pinned == {"energy": "v2", "middle": "v1", "water": "v2"}


def test_a_failing_group_keeps_the_others_and_publishes_nothing(tmp_path: Path, dagster_home: Path) -> None:
    wild = {**SMALL, "learning_rate": 1e30, "optimizer": "sgd", "activation": "relu"}
    project = tiny_project(tmp_path, models_config={"energy": wild, "water": SMALL})
    with pytest.raises(RunFailedError, match="group 'energy'") as caught:
        run_project(project, as_of=AS_OF)
    assert "candidates of water are kept" in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert project.registry.versions() == []
    assert len(list(events("trained_model", "water"))) == 1
    assert list(events("trained_model", "energy")) == []


@pytest.mark.slow
def test_predictions_stay_when_the_input_is_wrong(project: Project, tmp_path: Path) -> None:
    run_project(project, as_of=AS_OF)
    before = stored(project)
    with pytest.raises(RunFailedError, match="has no rows"):
        run_project(project, train=False, as_of=dt.date(2030, 1, 1))
    write_data(tmp_path, rows=3)
    with pytest.raises(RunFailedError, match="needs a history of 7 steps"):
        run_project(project, train=False, as_of=dt.date(2024, 1, 4))
    after = stored(project)
    same = ("predictions.parquet", "predictions.png", "v1.json", "model.keras")
    assert {p: s for p, s in before.items() if p.endswith(same)} == {p: s for p, s in after.items() if p.endswith(same)}


def test_forecasting_without_a_version_says_so(project: Project) -> None:
    with pytest.raises(PipelineError, match="has no version yet"):
        run_project(project, train=False, as_of=AS_OF)


def test_a_wrong_as_of_tag_is_a_clear_failure(project: Project) -> None:
    from lstm_pipeline.orchestration.code_location import project_definitions, resources

    definitions = dg.Definitions.merge(
        project_definitions(project), dg.Definitions(resources=resources(project.storage))
    )
    job = definitions.resolve_job_def("tiny_plant_forecast")
    result = job.execute_in_process(tags={"lstm_pipeline/as_of": "yesterday"}, raise_on_error=False)
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert failed.step_failure_data.user_failure_data is not None
    assert "expected a date, e.g. 2025-01-31, found 'yesterday'" in str(
        failed.step_failure_data.user_failure_data.description
    )


def test_the_default_instance_is_beside_dagster_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    shipped = Path(__file__).parents[2]
    for name in ("dagster.yaml", "workspace.yaml"):
        (tmp_path / name).write_text((shipped / name).read_text())
    below = tmp_path / "somewhere" / "below"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    with instance() as here:
        assert here.get_runs_count() == 0
        assert not here.telemetry_enabled
    assert (tmp_path / ".dagster" / "history").is_dir()
    assert list(below.iterdir()) == []

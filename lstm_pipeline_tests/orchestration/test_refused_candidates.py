"""Publishing in Dagster when new models are not better: a warning with both numbers, and the version in use stays."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest
import yaml

from lstm_pipeline.orchestration.runs import instance, run_project
from lstm_pipeline.projects.project import load_project
from lstm_pipeline_tests.orchestration.plant import spec, write_data
from lstm_pipeline_tests.stubs import runs

AS_OF = dt.date(2024, 6, 1)


@pytest.mark.slow
def test_a_run_whose_models_are_not_better_succeeds_and_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    write_data(tmp_path)
    document = {**spec(epochs=1), "automation": {"promote": {"rule": "if_better"}}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    project = load_project(tmp_path / "tiny.yaml", str(tmp_path / "storage"))
    run_project(project, predict=False, as_of=AS_OF)
    before = runs(project.registry)
    assert run_project(project, predict=False, groups=["water"], as_of=AS_OF) == "v1"
    assert project.registry.versions() == ["v1"]
    assert runs(project.registry) == before

    with instance() as here:
        shown = here.fetch_materializations(dg.AssetKey(["tiny-plant", "model_metadata"]), limit=2).records
        last, first = ({name: value.value for name, value in event.asset_materialization.metadata.items()}
                       for event in shown if event.asset_materialization)  # fmt: skip
        logged = here.all_logs(shown[0].run_id)
    warnings = [entry.user_message for entry in logged if entry.level == 30]
    assert (first["published"], last["published"]) == (True, False)
    assert last["version"] == "v1"
    assert last["models"] == first["models"]  # the table is that of the version in use
    (row,) = [dict(record.data) for record in last["decisions"].records]
    assert (row["group"], row["decision"], row["rows"], row["rule"]) == ("water", "refused", "24", "if_better")
    (warning,) = [text for text in warnings if "was not promoted" in text]
    assert warning.startswith("The new model of group 'water' was not promoted: its error is not smaller: ")
    assert f"{row['new']} against {row['in use']} of the model in use, on 24 rows" in warning
    assert "lstm-pipeline promote SPEC --group water" in warning

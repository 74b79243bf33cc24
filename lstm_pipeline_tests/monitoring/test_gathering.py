"""Looks at a project with a published version: what is found, what is read, and what bad data ends in.

The models are stubs without a network; a last test trains some.
"""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lstm_pipeline.forecasting.dataset import build_dataset
from lstm_pipeline.forecasting.tasks import resolve_options
from lstm_pipeline.forecasting.training import drift_record, recorded_options
from lstm_pipeline.monitoring import gathering, recent
from lstm_pipeline.monitoring.facts import Facts
from lstm_pipeline.monitoring.gathering import gather
from lstm_pipeline.monitoring.reasons import reasons, remarks
from lstm_pipeline.projects.inputs import training_input
from lstm_pipeline.projects.project import Project
from lstm_pipeline.registry.records import IndividualRecord
from lstm_pipeline.storage.store import to_json
from lstm_pipeline.verification.summary import FeatureAccuracy, LiveSummary, store_summary
from lstm_pipeline_tests.mill import (
    AS_OF,
    HORIZON,
    TINY,
    mill_project,
    mill_table,
    publish_mill,
    respecified,
    train_mill,
    with_column,
)
from lstm_pipeline_tests.stubs import SCORE, metadata

NOW = dt.datetime(2026, 1, 8, tzinfo=dt.UTC)
FIRST = "2021-01-01"
ROWS = 1000
RULES: dict[str, Any] = {
    "new_data": {"rows": 10}, "changed_options": True, "drift": {"score": 0.3, "rows": 50}, "max_age": "90d",
}  # fmt: skip


def automated(spec: dict[str, Any]) -> None:
    spec["automation"] = {"retrain": RULES}


def watched(folder: Path, change: Callable[[dict[str, Any]], None] = automated, **training: Any) -> Project:
    """A project of 1,000 rows whose version v1 was trained on all of them."""
    project = respecified(mill_project(folder, mill_table(ROWS, FIRST), **training), change, **training)
    publish_stubs(project)
    return project


def publish_stubs(project: Project, run_id: str = "first") -> None:
    step = project.spec.training
    dataset = build_dataset(training_input(project, AS_OF), step, "UTC")
    for group, features in dataset.features.groups.items():
        record = metadata(
            group, run_id, predicted_features=list(features), context_features=list(dataset.features.context),
            feature_columns=[*dataset.series.names, *dataset.known], calendar_features=list(dataset.calendar),
            hyperparameters=recorded_options(
                step, resolve_options(dataset, step, group, HORIZON), dataset.sequence_length
            ),
            dropped_columns=list(step.drop_cols), missing=step.missing, input=dataset.input, knows_drift=True,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder)
            for name in ("model.keras", "scaler.json", "history.json"):
                (files / name).write_bytes(f"{name} of {group} from {run_id}".encode())
            (files / "drift.json").write_bytes(to_json(drift_record(dataset, features).to_json()))
            individual = IndividualRecord(metadata=record, model_path="", metadata_path="")
            project.registry.save_candidate(individual, files)
    project.registry.publish(project.groups, {}, lambda models: SCORE, run_id=run_id)


def rewrite(project: Project, table: pa.Table) -> None:
    pq.write_table(table, project.loaded.folder / "mill.parquet")


def shifted(rows: int, column: str, by: float) -> pa.Table:
    """The table with more rows, which are higher after the first thousand."""
    table = mill_table(rows, FIRST)
    values = table[column].to_numpy().astype(np.float64)
    values[ROWS:] += by
    return with_column(table, column, values)


def found(project: Project, now: dt.datetime = NOW) -> list[tuple[str, str]]:
    return [(reason.group, reason.trigger) for reason in reasons(project, now=now)]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return watched(tmp_path)


def test_right_after_a_training_there_is_no_reason(project: Project) -> None:
    facts = gather(project, NOW)
    assert (facts.version, facts.untrained, facts.problems) == ("v1", (), ())
    assert {group: model.version for group, model in facts.models.items()} == {"power": "v1", "warmth": "v1"}
    assert facts.changes == {"power": (), "warmth": ()}
    assert set(facts.drift["power"]) == {"load", "parts", "wind"}
    assert set(facts.drift["warmth"]) == {"heat", "wind"}
    assert found(project) == []
    assert remarks(facts, project.spec.automation.retrain) == []


def test_without_automation_there_is_none_and_without_a_model_neither(tmp_path: Path) -> None:
    idle = watched(tmp_path / "idle", lambda spec: None)
    rewrite(idle, shifted(1100, "load", 50))
    assert reasons(idle, now=NOW) == []
    fresh = respecified(mill_project(tmp_path / "fresh"), automated)
    facts = gather(fresh, NOW)
    assert (facts.version, facts.untrained) == (None, ("power", "warmth"))
    assert reasons(fresh, now=NOW) == []


def test_appended_rows_are_new_data_for_all_groups(project: Project) -> None:
    rewrite(project, mill_table(ROWS + 9, FIRST))
    assert found(project) == []
    rewrite(project, mill_table(ROWS + 10, FIRST))
    assert found(project) == [("power", "new_data"), ("warmth", "new_data")]


def test_a_filter_that_drops_rows_does_not_hide_new_ones(tmp_path: Path) -> None:
    """Of the input, the chain keeps every other row; what is compared is the input."""

    def halved(spec: dict[str, Any]) -> None:
        automated(spec)
        spec["model_metadata"]["transformations"][0]["condition"] = "day(date) % 2 = 0"

    project = watched(tmp_path, halved, frequency="D", missing="mask")
    assert found(project) == []
    rewrite(project, mill_table(ROWS + 10, FIRST))
    (reason, _) = reasons(project, now=NOW)
    assert reason.message == "power: 10 new rows since v1 was trained on 1,000 (limit 10)"


def test_edited_options_of_one_group_are_a_reason_for_that_group_alone(project: Project) -> None:
    edited = respecified(project, automated, models_config={"power": {**TINY, "units": 5}, "warmth": TINY})
    assert found(edited) == [("power", "changed_options")]
    shared = respecified(project, automated, epochs=7)
    assert found(shared) == [("power", "changed_options"), ("warmth", "changed_options")]


def test_a_new_group_is_a_reason_for_that_group(project: Project) -> None:
    groups = {"power": ["load", "parts"], "warmth": ["heat"], "air": ["wind"]}
    grown = respecified(
        project, automated, feature_groups=groups, features_to_predict=["load", "parts", "heat", "wind"]
    )
    assert found(grown) == [("air", "changed_options")]


def test_groups_that_were_all_renamed_are_all_new(project: Project) -> None:
    def change(spec: dict[str, Any]) -> None:
        automated(spec)
        step = next(one for one in spec["model_metadata"]["transformations"] if "feature_groups" in one)
        step["feature_groups"] = {f"new.{name}": features for name, features in step["feature_groups"].items()}
        step.pop("models_config", None)

    renamed = respecified(project, change)
    assert found(renamed) == [("new.power", "changed_options"), ("new.warmth", "changed_options")]


def test_a_shift_of_a_predicted_feature_is_drift_of_its_group_and_one_of_the_context_of_all(project: Project) -> None:
    rewrite(project, shifted(ROWS + 75, "load", 20))
    drift = [one for one in reasons(project, now=NOW) if one.trigger == "drift"]
    assert [one.group for one in drift] == ["power"]
    assert not drift[0].retrain
    rewrite(project, shifted(ROWS + 75, "wind", 2))
    assert [one for one in found(project) if one[1] == "drift"] == [("power", "drift"), ("warmth", "drift")]


def test_forecasts_that_came_true_and_were_bad_are_a_reason(tmp_path: Path) -> None:
    def strict(spec: dict[str, Any]) -> None:
        spec["automation"] = {"retrain": {"accuracy": {"factor": 1.5, "forecasts": 20}}}

    project = watched(tmp_path, strict)
    assert found(project) == []
    scored = FeatureAccuracy("power", "first", 18.0, 20, 10.0, 1.8)
    others = {"parts": replace(scored, rmse=None), "heat": replace(scored, group="warmth", run_id="an earlier one")}
    store_summary(project, LiveSummary(NOW, "v1", 20, {"load": scored, **others}))
    (reason,) = reasons(project, now=NOW)
    assert reason.message == (
        "power: rmse of the last 20 forecasts exceeds 1.5 times that on the test part of v1: load 18 against 10"
    )
    project.registry.layout.accuracy.write_text("junk")
    assert gather(project, NOW).problems[0].startswith("the accuracy of forecasts cannot be read:")
    assert found(project) == []


def test_age_is_counted_from_the_training(project: Project) -> None:
    assert found(project, dt.datetime(2026, 3, 31, 23, 59)) == []
    assert found(project, dt.datetime(2026, 4, 1)) == [("power", "max_age"), ("warmth", "max_age")]


# --- cost ------------------------------------------------------------------------------------------------------------


def test_drift_is_measured_once_for_each_state_of_the_input(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []
    measure = gathering.measured_drift

    def noted(*arguments: Any) -> Any:
        measured.append(arguments)
        return measure(*arguments)

    monkeypatch.setattr(gathering, "measured_drift", noted)
    first, again = gather(project, NOW), gather(project, NOW + dt.timedelta(minutes=5))
    assert (len(measured), again.drift) == (1, first.drift)
    rewrite(project, mill_table(ROWS + 1, FIRST))
    gather(project, NOW)
    assert len(measured) == 2
    gather(project, NOW + dt.timedelta(days=1))  # the condition names current_date()
    assert len(measured) == 3


def test_a_second_look_reads_the_versions_record_and_what_was_remembered(project: Project) -> None:
    gather(project, NOW)
    layout = project.registry.layout
    small = [layout.ensemble("v1"), layout.watch]
    assert gather(project, NOW).bytes_read == sum(project.registry.store.size(path) for path in small)


def test_only_the_newest_rows_of_a_long_input_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = watched(tmp_path)
    tables = []
    read = recent.recent_training_input

    def noted(*arguments: Any) -> pa.Table:
        tables.append(read(*arguments))
        return tables[-1]

    monkeypatch.setattr(recent, "recent_training_input", noted)
    monkeypatch.setattr(recent, "training_input", None)
    assert gather(project, NOW).drift
    (table,) = tables
    assert 75 <= table.num_rows < 240


def test_if_filters_leave_too_few_recent_rows_all_are_read(tmp_path: Path) -> None:
    def early(spec: dict[str, Any]) -> None:
        automated(spec)
        spec["model_metadata"]["transformations"][0]["condition"] = "date < '2023-01-01'"

    project = watched(tmp_path, early)
    facts = gather(project, NOW)
    assert facts.problems == ()
    assert facts.drift["warmth"]["heat"].rows == 50


def test_rows_that_are_only_planned_are_not_the_newest(tmp_path: Path) -> None:
    """Of the last 70 rows only the context is known."""
    project, table = watched(tmp_path), mill_table(ROWS + 70, FIRST)
    rewrite(project, table.slice(0, ROWS))
    before = gather(project, NOW).drift["warmth"]["heat"]
    for name in ("load", "heat", "parts"):
        table = with_column(table, name, [*table[name].to_pylist()[:ROWS], *([None] * 70)])
    rewrite(project, table)
    assert gather(project, NOW).drift["warmth"]["heat"] == before


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, b"junk", b""])
def test_an_input_that_cannot_be_read_is_a_fact(project: Project, content: bytes | None) -> None:
    path = project.loaded.folder / "mill.parquet"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    facts = gather(project, NOW)
    assert facts.input is None
    assert [problem[:25] for problem in facts.problems] == ["the input cannot be read:"]
    assert found(project, dt.datetime(2027, 1, 1)) == [("power", "max_age"), ("warmth", "max_age")]


def test_an_input_without_rows_and_one_with_broken_timestamps_are_facts(project: Project) -> None:
    rewrite(project, mill_table(0))
    facts = gather(project, NOW)
    assert facts.problems[0] == "the input has no rows"
    assert found(project) == []
    rewrite(project, with_column(mill_table(ROWS + 50, FIRST), "date", ["soon"] * (ROWS + 50)))
    facts = gather(project, NOW)
    assert facts.problems[0] == "the input has no readable timestamps in a column 'date': only rows are counted"
    assert facts.problems[1].startswith("drift cannot be measured:")
    assert found(project) == []


def test_a_feature_that_is_no_longer_a_number_is_not_measured_and_the_others_are(project: Project) -> None:
    rewrite(project, with_column(mill_table(ROWS, FIRST), "load", ["x"] * ROWS))
    facts = gather(project, NOW)
    assert set(facts.drift["power"]) == {"parts", "wind"}


def test_a_damaged_record_of_a_model_is_a_fact_and_the_other_groups_go_on(tmp_path: Path) -> None:
    project = watched(tmp_path)
    (project.registry.layout.model("power", "v1") / "metadata.json").write_text("{}")
    facts = gather(project, dt.datetime(2027, 1, 1))
    assert list(facts.models) == ["warmth"]
    assert "the record of group 'power' in v1 cannot be read" in facts.problems[0]
    assert facts.untrained == ()  # it is not a group without a model, which would be trained
    assert [place for place in found(project, dt.datetime(2027, 1, 1)) if place[0] == "power"] == []
    assert ("warmth", "max_age") in found(project, dt.datetime(2027, 1, 1))


def test_a_damaged_version_is_a_fact(project: Project) -> None:
    project.registry.layout.ensemble("v1").write_text('{"metadata": 3}')
    facts = gather(project, NOW)
    assert (facts.models, facts.untrained) == ({}, ())
    assert facts.problems[0].startswith("the version in use cannot be read:")
    assert found(project) == []


@pytest.mark.parametrize("name", ["missing", "damaged"])
def test_a_damaged_reference_is_a_fact(project: Project, name: str) -> None:
    path = project.registry.layout.model("power", "v1") / "drift.json"
    path.unlink()
    if name == "damaged":
        path.write_text('{"features": {"load": {"scale": "x"}}}')
    assert gather(project, NOW).problems[0].startswith("drift cannot be measured:")


WATCHES: Mapping[str, Any] = {
    "junk": b"\xff\xfe junk",
    "list": b"[1, 2]",
    "foreign": b'{"name": "another tool"}',
    "newer": b'{"format": 99}',
    "types": b'{"format": 1, "files": {"x": ["many", 1, 2]}, "drift_key": null, "drift": {}, "drift_problem": null}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("name", WATCHES)
def test_what_was_remembered_is_written_anew_if_it_is_damaged(project: Project, name: str) -> None:
    first = gather(project, NOW)
    path = project.registry.layout.watch
    whole = path.read_bytes()
    path.write_bytes(WATCHES[name])
    again = gather(project, NOW)
    assert (again.drift, again.input, again.problems) == (first.drift, first.input, ())
    assert path.read_bytes() == whole
    assert json.loads(whole)["format"] == 1


def test_what_cannot_be_remembered_costs_only_time(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    path = project.registry.layout.watch
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir()  # a folder cannot be replaced by a file
    facts = gather(project, NOW)
    assert (facts.problems, facts.models.keys()) == ((), {"power", "warmth"})


# --- with a network --------------------------------------------------------------------------------------------------


def test_a_training_records_what_a_look_compares(tmp_path: Path) -> None:
    project = respecified(mill_project(tmp_path, mill_table(500, FIRST)), automated)
    train_mill(project, "run-1")
    version = publish_mill(project)
    record = version.models["power"].record.metadata
    assert record.input is not None
    assert (record.input.rows, record.knows_drift, record.dropped_columns) == (500, True, ["note"])
    assert "drift.json" in {Path(file.path).name for file in version.record.metadata.individual_models[0].files}
    facts: Facts = gather(project, dt.datetime.now(dt.UTC))
    assert facts.problems == ()
    assert found(project, dt.datetime.now(dt.UTC)) == []
    rewrite(project, shifted(ROWS + 0, "load", 0))
    assert {trigger for _, trigger in found(project, dt.datetime.now(dt.UTC))} == {"new_data"}
